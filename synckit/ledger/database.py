"""Where the ledger lies: opened read-only for reading, created on the first write, its errors turned into sentences."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from synckit.errors import SynckitError
from synckit.ledger.tables import META, METADATA, SCHEMA_VERSION
from synckit.ledger.upgrade import refuse_newer, upgrade

#: Seconds to wait for another program that is writing to the same SQLite file.
PATIENCE = 30.0

#: Memory for pages of the ledger while an apply keeps it open.
CACHE_KIB = 65_536

#: The advisory lock of PostgreSQL that the one writer of a ledger holds.
_WRITING = 0x73796E636B6974

#: What a database says (in lower case) -> what it means for the person at the keyboard.
_MEANINGS = (
    (("disk is full", "no space left", "disk full"), "cannot be written because the disk is full. Free some space and try again"),
    (("readonly", "read-only"), "cannot be written because the file, its folder or the database is read-only. Allow writing there"),
    (("unable to open",), "cannot be opened. Check that its folder exists and that you may read and write there"),
    (("is locked", "lock timeout"), "is being written by another program. Wait until that is done, then run it again"),
    (("not a database", "malformed"), "is damaged or no database. Restore it from a backup, or name another file"),
)


class Database:
    """The ledger's database: a SQLite file (given as a path or a sqlite URL) or a PostgreSQL URL.

    Opening creates nothing. `path` is None unless it is a SQLite file; `address` names it with every secret masked;
    `birth_id` is the ledger id that it has, or will have once it is written.
    """

    def __init__(self, url_or_path: str, identity: str) -> None:
        url = _url_of(url_or_path)
        self.path = _sqlite_path(url)
        shown = url.difference_update_query([name for name in url.query if "password" in name.lower()])
        self.address = str(self.path) if self.path else shown.render_as_string(hide_password=True)
        place = str(self.path) if self.path else shown.set(password=None).render_as_string()
        self.birth_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{place}\n{identity}"))
        self._reader = self._engine(url, writing=False)
        self._writer = self._engine(url, writing=True)
        self._kept: sa.Connection | None = None  # while `keeping`

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """A read-only transaction (one snapshot), or None where there is no ledger yet. Not a byte of the ledger changes.

        A ledger of an older schema version is read through an upgraded copy that is thrown away.
        """
        with self._sentences():
            if self.path is not None:
                if not _has_content(self.path):
                    yield None
                    return
                self._finish_interrupted_commit()
            with self._reader.connect() as connection:
                version = self._version(connection)
                if version is None:
                    yield None
                elif version == SCHEMA_VERSION:
                    yield connection
                else:
                    with self._upgraded(connection, version) as upgraded:
                        yield upgraded

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A write transaction, alone in the ledger; commits at the end, rolls back on any exception.

        Creates the ledger, or upgrades an older one, in the same transaction.
        """
        if self._kept is not None:
            with self._sentences(), self._kept.begin():
                if self._kept.dialect.name == "postgresql":
                    self._kept.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITING)))
                yield self._kept
            return
        if self.path is not None and not self.path.parent.is_dir():
            raise SynckitError(f"The folder of the ledger {self.address} does not exist. Create it, or name another place.")
        with self._sentences(), self._writer.begin() as connection:
            self._open(connection)
            yield connection

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """One connection for every write transaction inside: what it has read of the ledger it need not read again."""
        with self.writing():
            pass  # there is a ledger, of this version
        with self._sentences():
            connection = self._writer.connect()
        try:
            if self.path is not None:
                connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KIB}")
                connection.exec_driver_sql("PRAGMA temp_store = MEMORY")  # where a SAVEPOINT keeps pages to return to
                connection.rollback()
            self._kept = connection
            yield
        finally:
            self._kept = None
            connection.close()

    def _open(self, connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":  # what BEGIN IMMEDIATE is to SQLite
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITING)))
        version = self._version(connection)
        if version is None:
            self._create(connection)
        else:
            upgrade(connection, version, self.address)

    def is_direct(self, connection: sa.Connection) -> bool:
        """Whether `connection` reads the ledger itself, not an upgraded copy of it."""
        return connection.engine is self._reader

    def read_only_uri(self) -> str | None:
        """The SQLite URI that opens the file without writing, or None where the ledger is no SQLite file."""
        return f"{self.path.as_uri()}?mode=ro" if self.path else None

    def _engine(self, url: sa.URL, *, writing: bool) -> sa.Engine:
        if self.path is None:
            engine = sa.create_engine(url, hide_parameters=True)
            if engine.dialect.name == "postgresql" and not writing:
                engine = engine.execution_options(isolation_level="REPEATABLE READ")
            return engine
        uri = f"{self.path.as_uri()}?mode={'rwc' if writing else 'ro'}"
        # No pool: an idle connection would hold the file open and hide that it was replaced.
        engine = sa.create_engine("sqlite://", creator=lambda: _connect(uri), poolclass=NullPool, hide_parameters=True)
        begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine

    def _version(self, connection: sa.Connection) -> int | None:
        """Schema version of the ledger, None where the database holds none. Raises SynckitError for a newer one."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(META.name):
            others = inspector.get_table_names() if self.path else []
            if others:
                raise SynckitError(
                    f"{self.address} is no ledger: it is a database with the tables {', '.join(others[:3])}"
                    f"{' ...' if len(others) > 3 else ''}. Give the ledger a file of its own."
                )
            return None
        value = connection.execute(sa.select(META.c.value).where(META.c.key == "schema_version")).scalar()
        if value is None or not str(value).isdigit():
            raise SynckitError(
                f'{self.address} is no ledger: its table "meta" has no schema version. Give the ledger its own place.'
            )
        refuse_newer(int(value), self.address)
        return int(value)

    def _create(self, connection: sa.Connection) -> None:
        METADATA.create_all(connection)
        facts = {
            "schema_version": str(SCHEMA_VERSION),
            "ledger_id": self.birth_id,
            "created_at": moment(datetime.now(UTC)),
            "run_counter": "0",
        }
        connection.execute(sa.insert(META), [{"key": key, "value": value} for key, value in facts.items()])

    @contextmanager
    def _upgraded(self, connection: sa.Connection, version: int) -> Iterator[sa.Connection]:
        if self.path is None:
            upgrade(connection, version, self.address)  # rolled back when the reading transaction ends
            yield connection
            return
        with closing(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)) as memory:
            with closing(_connect(f"{self.path.as_uri()}?mode=ro")) as source:
                source.backup(memory)
            engine = sa.create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool, hide_parameters=True)
            with engine.connect() as copy:
                upgrade(copy, version, self.address)
                yield copy

    def _finish_interrupted_commit(self) -> None:
        """Let SQLite roll back what a killed program left half-written: a read-only connection may not do that by itself."""
        if self.path is not None and self.path.with_name(self.path.name + "-journal").exists():
            with suppress(sqlite3.Error), closing(_connect(f"{self.path.as_uri()}?mode=rw")) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise SynckitError(explain(_first_words(error), self.address)) from error


def _first_words(error: BaseException) -> str:
    """What the database said first: a full disk ends SQLite's whole transaction, and undoing a part of that fails once more."""
    while isinstance(error.__context__, (sa.exc.DBAPIError, sqlite3.Error)):
        error = error.__context__
    return str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)


def explain(words: str, address: str) -> str:
    """What the database said about the ledger at `address`, as a sentence that says what to do."""
    said = words.strip().splitlines()[0] if words.strip() else "nothing"
    for signs, meaning in _MEANINGS:
        if any(sign in words.lower() for sign in signs):
            return f"The ledger {address} {meaning} ({said})."
    return f"The ledger {address} could not be used; its database says: {said}"


def moment(at: datetime) -> str:
    """`at` as the ledger stores it: UTC, microseconds always, no zone. A naive time is UTC already."""
    return (at.astimezone(UTC) if at.tzinfo else at).replace(tzinfo=None).isoformat(timespec="microseconds")


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _url_of(url_or_path: str) -> sa.URL:
    text = str(url_or_path).strip()
    if not text:
        raise SynckitError('The ledger has no address. Write a file such as "ledger.db", or a database URL.')
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        url = sa.make_url(text)
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError
        url.get_dialect()
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError):
        kind = text.split("://", 1)[0]
        raise SynckitError(
            f'The address of the ledger, "{kind}://...", is no SQLite or PostgreSQL URL. Write a file such as "ledger.db", '
            'or a URL such as "postgresql+psycopg://user@host/database".'
        ) from None
    return url


def _sqlite_path(url: sa.URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise SynckitError('The ledger has to outlive the program, so it cannot be in memory. Write a file such as "ledger.db".')
    path = Path(url.database).expanduser()
    path = path if path.is_absolute() else Path.cwd() / path
    path = path.parent.resolve() / path.name
    if path.is_dir():
        raise SynckitError(f"The ledger {path} is a folder. Name a file, such as {path / 'ledger.db'}.")
    return path


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def row_of(row: sa.Row[Any] | None) -> dict[str, Any] | None:
    """A row as a plain dict, or None."""
    return None if row is None else dict(row._mapping)
