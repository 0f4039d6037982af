from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open


def _column(page: Page, table: str, name: str) -> list[str]:
    """The cells of one column, as they stand."""
    return page.evaluate(
        """([table, name]) => {
          const grid = document.querySelector(`${table} table`);
          const heads = [...grid.querySelectorAll("thead th")];
          const at = heads.findIndex((head) => head.textContent === name);
          return [...grid.querySelectorAll("tbody tr")].map((row) => row.children[at].textContent);
        }""",
        [table, name],
    )


def _numbers(page: Page, table: str, name: str) -> list[int]:
    return [int(cell.replace(",", "")) for cell in _column(page, table, name)]


def _sort(page: Page, table: str, name: str) -> None:
    page.locator(f"{table} thead").get_by_role("button", name=name, exact=True).click()


def _ready(page: Page) -> Page:
    page.wait_for_selector("#groups-table tbody tr")
    return page


def test_the_sum_of_the_groups_is_the_plans_total(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))
    moved = _numbers(page, "#groups-table", "bytes moved")

    assert len(moved) == 88
    assert sum(moved) == 524_794_688
    expect(page.locator("#groups-table tfoot tr")).to_have_count(1)
    expect(page.locator("#groups-table tfoot")).to_contain_text("524,794,688")
    expect(page.locator("#tiles")).to_contain_text("524.79 MB")


def test_groups_that_launch_nothing_are_shown_when_asked(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=unfused"))

    expect(page.locator("#groups-note")).to_have_text(
        "292 groups of views alone launch nothing and move nothing."
    )
    expect(page.locator("#groups-table .count")).to_have_text("137 groups")
    page.locator("#all-groups").check()
    expect(page.locator("#groups-table .count")).to_have_text("1 to 200 of 429 groups")


def test_every_column_sorts_both_ways(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))
    heads = page.locator("#groups-table thead th")
    for place in range(heads.count()):
        head = heads.nth(place)
        head.get_by_role("button").click()
        first = head.get_attribute("aria-sort")
        head.get_by_role("button").click()
        assert {first, head.get_attribute("aria-sort")} == {"ascending", "descending"}


def test_numbers_are_sorted_as_numbers_the_largest_first(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))
    moved = _numbers(page, "#groups-table", "bytes moved")

    _sort(page, "#groups-table", "bytes moved")
    assert _numbers(page, "#groups-table", "bytes moved") == sorted(moved, reverse=True)
    _sort(page, "#groups-table", "bytes moved")
    assert _numbers(page, "#groups-table", "bytes moved") == sorted(moved)


def test_a_filter_leaves_what_has_all_its_words(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))

    page.locator("#groups-table .filter").fill("gelu encoder_layer_1.mlp")
    expect(page.locator("#groups-table .count")).to_have_text("1 group of 88")
    expect(page.locator("#groups-table tfoot")).to_contain_text("sum of these")
    expect(page.locator("#groups-table tfoot")).to_contain_text("20,106,240")
    page.locator("#groups-table .filter").fill("linear_2")  # an op inside
    expect(page.locator("#groups-table tbody tr")).not_to_have_count(0)


def test_long_tables_are_turned_page_by_page(open_report: Open) -> None:
    page = _ready(open_report("llama", "#strategy=optimal+(T)"))
    count = page.locator("#groups-table .count")
    back, on = page.locator("#groups-table .pages button").all()

    expect(count).to_have_text("1 to 200 of 386 groups")
    expect(back).to_be_disabled()
    on.click()
    expect(count).to_have_text("201 to 386 of 386 groups")
    expect(on).to_be_disabled()
    assert len(_column(page, "#groups-table", "#")) == 186


def test_a_row_chooses_its_group_everywhere(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))

    page.locator("#groups-table tr[data-key='1'] td").nth(2).click()
    expect(page.locator("#groups-table tr[data-key='1']")).to_have_class("selected")
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "1")
    expect(page.locator("#details")).to_contain_text("group 1")


def test_the_page_of_a_chosen_group_is_turned_to(open_report: Open) -> None:
    page = _ready(open_report("llama", "#strategy=optimal+(T)&group=385"))

    expect(page.locator("#groups-table tr.selected")).to_have_attribute("data-key", "385")


def test_a_missed_fusion_leads_to_its_first_pair(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=tvm"))
    saved = _numbers(page, "#missed-table", "saved each")
    assert saved
    assert set(_column(page, "#missed-table", "legal under T")) <= {"yes", "no"}

    _sort(page, "#missed-table", "saved each")
    assert _numbers(page, "#missed-table", "saved each") == sorted(saved, reverse=True)
    page.locator("#missed-table tbody tr").first.locator("td").nth(2).click()
    expect(page.locator("#partition-title")).to_be_in_viewport()
    expect(page.locator("#tree .selected")).to_have_count(1)
    expect(page.locator("#details")).to_contain_text("Missed fusions")


def test_refusals_are_counted_by_rule(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=extended"))
    counts = dict(
        zip(
            _column(page, "#refusals-table", "rule"),
            _numbers(page, "#refusals-table", "refusals"),
            strict=True,
        )
    )

    assert counts == {"no rule": 50, "fork": 24, "second contraction": 1}


def test_a_group_tells_what_it_breaks_and_what_was_refused(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=extended&group=6"))

    expect(page.locator("#details")).to_contain_text(
        "This is no kernel under rules T: second contraction"
    )
    expect(page.locator("#details")).to_contain_text("2 contractions in one kernel")


def test_patterns_add_up_to_the_plan(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))

    assert sum(_numbers(page, "#patterns-table", "bytes moved")) == 524_794_688
    assert sum(_numbers(page, "#patterns-table", "groups")) == 88


def test_strategies_compared_have_a_row_each(open_report: Open) -> None:
    page = open_report("vit_b_16")

    rows = page.locator("#strategies tbody tr")
    expect(rows).to_have_count(9)
    expect(rows.nth(8)).to_contain_text("proven optimal")
    expect(rows.nth(6)).to_contain_text("a cover: ops may be in several kernels")


def test_both_times_of_a_strategy_are_told_apart(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))
    heads = page.locator("#strategies thead th")
    names = heads.all_text_contents()
    cells = page.locator("#strategies [data-strategy='1'] > *").all_text_contents()

    overlapped = float(cells[names.index("µs overlapped")])
    one_by_one = float(cells[names.index("µs one by one")])
    assert overlapped < one_by_one
    expect(page.locator("#strategies .hint")).to_contain_text("where the device waits for it")
    each = [float(cell) for cell in _column(page, "#groups-table", "µs")]
    assert abs(sum(each) - one_by_one) < 0.1
    assert f"{overlapped} µs" in (page.locator("#tiles").text_content() or "")


def test_the_filter_finds_groups_that_break_a_rule(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=extended"))

    page.locator("#groups-table .filter").fill("second contraction")
    expect(page.locator("#groups-table .count")).to_have_text("12 groups of 52")
    assert set(_column(page, "#groups-table", "breaks")) == {"second contraction"}


def test_what_all_pairs_save_comes_first(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=tvm"))
    total, each, pairs = (
        _numbers(page, "#missed-table", name) for name in ("saved by all", "saved each", "pairs")
    )

    assert total == sorted(total, reverse=True)
    assert total == [saved * count for saved, count in zip(each, pairs, strict=True)]
    heading = page.locator("#missed-table th", has_text="saved by all")
    expect(heading).to_have_attribute("aria-sort", "descending")


def test_what_it_takes_is_seen_and_told_in_full(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=extended", width=1300))
    row = page.locator("#missed-table tbody tr").first
    place = page.locator("#missed-table th", has_text="what it takes").bounding_box()
    box = row.bounding_box()

    assert place
    assert box
    assert place["x"] + place["width"] <= 1300
    assert box["height"] < 70  # two lines
    more = row.get_by_role("button", name="more")
    more.click()
    expect(row.get_by_role("button", name="less")).to_have_attribute("aria-expanded", "true")
    after = row.bounding_box()
    assert after
    assert after["height"] > box["height"]
    expect(page.locator("#tree .selected")).to_have_count(0)  # more is not "show it"
    expect(page.locator(".rungs")).to_contain_text("epilogue of its own domain")
    expect(page.locator(".rungs")).to_contain_text("h100-sxm has 132 cores")


def test_a_group_has_one_name_everywhere(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=unfused"))
    names = set(_column(page, "#groups-table", "pattern"))

    assert "Unfused" not in names
    for pair in _column(page, "#missed-table", "groups"):
        assert set(pair.split(" → ")) <= names


def test_ops_are_counted_alike_everywhere(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=fusion"))

    assert sum(_numbers(page, "#groups-table", "compute ops")) == 137
    compute = page.locator("#ledger tr", has=page.locator("th", has_text="compute ops"))
    expect(compute.locator("td").first).to_have_text("137")
    each = dict(
        zip(
            _column(page, "#patterns-table", "pattern"),
            _numbers(page, "#patterns-table", "compute ops each"),
            strict=True,
        )
    )
    assert each["layer_norm_linear_gelu_+1more"] == 4
    assert each["Unfused"] == 1


def test_only_a_group_of_one_op_is_alone(open_report: Open) -> None:
    page = _ready(open_report("vit_b_16", "#strategy=extended"))
    ops = _numbers(page, "#groups-table", "compute ops")
    alone = _column(page, "#groups-table", "alone, because")

    assert any(alone)
    assert {count for count, why in zip(ops, alone, strict=True) if why} == {1}
