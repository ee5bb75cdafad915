"""SQLite, PostgreSQL and MariaDB as a system: opening, inspecting, snapshots and writers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from synckit.errors import SynckitError
from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Schema, Table, nearest
from synckit.systems import sql_connect as connect
from synckit.systems.canonical import version_column
from synckit.systems.secrets import masked, resolve, scrub
from synckit.systems.sql_read import AdbcRows, CursorRows, Layout, Rows, SqlSnapshot
from synckit.systems.sql_trouble import explained, kind_of
from synckit.systems.sql_values import Physical, physical
from synckit.systems.sql_write import SqlWriter

_ADBC = {"sqlite": "adbc_driver_sqlite.dbapi", "postgresql": "adbc_driver_postgresql.dbapi"}


#: Where the catalogue is looked up: SQLite's through the open transaction, the others' through SQLAlchemy's inspector.
Source = Rows | sa.Connection


@dataclass
class _Shared:
    """What snapshots that are opened one after the other may share; each is a transaction of its own as ever."""

    layouts: dict[str, Layout] = field(default_factory=dict)
    connection: Any = None  # of a server, idle between two snapshots

    def close(self) -> None:
        if self.connection is not None:
            with suppress(Exception):
                self.connection.close()


class SqlSystem:
    """One database. Nothing is connected before it is needed, and no connection outlives its snapshot or writer."""

    draws_keys = False

    def __init__(self, config: SystemConfig, schema: Schema, side: Literal["local", "integration"], bulk: bool = True) -> None:
        """`bulk`: read through ADBC where there is a driver; else always through a streamed cursor (the same values, slower)."""
        assert config.url is not None
        self.side = side
        self.title = config.name
        self.schema = schema
        self.config = config
        self.where = f'the {side} system "{config.name}"'
        self.address = masked(config.url, self.where)
        self._bulk = bulk
        self._kept: tuple[sa.Connection, dict[tuple[str, str], Any]] | None = None  # while `writing`
        self._shared: _Shared | None = None  # while `reading`

    def __repr__(self) -> str:
        return f"<{self.side} system {self.title!r} at {self.address}>"

    @cached_property
    def _read_only(self) -> str:
        if self.config.protected:
            return f"{self._sentence} is marked `protected: true` in the workspace, so nothing is written to it."
        if self.dialect == "sqlite":
            why = connect.unwritable(connect.sqlite_path(self.url, self.where))
            return f"{self._sentence} cannot be written: {why}." if why else ""
        question = "SHOW transaction_read_only" if self.dialect == "postgresql" else "SELECT @@global.read_only"
        with self._reading() as source:
            answer = str(cast(sa.Connection, source).exec_driver_sql(question).scalar()).casefold()
        return f"{self._sentence} cannot be written: its server is read-only." if answer in ("on", "1", "true") else ""

    @property
    def _sentence(self) -> str:
        return self.where[0].upper() + self.where[1:]

    @property
    def url(self) -> sa.URL:
        """The URL with its secrets, resolved anew each time and kept nowhere."""
        assert self.config.url is not None
        return connect.with_driver(resolve(self.config.url, self.where), self.where)

    @property
    def dialect(self) -> str:
        return self.url.get_backend_name()

    @property
    def read_only(self) -> str:
        return self._read_only

    def identity(self) -> str:
        url = self.url
        if self.dialect == "sqlite":
            return f"sqlite:{connect.sqlite_path(url, self.where).as_posix()}"
        place = f"{self.dialect}://{(url.host or 'localhost').casefold()}:{connect.port(url)}/{url.database or ''}"
        return f"{place}#{self.config.db_schema}" if self.config.db_schema else place

    def close(self) -> None:
        """Nothing to give back: connections live as long as their snapshot or writer."""

    def physical_table(self, table: Table) -> str:
        """The table's name in this database: as overridden in the workspace, else as in the schema."""
        wanted = {name.casefold() for name in (table.name, table.table, table.caption) if name}
        return next((name for given, name in self.config.tables.items() if given.casefold() in wanted), table.table)

    def physical_columns(self, table: Table) -> dict[str, str] | None:
        with self._reading() as source:
            found = self._inspect(source, table)
        return None if found is None else {name: stored.declared for name, stored in found.items()}

    def make_table(self, table: Table) -> None:
        if self.read_only:
            raise SynckitError(self.read_only)
        url = self.url
        columns = (sa.Column(c.column, sa.String(c.length), primary_key=c.primary_key, nullable=c.nullable) for c in table.columns)
        made = sa.Table(self.physical_table(table), sa.MetaData(), *columns, schema=self.config.db_schema)
        if self.dialect == "sqlite":
            made.schema = None
        with ExitStack() as stack:
            connection, _ = self._connection(stack)
            try:
                made.create(connection, checkfirst=True)
                connection.commit()
            except SQLAlchemyError as problem:
                raise self._error(problem, url, "does not let a table be made") from None

    def key_is_drawn(self, table: Table, key_column: str) -> bool:
        with self._reading() as source:
            stored = self._layout(source, table).stored
        column = table.column(key_column).column
        return column in stored and stored[column].drawn

    @contextmanager
    def snapshot(self) -> Iterator[SqlSnapshot]:
        """One connection, one read-only transaction; its first statement has fixed the moment when this returns."""
        url = self.url
        layouts: dict[str, Layout] = self._shared.layouts if self._shared else {}

        def layout(table: Table) -> Layout:
            if table.name not in layouts:
                if self.dialect == "sqlite":
                    layouts[table.name] = self._layout(rows, table)
                else:
                    with self._reading() as source:
                        layouts[table.name] = self._layout(source, table)
            return layouts[table.name]

        with self._rows(url) as rows:
            yield SqlSnapshot(rows, self.dialect, self.schema, layout, lambda problem, what: self._error(problem, url, what))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is known of tables, and a server's connection, for every snapshot that is opened inside, one after the other."""
        self._shared = _Shared()
        try:
            yield
        finally:
            shared, self._shared = self._shared, None
            shared.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One connection, and what is known of tables, for every writer that is opened inside."""
        with ExitStack() as stack:
            self._kept = self._connection(stack)
            try:
                yield
            finally:
                self._kept = None

    def _connection(self, stack: ExitStack) -> tuple[sa.Connection, dict[tuple[str, str], Any]]:
        url = self.url
        if self.dialect == "sqlite":
            used = stack.enter_context(connect.using(connect.sqlite_path(url, self.where), "sqlite3", self.where))
            if used.library != "sqlite3":
                raise SynckitError(f"{self._sentence} is still being read; close its snapshot before writing.")
        engine = connect.engine(url, self.where, writing=True, timeouts=self._timeouts)
        connection = connect.connected(engine.connect, url, self.where)
        stack.callback(connect.let_go, connection)
        return connection, {}

    @contextmanager
    def writer(self) -> Iterator[SqlWriter]:
        if self.read_only:
            raise SynckitError(self.read_only)
        url = self.url
        with ExitStack() as stack:
            connection, targets = self._kept or self._connection(stack)
            if self.dialect == "sqlite":
                try:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                except SQLAlchemyError as problem:
                    connection.rollback()
                    raise self._error(problem, url, "could not be locked for writing") from None
            writer = SqlWriter(connection, self, lambda table: self._layout(connection, table), url, targets)
            try:
                yield writer
            except BaseException as problem:
                with suppress(SQLAlchemyError):  # a lost connection has rolled back by itself; the first error is the one to show
                    connection.rollback()
                if isinstance(problem, SQLAlchemyError):
                    raise self._error(problem, url, "could not be written") from None
                raise
            try:
                connection.commit()
            except SQLAlchemyError as problem:
                raise self._error(problem, url, "could not commit") from None

    @property
    def _timeouts(self) -> tuple[float, float]:
        return self.config.lock_timeout, self.config.statement_timeout

    def _error(self, problem: Exception, url: sa.URL, what: str) -> SynckitError:
        kind = kind_of(problem)
        if kind is not None:
            return explained(kind, self.where, scrub(getattr(problem, "orig", None) or problem, url), *self._timeouts)
        return SynckitError(f"{self._sentence} {what}: {scrub(getattr(problem, 'orig', None) or problem, url)}")

    def _adbc(self) -> Any:
        if not self._bulk or self.dialect not in _ADBC:
            return None
        try:
            return importlib.import_module(_ADBC[self.dialect])
        except ImportError:
            return None

    @contextmanager
    def _rows(self, url: sa.URL) -> Iterator[Rows]:
        """An open read-only transaction to run SELECTs in."""
        module = self._adbc()
        if self.dialect != "sqlite":
            with self._adbc_rows(module, url, "") if module else self._cursor_rows(url, "") as rows:
                yield rows
            return
        path = connect.sqlite_path(url, self.where)
        with connect.using(path, "adbc" if module else "sqlite3", self.where) as used:
            view = connect.SqliteView(path, used.wal)
            try:
                with self._adbc_rows(module, url, view.uri) if used.library == "adbc" else self._cursor_rows(url, view.uri) as rows:
                    yield rows
                if not view.unchanged():
                    raise SynckitError(f"{path} of {self.where} was changed by another program while it was read; run again.")
            finally:
                view.close()

    @contextmanager
    def _adbc_rows(self, module: Any, url: sa.URL, sqlite_uri: str) -> Iterator[Rows]:
        if self.dialect == "sqlite":
            uri = sqlite_uri
            begin: tuple[str, ...] = (
                f"PRAGMA busy_timeout = {int(self.config.lock_timeout * 1000)}",
                "BEGIN",
                "SELECT 1 FROM sqlite_master LIMIT 1",
            )
        else:
            uri = url.set(drivername="postgresql").render_as_string(hide_password=False).replace(" ", "%20")
            begin = ("SET TIME ZONE 'UTC'", "SET DateStyle = 'ISO, YMD'", "SET extra_float_digits = 1",
                     *connect.patience("postgresql", self._timeouts), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT 1")  # fmt: skip

        def run(made: Any, statements: tuple[str, ...]) -> Any:
            try:
                for statement in statements:
                    with made.cursor() as cursor:
                        cursor.execute(statement)
                        cursor.fetchall()
            except Exception:
                made.close()
                raise
            return made

        connection, shared = None, self._shared
        if shared is not None and shared.connection is not None:
            with suppress(Exception):  # it may have been lost since: then a new one is made
                connection = run(shared.connection, begin[-2:])
            shared.connection = None
        if connection is None:
            connection = connect.connected(lambda: run(module.connect(uri, autocommit=True), begin), url, self.where)
        done = False
        try:
            yield AdbcRows(connection, self.dialect)
            done = shared is not None and self.dialect != "sqlite"
        finally:
            with suppress(Exception):  # read-only: closing ends the transaction as well
                if done and shared is not None and shared.connection is None:
                    shared.connection = run(connection, ("ROLLBACK",))
                else:
                    connection.close()

    @contextmanager
    def _cursor_rows(self, url: sa.URL, sqlite_uri: str) -> Iterator[Rows]:
        engine = connect.engine(url, self.where, writing=False, sqlite_uri=sqlite_uri, timeouts=self._timeouts)

        def open_it() -> sa.Connection:
            made = engine.connect()
            if self.dialect == "sqlite":
                made.exec_driver_sql("BEGIN")
                made.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            elif self.dialect == "postgresql":
                made.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                made.exec_driver_sql("SELECT 1").fetchall()
            else:
                made.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                made.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            return made

        connection = connect.connected(open_it, url, self.where)
        try:
            yield CursorRows(connection)
        finally:
            connect.let_go(connection)

    @contextmanager
    def _reading(self) -> Iterator[Source]:
        """A short connection for looking at the catalogue."""
        url = self.url
        if self.dialect == "sqlite":
            with self._rows(url) as rows:
                yield rows
            return
        engine = connect.engine(url, self.where, writing=False, timeouts=self._timeouts)
        connection = connect.connected(engine.connect, url, self.where)
        try:
            yield connection
        except SQLAlchemyError as problem:
            raise self._error(problem, url, "could not be inspected") from None
        finally:
            connect.let_go(connection)

    def _inspect(self, source: Source, table: Table) -> dict[str, Physical] | None:
        name = self.physical_table(table)
        if self.dialect == "sqlite":
            listed = sa.func.pragma_table_xinfo(name).table_valued("name", "type", "pk")
            question = sa.select(listed.c.name, listed.c.type, listed.c.pk)
            found = _all(source, question, [pa.string(), pa.string(), pa.int64()])
            alone = sum(1 for _, _, pk in found if pk) == 1
            return {n: physical("sqlite", n, t, drawn=alone and bool(pk) and t.upper() == "INTEGER") for n, t, pk in found} or None
        connection = cast(sa.Connection, source)
        inspector = sa.inspect(connection)
        if not inspector.has_table(name, schema=self.config.db_schema):
            return None
        columns = {}
        for column in inspector.get_columns(name, schema=self.config.db_schema):
            try:
                declared = column["type"].compile(dialect=connection.dialect)
            except SQLAlchemyError:
                declared = ""
            default = str(column.get("default") or "")
            drawn = bool(column.get("identity")) or default.startswith("nextval(")
            drawn = drawn or (self.dialect == "mariadb" and column.get("autoincrement") is True)
            called = column["name"]
            if self.dialect == "mariadb":  # SQLAlchemy leaves a backtick in a name doubled, as it stands in CREATE TABLE
                called = called.replace("``", "`")
            columns[called] = physical(self.dialect, called, declared, column["type"], drawn)
        return columns

    def _layout(self, source: Source, table: Table) -> Layout:
        stored = self._inspect(source, table)
        name = self.physical_table(table)
        if stored is None:
            raise SynckitError(f'{self._sentence} has no table "{name}" ({table.caption or table.name}).{self._near(source, name)}')
        version = version_column(self.config, table)
        found = None
        if version is not None:
            found = next((n for n in stored if n.casefold() == version.column.casefold()), None)
        schema = None if self.dialect == "sqlite" else self.config.db_schema
        clause = sa.table(name, *(sa.column(n) for n in stored), schema=schema)
        return Layout(clause, stored, found, version.column if version is not None and found is None else None)

    def _near(self, source: Source, name: str) -> str:
        if self.dialect == "sqlite":
            question = (
                sa.text("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").columns(sa.column("name")).subquery()
            )
            names = [row[0] for row in _all(source, sa.select(question.c.name), [pa.string()])]
        else:
            inspector = sa.inspect(cast(sa.Connection, source))
            names = inspector.get_table_names(self.config.db_schema) + inspector.get_view_names(self.config.db_schema)
        return nearest(name, names) + " A table of another name is given under `tables:`."


def _all(source: Source, question: sa.Select[Any], types: list[pa.DataType]) -> list[tuple[Any, ...]]:
    rows = CursorRows(source) if isinstance(source, sa.Connection) else source
    return [row for arrays in rows.run(question, types) for row in zip(*(array.to_pylist() for array in arrays), strict=True)]


def open_sql(config: SystemConfig, schema: Schema, side: Literal["local", "integration"], bulk: bool = True) -> SqlSystem:
    """The database behind `config.url`. Nothing is connected yet; a kind of URL or driver that synckit lacks is refused here."""
    system = SqlSystem(config, schema, side, bulk)
    try:
        url = resolve(config.url or "", system.where)
    except SynckitError:
        return system  # a variable that is not set matters only when connecting
    connect.with_driver(url, system.where)
    return system
