"""A server that crashes and comes back in the middle of a run: a MariaDB and a PostgreSQL of the test's own, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from test_database_trouble import a_pair, apply, at_once, created_once, once
from world import World

from synckit.mapping.schema import Table
from synckit.planning import engine as engine_module
from synckit.systems.sql_read import SqlSnapshot
from synckit.systems.sql_write import SqlWriter

__all__ = ["at_once"]
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """A database server in a folder of its own. `crash` is a power cut of this server alone: it is killed, and started again."""

    user, url = "", ""

    def __init__(self) -> None:
        self.port, self.process = free_port(), None
        self.folder = Path(tempfile.mkdtemp(prefix="sk", dir="/tmp"))  # a socket's path must be short
        if ROOT:
            shutil.chown(self.folder, self.user)
        self.make()
        self.start()

    def command(self, *words: object) -> list[str]:
        """As the server's own user: neither server runs as root."""
        return [*(["runuser", "-u", self.user, "--"] if ROOT else []), *(str(w) for w in words)]

    def run(self, *words: object) -> None:
        subprocess.run(self.command(*words), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make(self) -> None:
        raise NotImplementedError

    def started(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.started(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        for _ in range(300):
            try:
                with engine.connect():
                    return
            except sa.exc.OperationalError:
                time.sleep(0.1)
        raise RuntimeError(f"the server in {self.folder} does not answer")

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        time.sleep(0.3)

    def crash(self) -> None:
        self.kill()
        self.start()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    user = "postgres"
    initdb = next(iter(Path("/usr/lib/postgresql").glob("*/bin/initdb")), Path(shutil.which("initdb") or "initdb"))
    programs = initdb.parent

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        self.run(f"{self.programs}/initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8")

    def started(self) -> list[str]:
        return self.command(
            f"{self.programs}/postgres", "-D", self.folder / "data", "-p", self.port, "-k", self.folder, "-h", "127.0.0.1"
        )

    def kill(self) -> None:
        # "immediate" is a crash: nothing is written any more, and what was committed is recovered at the next start
        self.run(f"{self.programs}/pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")
        assert self.process is not None
        self.process.wait(20)


class MariaDB(Server):
    user = "mysql"
    program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"mariadb+pymysql://root@127.0.0.1:{self.port}/test"

    def make(self) -> None:
        self.run(
            shutil.which("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
        )

    def started(self) -> list[str]:
        return self.command(self.program, "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}", "--bind-address=127.0.0.1",
                            f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'p'}")  # fmt: skip


@pytest.fixture
def servers() -> Iterator[dict[str, Server]]:
    """One server of either kind."""
    if (
        not Postgres.initdb.is_file()
        or not shutil.which("mariadb-install-db")
        or not Path(MariaDB.program).exists()
        or (ROOT and not shutil.which("runuser"))
    ):
        pytest.skip("needs the programs of PostgreSQL (initdb) and MariaDB (mariadb-install-db) to run servers of its own")
    made: dict[str, Server] = {}
    try:
        made["local"] = MariaDB()
        made["integration"] = Postgres()
        yield made
    finally:
        for one in made.values():
            one.close()


@pytest.fixture
def make(servers: dict[str, Server], tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make_world(local: object, integration: object, mappings: object, **settings: object) -> World:
        urls = {side: one.url for side, one in servers.items()}
        worlds.append(World(tmp_path, local, integration, mappings, urls=urls, **settings))  # type: ignore[arg-type]
        return worlds[-1]

    yield make_world
    for world in worlds:
        world.close()


@contextmanager
def crashing_while_read(server: Server) -> Iterator[None]:
    """The server crashes once, when its own rows are read: the other one, read at the same time, is left alone."""
    original, crashed = SqlSnapshot.read, list[bool]()

    def read(self: SqlSnapshot, table: Table, *arguments: Any, **options: Any) -> Any:
        own = (self._dialect == "postgresql") == isinstance(server, Postgres)
        if own and table.name in ("customer", "account") and not crashed:
            crashed.append(True)
            server.crash()
        return original(self, table, *arguments, **options)

    with mock.patch.object(SqlSnapshot, "read", read):
        yield
    assert crashed


def test_servers_that_crash_and_come_back(make: Callable[..., World], servers: dict[str, Server]) -> None:
    """While planning, while the source is read again, while rows are being written: the run ends by itself, nothing doubled or lost."""
    w = a_pair(make)
    with mock.patch.object(engine_module, "WAITS", (0.5,) * 20):
        for side in servers:
            with crashing_while_read(servers[side]):
                assert w.plan().total("create") == 12
    w.reopen()
    with (
        once(SqlWriter, "write_many", lambda _: servers["integration"].crash()) as written,
        once(SqlSnapshot, "read", lambda _: servers["local"].crash(), at=4) as read,
    ):
        run = apply(w)
    assert run.status == "finished" and len(written) >= 3 and len(read) > 4
    created_once(w)
