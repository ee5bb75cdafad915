"""Connecting to SQLite, PostgreSQL and MariaDB: engines for reading and writing, and one clear sentence for everything that fails."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from synckit.errors import PassingError, SynckitError
from synckit.systems.secrets import scrub

TIMEOUTS = (30.0, 900.0)  # seconds: for rows that another program holds, for one statement
_BACK_OFF_SECONDS = 0.5
#: SQLAlchemy backend -> (dialect + driver, module of the driver, extra that installs it)
_DRIVERS = {
    "sqlite": ("sqlite+pysqlite", "sqlite3", ""),
    "postgresql": ("postgresql+psycopg", "psycopg", "postgres"),
    "mysql": ("mariadb+pymysql", "pymysql", "mariadb"),
    "mariadb": ("mariadb+pymysql", "pymysql", "mariadb"),
}
_WRONG_LOGIN = ("password authentication failed", "access denied", "no password supplied", "(1045,", "(1044,", "(1698,", "does not exist",
                "unknown database", "(1049,", "no pg_hba.conf entry")  # fmt: skip
T = TypeVar("T")


def _start(where: str) -> str:
    return where[:1].upper() + where[1:]


def with_driver(url: sa.URL, where: str) -> sa.URL:
    """The URL with the driver synckit uses; SynckitError for another dialect or a driver that is not installed."""
    backend = url.drivername.partition("+")[0]
    if backend == "postgres":
        backend = "postgresql"
    if backend not in _DRIVERS:
        raise SynckitError(f'{_start(where)} has a url of kind "{backend}"; write sqlite, postgresql or mariadb.')
    drivername, module, extra = _DRIVERS[backend]
    try:
        importlib.import_module(module)
    except ImportError:
        raise SynckitError(
            f'{_start(where)} needs the driver {module}, which is not installed; run: pip install "synckit[{extra}]".'
        ) from None
    return url.set(drivername=drivername)


def sqlite_path(url: sa.URL, where: str) -> Path:
    """The database file, absolute; SynckitError where there is none: it is never made."""
    if not url.database or url.database == ":memory:":
        raise SynckitError(f"{_start(where)} has a url without a file; write sqlite:///folder/file.db.")
    path = Path(url.database.removeprefix("file:").partition("?")[0]).expanduser().resolve()
    if not path.exists():
        raise SynckitError(f"There is no SQLite file {path} for {where}; write the path of an existing file.")
    if path.is_dir():
        raise SynckitError(f"{path}, the url of {where}, is a folder; write the path of an SQLite file, or `folder:` for exports.")
    return path


@dataclass
class _InUse:
    library: str
    wal: bool
    count: int = 0


_FILES: dict[Path, _InUse] = {}
_FILES_LOCK = threading.Lock()


@contextmanager
def using(path: Path, library: str, where: str) -> Iterator[_InUse]:
    """Claim an SQLite file for one of the two SQLite libraries of this process (ADBC's and Python's): the one it is in use by, else
    `library`. Closing any handle of a file drops every POSIX lock the process has on it, another library's too, so a file never has
    both at once, and nothing else opens it (its head is read only while it is not in use). Raises SynckitError for no database.
    """
    with _FILES_LOCK:
        entry = _FILES.get(path)
        if entry is None:
            entry = _FILES[path] = _InUse(library, _is_wal(path, where))
        entry.count += 1
    try:
        yield entry
    finally:
        with _FILES_LOCK:
            entry.count -= 1
            if not entry.count:
                del _FILES[path]


def _is_wal(path: Path, where: str) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as problem:
        raise SynckitError(f"The SQLite file {path} of {where} cannot be read: {problem.strerror}.") from None
    if head and head[:16] != b"SQLite format 3\x00":
        raise SynckitError(f"{path}, the url of {where}, is not an SQLite database; write the path of one.")
    return len(head) == 20 and head[18] == 2


class SqliteView:
    """How to open an SQLite file so that not a byte of it or its folder changes.

    A rollback-journal file is opened `mode=ro`. In WAL mode even a reader makes side files, so: with a live writer its shared
    memory is read only; without side files the file is opened as immutable, and `unchanged` tells whether that held; a log left
    behind by a crash is read from a private copy.
    """

    def __init__(self, path: Path, wal: bool) -> None:
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._stat: tuple[int, int] | None = None
        self.path = path
        options = "mode=ro"
        if wal:
            log, shared = Path(f"{path}-wal"), Path(f"{path}-shm")
            if log.exists() and shared.exists():
                options += "&readonly_shm=1"
            elif log.exists() and log.stat().st_size:
                self._copy = tempfile.TemporaryDirectory(prefix="synckit-")
                path = Path(self._copy.name) / "copy.db"
                shutil.copyfile(self.path, path)
                shutil.copyfile(log, f"{path}-wal")
            else:
                options += "&immutable=1"
                self._stat = self._look()
        self.uri = f"file:{quote(path.as_posix())}?{options}"

    def _look(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size

    def unchanged(self) -> bool:
        """False where another program wrote to the file while it was read as immutable."""
        return self._stat is None or self._stat == self._look()

    def close(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()


def patience(backend: str, timeouts: tuple[float, float]) -> tuple[str, ...]:
    """How long a server waits for locks, and how long a statement may take: SQL for a new session."""
    lock, statement = timeouts
    if backend == "postgresql":
        return f"SET lock_timeout = {int(lock * 1000)}", f"SET statement_timeout = {int(statement * 1000)}"
    seconds = max(1, round(lock))
    return (f"SET innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}, max_statement_time = {statement:g}",)


def engine(url: sa.URL, where: str, writing: bool, sqlite_uri: str = "", timeouts: tuple[float, float] = TIMEOUTS) -> Engine:
    """A fresh engine without a pool. SQLite: transactions are begun by hand; PostgreSQL and MariaDB: the session's clock is UTC.
    `timeouts`: seconds to wait for a lock, and for a statement."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        uri = sqlite_uri or f"file:{quote(sqlite_path(url, where).as_posix())}?mode={'rw' if writing else 'ro'}"

        def connect() -> sqlite3.Connection:
            made = sqlite3.connect(uri, uri=True, timeout=timeouts[0], isolation_level=None, check_same_thread=False)
            if writing:
                made.execute("PRAGMA temp_store = MEMORY")  # for the pages that a SAVEPOINT may return to, not a file
            return made

        return sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    made = sa.create_engine(url, poolclass=NullPool, connect_args=_timeouts(url, timeouts[1]), hide_parameters=True)
    statements = (
        ("SET TIME ZONE 'UTC'", "SET DateStyle = 'ISO, YMD'", "SET extra_float_digits = 1")
        if backend == "postgresql"
        else ("SET time_zone = '+00:00'", "SET sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')")
    )

    statements = (*statements, *patience(backend, timeouts))

    def prepare(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.commit()

    event.listen(made, "connect", prepare)
    return made


def _timeouts(url: sa.URL, statement: float) -> dict[str, Any]:
    """How long to wait for a network that says nothing: longer than a statement may take."""
    silent: dict[str, Any] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 6}
    if url.get_backend_name() != "postgresql":
        silent = {"read_timeout": int(statement) + 60, "write_timeout": int(statement) + 60}
    given = {name.casefold() for name in url.query}
    return {name: value for name, value in {"connect_timeout": 10, **silent}.items() if name not in given}


def connected(attempt: Callable[[], T], url: sa.URL, where: str) -> T:
    """What `attempt` (a connecting call) returns; tried once more after a pause where the network may be at fault."""
    for last in (False, True):
        try:
            return attempt()
        except SynckitError:
            raise
        except Exception as problem:
            text = scrub(getattr(problem, "orig", None) or problem, url)
            refused = any(mark in text.casefold() for mark in _WRONG_LOGIN) or url.get_backend_name() == "sqlite"
            if last or refused:
                raise (SynckitError if refused else PassingError)(_why(text, url, where)) from None
        time.sleep(_BACK_OFF_SECONDS)
    raise AssertionError("unreachable")


def let_go(connection: sa.Connection) -> None:
    """Close a connection and its engine. One that is lost cannot be closed in order: what was said when it was lost is what counts."""
    with suppress(SQLAlchemyError):
        connection.close()
    connection.engine.dispose()


def _why(text: str, url: sa.URL, where: str) -> str:
    if url.get_backend_name() == "sqlite":
        return f"The SQLite file of {where} cannot be opened: {text}."
    place = f"{url.host or 'localhost'}:{port(url)}"
    low = text.casefold()
    user = url.username or "(none)"
    if "password" in low or "access denied" in low or "(1045," in low or "pg_hba" in low:
        return f'The database of {where} at {place} refused the user "{user}": check user and password in its url. It said: {text}'
    if "does not exist" in low or "unknown database" in low:
        return (
            f'The server of {where} at {place} has no database or user as in its url ("{url.database}", "{user}"). It said: {text}'
        )
    return (
        f"The database of {where} at {place} cannot be reached: check host and port in its url, and that it runs. It said: {text}"
    )


def port(url: sa.URL) -> int:
    return url.port or (5432 if url.get_backend_name() == "postgresql" else 3306)


def unwritable(path: Path) -> str:
    """'' where an SQLite file and its folder (which holds the journal) may be written, else what may not."""
    if not os.access(path, os.W_OK):
        return f"the file {path} is read-only"
    if not os.access(path.parent, os.W_OK):
        return f"the folder {path.parent} is read-only, and SQLite keeps its journal there"
    return ""
