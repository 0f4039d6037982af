"""SQL over a sweep's folder, finished or still running: duckdb reads what the files held when it
began, and can do nothing else.

The query may be anybody's, and no `COPY` hidden in it may touch the folder: duckdb gets the files'
content as tables in memory-mapped buffers, and no access to any file or host.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from fuseline.errors import InputError, did_you_mean
from fuseline.report.rows.table import Table
from fuseline.sweep.answers import Answer, table_of
from fuseline.sweep.schema import SCHEMA

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyarrow.dataset import Dataset

TABLES = ("results", "captures")
"""What a query may name: folders of Parquet files inside a sweep's folder."""

MOST_CELLS = 10_000_000
"""A table of more would take gigabytes."""

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Folder:
    """A sweep's folder, opened to be asked. `environment` is what its rows were made with;
    `columns` are those of every table that has rows.
    """

    path: Path
    connection: duckdb.DuckDBPyConnection
    environment: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]

    def ask(self, sql: str, limit: int | None = None) -> Table:
        """The query's rows, the first `limit` of them; a note says where there are more.

        Raises `InputError` for what is no query, and for an answer of more than `MOST_CELLS`.
        """
        import duckdb

        try:
            _check_one(sql)
            return table_of(self._stoppable(sql, limit))
        except duckdb.Error as error:
            raise InputError(f"the query: {said(str(error), self.columns)}") from error

    def _stoppable(self, sql: str, limit: int | None) -> Answer:
        """The answer, found in a thread: the one that hears Ctrl-C must not be inside duckdb."""
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(self._answer, sql, limit)
            try:
                return pending.result()
            except KeyboardInterrupt:
                self.connection.interrupt()
                raise

    def _answer(self, sql: str, limit: int | None) -> Answer:
        self.connection.execute(sql)
        described = self.connection.description or []
        rows, is_whole = self._rows(len(described), limit)
        columns = tuple((name, kind) for name, kind, *_ in described)
        return Answer(columns, tuple(rows), is_whole)

    def _rows(self, width: int, limit: int | None) -> tuple[list[tuple[object, ...]], bool]:
        """The first rows, and whether they are all."""
        rows: list[tuple[object, ...]] = []
        most = MOST_CELLS // max(width, 1)
        while limit is None or len(rows) <= limit:
            some = self.connection.fetchmany(_ROWS_AT_ONCE)
            if not some:
                return rows, True
            rows += some
            if limit is None and len(rows) > most:
                raise InputError(
                    f"the answer has more than {most:,} rows of {width} columns: add LIMIT or "
                    f"--limit, name fewer columns, or read '{self.path}/results/*.parquet' as it is"
                )
        return rows[:limit], False


def _check_one(sql: str) -> None:
    """Raises `InputError` for anything but one statement that reads."""
    import duckdb

    if not sql.strip(" \t\r\n;"):
        raise InputError("the query is empty")
    statements = duckdb.extract_statements(sql) or []
    if len(statements) != 1:
        raise InputError(f"one query at a time: there are {len(statements)}")
    kind = statements[0].type.name
    if kind not in _READING:
        raise InputError(f"a query only reads, and {kind} does not: begin with SELECT or FROM")


_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""Kinds of statements that give rows; MULTI is a PIVOT that finds its columns first."""


@contextmanager
def open_folder(path: Path) -> Generator[Folder]:
    """A sweep's folder, to be asked. What files hold now is what is asked, though they be replaced.

    Raises `InputError` where duckdb is not installed, and for a folder that is no sweep's, has no
    rows yet, or is of another schema.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InputError("a query needs duckdb: pip install 'fuseline[query]'") from error
    found = {name: _content(files) for name in TABLES if (files := _files(path, name))}
    if "results" not in found:
        raise InputError(f"'{path}' has no rows yet: the sweep in it has not finished a job")
    schema = found["results"].schema
    with TemporaryDirectory(prefix="fuseline-query-") as scratch:
        connection = duckdb.connect(":memory:", config={**_LOCKED, "temp_directory": scratch})
        try:
            connection.execute("SET lock_configuration = true")
            for name, content in found.items():
                connection.register(name, content)
            columns = {name: tuple(content.schema.names) for name, content in found.items()}
            yield Folder(path, connection, _environment(schema), columns)
        finally:
            connection.close()


_LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
"""No file, no host, no extension, no variable of ours. What is too large for memory goes to a
temporary folder.
"""


# --- files ----------------------------------------------------------------------------------


def _files(path: Path, name: str) -> tuple[Path, ...]:
    """The files of one table, in order."""
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(f"'{path}' {what}: name the folder that a sweep was written to")
    if not (path / "results").is_dir() and not (path / "state.sqlite").is_file():
        raise InputError(f"'{path}' is no sweep's folder: it has no results/")
    return tuple(sorted((path / name).glob("*.parquet")))


def _content(files: Iterable[Path]) -> Dataset:
    """The files' rows. Mapped at once: a running sweep puts new files in their place."""
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise InputError("a query needs pyarrow: pip install 'fuseline[query]'") from error
    schema: pa.Schema | None = None
    parts = []
    form = dataset.ParquetFileFormat()
    for file in files:
        buffer, found = _mapped(file)
        _check_schema(file, found)
        schema = schema or found
        parts.append(form.make_fragment(buffer))
    return dataset.FileSystemDataset(parts, schema, form)


def _mapped(file: Path) -> tuple[pa.Buffer, pa.Schema]:
    """A file's bytes without reading them, and what columns it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pa.memory_map(str(file)) as mapped:
            buffer = mapped.read_buffer()
        return buffer, pq.read_schema(pa.BufferReader(buffer))
    except pa.ArrowInvalid as error:
        cure = "remove it, and the sweep, run again, makes it anew"
        raise InputError(f"'{file}' is damaged, or no Parquet: {cure}") from error
    except OSError as error:
        raise InputError(f"cannot read '{file}': {error}") from error


def _check_schema(file: Path, schema: pa.Schema) -> None:
    found = (schema.metadata or {}).get(b"fuseline.schema", b"").decode(errors="replace")
    if found == SCHEMA:
        return
    if not found.startswith(SCHEMA.rpartition("/")[0]):
        raise InputError(f"'{file}' is no file of a sweep: it has no fuseline.schema")
    raise InputError(f"'{file}' is of {found}, and this Fuseline reads {SCHEMA}: use the other one")


def _environment(schema: pa.Schema) -> dict[str, str]:
    content = (schema.metadata or {}).get(b"fuseline.environment", b"{}")
    return msgspec.json.decode(content, type=dict[str, str])


# --- errors ---------------------------------------------------------------------------------

_NO_TABLE = re.compile(r"Table with name (.+?) does not exist")
_NO_COLUMN = re.compile(r'(?:column "(.+?)" not found in FROM|not have a column named "(.+?)")')
_PLACE = re.compile(r"\s*\n\nLINE \d.*", re.DOTALL)


def said(error: str, columns: Mapping[str, tuple[str, ...]]) -> str:
    """What duckdb says of a query in one line, with the nearest name of ours.

    >>> columns = {"results": ("model", "mode")}
    >>> said('Binder Error: Referenced column "modul" not found in FROM clause!', columns)
    "no column 'modul': did you mean 'model'?"
    >>> said("Catalog Error: Table with name result does not exist!", columns)
    "no table 'result': did you mean 'results'?"
    """
    if found := _NO_TABLE.search(error):
        hint = did_you_mean(found[1], columns) or f": there are {' and '.join(columns)}"
        return f"no table '{found[1]}'{hint}"
    if found := _NO_COLUMN.search(error):
        name = found[1] or found[2]
        known = [each for names in columns.values() for each in names]
        hint = did_you_mean(name, known) or ": text stands in 'single' quotes"
        return f"no column '{name}'{hint}"
    _, _, message = _PLACE.sub("", error).partition(": ")
    return " ".join((message or error).split())
