"""A report opened in a real browser: one for all tests, a fresh page for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, sync_playwright

from fuseline.files import write_bytes
from fuseline.report.html import encode_html
from fuseline.report.rows.report import ReportRows
from tests.report.report_models import (
    blocks_graph,
    captured_rows,
    flat_graph,
    hostile_graph,
    rows_for,
)

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--no-sandbox",  # test machines run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]
_PATIENCE = 10_000  # milliseconds for what is not there yet
_MODELS: dict[str, Callable[[], ReportRows]] = {
    "vit_b_16": lambda: captured_rows("vit_b_16"),
    "efficientnet_b0": lambda: captured_rows("efficientnet_b0"),
    "llama": lambda: captured_rows("hf/llama", 512),
    "blocks": lambda: rows_for(blocks_graph()),
    "capacity": lambda: rows_for(blocks_graph(2), ("unfused", "optimal"), "h100-sxm", 5.0),
    "many blocks": lambda: rows_for(blocks_graph(1000), ("unfused", "fusion"), "h100-sxm"),
    "10,001 ops": lambda: rows_for(blocks_graph(2500), ("unfused",), "h100-sxm"),
    "in part": lambda: rows_for(blocks_graph(2), ("unfused",), "tpu-v6e"),  # no vector rate
    "flat": lambda: rows_for(flat_graph(1200), ("unfused",)),
    "hostile": lambda: rows_for(hostile_graph(), ("unfused", "fusion"), "h100-sxm"),
}

Open = Callable[..., Page]
"""`open_report(model, fragment="", width=1440, height=900, dark=False, scripts=True)`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                item.add_marker(pytest.mark.skip(reason=f"no browser at {CHROMIUM}"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model's report as a file, made once for all test processes: xdist's lie side by side."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "reports"
    folder.mkdir(exist_ok=True)

    def made(model: str) -> Path:
        path = folder / f"{model.replace(' ', '_')}.html"
        if not path.exists():
            write_bytes(path, encode_html(_MODELS[model]()))
        return path

    return made


@pytest.fixture
def open_report(browser: Browser, report_file: Callable[[str], Path]) -> Iterator[Open]:
    """Opens a report. At the end of the test no page may have erred or asked for anything."""
    contexts, wrong = [], []

    def opened(
        model: str,
        fragment: str = "",
        *,
        width: int = 1440,
        height: int = 900,
        dark: bool = False,
        scripts: bool = True,
    ) -> Page:
        path = report_file(model)
        context = browser.new_context(
            viewport=ViewportSize(width=width, height=height),
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(_PATIENCE)
        contexts.append(context)

        def only_the_file(route: Route) -> None:
            if route.request.url.split("#")[0] == path.as_uri():
                route.continue_()
            else:
                wrong.append(f"asked for {route.request.url}")
                route.abort()

        context.route("**/*", only_the_file)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(f"{path.as_uri()}{fragment}")
        if scripts:
            page.wait_for_selector("#tree .node")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
