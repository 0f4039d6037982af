from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.finding import box_named


def _is_in_view(page: Page) -> bool:
    """Whether the heading or the frame of what has the focus is in the window, below the bar."""
    return page.evaluate(
        """() => {
          const node = document.activeElement;
          const part = node.querySelector(":scope > .head, :scope > .outline");
          const { top, bottom } = part.getBoundingClientRect();
          const bar = document.querySelector(".top").getBoundingClientRect();
          return top >= bar.bottom && bottom <= innerHeight;
        }"""
    )


def test_the_skip_link_leads_to_a_box(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion", height=600)

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    focused = page.locator("#tree :focus")
    expect(focused).to_have_attribute("data-group", "0")
    for key in ("ArrowDown", "ArrowDown", "End", "Home"):
        page.keyboard.press(key)
        assert _is_in_view(page), key
    expect(focused).to_have_attribute("data-group", "0")


def test_all_copies_are_shown_where_one_looks(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")

    page.locator("#tree [data-kind=repeat]").focus()
    for copies in (12, 0):
        page.keyboard.press("*")
        expect(page.locator("#tree [data-kind=copy]")).to_have_count(copies)
        assert _is_in_view(page)
        expect(page.locator("#tree :focus + .node")).to_be_in_viewport()  # the first inside
        expect(page.locator("#tooltip")).to_be_hidden()


def test_what_is_chosen_is_not_covered_by_its_tooltip(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    page.locator("#partition").scroll_into_view_if_needed()

    page.hover("#tree [data-group='0'] .fill")
    expect(page.locator("#tooltip")).to_be_visible()
    page.locator("#tree [data-group='0']").click()
    expect(page.locator("#details")).to_contain_text("group 0")
    page.wait_for_timeout(100)
    expect(page.locator("#tooltip")).to_be_hidden()


def test_the_panel_follows_what_is_opened_and_closed(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    button = page.locator("#details [data-act=toggle]")

    page.locator(f"{box_named(page, 'encoder')} > .head").click(position={"x": 200, "y": 10})
    expect(button).to_have_text("Open")
    page.locator("#open-all").click()
    expect(button).to_have_text("Close")
    button.click()
    expect(button).to_have_text("Open")
    expect(button).to_be_focused()
    page.locator("#open-all").click()
    page.locator(f"{box_named(page, 'layers')} > .head").click(position={"x": 200, "y": 10})
    expect(page.locator("#details h3")).to_have_text("layers")
    page.locator("#close-all").click()  # it is not drawn any more
    expect(page.locator("#details")).to_contain_text("Choose a box")


def test_figures_of_a_copy_are_of_each(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")

    expect(page.locator("#tree [data-group='8'] .sub")).to_contain_text("20.1 MB each")
    expect(page.locator("#tree [data-group='0'] .sub")).not_to_contain_text("each")
    page.locator("#tree .switch").click()
    page.locator("#open-all").click()
    page.locator("#tree .switch").click()
    expect(page.locator("#tree [data-group='8'] .sub")).not_to_contain_text("each")


def test_a_module_has_one_colour_under_every_strategy(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=unfused&colour=module")
    colours = (
        "() => Object.fromEntries([...document.querySelectorAll('#legend li:has(i)')].map((line) =>"
        " [line.textContent, line.querySelector('i').style.background]))"
    )
    before = page.evaluate(colours)
    assert len(before) > 2

    for strategy in ("extended", "optimal (T)"):
        page.locator("#strategy").select_option(label=strategy)
        after = page.evaluate(colours)
        both = before.keys() & after.keys()
        assert len(both) > 1
        assert {name: after[name] for name in both} == {name: before[name] for name in both}


def test_search_finds_bounds_and_rules(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=extended")
    search, count = page.locator("#search"), page.locator("#search-count")

    search.fill("compute")
    expect(count).to_have_text("24 hits: Enter goes to the first")
    search.fill("second contraction")  # 12 that break it, and two that it kept apart
    expect(count).to_have_text(re.compile("^1[2-4] hits: "))


def test_search_moves_nothing_where_the_hit_is_seen(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    before = page.locator("#scene").get_attribute("transform")

    page.locator("#search").fill("conv_proj")
    page.locator("#search").press("Enter")
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "0")
    assert page.locator("#scene").get_attribute("transform") == before


def test_figures_without_unknown_ops_say_that_they_are_at_least_so(open_report: Open) -> None:
    page = open_report("blocks", "#strategy=unfused&group=16")

    expect(page.locator("#details")).to_contain_text("FLOPs>= 0 + 1 unknown")
    expect(page.locator("#groups-table tfoot")).to_contain_text(">= 4,096 + 1 unknown")
    expect(page.locator("#tiles")).to_contain_text(">= 4.096 kFLOP + 1 unknown")


def test_times_without_a_rate_are_in_part(open_report: Open) -> None:
    page = open_report("in part", "#strategy=unfused&group=1")

    expect(page.locator("#details")).to_contain_text("in part: no source gives the rate")
    expect(page.locator("#groups-table tr[data-key='1']")).to_contain_text("in part")
    expect(page.locator("#groups-table tr[data-key='0']")).not_to_contain_text("in part")
    expect(page.locator("#groups-table tfoot")).to_contain_text("in part")
    expect(page.locator("#tiles")).to_contain_text("4 launches in part")


def test_a_tap_on_a_phone_tells_in_view(open_report: Open) -> None:
    page = open_report("llama", width=390, height=844)

    page.locator("#tree [data-group='0']").click()
    expect(page.locator("#details h3")).to_be_in_viewport()
    expect(page.locator("#details")).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#tree .selected")).to_be_in_viewport()
