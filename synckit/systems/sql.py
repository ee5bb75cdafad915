"""SQLite, PostgreSQL and MariaDB as a system: opening, inspecting, snapshots and writers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from synckit.errors import SynckitError
from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Column, Schema, Table, nearest
from synckit.systems import sql_connect as connect
from synckit.systems.secrets import masked, resolve, scrub
from synckit.systems.sql_read import AdbcRows, CursorRows, Layout, SqlSnapshot
from synckit.systems.sql_values import Physical, physical
from synckit.systems.sql_write import SqlWriter

_ADBC = {"sqlite": "adbc_driver_sqlite.dbapi", "postgresql": "adbc_driver_postgresql.dbapi"}


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
        with self._reading() as connection:
            answer = str(connection.exec_driver_sql(question).scalar()).casefold()
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
        with self._reading() as connection:
            found = self._inspect(connection, table)
        return None if found is None else {name: stored.declared for name, stored in found.items()}

    def key_is_drawn(self, table: Table, key_column: str) -> bool:
        with self._reading() as connection:
            stored = self._layout(connection, table).stored
        column = table.column(key_column).column
        return column in stored and stored[column].drawn

    def version_column(self, table: Table) -> Column | None:
        """The column that tells a row's version: the workspace's, else the schema's modified-on, else none."""
        name = self.config.version.column or table.modified_on
        if name is None:
            return None
        return table.find(name) or Column(name=name, column=name, type="datetime")

    @contextmanager
    def snapshot(self) -> Iterator[SqlSnapshot]:
        """One connection, one read-only transaction; its first statement has fixed the moment when this returns."""
        url = self.url
        layouts: dict[str, Layout] = {}

        def layout(table: Table) -> Layout:
            if table.name not in layouts:
                with self._reading() as connection:
                    layouts[table.name] = self._layout(connection, table)
            return layouts[table.name]

        module = self._adbc()
        opened = self._adbc_snapshot(module, url) if module else self._cursor_snapshot(url)
        with opened as rows:
            yield SqlSnapshot(rows, self.dialect, self.schema, layout, lambda problem: scrub(getattr(problem, "orig", None) or problem, url))

    @contextmanager
    def writer(self) -> Iterator[SqlWriter]:
        if self.read_only:
            raise SynckitError(self.read_only)
        url = self.url
        engine = connect.engine(url, self.where, writing=True)
        connection = connect.connected(engine.connect, url, self.where)
        try:
            if self.dialect == "sqlite":
                try:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                except SQLAlchemyError as problem:
                    raise self._error(problem, url, "could not be locked for writing") from None
            writer = SqlWriter(connection, self, lambda table: self._layout(connection, table), url)
            try:
                yield writer
            except BaseException:
                with suppress(SQLAlchemyError):  # a lost connection has rolled back by itself; the first error is the one to show
                    connection.rollback()
                raise
            try:
                connection.commit()
            except SQLAlchemyError as problem:
                raise self._error(problem, url, "could not commit") from None
        finally:
            connection.close()
            engine.dispose()

    def _error(self, problem: SQLAlchemyError, url: sa.URL, what: str) -> SynckitError:
        return SynckitError(f"{self._sentence} {what}: {scrub(getattr(problem, 'orig', None) or problem, url)}")

    def _adbc(self) -> Any:
        if not self._bulk or self.dialect not in _ADBC:
            return None
        try:
            return importlib.import_module(_ADBC[self.dialect])
        except ImportError:
            return None

    @contextmanager
    def _adbc_snapshot(self, module: Any, url: sa.URL) -> Iterator[AdbcRows]:
        if self.dialect == "sqlite":
            view = connect.SqliteView(connect.sqlite_path(url, self.where))
            uri = view.uri
            begin = (f"PRAGMA busy_timeout = {connect.BUSY_SECONDS * 1000}", "BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1")
        else:
            view = None
            uri = url.set(drivername="postgresql").render_as_string(hide_password=False)
            begin = ("SET TIME ZONE 'UTC'", "SET DateStyle = 'ISO, YMD'", "SET extra_float_digits = 1",
                     "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT 1")  # fmt: skip

        def open_it() -> Any:
            made = module.connect(uri, autocommit=True)
            try:
                for statement in begin:
                    with made.cursor() as cursor:
                        cursor.execute(statement)
                        cursor.fetchall()
            except Exception:
                made.close()
                raise
            return made

        try:
            connection = connect.connected(open_it, url, self.where)
            try:
                yield AdbcRows(connection, self.dialect)
            finally:
                with suppress(Exception):  # read-only: closing ends the transaction as well
                    connection.close()
            self._check(view)
        finally:
            if view is not None:
                view.close()

    @contextmanager
    def _cursor_snapshot(self, url: sa.URL) -> Iterator[CursorRows]:
        with self._view(url) as uri:
            engine = connect.engine(url, self.where, writing=False, sqlite_uri=uri)
            connection = connect.connected(engine.connect, url, self.where)
            try:
                if self.dialect == "sqlite":
                    connection.exec_driver_sql("BEGIN")
                    connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
                elif self.dialect == "postgresql":
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    connection.exec_driver_sql("SELECT 1").fetchall()
                else:
                    connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                yield CursorRows(connection)
            finally:
                connection.close()
                engine.dispose()

    @contextmanager
    def _view(self, url: sa.URL) -> Iterator[str]:
        if self.dialect != "sqlite":
            yield ""
            return
        view = connect.SqliteView(connect.sqlite_path(url, self.where))
        try:
            yield view.uri
            self._check(view)
        finally:
            view.close()

    def _check(self, view: connect.SqliteView | None) -> None:
        if view is not None and not view.unchanged():
            raise SynckitError(f"{view.path} of {self.where} was changed by another program while it was read; run again.")

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """A short connection for looking at the catalogue."""
        url = self.url
        with self._view(url) as uri:
            engine = connect.engine(url, self.where, writing=False, sqlite_uri=uri)
            connection = connect.connected(engine.connect, url, self.where)
            try:
                yield connection
            except SQLAlchemyError as problem:
                raise self._error(problem, url, "could not be inspected") from None
            finally:
                connection.close()
                engine.dispose()

    def _inspect(self, connection: sa.Connection, table: Table) -> dict[str, Physical] | None:
        name = self.physical_table(table)
        if self.dialect == "sqlite":
            found = connection.exec_driver_sql("SELECT name, type, pk FROM pragma_table_xinfo(?)", (name,)).all()
            keys = sum(1 for row in found if row.pk)
            return {
                row.name: physical("sqlite", row.name, row.type, drawn=keys == 1 and bool(row.pk) and row.type.upper() == "INTEGER")
                for row in found
            } or None
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
            columns[column["name"]] = physical(self.dialect, column["name"], declared, column["type"], drawn)
        return columns

    def _layout(self, connection: sa.Connection, table: Table) -> Layout:
        stored = self._inspect(connection, table)
        name = self.physical_table(table)
        if stored is None:
            raise SynckitError(f'{self._sentence} has no table "{name}" ({table.caption or table.name}).{self._near(connection, name)}')
        version = self.version_column(table)
        found = None
        if version is not None:
            found = next((n for n in stored if n.casefold() == version.column.casefold()), None)
        schema = None if self.dialect == "sqlite" else self.config.db_schema
        source = sa.table(name, *(sa.column(n) for n in stored), schema=schema)
        return Layout(source, stored, found, version.column if version is not None and found is None else None)

    def _near(self, connection: sa.Connection, name: str) -> str:
        if self.dialect == "sqlite":
            names = [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
        else:
            inspector = sa.inspect(connection)
            names = inspector.get_table_names(self.config.db_schema) + inspector.get_view_names(self.config.db_schema)
        return nearest(name, names) + " A table of another name is given under `tables:`."


def open_sql(config: SystemConfig, schema: Schema, side: Literal["local", "integration"], bulk: bool = True) -> SqlSystem:
    """The database behind `config.url`. Nothing is connected yet; a kind of URL or driver that synckit lacks is refused here."""
    system = SqlSystem(config, schema, side, bulk)
    try:
        url = resolve(config.url or "", system.where)
    except SynckitError:
        return system  # a variable that is not set matters only when connecting
    connect.with_driver(url, system.where)
    return system
