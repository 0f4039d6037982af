from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import pytest

from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.report.html import SCRIPTS, STYLES, encode_html
from fuseline.report.html.comparison import comparison
from fuseline.report.html.documents import plan_document
from fuseline.report.html.pack import HOLE, script_json, sentences
from fuseline.report.html.words import RUNGS, chosen_plan, keys_of, on_chip, tiles
from fuseline.report.rows.outline import Piece
from fuseline.report.rows.report import ReportRows
from fuseline.report.text import visible
from tests.report.report_models import HOSTILE, blocks_graph, captured_rows, hostile_graph, rows_for

LARGEST = 3_000_000  # bytes that the page of ViT-B/16 may have
Json = dict[str, Any]


class _Page(HTMLParser):
    """What a browser makes of the page: its elements, and the text in each script by its id."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self._script: str | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs).get("id") or ""
            self.scripts.setdefault(self._script, "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.scripts[self._script] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


def _listed(coded: Json) -> list[Any]:
    return [coded["of"][place] for place in coded["at"]]


def _summed(steps: list[int]) -> list[int]:
    return list(accumulate(steps))


def _column(coded: Json, name: str) -> list[Any]:
    place = coded["fields"].index(name)
    return [row[place] for row in _listed(coded)]


def _spoken(coded: Json, names: list[str]) -> list[str]:
    return [
        _filled(form, [names[op] for op in holes])
        for form, holes in zip(_listed(coded), coded["ops"], strict=True)
    ]


def _filled(form: str, names: list[str]) -> str:
    parts = form.split(HOLE) if names else [form]
    assert len(parts) == len(names) + 1
    return "".join(part for pair in zip(parts, [*names, ""], strict=True) for part in pair)


def _documents(rows: ReportRows) -> tuple[Json, list[Json]]:
    """The model's document and the plans', as the page holds them."""
    scripts = _Page(encode_html(rows)).scripts
    plans = [json.loads(scripts[f"data-plan-{place}"]) for place in range(len(rows.partitions))]
    return json.loads(scripts["data-model"]), plans


@pytest.fixture(scope="module")
def blocks() -> ReportRows:
    return rows_for(blocks_graph(), device="h100-sxm")


def test_the_same_rows_make_the_same_page(blocks: ReportRows) -> None:
    again = rows_for(blocks_graph(), device="h100-sxm")

    assert encode_html(blocks) == encode_html(again)


def test_the_page_forbids_itself_everything_but_itself(blocks: ReportRows) -> None:
    page = _Page(encode_html(blocks))
    [policy] = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]

    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {
        tag for tag, attributes in page.elements if attributes.get("href") != "data:,"
    }
    assert all("src" not in attributes for _, attributes in page.elements)
    links = [attributes.get("href") or "" for _, attributes in page.elements]
    assert all(link.startswith("#") or link in ("", "data:,") for link in links)


def test_nothing_of_ours_names_another_place() -> None:
    folder = files("fuseline.report.html")
    names = ["page.html.jinja", *(f"styles/{name}" for name in STYLES)]
    names += [f"scripts/{name}" for name in SCRIPTS]
    for name in names:
        text = folder.joinpath(name).read_text(encoding="utf-8")
        found = re.findall(
            r"\bhttps?://[^\s\"']+|url\((?!#)|@import|innerHTML|outerHTML|eval\(", text
        )
        assert set(found) <= {"http://www.w3.org/2000/svg"}, name


def test_every_script_is_in_the_page_and_short() -> None:
    folder = files("fuseline.report.html").joinpath("scripts")
    lines = {
        path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in folder.iterdir()
    }

    assert sorted(lines) == sorted(SCRIPTS)
    assert max(lines.values()) < 400


def test_figures_come_back_as_they_were(blocks: ReportRows) -> None:
    model, plans = _documents(blocks)
    names = model["ops"]["names"]

    assert names == [op.name for op in blocks.ops]
    for partition, document in zip(blocks.partitions, plans, strict=True):
        members = partition.plan.members
        groups = document["groups"]
        for name in ("flops", "read_bytes", "parameter_bytes", "written_bytes", "seconds"):
            assert _column(groups, name) == [getattr(member, name) for member in members]
        assert _listed(document["patterns"]) == [member.pattern for member in members]
        assert _listed(document["modules"]) == [member.module for member in members]
        assert _spoken(document["alone"], names) == [member.alone for member in members]
        assert _summed(document["ids"]) == [member.group for member in members]
        sizes = document["sizes"]
        ops = iter(_summed(document["ops"]))
        assert [tuple(islice(ops, size)) for size in sizes] == list(partition.ops)


def test_totals_follow_from_what_the_page_holds(blocks: ReportRows) -> None:
    _, plans = _documents(blocks)
    for partition, document in zip(blocks.partitions, plans, strict=True):
        plan, groups = partition.plan, document["groups"]
        moved = sum(
            sum(_column(groups, name))
            for name in ("read_bytes", "parameter_bytes", "written_bytes")
        )
        totals = document["plan"]
        assert moved == plan.traffic_bytes == totals["traffic_bytes"]
        assert sum(_column(groups, "flops")) == plan.flops == totals["flops"]
        assert sum(_column(groups, "launched")) == plan.launches == totals["launches"]
        assert sum(_column(groups, "saved_bytes")) == plan.saved_bytes
        assert sum(_column(groups, "unknown_ops")) == plan.unknown_ops == 1


def test_totals_by_hand(blocks: ReportRows) -> None:
    """Unfused, a block moves 2 linears (128 + 256 + 128), gelu (128 + 128), add (2 x 128 + 128):
    1664 bytes, of four blocks 6656; and the last op 256 more.
    """
    _, plans = _documents(blocks)
    totals = plans[0]["plan"]

    assert totals["traffic_bytes"] == 4 * 1664 + 256
    assert totals["flops"] == 4 * 2 * 512
    assert totals["launches"] == 17


def test_edges_and_refusals_come_back_as_they_were(blocks: ReportRows) -> None:
    model, plans = _documents(blocks)
    names = model["ops"]["names"]
    for partition, document in zip(blocks.partitions, plans, strict=True):
        edges, refusals = document["edges"], document["refusals"]
        made = zip(
            _summed(edges["source"]), _summed(edges["target"]), _listed(edges["bytes"]), strict=True
        )
        assert list(made) == [(edge.source, edge.target, edge.bytes) for edge in partition.edges]
        told = zip(
            [names[op] for op in _summed(refusals["from"])],
            [names[op] for op in _summed(refusals["to"])],
            _listed(refusals["rule"]),
            _spoken(refusals["reason"], names),
            _listed(refusals["bytes"]),
            strict=True,
        )
        assert list(told) == [
            (row.from_, row.to, row.rule, row.reason, row.bytes) for row in partition.plan.refusals
        ]


def _pieces(piece: Piece) -> list[Piece]:
    return [piece, *(found for child in piece.children for found in _pieces(child))]


def test_the_outline_is_read_as_it_was_walked(blocks: ReportRows) -> None:
    _, plans = _documents(blocks)
    for partition, document in zip(blocks.partitions, plans, strict=True):
        pieces, outline = _pieces(partition.outline), document["outline"]
        assert _listed(outline["kinds"]) == [piece.kind for piece in pieces]
        assert outline["children"] == [len(piece.children) for piece in pieces]
        assert outline["groups"] == [piece.group for piece in pieces if piece.group is not None]
        moved = _column(outline["totals"], "traffic_bytes")
        assert moved == [piece.traffic_bytes for piece in pieces]
        assert moved[0] == partition.plan.traffic_bytes


def test_four_equal_blocks_are_one_repeat(blocks: ReportRows) -> None:
    _, plans = _documents(blocks)
    outline = plans[0]["outline"]

    kinds = _listed(outline["kinds"])
    assert kinds.count("repeat") == 1
    assert kinds.count("copy") == 4


def test_refusals_are_counted_by_rule(blocks: ReportRows) -> None:
    _, plans = _documents(blocks)
    for partition, document in zip(blocks.partitions, plans, strict=True):
        rules = document["rules"]
        assert sum(rule["count"] for rule in rules) == len(partition.plan.refusals)
        for rule in rules:
            of_rule = [row.bytes for row in partition.plan.refusals if row.rule == rule["rule"]]
            assert (rule["count"], rule["most_bytes"]) == (len(of_rule), max(of_rule))


def test_hostile_names_stay_text() -> None:
    rows = rows_for(hostile_graph())
    rows = replace(
        rows, result=replace(rows.result, model=replace(rows.result.model, name=HOSTILE[0]))
    )
    page = encode_html(rows)
    parsed = _Page(page)
    plain = _Page(encode_html(rows_for(blocks_graph())))

    assert [tag for tag, _ in parsed.elements if tag == "script"] == [
        tag for tag, _ in plain.elements if tag == "script"
    ]
    assert "img" not in {tag for tag, _ in parsed.elements}
    assert HOSTILE[0] in parsed.text  # the title and the heading, as text
    names = json.loads(parsed.scripts["data-model"])["ops"]["names"]
    escaped = [visible(f"{name}{place}") for place, name in enumerate(HOSTILE)]
    assert names == escaped
    assert "\u202e".encode() not in page
    assert b"\x1b" not in page


def test_json_cannot_leave_its_script() -> None:
    written = script_json({"<!--": ["</script>", "<script>", float("inf"), float("nan"), "é\n"]})

    assert "<" not in written
    assert json.loads(written) == {"<!--": ["</script>", "<script>", None, None, "é\\n"]}


def test_a_sentence_with_the_mark_of_a_hole_is_kept() -> None:
    coded = sentences([f"relu {HOLE} add"], {"relu": 0, "add": 1})

    assert coded == {"of": [f"relu {HOLE} add"], "at": [0], "ops": [[]]}


def test_plans_of_one_name_have_keys_of_their_own(blocks: ReportRows) -> None:
    twice = (blocks.partitions[0], blocks.partitions[1], blocks.partitions[0])

    assert keys_of(twice) == ("unfused", "fusion", "unfused #3")


def test_the_page_opens_with_the_optimum_else_the_last(blocks: ReportRows) -> None:
    first, last = blocks.partitions[0], blocks.partitions[-1]
    optimal = replace(last, plan=replace(last.plan, strategy="optimal"))

    assert chosen_plan((first, last)) == 1
    assert chosen_plan((first, optimal, last)) == 1


def test_tiles_say_how_far_from_the_optimum() -> None:
    rows = rows_for(blocks_graph(), ("unfused", "optimal"))
    unfused, best = (tiles(partition.plan, rows.result) for partition in rows.partitions)
    gap = {tile.label: tile for tile in unfused}["gap to optimal"]
    moved = [partition.plan.traffic_bytes for partition in rows.partitions]

    assert gap.value == f"+{100 * (moved[0] - moved[1]) / moved[1]:.1f}%"
    assert {tile.label: tile.value for tile in best}["gap to optimal"] == "0.00%"


def test_tables_are_there_without_scripts(blocks: ReportRows) -> None:
    text = re.sub(r"\s+", " ", _Page(encode_html(blocks)).text)

    assert "The picture, the charts and the tables of groups need scripts" in text
    for said in blocks.partitions[-1].headlines:
        assert said in text
    for partition in blocks.partitions:
        assert f"{partition.plan.label} {partition.plan.groups:,}" in text
    assert "compulsory bytes" in text
    assert "unknown: 1" in text
    for said in blocks.assumptions:
        assert said in text
    for figure in blocks.device:
        assert figure.name in text


def test_what_repeats_is_written_once() -> None:
    few, many = (rows_for(blocks_graph(count), ("unfused",)) for count in (10, 100))
    short, long = (plan_document(rows.partitions[0], rows)["groups"] for rows in (few, many))

    assert isinstance(short, dict)
    assert isinstance(long, dict)
    assert short["of"] == long["of"]
    assert (len(short["at"]), len(long["at"])) == (41, 401)


def test_a_real_model_is_small_enough() -> None:
    rows = captured_rows("vit_b_16")
    page = encode_html(rows)

    assert len(page) <= LARGEST
    _, plans = _documents(rows)
    for partition, document in zip(rows.partitions, plans, strict=True):
        moved = sum(_column(document["groups"], "traffic_bytes"))
        assert moved + partition.plan.extra_traffic_bytes == partition.plan.traffic_bytes


def test_tiles_name_whose_rules_a_plan_breaks() -> None:
    rows = captured_rows("vit_b_16")
    plans = {plan.label: plan for plan in rows.result.plans}
    notes = {
        name: next(tile.note for tile in tiles(plan, rows.result) if tile.label == "gap to optimal")
        for name, plan in plans.items()
    }

    assert notes["extended"].endswith("; 12 groups are no kernel under rules T")
    assert "no kernel" not in notes["tvm"]


def test_strategies_compared_have_one_unit_a_column() -> None:
    made = comparison(captured_rows("vit_b_16"))
    names = [heading.name for heading in made.headings]
    extended = next(line for line in made.lines if line.name == "extended")

    assert names[2:4] == ["MB moved", "MB saved"]
    assert (extended.cells[2], extended.cells[3]) == ("443.71", "226.34")
    assert names[7:9] == ["µs overlapped", "µs one by one"]
    assert extended.note == "12 groups are no kernel under rules T"


def test_small_models_are_measured_in_small_units() -> None:
    """Four blocks move 6,656 bytes and the last op 256; no device, so no time."""
    made = comparison(rows_for(blocks_graph(), ("unfused",)))

    assert [heading.name for heading in made.headings][2:5] == ["kB moved", "kB saved", "kFLOP"]
    assert made.lines[0].cells[2:5] == ("6.91", "0", ">= 4.096 + 1 unknown")
    assert "overlapped" not in str(made.headings)
    assert made.notes == ()


def test_rungs_are_those_of_the_ladder_and_of_the_readme() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", readme)

    assert [name for name, _ in RUNGS] == list(RULE_SETS)
    for name, text in RUNGS:
        assert f"| {name} | {text.removesuffix(' the on-chip memory')}" in plain


def test_what_a_device_has_on_chip_is_told() -> None:
    said = on_chip(rows_for(blocks_graph(), device="h100-sxm"))

    assert "132 cores" in said
    assert "256 KiB of L1 and shared memory a core" in said
    assert on_chip(rows_for(blocks_graph())) == ""
