"""SQL over a sweep's folder: what is asked, what is refused, and the documented examples."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from threading import Timer

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuseline.errors import InputError
from fuseline.report.rows.table import Measure
from fuseline.report.tabular import write_table
from fuseline.sweep import query
from fuseline.sweep.overview import EXAMPLES, overview
from fuseline.sweep.query import Folder, open_folder
from fuseline.sweep.schema import COLUMNS, SCHEMA
from fuseline.sweep.store import Store
from fuseline.sweep.tasks import Status
from tests.pages import ROOT
from tests.sweep.made_rows import failed, made, made_sweep

ENVIRONMENT = {"fuseline": "0.1.0", "torch": "2.13.0"}
CAPTURES, JOBS = 20, 40
REFUSED, DIED = 7, 12  # captures whose last job failed


def write_sweep(path: Path) -> None:
    sweep = made_sweep(10)
    fates = {REFUSED: Status.REFUSED, DIED: Status.DIED}
    with Store.open(path, sweep, ENVIRONMENT) as store:
        for number in list(store.todo()):
            capture = sweep.capture(number)
            fate = fates.get(number)
            store.keep(capture, failed(capture, fate) if fate else made(capture))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "zoo"
    write_sweep(path)
    return path


@pytest.fixture
def folder(zoo: Path) -> Generator[Folder]:
    with open_folder(zoo) as opened:
        yield opened


# --- answers --------------------------------------------------------------------------------


def test_both_tables_have_every_row(folder: Folder) -> None:
    assert folder.ask("select count(*) from results").rows == ((JOBS,),)
    assert folder.ask("select count(*), sum(jobs) from captures").rows == ((CAPTURES, JOBS),)
    assert folder.environment == ENVIRONMENT
    whole = folder.ask("from results")
    assert [column.name for column in whole.columns][: len(COLUMNS)] == [
        column.name for column in COLUMNS
    ]
    assert whole.columns[: len(COLUMNS)] == COLUMNS  # measures and meanings too


def test_rows_are_what_was_kept(folder: Folder) -> None:
    rows = folder.ask(
        "select status, reason, count(*) as jobs from results group by all order by 1"
    )
    assert rows.rows == (("died", "signal 11", 1), ("ok", None, 38), ("refused", "signal 11", 1))
    assert rows.columns[2].measure is Measure.COUNT


def test_units_are_those_of_the_names(folder: Folder) -> None:
    table = folder.ask(
        "select sum(traffic_bytes), avg(memory_reduction), max(seconds), 1 as left_bytes, "
        "0.5::double as left_fraction, avg(traffic_bytes) as traffic_bytes, 1.5 as x, "
        "model as seconds, fits from results group by model, fits"
    )
    assert [column.measure for column in table.columns] == [
        Measure.BYTES, Measure.FRACTION, Measure.SECONDS, Measure.BYTES, Measure.FRACTION,
        Measure.RATIO, Measure.RATIO, Measure.TEXT, Measure.YES,
    ]  # fmt: skip
    text = write_table(table, "csv").decode()
    assert text.splitlines()[0].endswith("left_bytes,left_fraction,traffic_bytes,x,seconds,fits")


def test_values_of_every_type_are_plain(folder: Folder) -> None:
    table = folder.ask(
        "select [1, 2] as l, {'a': 1.5, 'b': null} as s, map {'k': [true]} as m, "
        "date '2024-02-29' as d, 1.50::decimal(9, 2) as e, 'infinity'::double as i, "
        "interval 1 day as p, null as n"
    )
    [row] = table.rows
    assert row[:3] == ("[1,2]", '{"a":1.5,"b":null}', '{"k":[true]}')
    assert row[3:] == ("2024-02-29", 1.5, float("inf"), "1 day, 0:00:00", None)
    for format_ in ("terminal", "markdown", "csv", "json", "parquet"):
        assert write_table(table, format_)


def test_the_lists_of_a_row_are_json(folder: Folder) -> None:
    found = folder.ask("select patterns from results where len(patterns) = 2 limit 1").rows
    [[text]] = found
    assert isinstance(text, str)
    records = msgspec.json.decode(text)
    assert len(records) == 2
    assert records[0]["pattern"] == "word"
    total = folder.ask("select sum(p.count) from (select unnest(patterns) as p from results)").rows
    kept = folder.ask("select patterns from results").column("patterns")
    lists = [msgspec.json.decode(str(cell)) for cell in kept]
    assert total == ((sum(each["count"] for records in lists for each in records),),)


def test_sums_beyond_64_bits_are_rounded_and_said(folder: Folder) -> None:
    table = folder.ask("select sum(9000000000000000000) as total_bytes, 1 as a from range(10)")
    assert table.rows == ((9e19, 1),)
    assert table.notes == ("total_bytes: beyond 64 bits, and so rounded to 15 digits",)
    assert b"9e19" in write_table(table, "json")
    assert write_table(table, "parquet").startswith(b"PAR1")


def test_columns_of_one_name_are_told_apart(folder: Folder) -> None:
    table = folder.ask("select 1 as a, 2 as a, 3 as a_1 from results limit 1")
    assert [column.name for column in table.columns] == ["a", "a_1", "a_1_1"]
    joined = folder.ask("from results r join captures c on r.model = c.model", 1)
    assert "model_1" in [column.name for column in joined.columns]


def test_a_limit_is_said_where_it_cuts(folder: Folder) -> None:
    cut = folder.ask("select job from results", 3)
    assert len(cut.rows) == 3
    assert cut.notes == ("the first 3 rows, and there are more: --limit 0 shows all",)
    whole = folder.ask("select job from results", JOBS)
    assert (len(whole.rows), whole.notes) == (JOBS, ())
    assert folder.ask("select job from results where false").notes == ("no rows",)


def test_an_answer_that_no_memory_holds_is_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MOST_CELLS", 100)
    with pytest.raises(InputError, match=r"more than 50 rows of 2 columns: add LIMIT or --limit"):
        folder.ask("select 1, 2 from range(51)")
    assert len(folder.ask("select 1, 2 from range(50)").rows) == 50
    assert len(folder.ask("select 1, 2 from range(51)", 51).rows) == 51


@pytest.mark.parametrize("sql", [
    "with a as (select 1 as x) select * from a", "from results limit 1", "describe results",
    "summarize captures", "show tables", "explain select 1", "select 1 -- said\n;",
    "pivot results on strategy using count(*) group by model",
    "pivot results on strategy in ('fusion') using count(*) group by model",
    *EXAMPLES.values(),
])  # fmt: skip
def test_what_reads_is_a_query(folder: Folder, sql: str) -> None:
    table = folder.ask(sql)
    assert table.rows
    assert write_table(table, "markdown")


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(("sql", "message"), [
    ("select traffic_byte from results", "no column 'traffic_byte': did you mean 'traffic_bytes'?"),
    ("select r.modul from results r", "no column 'modul': did you mean 'model'?"),
    ("from results where model = vgg", "no column 'vgg': text stands in 'single' quotes"),
    ("from result", "no table 'result': did you mean 'results'?"),
    ("from xyz", "no table 'xyz': there are results and captures"),
    ("select * form results", 'syntax error at or near "results"'),
    ("select model, count(*) from results", None),
    ("select foo(1)", None),
    ("select model::int from results", None),
    ("select patterns[1].patern from results", None),
])  # fmt: skip
def test_an_error_is_one_line_with_the_cure(folder: Folder, sql: str, message: str | None) -> None:
    with pytest.raises(InputError) as raised:
        folder.ask(sql)
    said = str(raised.value)
    assert said.startswith("the query: ")
    assert "LINE 1" not in said
    assert message is None or said == f"the query: {message}"


@pytest.mark.parametrize(("sql", "message"), [
    ("", "the query is empty"), (" ; ", "the query is empty"),
    ("-- only said", "one query at a time: there are 0"),
    ("select 1; select 2", "one query at a time: there are 2"),
    ("drop view results", "a query only reads, and DROP does not"),
    ("create table t as select 1", "a query only reads, and CREATE does not"),
    ("copy results to 'x.csv'", "a query only reads, and COPY does not"),
])  # fmt: skip
def test_what_is_no_query_is_refused(folder: Folder, sql: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        folder.ask(sql)
    assert folder.ask("select count(*) from results").rows == ((JOBS,),)


def _content(zoo: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in zoo.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sql", [
    "select * from read_text('{secret}')", "select * from read_csv('{secret}')",
    "from '{secret}'", "select * from glob('{zoo}/*')",
    "select * from read_parquet('{zoo}/results/00000.parquet')",
    "with x as (copy (select 1) to '{zoo}/results/00000.parquet' (use_tmp_file false)) from x",
    "with x as (copy (select 1) to '{zoo}/x.csv') from x",
    "explain analyze copy (select 1) to '{zoo}/results/00000.parquet' (use_tmp_file false)",
    "attach '{zoo}/other.db'", "attach '{zoo}/state.sqlite' (type sqlite)",
    "install httpfs", "load httpfs", "from 'https://localhost/x.parquet'",
    "set enable_external_access = true", "set lock_configuration = false",
    "set temp_directory = '{zoo}'", "export database '{zoo}/out'", "from ENVIRONMENT",
    "select getenv('HOME')", "from duckdb_secrets()",
])  # fmt: skip
def test_a_query_reaches_nothing_but_the_rows(zoo: Path, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    before = _content(zoo)
    with open_folder(zoo) as folder, pytest.raises(InputError):
        folder.ask(sql.format(zoo=zoo, secret=secret))
    assert _content(zoo) == before


def test_a_user_can_stop_it(folder: Folder) -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            folder.ask("select count(*) from range(1000000000000) where hash(range) % 7 = 3")
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


# --- folders --------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as raised, open_folder(path):
        pass
    return str(raised.value)


def test_what_is_no_folder_of_a_sweep_is_refused(tmp_path: Path) -> None:
    cure = "name the folder that a sweep was written to"
    assert refusal(tmp_path / "zoo") == f"'{tmp_path}/zoo' does not exist: {cure}"
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file") == f"'{tmp_path}/file' is a file: {cure}"
    assert refusal(tmp_path) == f"'{tmp_path}' is no sweep's folder: it has no results/"
    (tmp_path / "results").mkdir()
    no_rows = f"'{tmp_path}' has no rows yet: the sweep in it has not finished a job"
    assert refusal(tmp_path) == no_rows
    file = tmp_path / "results" / "00000.parquet"
    pq.write_table(pa.table({"a": [1]}), file)
    assert refusal(tmp_path) == f"'{file}' is no file of a sweep: it has no fuseline.schema"


def test_a_sweep_that_has_just_begun_has_no_rows(tmp_path: Path) -> None:
    with Store.open(tmp_path / "zoo", made_sweep(), ENVIRONMENT):
        assert "has no rows yet" in refusal(tmp_path / "zoo")


def test_a_newer_schema_and_a_damaged_file_are_refused(zoo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "zoo"
    shutil.copytree(zoo, copy)
    [file] = (copy / "results").glob("*.parquet")
    table = pq.read_table(file)
    newer = {**(table.schema.metadata or {}), b"fuseline.schema": b"fuseline.sweep/99"}
    pq.write_table(table.replace_schema_metadata(newer), file)
    assert refusal(copy) == (
        f"'{file}' is of fuseline.sweep/99, and this Fuseline reads {SCHEMA}: use the other one"
    )
    file.write_bytes(file.read_bytes()[:-20])
    assert refusal(copy).startswith(f"'{file}' is damaged, or no Parquet: remove it, and the sweep")


def test_the_results_alone_can_be_asked(zoo: Path, tmp_path: Path) -> None:
    shutil.copytree(zoo / "results", tmp_path / "results")
    with open_folder(tmp_path) as folder:
        assert folder.ask("select count(*) from results").rows == ((JOBS,),)
        with pytest.raises(InputError, match="no table 'captures': there are results"):
            folder.ask("from captures")
        assert "captures" not in overview(folder).column("what")


def test_a_running_sweep_is_asked_as_it_was(tmp_path: Path) -> None:
    sweep, path = made_sweep(), tmp_path / "zoo"
    counted = "select count(*), count(distinct job), sum(traffic_bytes) from results"
    with Store.open(path, sweep, ENVIRONMENT) as store:
        first, *others = (sweep.capture(number) for number in list(store.todo()))
        store.keep(first, made(first))
        store.flush()
        with open_folder(path) as folder:
            before = folder.ask(counted)
            for capture in others:
                store.keep(capture, made(capture))
            store.flush()  # the same file, anew
            assert folder.ask(counted) == before
            assert before.rows[0][:2] == (2, 2)
    with open_folder(path) as folder:
        assert folder.ask(counted).rows[0][:2] == (sweep.jobs, sweep.jobs)


def test_the_overview_counts_everything(folder: Folder) -> None:
    table = overview(folder)
    found = dict(zip(table.column("what"), table.column("there"), strict=True))
    assert found["jobs"] == "40"
    assert (found["  ok"], found["  refused"], found["  died"]) == ("38", "1", "1")
    assert list(found)[:4] == ["jobs", "  ok", "  died", "  refused"]
    assert found["models"] == "10"
    assert found["strategies"] == "fusion (20), unfused (20)"
    assert found["batches"] == "1 (20), 2 (20)"
    assert found["captures"] == "20 captures, 0 from the cache, 30 CPU seconds"
    assert found["schema"] == SCHEMA
    assert found["made with"] == "fuseline 0.1.0, torch 2.13.0"


# --- the page -------------------------------------------------------------------------------

PAGE = ROOT / "docs" / "sweep-queries.md"
_BLOCK = re.compile(r"^```(sql|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {
    part.partition("\n")[0]: _BLOCK.findall(part)
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
}
BLOCKS = [
    pytest.param(blocks, place, id=f"{title}-{place}")
    for title, blocks in SECTIONS.items()
    for place in range(len(blocks))
]
Rows = list[tuple[object, ...]]


def _rounded(rows: Sequence[Sequence[object]]) -> Rows:
    return [
        tuple(f"{value:.12g}" if isinstance(value, float) else value for value in row)
        for row in rows
    ]


def _in_python(code: str) -> Rows:
    """The rows of the frame that a block calls `answer`."""
    library = "polars" if "polars" in code else "pandas"
    pytest.importorskip(library, reason=f"{library} is not installed")
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the page's own
    answer: object = names["answer"]
    take: Callable[..., object] = getattr(answer, "rows" if library == "polars" else "itertuples")
    rows = take() if library == "polars" else take(index=False, name=None)
    return [tuple(row) for row in rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("blocks", "place"), BLOCKS)
def test_the_page_s_examples_run_and_agree(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, blocks: list[tuple[str, str]], place: int
) -> None:
    monkeypatch.chdir(zoo.parent)
    language, code = blocks[place]
    with open_folder(Path("zoo")) as folder:
        expected = _rounded(folder.ask(blocks[0][1]).rows)
        assert expected
        if language == "sql":
            assert folder.ask(code).rows
            return
    assert _rounded(_in_python(code)) == expected


def test_the_page_has_its_examples() -> None:
    languages = [language for blocks in SECTIONS.values() for language, _ in blocks]
    assert languages.count("sql") >= 5
    assert languages.count("python") >= 6
