from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.finding import box_named

FRACTION = re.compile(r"^(\d+) of (\d+) hits?$")


def _kinds(page: Page) -> list[str]:
    """What is drawn, in the order in which it is read: `kind name`."""
    return page.evaluate(
        "[...document.querySelectorAll('#tree [data-piece]')]"
        ".map((node) => `${node.dataset.kind} ${node.querySelector('.label')?.textContent ?? ''}`)"
    )


def _scale(page: Page) -> float:
    found = re.search(
        r"scale\(([\d.e-]+)\)", page.locator("#scene").get_attribute("transform") or ""
    )
    assert found
    return float(found[1])


def test_a_repeat_is_drawn_once_with_its_count(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")

    switch = page.locator("#tree .switch")
    expect(switch).to_have_count(1)
    expect(switch).to_have_text("\N{MULTIPLICATION SIGN}12 · show all")
    assert sum(kind.startswith("group") for kind in _kinds(page)) == 88 - 11 * 7


def test_all_copies_are_shown_and_folded_again(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    before = _kinds(page)

    page.locator("#tree .switch").click()
    copies = page.locator("#tree [data-kind=copy]")
    expect(copies).to_have_count(12)
    expect(page.locator("#tree .switch")).to_have_text("fold \N{MULTIPLICATION SIGN}12")
    page.locator("#tree .switch").click()
    expect(copies).to_have_count(0)
    assert _kinds(page) == before


def test_every_launch_is_drawn_when_all_is_open(open_report: Open) -> None:
    page = open_report("blocks", "#strategy=unfused")

    page.locator("#open-all").click()
    page.locator("#tree .switch").click()
    page.locator("#zoom-fit").click()
    expect(page.locator("#tree [data-group]")).to_have_count(17)
    groups = page.evaluate(
        "[...document.querySelectorAll('#tree [data-group]')].map((node) => +node.dataset.group)"
    )
    assert sorted(groups) == list(range(17))


def test_a_click_closes_and_opens_a_module(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    encoder = page.locator(box_named(page, "encoder"))
    inside = len(_kinds(page))

    encoder.locator(".head").click(position={"x": 200, "y": 10})
    expect(page.locator(box_named(page, "encoder"))).to_have_attribute("aria-expanded", "false")
    assert len(_kinds(page)) < inside
    assert "85 kernels" in (page.locator(box_named(page, "encoder")).text_content() or "")
    page.locator(box_named(page, "encoder")).click()
    assert len(_kinds(page)) == inside


def test_a_click_chooses_a_group_and_again_lets_it_go(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    group = page.locator("#tree [data-group='8']")

    group.click()
    expect(group).to_have_attribute("aria-selected", "true")
    expect(page.locator("#details h3")).to_have_text("layer_norm_linear_gelu_+1more")
    expect(page.locator("#details")).to_contain_text("20,106,240 bytes")
    expect(page.locator("#groups-table tr.selected")).to_have_attribute("data-key", "8")
    expect(page.locator("#live")).to_contain_text("Chosen: group 8")
    assert "group=8" in page.url
    group.click()
    expect(page.locator("#tree .selected")).to_have_count(0)
    assert "group=" not in page.url


def test_neighbours_are_marked_and_lead_on(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion&group=0")

    expect(page.locator("#tree .fed")).to_have_count(1)
    page.locator("#details [data-to-group='1']").first.click()
    expect(page.locator("#tree [data-group='1']")).to_have_class(re.compile(r"\bselected\b"))
    expect(page.locator("#tree .feeds")).to_have_attribute("data-group", "0")


def test_boxes_are_filled_as_far_as_they_move_bytes(open_report: Open) -> None:
    page = open_report("blocks", "#strategy=unfused")
    page.locator("#open-all").click()
    page.locator("#tree .switch").click()
    page.locator("#zoom-fit").click()
    expect(page.locator("#tree [data-group]")).to_have_count(17)
    widths = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#tree [data-group]')].map((node) =>"
        " [node.dataset.group, +node.querySelector('.fill').getAttribute('width')]))"
    )

    # A linear moves 512 bytes, the most; gelu and the last op 256, add 384.
    assert [widths[group] / widths["0"] for group in "0123"] == [1, 0.5, 1, 0.75]
    assert widths["16"] / widths["0"] == 0.5


def test_colours_go_by_bottleneck_or_by_module(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    fill = page.locator("#tree [data-group='8'] .fill")

    expect(fill).to_have_attribute("style", re.compile("--fill-compute"))
    expect(page.locator("#legend")).to_contain_text("bound by contractions")
    page.locator("[name=colour][value=module]").check()
    expect(page.locator("#tree [data-group='8'] .fill")).to_have_attribute(
        "style", re.compile("--module-0")
    )
    expect(page.locator("#legend")).to_contain_text("self_attention")
    assert "colour=module" in page.url


def test_a_tooltip_has_every_figure(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    page.locator("#partition").scroll_into_view_if_needed()

    page.hover("#tree [data-group='8'] .fill")
    tooltip = page.locator("#tooltip")
    for said in (
        "layer_norm_linear_gelu_+1more", "20,106,240 bytes", "read", "parameters", "written",
        "saved by fusing", "FLOP/byte", "compute: bound by contractions", "terms of time",
        "linear_2: 1x197x768 float32 → 1x197x3072 float32",
    ):  # fmt: skip
        expect(tooltip).to_contain_text(said)
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()


def test_a_tooltip_of_a_link_has_its_bytes(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    page.locator("#partition").scroll_into_view_if_needed()

    box = page.locator("#tree [data-group='0']").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 8)  # what comes from the input
    expect(page.locator("#tooltip")).to_contain_text("602,112 bytes")


def test_keys_go_through_the_picture(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    page.locator("#zoom-fit").focus()
    page.keyboard.press("Tab")
    focused = page.locator("#tree :focus")

    expect(focused).to_have_attribute("data-group", "0")
    expect(page.locator("#tooltip")).to_contain_text("3,566,592 bytes")
    page.keyboard.press("ArrowDown")
    expect(focused).to_have_attribute("data-group", "1")
    page.keyboard.press("Enter")
    expect(page.locator("#details")).to_contain_text("group 1")
    page.keyboard.press("ArrowDown")
    expect(focused).to_have_attribute("data-kind", "module")
    page.keyboard.press("ArrowLeft")  # closes
    expect(focused).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowRight")  # opens
    expect(focused).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")  # goes in
    expect(focused).to_have_attribute("data-group", "2")
    page.keyboard.press("ArrowLeft")  # goes out
    expect(focused).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("End")
    expect(focused).to_have_attribute("data-group", "87")
    page.keyboard.press("Home")
    expect(focused).to_have_attribute("data-group", "0")


def test_a_key_shows_all_copies(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")

    page.locator("#tree [data-kind=repeat]").focus()
    page.keyboard.press("*")
    expect(page.locator("#tree [data-kind=copy]")).to_have_count(12)
    expect(page.locator("#tree :focus")).to_have_attribute("data-kind", "repeat")


def test_one_box_alone_is_reached_by_tab(open_report: Open) -> None:
    page = open_report("efficientnet_b0", "#strategy=fusion")

    expect(page.locator("#tree [role=treeitem][tabindex='0']")).to_have_count(1)
    assert page.locator("#tree [role=treeitem][tabindex='-1']").count() > 10


def test_buttons_keys_and_the_wheel_zoom(open_report: Open) -> None:
    page = open_report("vit_b_16")
    page.locator("#partition").scroll_into_view_if_needed()
    start = _scale(page)

    page.locator("#zoom-in").click()
    assert _scale(page) == start * 1.25
    page.locator("#zoom-out").click()
    assert abs(_scale(page) - start) < 1e-9
    page.locator("#tree [data-group='0']").focus()
    page.keyboard.press("+")
    assert abs(_scale(page) - start * 1.25) < 1e-9
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert abs(_scale(page) - start) < 1e-9
    page.locator("#picture").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_timeout(100)
    assert _scale(page) > start


def test_a_plain_wheel_scrolls_the_page(open_report: Open) -> None:
    page = open_report("vit_b_16")
    page.locator("#picture").hover()
    before, scale = page.evaluate("scrollY"), _scale(page)

    page.mouse.wheel(0, 300)
    page.wait_for_function("(before) => scrollY > before", arg=before)
    assert _scale(page) == scale


def test_dragging_moves_and_chooses_nothing(open_report: Open) -> None:
    page = open_report("vit_b_16")
    page.locator("#partition").scroll_into_view_if_needed()
    card = page.locator("#tree [data-group='0']")
    before = card.bounding_box()
    assert before

    x, y = before["x"] + 20, before["y"] + 20
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 40, steps=5)
    page.mouse.up()
    after = card.bounding_box()
    assert after
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (90, 40)
    expect(page.locator("#tree .selected")).to_have_count(0)


def test_search_counts_and_goes_from_hit_to_hit(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    search, count = page.locator("#search"), page.locator("#search-count")

    search.fill("conv_proj")  # the module of the first group, inside which nothing is drawn
    expect(count).to_have_text("1 hit: Enter goes to the first")
    search.press("Enter")
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "0")
    search.fill("gelu")
    expect(count).to_have_text("12 hits: Enter goes to the first")
    search.press("Enter")
    search.press("Enter")
    expect(count).to_have_text("2 of 12 hits")
    # The second copy is not drawn: every copy is, so that it is seen.
    expect(page.locator("#tree .selected")).to_have_count(1)
    expect(page.locator("#tree [data-kind=copy]").first).to_be_attached()
    search.press("Shift+Enter")
    expect(count).to_have_text("1 of 12 hits")
    search.fill("no such op")
    expect(count).to_have_text("nothing found")


def test_search_opens_what_is_closed_on_the_way(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    page.locator("#close-all").click()
    expect(page.locator("#tree [data-group='8']")).to_have_count(0)

    page.locator("#search").fill("linear_2")
    page.locator("#search").press("Enter")
    expect(page.locator("#tree [data-group='8']")).to_have_attribute("aria-selected", "true")


def test_search_finds_a_module_by_name(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=unfused")
    page.locator("#search").fill("self_attention")
    page.locator("#search").press("Enter")

    expect(page.locator("#details h3")).to_have_text("self_attention")


def test_what_is_chosen_elsewhere_comes_into_view(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion&group=87")
    picture, last = page.locator("#picture"), page.locator("#tree [data-group='87']")
    frame, box = picture.bounding_box(), last.bounding_box()

    assert frame
    assert box
    assert frame["y"] <= box["y"] <= frame["y"] + frame["height"] - box["height"]


def test_a_chosen_group_of_a_copy_not_drawn_says_so(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion&group=15")
    note = page.locator("#details .note")

    expect(note).to_contain_text("In copy 2 of 12")
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "8")
    note.get_by_role("button").click()
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "15")


def test_thousands_of_kernels_are_drawn_as_far_as_they_are_seen(open_report: Open) -> None:
    page = open_report("many blocks", "#strategy=unfused")
    nodes = page.locator("#tree .node")

    assert nodes.count() < 80
    page.locator("#open-all").click()
    page.locator("#tree .switch").first.click()
    page.locator("#zoom-fit").click()
    page.wait_for_timeout(100)
    assert nodes.count() <= 3000
    expect(page.locator("#picture-note")).to_contain_text("too small to draw one by one")
    for _ in range(14):
        page.locator("#zoom-in").click()
    page.wait_for_timeout(100)
    expect(page.locator("#tree [data-group]").first).to_be_attached()


def test_a_model_without_modules_is_drawn(open_report: Open) -> None:
    page = open_report("flat")

    page.locator("#tree .switch").click()
    page.wait_for_timeout(100)
    assert page.locator("#tree [data-group]").count() > 20


_PINCH = """() => {
  const picture = document.querySelector("#picture");
  const { left, top } = picture.getBoundingClientRect();
  const send = (kind, id, x) => picture.dispatchEvent(new PointerEvent(kind, {
    pointerId: id, pointerType: "touch", bubbles: true, button: 0,
    clientX: left + x, clientY: top + 200,
  }));
  send("pointerdown", 1, 200);
  send("pointerdown", 2, 300);
  send("pointermove", 2, 350);
  send("pointerup", 1, 200);
  send("pointerup", 2, 350);
}"""


def test_two_fingers_zoom(open_report: Open) -> None:
    page = open_report("vit_b_16")
    before = _scale(page)

    page.evaluate(_PINCH)  # from 100 pixels apart to 150
    assert abs(_scale(page) / before - 1.5) < 1e-6


def test_a_group_that_breaks_a_rule_says_so(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=extended")

    expect(page.locator("#tree [data-group='6'] .hatch")).to_have_count(1)
    expect(page.locator("#tree [data-group='5'] .hatch")).to_have_count(0)
    expect(page.locator("#legend")).to_contain_text("12 groups are no kernel under rules T")
    expect(page.locator("#tiles")).to_contain_text("12 groups are no kernel under rules T")
    page.locator("#close-all").click()
    expect(page.locator("#tree .closed.illegal .label")).to_have_text("encoder")
    page.locator("#open-all").click()
    expect(page.locator("#tree [data-group='6'] .badge")).to_have_text("no kernel under T")
    expect(page.locator("#groups-table tr[data-key='6']")).to_contain_text("second contraction")
