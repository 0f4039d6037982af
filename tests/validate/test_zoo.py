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
from tests.validate.made_zoo import H100, ORIN, STRATEGIES, write_zoo

ROOT = Path(__file__).parents[2]
VISION = "torchvision, timm"


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
        # inductor: 50%, 20%, 10%, 25%, 25%, 10%; llama by itself, its decode step apart
        of_inductor = {"strategy": "inductor", "zoos": VISION}
        assert value(zoo, "gaps", "models", **of_inductor) == 6
        assert value(zoo, "gaps", "gap", **of_inductor) == pytest.approx(0.225)
        assert value(zoo, "gaps", "gap_most", **of_inductor) == pytest.approx(0.5)
        assert value(zoo, "gaps", "reached", strategy="tvm", zoos=VISION) == pytest.approx(3 / 6)
        of_llama = {"strategy": "inductor", "zoos": "transformers"}
        assert value(zoo, "gaps", "models", **of_llama) == 1
        assert value(zoo, "gaps", "gap", **of_llama) == pytest.approx(0.1)

    def test_strategies_are_compared_on_the_same_models(self, tmp_path: Path) -> None:
        late = {"status": "out of time", "reason": "tvm: 5 s; tried twice"}
        zoo = ask(write_zoo(tmp_path / "zoo", {("resnet18", "tvm"): late}))
        of_vision = [line for line in zoo["gaps"].lines if line["zoos"] == VISION]
        assert {line["strategy"]: line["models"] for line in of_vision} == dict.fromkeys(
            ("tvm", "tensorrt", "onnxruntime", "inductor", "fusion"), 5
        )
        assert value(zoo, "gaps", "with_illegal", strategy="fusion", zoos=VISION) == 5
        assert value(zoo, "gaps", "models", strategy="tvm", zoos="transformers") == 1

    def test_illegal_groups_and_what_lies_below_the_optimum(self, zoo: Zoo) -> None:
        assert value(zoo, "gaps", "with_illegal", strategy="fusion", zoos=VISION) == 6
        assert value(zoo, "gaps", "below", strategy="fusion", zoos=VISION) == 1  # 450 < 500
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
        assert "; 2 captures lack" in page(zoo)

    def test_a_strategy_that_fails_alone_is_named(self, tmp_path: Path) -> None:
        def late(strategy: str) -> dict[str, object]:
            return {"status": "out of time", "reason": f"{strategy}: it took 5 s; tried twice"}

        changed: dict[str | tuple[str, str], dict[str, object]] = {
            ("resnet50", strategy): late(strategy) for strategy in ("fusion", "optimal")
        }
        changed |= {("resnet34", strategy): late(strategy) for strategy in STRATEGIES}
        changed["resnet18", "tvm"] = {"status": "refused", "reason": "no"}
        changed["resnet18", "optimal"] = {"status": "refused", "reason": "never"}
        zoo = ask(write_zoo(tmp_path / "zoo", changed))
        told = [(line["why"], line["refused"], line["captures"]) for line in zoo["failed"].lines]
        why = "it took N s; tried twice"
        assert told == [
            (why, "every strategy", 2), (why, "fusion, optimal", 2),
            ("never", "optimal", 2), ("no", "tvm", 2),
        ]  # fmt: skip
        # resnet18 has two reasons, and lacks something once for each batch
        assert zoo["lacking"].lines == ({"captures": 6},)
        assert "; 6 captures lack" in page(zoo)
        assert value(zoo, "class_sizes", "models", **{"class": "CNN"}) == 1

    def test_flops_a_byte_only_where_every_op_has_known_flops(self, tmp_path: Path) -> None:
        unknown: dict[str, object] = {"unknown_ops": 1}
        zoo = ask(write_zoo(tmp_path / "zoo", {"resnet18": unknown, "hf/llama": unknown}))
        of_cnn = {"class": "CNN"}
        assert value(zoo, "classes", "models", **of_cnn) == 3
        assert value(zoo, "classes", "with_unknown", **of_cnn) == 1
        # of resnet34 and resnet50, 1000 FLOPs each over 500 and 600 bytes
        assert value(zoo, "classes", "intensity", **of_cnn) == pytest.approx((2 + 10 / 6) / 2)
        (llama,) = zoo["transformers_well"].lines
        assert llama["intensity"] is None
        steps = [sentence for sentence in lessons(zoo) if "Decoding" in sentence]
        assert len(steps) == 1
        assert "FLOP a byte" not in steps[0]

    @pytest.mark.parametrize("wrong", [{"illegal_groups": 1}, {"lower_bound_bytes": 399}])
    def test_an_optimum_that_is_none_is_refused(
        self, tmp_path: Path, wrong: dict[str, object]
    ) -> None:
        folder = write_zoo(tmp_path / "zoo", {("resnet18", "optimal"): wrong})
        with pytest.raises(InputError, match=r"resnet18 .* is said to be optimal with") as caught:
            ask(folder)
        assert "\n" not in str(caught.value)

    def test_what_is_not_proven_is_no_yardstick(self, tmp_path: Path) -> None:
        unproven = {"is_optimal": False, "gap": 0.01}
        zoo = ask(write_zoo(tmp_path / "zoo", {("resnet18", "optimal"): unproven}))
        assert value(zoo, "gaps", "models", strategy="inductor", zoos=VISION) == 5
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
        worse: dict[str, object] = {"traffic_bytes": 990, "lower_bound_bytes": 990}
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
        assert "torchvision, timm, 6 models: `tvm` +2.5% (one in ten +10.0% or more)" in said
        assert "farthest `onnxruntime` on resnet50, +50.0%. transformers, 1 model: " in said
        assert "`onnxruntime` on CNN +25.0% (n = 3)" in self.said(zoo, "Where each leaves most")
        assert "on 1 that puts it below" in self.said(zoo, "Some of what `fusion` saves")

    def test_batches_devices_and_steps(self, zoo: Zoo) -> None:
        assert "ViT 20.0% -> 30.0% (n = 3)" in self.said(zoo, "A batch makes fusion worth more")
        bound = self.said(zoo, "What bounds most")
        assert f"on `{H100}`, 7 models: launch 100.0%; on `{ORIN}`, 7 models: bandwidth" in bound

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
            connection.execute("set threads = 1")
            connection.read_parquet(str(folder / "results/*.parquet")).create_view("results")
            for body in bodies:
                name = known[body.strip()]
                found = connection.execute(f"{start}{body}")
                columns = [column[0] for column in found.description]
                lines = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
                # the page puts classes in an order of its own
                assert sorted(lines, key=repr) == sorted(zoo[name].lines, key=repr), name

    def test_tables_have_the_figures(self, zoo: Zoo) -> None:
        text = page(zoo)
        assert "| torchvision, timm | tvm | 6 | +2.5% | +10.0% | +10.0% |" in text
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
    decoded = {"fusion", "inductor", "optimal"}
    prefilled = {*decoded, "onnxruntime"}
    for table in tables:
        assert table.rules == ("T",)
        is_hf = all(model.startswith("hf/") for model in table.models)
        assert set(table.device) == ({H100} if is_hf else {H100, ORIN})
        needed = {*prefilled, "tvm", "tensorrt"}
        if is_hf:
            needed = decoded if table.decode else prefilled
        assert set(table.strategy) == needed
    asked = {(model, *table.batch, *table.decode) for table in tables for model in table.models}
    zoos_at_one = {(f"{zoo}/*", 1) for zoo in ("torchvision", "timm", "hf")}
    assert {*zoos_at_one, ("torchvision/*", 64), ("hf/llama", 1, 127)} <= asked


class TestFolder:
    @pytest.fixture
    def sweep(self, folder: Path, tmp_path: Path) -> Path:
        """As a sweep leaves it: without families."""
        for part in ("results", "captures"):
            (tmp_path / "sweep" / part).mkdir(parents=True)
        whole = pq.read_table(folder / "results").drop(["family"])
        pq.write_table(whole, tmp_path / "sweep/results/00000.parquet")
        captures = whole.select(["model", "batch"]).slice(0, 3)
        pq.write_table(captures, tmp_path / "sweep/captures/00000.parquet")
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

    def test_captures_stay_as_they_are(self, sweep: Path, tmp_path: Path) -> None:
        write(sweep, tmp_path / "small")
        small, whole = (pq.read_table(each / "captures") for each in (tmp_path / "small", sweep))
        assert small.equals(whole)

    @pytest.mark.parametrize("part", ["results", "captures"])
    def test_no_rows_to_make_it_of(self, sweep: Path, tmp_path: Path, part: str) -> None:
        (sweep / part / "00000.parquet").unlink()
        with pytest.raises(InputError, match=f"holds no {part}/.*: is it a sweep's folder"):
            write(sweep, tmp_path / "small")
        assert not (tmp_path / "small").exists()


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
