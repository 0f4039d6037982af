from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open


def _charts(page: Page) -> Page:
    page.locator("#charts").scroll_into_view_if_needed()
    page.wait_for_selector("[data-chart=bottlenecks] svg")
    return page


def _mark(page: Page, chart: str, words: str) -> Locator:
    """A mark of a chart by what is told of it, from its beginning."""
    return page.locator(f"[data-chart={chart}] path[aria-label^='{words}']").first


def test_charts_are_drawn_when_they_come_near(open_report: Open) -> None:
    page = open_report("vit_b_16", height=500)
    expect(page.locator("[data-chart] svg")).to_have_count(0)

    _charts(page)
    for chart in ("roofline", "icicle", "strategies", "bottlenecks"):
        expect(page.locator(f"[data-chart={chart}] svg")).to_be_visible()
    expect(page.locator("[data-chart=capacity]")).to_have_count(0)


def test_nothing_moves_when_charts_are_drawn(open_report: Open) -> None:
    page = open_report("vit_b_16", height=500)
    page.wait_for_selector("#groups-table tbody tr")
    title = page.locator("#strategies-title")

    title.scroll_into_view_if_needed()
    before = title.bounding_box()
    page.wait_for_selector("[data-chart=bottlenecks] svg")
    page.wait_for_timeout(100)
    after = title.bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 40


def test_the_capacity_curve_is_there_where_it_was_asked_for(open_report: Open) -> None:
    page = _charts(open_report("capacity"))

    expect(page.locator("[data-chart=capacity] svg")).to_be_visible()
    expect(page.locator("figcaption", has_text="on-chip memory")).to_have_count(1)


def test_a_point_of_the_roofline_chooses_its_kernel(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    _mark(page, "roofline", "layer_norm_linear_gelu_").click()
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "8")
    expect(page.locator("#groups-table tr.selected")).to_have_attribute("data-key", "8")


def test_a_point_tells_its_figures(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    _mark(page, "roofline", "layer_norm_linear_gelu_").hover()
    for said in ("layer_norm_linear_gelu_+1more", "20,106,240", "FLOP/byte", "compute"):
        expect(page.locator("#tooltip")).to_contain_text(said)


def _rings(page: Page) -> int:
    """Rings around chosen points: marks of the roofline with a line and no fill."""
    return page.evaluate(
        "[...document.querySelectorAll('[data-chart=roofline] path')].filter((path) =>"
        " (path.getAttribute('fill') ?? 'transparent') === 'transparent'"
        " && path.getAttribute('aria-roledescription') === 'point').length"
    )


def test_a_chosen_group_has_a_ring_in_the_roofline(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))
    assert _rings(page) == 0

    page.locator("#groups-table tr[data-key='8'] button").first.click()
    page.wait_for_timeout(200)
    assert _rings(page) == 1
    page.locator("#tree .selected").click()
    page.wait_for_timeout(200)
    assert _rings(page) == 0


def test_a_module_of_the_icicle_is_opened_in_the_picture(open_report: Open) -> None:
    page = open_report("vit_b_16", "#strategy=fusion")
    page.locator("#close-all").click()
    _charts(page)

    _mark(page, "icicle", "module layers").click()
    expect(page.locator("#details h3")).to_have_text("layers")
    expect(page.locator("#tree .selected")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#partition-title")).to_be_in_viewport()


def test_a_kernel_of_the_icicle_is_chosen(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    _mark(page, "icicle", "kernel layer_norm_linear_gelu_").click()
    expect(page.locator("#tree .selected")).to_have_attribute("data-group", "8")


def test_a_bar_chooses_its_strategy(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    _mark(page, "strategies", "tvm").click()
    expect(page.locator("#strategy")).to_have_value("5")
    expect(page.locator("figcaption h3").first).to_have_text(re.compile("^vit_b_16: tvm"))


def test_bars_stand_beside_the_bounds(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16"))

    for said in ("Compulsory, whatever is fused: 347 MB", "Certified least", "508 MB"):
        expect(
            page.locator("figure", has_text="by strategy").locator("figcaption")
        ).to_contain_text(said)
    expect(page.locator("[data-chart=strategies] line[aria-label*='346,876,736']")).to_have_count(1)


def test_keys_go_through_charts(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    page.locator("[data-chart=roofline]").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#groups-table tr.selected").get_attribute("data-key")
    page.keyboard.press("ArrowRight")
    assert page.locator("#groups-table tr.selected").get_attribute("data-key") != first
    page.keyboard.press("ArrowLeft")
    assert page.locator("#groups-table tr.selected").get_attribute("data-key") == first
    page.locator("[data-chart=icicle]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#details h3")).not_to_be_empty()
    page.locator("[data-chart=strategies]").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#strategy")).to_have_value("0")


def test_charts_follow_the_theme_without_being_drawn_again(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16"))
    ink = "getComputedStyle(document.querySelector('[data-chart=roofline] svg text')).fill"
    light = page.evaluate(ink)

    page.locator("#theme").click()
    assert page.evaluate(ink) != light


def test_charts_of_thousands_of_kernels_are_drawn(open_report: Open) -> None:
    page = _charts(open_report("many blocks", "#strategy=unfused"))

    expect(page.locator("[data-chart=roofline] svg")).to_be_visible()
    assert page.locator("[data-chart=roofline] path").count() < 200


def test_what_a_chart_is_of_stands_in_its_name(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    for chart in ("roofline", "icicle", "strategies", "bottlenecks"):
        name = page.locator(f"[data-chart={chart}]").get_attribute("aria-label") or ""
        title = page.locator("figure", has=page.locator(f"[data-chart={chart}]")).locator("h3")
        assert name.startswith(title.text_content() or "-")
        assert "Vega" not in name


def test_what_is_chosen_in_a_chart_is_shown_in_the_picture(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))

    _mark(page, "roofline", "layer_norm_linear_gelu_").click()
    expect(page.locator("#tree .selected")).to_be_in_viewport()
    expect(page.locator("#tooltip")).to_be_hidden()
    page.get_by_role("button", name="In the table").click()
    row = page.locator("#groups-table tr.selected")
    expect(row).to_be_in_viewport()
    expect(row.get_by_role("button")).to_be_focused()


def test_keys_choose_in_a_chart_and_enter_shows_it(open_report: Open) -> None:
    page = _charts(open_report("vit_b_16", "#strategy=fusion"))
    chart = page.locator("[data-chart=roofline]")
    chart.focus()

    page.keyboard.press("ArrowRight")
    expect(page.locator("#tree .selected")).to_have_count(1)
    expect(chart).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#tree .selected")).to_be_in_viewport()
    expect(page.locator("#partition-title")).to_be_in_viewport()


def test_legends_are_not_cut(open_report: Open) -> None:
    for width in (1300, 390):
        page = _charts(open_report("llama", width=width))
        cut = page.evaluate(
            "[...document.querySelectorAll('[data-chart] svg')].filter((svg) =>"
            " svg.querySelector('g').getBoundingClientRect().bottom"
            " > svg.closest('.sideways').getBoundingClientRect().bottom).length"
        )
        assert cut == 0
