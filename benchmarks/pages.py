"""The HTML report: what it costs, how large it is, how soon a browser draws it: docs/pages.md.

python benchmarks/pages.py

Needs Chromium and playwright. Beside each report stands what the tables of the same plans cost in
the same run (`fuseline partition --strategy all --compare`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import fuseline
from processes import run_interleaved, run_once
from tables import section, table, verdict

REPORT = Path(__file__).resolve().parents[1] / "docs" / "pages.md"
FUSELINE = str(Path(sys.executable).with_name("fuseline"))
CHROMIUM = "/usr/bin/chromium"
RUNS = 3
OPENED = 7
DEVICE = "h100-sxm"
DEEP = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
    "intermediate_size": 11008, "num_attention_heads": 32, "num_key_value_heads": 8,
    "num_hidden_layers": 200, "vocab_size": 32000,
}  # fmt: skip
MODELS: dict[str, list[str]] = {
    "vit_b_16": [],
    "efficientnet_b0": [],
    "hf/llama": ["--seq-len", "512", "--dtype", "float16"],
    "a Llama of 200 layers": ["--seq-len", "512", "--dtype", "float16"],
}


def first_pictures(browser: Browser, page_file: Path) -> list[float]:
    """Milliseconds from navigation to the first picture, least first, each in a fresh page."""
    found = []
    for _ in range(OPENED):
        page = browser.new_page()
        page.goto(page_file.as_uri())
        page.wait_for_selector("#tree .node")
        found.append(
            float(page.evaluate("performance.getEntriesByName('first-picture')[0].startTime"))
        )
        page.close()
    return sorted(found)


def measure(browser: Browser, name: str, options: list[str], folder: Path) -> tuple[str, ...]:
    graph, page = folder / "graph.json.zst", folder / "page.html"
    model = name
    if name not in {"vit_b_16", "efficientnet_b0"} and not name.startswith("hf/"):
        (folder / "config.json").write_text(json.dumps(DEEP))
        model = str(folder / "config.json")
    run_once([FUSELINE, "capture", model, *options, "-o", str(graph)])
    plans = [str(graph), "--strategy", "all", "--device", DEVICE]
    report, tables = run_interleaved(
        [
            [FUSELINE, "report", *plans, "-o", str(page)],
            [FUSELINE, "partition", *plans, "--compare"],
        ],
        RUNS,
    )
    drawn = first_pictures(browser, page)
    PICTURES[name], SIZES[name] = drawn[OPENED // 2], page.stat().st_size / 1e6
    return (
        name,
        f"{len(fuseline.load(graph).ops):,}",
        f"{report.seconds:.1f}",
        f"{report.seconds / tables.seconds:.1f}x",
        f"{report.mebibytes:,.0f}",
        f"{SIZES[name]:.2f}",
        f"{drawn[0]:,.0f} / {drawn[OPENED // 2]:,.0f}",
    )


PICTURES: dict[str, float] = {}
SIZES: dict[str, float] = {}


@section
def pages() -> Iterator[str]:
    yield "# What a report costs"
    yield ""
    yield (
        f"Made by `python benchmarks/pages.py` on {datetime.now(UTC):%Y-%m-%d}: torch "
        f"{importlib.metadata.version('torch')}, {os.cpu_count()} cores, headless Chromium. Saved "
        f"graphs, nine strategies on {DEVICE}, with the capacity curve. CPU seconds and peak "
        f"memory are medians of {RUNS} processes; the ratio is to the tables of the same plans. "
        f"The first picture is timed from navigation: least / median of {OPENED}."
    )
    yield ""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        rows = []
        for name, options in MODELS.items():
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(browser, name, options, Path(folder)))
        browser.close()
    columns = ("model", "ops", "CPU s", "tables", "MiB", "page MB", "first picture, ms")
    yield from table(columns, rows)
    yield verdict("MB of ViT-B/16's page", SIZES["vit_b_16"], 3)
    yield verdict("s to the first picture of 200 layers", PICTURES[list(MODELS)[-1]] / 1e3, 3)


if __name__ == "__main__":
    REPORT.write_text(pages())
