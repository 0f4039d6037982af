"""The page of the zoo: its queries, its sentences, its charts, and the folder it is made from."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from fuseline.errors import InputError
from fuseline.frontends.sources import zoos
from fuseline.report.charts import to_svg
from fuseline.sweep.declared import read_jobs
from fuseline.validate.zoo_charts import charts
from fuseline.validate.zoo_families import TASKS, families, family_of
from fuseline.validate.zoo_folder import slim, write
from fuseline.validate.zoo_page import main, page
from fuseline.validate.zoo_queries import COLUMNS, Zoo, ask, number, queries
from fuseline.validate.zoo_words import lessons
from tests.validate.made_zoo import H100, ORIN, write_zoo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def zoo(folder: Path) -> Zoo:
    return ask(folder)


def value(zoo: Zoo, answer: str, figure: str, **wanted: str | int) -> float:
    line = zoo[answer].line(**wanted)
    assert line is not None
    return number(line[figure])


class TestQueries:
    def test_classes_are_counted_by_zoo(self, zoo: Zoo) -> None:
        assert [tuple(line.values()) for line in zoo["class_sizes"].lines] == [
            ("CNN", 3, 3, 0, 0), ("ViT", 3, 0, 3, 0), ("LLM prefill", 1, 0, 0, 1),
            ("LLM decode", 1, 0, 0, 1),
        ]  # fmt: skip

    def test_a_class_has_medians_of_the_optimum(self, zoo: Zoo) -> None:
        of_cnn = {"class": "CNN"}
        assert value(zoo, "classes", "reduction", **of_cnn) == pytest.approx(0.5)  # 60, 50, 40%
        assert value(zoo, "classes", "compulsory", **of_cnn) == pytest.approx(360 / 500)
        assert value(zoo, "classes", "unfused_intensity", **of_cnn) == 1
        assert value(zoo, "classes", "launches", **of_cnn) == 2

    def test_gaps_are_over_the_optimum_of_the_same_graph(self, zoo: Zoo) -> None:
        # inductor: 50%, 20%, 10%, 25%, 25%, 10%, 10%; the decode step apart
        assert value(zoo, "gaps", "models", strategy="inductor") == 7
        assert value(zoo, "gaps", "gap", strategy="inductor") == pytest.approx(0.2)
        assert value(zoo, "gaps", "gap_most", strategy="inductor") == pytest.approx(0.5)
        assert value(zoo, "gaps", "reached", strategy="tvm") == pytest.approx(3 / 7)

    def test_illegal_groups_and_what_lies_below_the_optimum(self, zoo: Zoo) -> None:
        assert value(zoo, "gaps", "with_illegal", strategy="fusion") == 7
        assert value(zoo, "gaps", "below", strategy="fusion") == 1  # resnet34: 450 < 500
        inductor = zoo["gaps"].line(strategy="inductor")
        assert inductor is not None
        assert inductor["with_illegal"] is None  # a cover is not judged

    def test_the_nearest_compiler_of_a_family(self, zoo: Zoo) -> None:
        (vits, resnets) = zoo["nearest"].lines  # llama is one model alone
        assert (vits["family"], resnets["family"]) == ("vision_transformer", "resnet")
        assert number(vits["gap"]) == pytest.approx(0.1)  # 10%, 5%, 10%
        assert number(resnets["gap_most"]) == 0

    def test_batches_and_steps_are_of_the_same_models(self, zoo: Zoo) -> None:
        assert value(zoo, "batches", "reduction_many", **{"class": "ViT"}) == pytest.approx(0.3)
        assert [(line["step"], line["models"]) for line in zoo["steps"].lines] == [
            ("prefill", 1), ("decode", 1),
        ]  # fmt: skip

    def test_a_failure_is_told_by_its_reason(self, tmp_path: Path) -> None:
        reason = {"status": "refused", "reason": "'resnet34' takes 3 inputs"}
        zoo = ask(write_zoo(tmp_path / "zoo", {"resnet34": reason}))
        (line,) = zoo["failed"].lines
        assert (line["why"], line["captures"], line["names"]) == (
            "... takes N inputs", 2, ["resnet34"],
        )  # fmt: skip
        assert value(zoo, "classes", "models", **{"class": "CNN"}) == 2
        assert "... takes N inputs | every strategy | 2 | `resnet34`" in page(zoo)

    def test_what_is_not_proven_is_no_yardstick(self, tmp_path: Path) -> None:
        unproven = {"is_optimal": False, "gap": 0.01}
        zoo = ask(write_zoo(tmp_path / "zoo", {"resnet18": unproven}))
        assert value(zoo, "gaps", "models", strategy="inductor") == 6
        assert value(zoo, "classes", "models", **{"class": "CNN"}) == 2
        assert {line["model"] for line in zoo["unproven"].lines} == {"resnet18"}

    def test_every_column_is_known_to_the_page(self, zoo: Zoo) -> None:
        asked = {column for each in zoo.answers.values() for line in each.lines for column in line}
        assert asked <= {*COLUMNS, "reduction_25", "reduction_75", "names"}  # of a chart, of a list

    def test_a_folder_without_rows_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no results"):
            ask(tmp_path)


class TestWords:
    def said(self, zoo: Zoo, beginning: str) -> str:
        (sentence,) = (line for line in lessons(zoo) if line.startswith(f"**{beginning}"))
        return sentence

    def test_who_gains_most(self, zoo: Zoo) -> None:
        said = self.said(zoo, "CNN models gain most from fusion, ViT least")
        assert "CNN 50.0% (n = 3), ViT 20.0% (n = 3)." in said
        assert "LLM" not in said  # of one model alone

    def test_it_turns_round_with_the_figures(self, tmp_path: Path) -> None:
        worse: dict[str, object] = {"traffic_bytes": 990, "is_optimal": True}
        names = ("resnet18", "resnet34", "resnet50")
        zoo = ask(write_zoo(tmp_path / "zoo", dict.fromkeys(names, worse)))
        assert "CNN 1.0%" in self.said(zoo, "ViT models gain most from fusion, CNN least")
        assert "CNN 1.0% -> 1.0% (n = 3)" in self.said(zoo, "A batch does not make fusion worth")

    def test_the_seeds_comparison_with_the_right_figures(self, zoo: Zoo) -> None:
        said = self.said(zoo, "CNNs over ViTs")
        assert "fusion efficiency 1.60x (2.00x over 1.25x)" in said
        assert "1.80x more FLOP a byte (2.00 and 1.11)" in said

    def test_compilers(self, zoo: Zoo) -> None:
        said = self.said(zoo, "Most often at the optimum itself: `tvm` on CNN models")
        assert "100.0% of 3 (`inductor` 0.0%, `onnxruntime` 33.3%, `tensorrt` 66.7%)" in said
        said = self.said(zoo, "Bytes that rule models of compilers leave")
        assert "`tvm` +5.0% (one in ten models +10.0% or more)" in said
        assert "The farthest of all: `inductor` on resnet18, +50.0%" in said
        assert "`onnxruntime` on CNN +25.0% (n = 3)" in self.said(zoo, "Where each leaves most")
        assert "on 1 that puts it below" in self.said(zoo, "Some of what `fusion` saves")

    def test_batches_devices_and_steps(self, zoo: Zoo) -> None:
        assert "ViT 20.0% -> 30.0% (n = 3)" in self.said(zoo, "A batch makes fusion worth more")
        bound = self.said(zoo, "What bounds most")
        assert f"on `{H100}` launch 100.0%; on `jetson-agx-orin-64gb` bandwidth 100.0%" in bound

    def test_a_sentence_without_its_rows_is_left_out(self, tmp_path: Path) -> None:
        gone = {"status": "refused", "reason": "no"}
        zoo = ask(write_zoo(tmp_path / "zoo", {"hf/llama": gone}))
        assert not any("LLM" in line or "Decoding" in line for line in lessons(zoo))


class TestPage:
    def test_it_is_the_same_twice(self, folder: Path, tmp_path: Path) -> None:
        for name in ("one", "two"):
            main([str(folder), str(tmp_path / name / "zoo.md")])
        one, two = (
            {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
            for name in ("one", "two")
        )
        assert one == two
        assert set(one) == {"zoo.md", *(f"zoo-{name}.svg" for name in charts())}

    def test_every_picture_is_there(self, zoo: Zoo) -> None:
        names = re.findall(r"!\[\w+\]\(images/zoo-(\w+)\.svg\)", page(zoo))
        assert sorted(names) == sorted(charts())
        for draw in charts().values():
            assert to_svg(draw(zoo)).startswith(b"<svg aria-label=")

    def test_a_reader_can_repeat_its_queries(self, zoo: Zoo, folder: Path) -> None:
        *bodies, start = re.findall(r"```sql\n(.*?)```", page(zoo), flags=re.DOTALL)
        known = {body: name for name, body in queries().items()}
        assert len(bodies) >= 14
        with duckdb.connect() as connection:
            connection.read_parquet(str(folder / "results/*.parquet")).create_view("results")
            for body in bodies:
                name = known[body.strip()]
                found = connection.execute(f"{start}{body}").fetchall()
                assert len(found) == len(zoo[name].lines)

    def test_tables_have_the_figures(self, zoo: Zoo) -> None:
        text = page(zoo)
        assert "| tvm | 7 | +5.0% | +10.0% | +10.0% |" in text
        assert "| CNN | 1 | h100-sxm | 3 | 100.0% | 0.0% | 0.0% | 0.0% |" in text
        assert "Captured with torch 2.13.0, timm 1.0.20." in text
        assert "rule models of compilers, not the\n  compilers" in text


@pytest.mark.skipif(not (ROOT / "docs/zoo").is_dir(), reason="made by `make zoo`")
def test_the_page_is_what_the_committed_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    zoo = ask(Path("docs/zoo"))
    assert Path("docs/zoo.md").read_text(encoding="utf-8") == page(zoo)
    for name, draw in charts().items():
        assert Path(f"docs/images/zoo-{name}.svg").read_bytes() == to_svg(draw(zoo))


def test_the_declared_sweep_asks_for_all_that_the_page_needs() -> None:
    tables = read_jobs(ROOT / "docs/zoo.toml")
    needed = {"fusion", "inductor", "tvm", "onnxruntime", "tensorrt", "optimal"}
    for table in tables:
        assert {H100, ORIN} == set(table.device)
        assert table.rules == ("T",)
        assert needed == set(table.strategy)
    asked = {(model, *table.batch, *table.decode) for table in tables for model in table.models}
    zoos_at_one = {(f"{zoo}/*", 1) for zoo in ("torchvision", "timm", "hf")}
    assert {*zoos_at_one, ("torchvision/*", 64), ("hf/*", 1, 127)} <= asked


class TestFolder:
    @pytest.fixture
    def sweep(self, folder: Path, tmp_path: Path) -> Path:
        """As a sweep leaves it: without families."""
        (tmp_path / "sweep/results").mkdir(parents=True)
        whole = pq.read_table(folder / "results").drop(["family"])
        pq.write_table(whole, tmp_path / "sweep/results/00000.parquet")
        return tmp_path / "sweep"

    def test_the_small_folder_gives_the_same_answers(
        self, sweep: Path, tmp_path: Path, zoo: Zoo
    ) -> None:
        small = tmp_path / "small"
        assert write(sweep, small) == sum(
            path.stat().st_size for path in small.rglob("*") if path.is_file()
        )
        again = ask(small)
        assert {name: each.lines for name, each in again.answers.items()} == {
            name: each.lines for name, each in zoo.answers.items()
        }

    def test_the_schema_stays(self, sweep: Path) -> None:
        whole = pq.read_table(sweep / "results")
        small = slim(whole)
        assert small.drop(["family"]).schema.equals(whole.schema, check_metadata=True)
        assert small.num_rows == whole.num_rows * 7 / 12  # six strategies, and the optimum again
        assert small["model"].to_pylist() == sorted(small["model"].to_pylist())
        assert small["views"].null_count == small.num_rows  # nothing reads it
        assert small["patterns"].to_pylist() == [[]] * small.num_rows

    def test_a_sweeps_own_folder_has_no_families(self, sweep: Path) -> None:
        with pytest.raises(InputError, match=r"has no families: python -m .*zoo_folder"):
            ask(sweep)

    def test_no_rows_to_make_it_of(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is it a sweep's folder"):
            write(tmp_path, tmp_path / "small")


class TestFamilies:
    def test_every_vision_model_has_one(self) -> None:
        found = families()
        assert set(found) == {*zoos.names("torchvision"), *zoos.names("timm")}

    @pytest.mark.parametrize(
        ("model", "family"),
        [
            ("resnet18", "resnet"),
            ("fasterrcnn_resnet50_fpn", "detection"),
            ("r3d_18", "video"),
            ("timm/vit_tiny_patch16_224", "vision_transformer"),
            ("timm/tf_efficientnet_b0", "efficientnet"),
            ("hf/gpt2", "gpt2"),
        ],
    )
    def test_by_where_it_is_defined(self, model: str, family: str) -> None:
        assert family_of(model, families()) == family

    def test_tasks_are_all_that_torchvision_has(self) -> None:
        others = set(zoos.torchvision_names()) - set(zoos.torchvision_names(""))
        assert others == {name for task in TASKS for name in zoos.torchvision_names(task)}
