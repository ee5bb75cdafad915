"""Looking at what is there: two databases or folders of exports, their tables, columns, keys and a sample of their rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from synckit.errors import SynckitError
from synckit.mapping.schema import Column
from synckit.systems import sql_connect as connect
from synckit.systems.canonical import NotConvertible, to_canonical
from synckit.systems.file_formats import READERS, load, sheets
from synckit.systems.secrets import parse, render, resolve, scrub
from synckit.systems.sql_values import physical

#: Rows of a table that are kept to compare values. The types of an export come from all its rows: nothing else tells them.
SAMPLE = 2000
#: Tables that belong to tools, not to a system.
_NOT_DATA = re.compile(r"sqlite_.*|synckit_.*|alembic_version|django_migrations", re.IGNORECASE)
_NUMBERLIKE = re.compile(r"phone|tel|fax|mobile|zip|post|plz|code|vat|tax|iban|num|\bno\b|nr", re.IGNORECASE)
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,14})")
_FRACTION = re.compile(r"-?\d+(\.\d+)?")
_LOOKS = (
    ("guid", re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")),
    ("datetime", re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d")),
    ("boolean", re.compile(r"true|false", re.IGNORECASE)),
)


@dataclass(frozen=True)
class FoundColumn:
    """A column as it is. `values` are the looked-at rows in their order, as texts; `nulls` counts empty ones among all rows where
    that was asked, else among those looked at; `unique`: each row has its own value, and none is empty."""

    name: str
    type: str
    values: tuple[str | None, ...] = ()
    length: int | None = None
    scale: int | None = None
    nullable: bool = True
    unique: bool = False
    nulls: int = 0
    references: tuple[str, str] | None = None
    fraction: bool = False

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The different values, folded as people compare them."""
        return frozenset(value.strip().casefold() for value in self.values if value and value.strip())


@dataclass(frozen=True)
class FoundTable:
    name: str
    rows: int
    columns: tuple[FoundColumn, ...]
    primary_key: tuple[str, ...] = ()
    triggers: bool = False

    def find(self, *names: str | None) -> FoundColumn | None:
        wanted = {name.casefold() for name in names if name}
        return next((column for column in self.columns if column.name.casefold() in wanted), None)


@dataclass(frozen=True)
class Found:
    """One system as it is. `written` is what the workspace file says (`url: ...` or `folder: ...`, no secret in it), `secrets` the
    environment variables it needs for that."""

    title: str
    written: str
    tables: tuple[FoundTable, ...]
    is_folder: bool = False
    secrets: tuple[str, ...] = ()

    def find(self, name: str) -> FoundTable | None:
        return next((table for table in self.tables if table.name.casefold() == name.casefold()), None)


def candidates(folder: Path) -> list[Path]:
    """The SQLite files and the sub-folders of exports in `folder`, by name; a ledger of synckit is none of them."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if (path.is_dir() and any(file.suffix.lower() in READERS for file in path.iterdir() if file.is_file())) or (
            path.is_file() and _is_sqlite(path) and not _is_ledger(path)
        ):
            found.append(path)
    return found


def look(given: str, folder: Path, where: str, variable: str) -> Found:
    """The system at `given`: a SQLAlchemy URL, an SQLite file, or a folder of exports (looked for in `folder`, else from here).

    Not a byte is written. A password in a URL is used and forgotten: `written` holds `${variable}` in its place. Raises SynckitError
    where there is nothing, or nothing that can be read.
    """
    path = Path(given).expanduser()
    if "://" in given:
        url = connect.with_driver(resolve(given, where), where)
        if url.get_backend_name() != "sqlite":
            written, secrets = _without_secrets(given, where, variable)
            return Found(str(url.database or url.host), f"url: {quoted(written)}", _database(url, where), secrets=secrets)
        path = connect.sqlite_path(url, where)
    elif not path.is_absolute() and (folder / path).exists():
        path = folder / path
    path = path.resolve()
    shown = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
    if path.is_dir():
        return Found(_title(path), f"folder: {quoted(shown)}", _exports(path), is_folder=True)
    if not path.exists():
        raise SynckitError(f"There is no {path} for {where}; name an SQLite file, a folder of exports, or a database url.")
    url = sa.URL.create("sqlite+pysqlite", database=str(path))
    return Found(_title(path), f"url: {quoted(f'sqlite:///{shown}')}", _database(url, where))


def quoted(text: str) -> str:
    """A text as a YAML value: plain where no reader can take it for something else, else in quotes."""
    if not text.isprintable():
        return json.dumps(text)
    if re.fullmatch(r"[A-Za-z_][\w.]*([ -][\w.]+)*", text) and text.casefold() not in (
        "yes",
        "no",
        "true",
        "false",
        "on",
        "off",
        "null",
    ):
        return text
    return "'" + text.replace("'", "''") + "'"


def _title(path: Path) -> str:
    return re.sub(r"[_\W]+", " ", path.stem if path.is_file() else path.name).strip() or path.name


def _without_secrets(text: str, where: str, variable: str) -> tuple[str, tuple[str, ...]]:
    if "${" in text:
        clear = re.match(r"([^:/]+://[^:/@]*:)((?!\$\{|keyring:)[^@]+)(@)", text)
        return (f"{clear[1]}${{{variable}}}{text[clear.end(2) :]}", (variable,)) if clear else (text, ())
    url = parse(text, where)
    if str(url.password or "").startswith("keyring:"):
        return text, ()
    shown = render(url)
    names: list[str] = []
    while "***" in shown:
        names.append(variable if not names else f"{variable}_{len(names) + 1}")
        shown = shown.replace("***", f"${{{names[-1]}}}", 1)
    return shown, tuple(names)


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\x00"
    except OSError:
        return False


def _is_ledger(path: Path) -> bool:
    where = f"the file {path.name}"
    url = sa.URL.create("sqlite+pysqlite", database=str(path))
    with _connected(url, where) as connection:
        return {"coupling", "watermark", "journal"} <= set(sa.inspect(connection).get_table_names())


@contextmanager
def _connected(url: sa.URL, where: str) -> Iterator[sa.Connection]:
    """A connection for looking, which changes nothing, not even a file beside an SQLite database."""
    if url.get_backend_name() != "sqlite":
        with _engine_connection(url, where, "") as connection:
            yield connection
        return
    path = connect.sqlite_path(url, where)
    with connect.using(path, "sqlite3", where) as used:
        view = connect.SqliteView(path, used.wal)
        try:
            with _engine_connection(url, where, view.uri) as connection:
                yield connection
        finally:
            view.close()


@contextmanager
def _engine_connection(url: sa.URL, where: str, sqlite_uri: str) -> Iterator[sa.Connection]:
    engine = connect.engine(url, where, writing=False, sqlite_uri=sqlite_uri)
    try:
        connection = connect.connected(engine.connect, url, where)
        try:
            yield connection
        except SQLAlchemyError as problem:
            text = scrub(getattr(problem, "orig", None) or problem, url)
            raise SynckitError(f"{where[:1].upper()}{where[1:]} could not be inspected: {text}") from None
        finally:
            connection.close()
    finally:
        engine.dispose()


# --- databases ------------------------------------------------------------------------------------------------------------------


def _database(url: sa.URL, where: str) -> tuple[FoundTable, ...]:
    with _connected(url, where) as connection:
        inspector = sa.inspect(connection)
        triggered = _triggered(connection)
        names = [name for name in sorted(inspector.get_table_names()) if not _NOT_DATA.fullmatch(name)]
        return tuple(_table(connection, inspector, name, name in triggered) for name in names)


def _triggered(connection: sa.Connection) -> set[str]:
    """Tables with a trigger: the server may keep their modified-on column itself."""
    if connection.dialect.name == "sqlite":
        question = "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'"
    else:
        question = "SELECT DISTINCT event_object_table FROM information_schema.triggers"
    return {str(row[0]) for row in connection.exec_driver_sql(question)}


def _table(connection: sa.Connection, inspector: sa.Inspector, name: str, triggers: bool) -> FoundTable:
    dialect = connection.dialect.name
    described = inspector.get_columns(name)
    clause = sa.table(name, *(sa.column(column["name"]) for column in described))
    rows = int(connection.execute(sa.select(sa.func.count()).select_from(clause)).scalar_one())
    sample = [tuple(row) for row in connection.execute(sa.select(clause).limit(SAMPLE))]
    key = tuple(inspector.get_pk_constraint(name).get("constrained_columns") or ())
    alone = {key[0]} if len(key) == 1 else set()
    unique_lists = [constraint["column_names"] for constraint in inspector.get_unique_constraints(name)]
    unique_lists += [[str(n) for n in i["column_names"]] for i in inspector.get_indexes(name) if i.get("unique")]
    alone |= {columns[0] for columns in unique_lists if len(columns) == 1}
    refers = {
        fk["constrained_columns"][0]: (fk["referred_table"], (fk["referred_columns"] or [""])[0])
        for fk in inspector.get_foreign_keys(name)
        if len(fk["constrained_columns"]) == 1
    }
    if not alone:  # nothing is declared: what is a key is told from the values, as in exports
        alone = {
            c["name"]
            for index, c in enumerate(described)
            if _all_different(connection, clause, c["name"], rows, [r[index] for r in sample])
        }
    found = []
    for index, column in enumerate(described):
        try:
            declared = column["type"].compile(dialect=connection.dialect)
        except SQLAlchemyError:
            declared = ""
        declared = "" if declared == "NULL" else declared
        raw = [row[index] for row in sample]
        values = tuple(_text(value) for value in raw)
        nature = physical("mariadb" if dialect == "mysql" else dialect, column["name"], declared).nature
        kind = _type(nature, declared, [v for v in values if v], raw, column["name"])
        if kind is None:
            continue
        size = re.search(r"\((\d+)(?:\s*,\s*(\d+))?\)", declared)
        nulls = sum(value is None for value in values)
        unique = column["name"] in alone
        if len(sample) < rows and (kind in ("datetime", "guid") or unique):
            here: sa.ColumnElement[Any] = sa.column(column["name"])
            filled = connection.execute(sa.select(sa.func.count(here)).select_from(clause)).scalar_one()
            nulls = rows - int(filled)
        found.append(
            FoundColumn(
                column["name"],
                kind,
                values,
                int(size[1]) if size and kind == "text" else None,
                (int(size[2] or 0) if size else _places(values)) if kind == "decimal" else None,
                bool(column.get("nullable", True)) and column["name"] not in key,
                unique and nulls == 0,
                nulls,
                refers.get(column["name"]),
                fraction=kind == "decimal" and (nature == "float" or (dialect == "sqlite" and nature == "any")),
            )
        )
    return FoundTable(name, rows, tuple(found), key, triggers)


def _all_different(connection: sa.Connection, clause: sa.TableClause, name: str, rows: int, sample: Sequence[Any]) -> bool:
    """Whether each of the `rows` rows has a value of its own in the column."""
    if not rows or None in sample or "" in sample or len(set(sample)) < len(sample):
        return False
    column: sa.ColumnElement[Any] = sa.column(name)
    counted = sa.select(sa.func.count(sa.distinct(sa.func.nullif(sa.cast(column, sa.Text), "")))).select_from(clause)
    return len(sample) == rows or int(connection.execute(counted).scalar_one()) == rows


def _type(nature: str, declared: str, texts: list[str], raw: Sequence[Any], name: str) -> str | None:
    """The schema's type for a stored column; None for what synckit does not carry (pictures and the like)."""
    word = declared.upper()
    if nature == "binary" or any(isinstance(value, bytes) for value in raw):
        return "guid" if texts and all(_LOOKS[0][1].fullmatch(text) for text in texts) else None
    wanted = {"uuid": "guid", "decimal": "decimal", "float": "decimal", "datetime tz": "datetime"}.get(nature, nature)
    if nature == "integer":
        wanted = "boolean" if word.startswith(("TINYINT(1)", "BOOL")) else "integer"
    if nature == "any":
        hints = (("BOOL", "boolean"), ("DATETIME", "datetime"), ("TIMESTAMP", "datetime"), ("DATE", "date"), ("TIME", "time"),
                 ("DEC", "decimal"), ("NUM", "decimal"), ("MONEY", "decimal"))  # fmt: skip
        wanted = next((kind for mark, kind in hints if mark in word), "text")
    if wanted == "text":
        return guessed(texts, name, numbers=nature == "any")
    return wanted if _fits(texts, wanted) else "text"


def guessed(texts: Sequence[str], name: str, numbers: bool) -> str:
    """The type that all `texts` have; text where they differ, or where there are none. `numbers`: whether numbers may be told from
    digits (a telephone number, a postal code and a customer number stay text, whatever they look like)."""
    if not texts:
        return "text"
    for kind, pattern in _LOOKS:
        if all(pattern.fullmatch(text.strip()) for text in texts) and _fits(texts, kind):
            return kind
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)
    if numbers and not _NUMBERLIKE.search(spaced):
        if all(_WHOLE.fullmatch(text) for text in texts):
            return "integer"
        if all(_FRACTION.fullmatch(text) for text in texts):
            return "decimal"
    return "text"


def _fits(texts: Sequence[str], kind: str) -> bool:
    try:
        to_canonical(pa.array(texts, pa.string()), Column(name="x", column="x", type=kind), rounds=True)
    except NotConvertible:
        return False
    return True


def _places(values: Sequence[str | None]) -> int:
    """How many decimals the values have; two at least, because a sum of money may happen to be whole."""
    return max([2, *(len(v.partition(".")[2]) for v in values if v and "e" not in v.casefold())][:SAMPLE]) if values else 2


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == 16 else "(binary)"
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


# --- exports --------------------------------------------------------------------------------------------------------------------


def _exports(folder: Path) -> tuple[FoundTable, ...]:
    tables = []
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in READERS or file.name.startswith("~$"):
            continue
        named = sheets(file) if file.suffix.lower() == ".xlsx" else []
        for sheet in named if len(named) > 1 else [""]:
            data = load(file, sheet)
            tables.append(FoundTable(sheet or file.stem, data.num_rows, tuple(_exported(data, name) for name in data.column_names)))
    if not tables:
        raise SynckitError(f"The folder {folder} holds no .csv, .xlsx or .parquet file; name a folder of exports.")
    return tuple(tables)


def _exported(data: pa.Table, name: str) -> FoundColumn:
    stored = data.schema.field(name).type
    values = tuple(_text(value) for value in data.column(name).to_pylist())
    texts = [value for value in values if value]
    nulls = len(values) - len(texts)
    if pa.types.is_string(stored) or pa.types.is_large_string(stored) or pa.types.is_dictionary(stored):
        kind = guessed(texts, name, numbers=True)
    else:
        tests = (
            (pa.types.is_boolean, "boolean"), (pa.types.is_integer, "integer"), (pa.types.is_floating, "decimal"),
            (pa.types.is_decimal, "decimal"), (pa.types.is_timestamp, "datetime"), (pa.types.is_date, "date"), (pa.types.is_time, "time"),
        )  # fmt: skip
        kind = next((named for test, named in tests if test(stored)), "text")
    unique = bool(texts) and nulls == 0 and len(set(texts)) == len(texts)
    return FoundColumn(
        name, kind, values[:SAMPLE], None, _places(values) if kind == "decimal" else None, True, unique, nulls,
        fraction=pa.types.is_floating(stored),
    )  # fmt: skip
