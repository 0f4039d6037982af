from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.report.report_models import HOSTILE

REAL = ("vit_b_16", "efficientnet_b0", "llama")


def _launches(page: Page) -> int:
    return int((page.locator("#tiles .tile dd").first.text_content() or "").replace(",", ""))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("model", REAL)
def test_a_real_model_opens_and_draws(open_report: Open, model: str, *, dark: bool) -> None:
    page = open_report(model, dark=dark)

    expect(page.locator("#headlines li").first).to_contain_text("launches instead of")
    assert 5 < page.locator("#tree .node").count() < 110
    expect(page.locator("#strategy")).to_have_value("8")  # optimal


def test_another_strategy_changes_all_at_once(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion&group=8")
    assert _launches(page) == 88

    page.locator("#strategy").select_option("tvm")
    assert _launches(page) == 112
    expect(page.locator("#headlines")).to_contain_text("112 launches instead of 137")
    expect(page.locator("#partition-title")).to_contain_text("tvm")
    expect(page.locator("#groups-table .count")).to_have_text("112 groups")
    expect(page.locator("#strategies tr.selected")).to_have_attribute("data-strategy", "5")
    expect(page.locator("#tree .selected")).to_have_count(0)
    assert "strategy=tvm" in page.url
    assert "group=" not in page.url


def test_back_leads_to_the_strategy_before(open_report: Open) -> None:
    page = open_report("vit_b_16")
    page.locator("#strategy").select_option(label="tvm")
    page.locator("#tree [data-group='0']").click()
    page.locator("#strategy").select_option(label="fusion")

    page.go_back()
    expect(page.locator("#strategy")).to_have_value("5")
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "0")
    page.go_back()
    expect(page.locator("#strategy")).to_have_value("8")
    page.go_forward()
    expect(page.locator("#strategy")).to_have_value("5")


def test_no_tile_stands_in_a_row_alone(open_report: Open) -> None:
    for model, width in (("vit_b_16", 1300), ("blocks", 1300), ("vit_b_16", 390)):
        page = open_report(model, width=width)
        tops = page.evaluate(
            "[...document.querySelectorAll('.tile')].map((tile) => tile.offsetTop)"
        )
        assert all(tops.count(top) > 1 for top in tops), (model, width)


def test_a_strategy_is_chosen_in_the_table_of_strategies(open_report: Open) -> None:
    page = open_report("vit_b_16")

    page.locator("#strategies [data-strategy='0'] button").click()
    assert _launches(page) == 137
    expect(page.locator("#strategy")).to_have_value("0")


def test_a_link_reopens_what_was_looked_at(open_report: Open) -> None:
    page = open_report("vit_b_16")
    page.locator("#strategy").select_option("extended")
    page.locator("[name=colour][value=module]").check()
    page.locator("#tree [data-group='2']").click()
    fragment = page.url[page.url.index("#") :]

    again = open_report("vit_b_16", fragment)
    expect(again.locator("#strategy")).to_have_value("2")
    expect(again.locator("#tree .selected")).to_have_attribute("data-group", "2")
    expect(again.locator("[name=colour][value=module]")).to_be_checked()
    expect(again.locator("#groups-table tr.selected")).to_have_attribute("data-key", "2")


@pytest.mark.parametrize(
    "fragment", ["#strategy=nothing", "#group=1", "#strategy=fusion&group=999", "#%", "#groups"]
)
def test_a_link_to_nothing_opens_the_page_all_the_same(open_report: Open, fragment: str) -> None:
    page = open_report("blocks", fragment)

    expect(page.locator("#tree .selected")).to_have_count(0)


def test_links_within_the_page_keep_what_is_looked_at(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion&group=8")

    page.locator(".top nav a[href='#groups']").click()
    expect(page.locator("#groups-title")).to_be_in_viewport()
    assert "group=8" in page.url


def test_the_theme_is_switched(open_report: Open) -> None:
    page = open_report("blocks")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)

    page.locator("#theme").click()
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    assert dark != light == page.evaluate(ground)
    assert open_report("blocks", dark=True).evaluate(ground) == dark


_CONTRAST = """([ink, ground]) => {
  const probe = document.createElement("i");
  document.body.append(probe);
  const channels = (name) => {
    probe.style.color = `color-mix(in srgb, var(${name}) 100%, black 0%)`;
    const text = getComputedStyle(probe).color;
    const found = text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    return text.startsWith("color") ? found : found.map((value) => value / 255);
  };
  const light = (name) => channels(name)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  const [one, other] = [light(ink), light(ground)].sort((a, b) => b - a);
  probe.remove();
  return (one + 0.05) / (other + 0.05);
}"""
_GROUNDS = ("--ground", "--surface", "--raised", "--chosen")
_FILLS = tuple(
    f"--fill-{name}"
    for name in (
        "compute", "vector", "bandwidth", "launch", "unknown",
        "compute-bound", "balanced", "memory-bound", "bandwidth-bound",
    )
) + tuple(f"--module-{place}" for place in range(8))  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(open_report: Open, *, dark: bool) -> None:
    page = open_report("blocks", dark=dark)
    pairs = [
        (ink, ground) for ink in ("--ink", "--faint", "--accent", "--warn") for ground in _GROUNDS
    ]
    pairs += [("--ink", fill) for fill in _FILLS]
    pairs += [("--soft", fill) for fill in (*_FILLS, *_GROUNDS)]
    faint = {pair: page.evaluate(_CONTRAST, list(pair)) for pair in pairs}

    assert {pair: round(ratio, 2) for pair, ratio in faint.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("model", ["vit_b_16", "hostile"])
def test_a_phone_shows_it_in_one_column(open_report: Open, model: str) -> None:
    page = open_report(model, width=390, height=844)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture = page.locator("#picture").bounding_box()
    details = page.locator("#details").bounding_box()
    assert picture
    assert details
    assert details["y"] > picture["y"] + picture["height"]


def test_paper_has_every_section_and_no_controls(open_report: Open) -> None:
    page = open_report("vit_b_16", dark=True)
    page.emulate_media(media="print")

    for shown in ("#headlines", "#picture", "#groups-table table", "#missed-table", "#ledger"):
        expect(page.locator(shown)).to_be_visible()
    for hidden in ("#strategy", "#search", "#details", "#theme", ".filter >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(251, 251, 250)"


def test_paper_has_every_row_once_and_charts_of_its_width(open_report: Open) -> None:
    page = open_report("llama", "#strategy=optimal+(T)", width=1300)
    page.wait_for_selector("#groups-table tbody tr")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 717, "height": 1000})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_selector("[data-chart=bottlenecks] svg")

    expect(page.locator("#groups-table tbody tr")).to_have_count(386)
    expect(page.locator("#groups-table .count")).to_have_text("386 groups")
    foot = "getComputedStyle(document.querySelector('#groups-table tfoot')).display"
    assert page.evaluate(foot) == "table-row-group"  # else it would end every sheet
    assert page.evaluate("document.documentElement.scrollWidth") <= 717
    for svg in page.locator("[data-chart] svg").all():
        box = svg.bounding_box()
        assert box
        assert box["x"] + box["width"] <= 717
    expect(page.locator("#tree .switch").first).to_contain_text("\N{MULTIPLICATION SIGN}31")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#groups-table tbody tr")).to_have_count(200)


def test_without_scripts_figures_and_strategies_stand(open_report: Open) -> None:
    page = open_report("vit_b_16", scripts=False)

    expect(page.locator(".unscripted")).to_be_visible()
    expect(page.locator("#headlines")).to_contain_text("63 launches instead of 137")
    expect(page.locator("#strategies tbody tr")).to_have_count(9)
    expect(page.locator("#ledger")).to_contain_text("35,127,656,448")
    expect(page.locator("#partition")).to_be_hidden()


def test_hostile_names_are_shown_and_do_nothing(open_report: Open) -> None:
    page = open_report("hostile", "#strategy=unfused")

    for place in range(len(HOSTILE)):
        page.locator(f"#groups-table tr[data-key='{place}'] button").first.click()
        expect(page.locator("#details .op")).to_have_count(1)
    page.locator("#search").fill("= 1</script>0")
    page.locator("#search").press("Enter")
    expect(page.locator("#details")).to_contain_text("</script><script>window.hacked = 1</script>0")
    page.locator("#charts").scroll_into_view_if_needed()
    expect(page.locator("[data-chart=roofline] svg")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0
    assert page.locator("body > script:not([type]), head > script:not([type])").count() <= 2


def test_a_very_long_name_is_cut_and_shown_when_asked(open_report: Open) -> None:
    page = open_report("hostile", "#strategy=unfused&group=7")
    names = page.locator("#details .op")

    assert len(names.text_content() or "") < 400
    names.get_by_role("button", name="all 10,001 characters").click()
    expect(names).to_contain_text("x" * 10_000 + "7")


@pytest.mark.slow
def test_ten_thousand_ops_stay_usable(open_report: Open) -> None:
    page = open_report("10,001 ops")
    page.fill("#search", "up_2400")
    page.press("#search", "Enter")
    assert "up_2400" in (page.locator("#details").text_content() or "")


def test_headings_tell_the_strategy(open_report: Open) -> None:
    page = open_report("blocks", "#strategy=fusion")

    for heading in page.locator("h2 .of-strategy").all():
        assert re.fullmatch("fusion", heading.text_content() or "")
