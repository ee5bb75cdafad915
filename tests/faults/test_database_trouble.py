"""What databases do to a run: locks, deadlocks, connections cut, statements too slow, disks full. Each with its sentence and its clean end."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from world import MakeWorld, World, mapping

from synckit.applying import resume as resume_module
from synckit.applying import run as run_module
from synckit.applying.refusals import to_accept
from synckit.errors import PassingError, SynckitError
from synckit.ledger import database as ledger_database
from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Column, Schema, Table
from synckit.planning import engine as engine_module
from synckit.systems.marks import NAME
from synckit.systems.protocol import Write
from synckit.systems.sql import SqlSystem
from synckit.systems.sql_read import SqlSnapshot
from synckit.systems.sql_write import SqlWriter

ROWS = 12


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """No waiting between tries, and small chunks."""
    with mock.patch.object(resume_module, "WAIT", 0.01), mock.patch.object(run_module, "ROWS_AT_ONCE", 4):
        yield


def a_pair(make_world: MakeWorld, padding: str = "", **settings: Any) -> World:
    w = make_world(
        {"customer": "no code20 key, name text2000"},
        {"account": "name text2000"},
        [mapping("CUSTOMER", "customer > account", "name > name", direction="to_integration")],
        config={side: {"lock_timeout": 0.3, "statement_timeout": 20} for side in ("local", "integration")},
        **settings,
    )
    for n in range(ROWS):
        w.local.add("customer", f"C{n}", no=f"C{n}", name=f"Customer {n}{padding}")
    return w


def created_once(w: World) -> None:
    """Every customer has its one account, coupled; nothing is left to do."""
    assert sorted(r["name"] for r in w.integration.rows("account")) == sorted(r["name"] for r in w.local.rows("customer"))
    assert w.ws.ledger.coupling_count("CUSTOMER") == ROWS and w.ws.ledger.lease.holder() is None
    assert w.ws.resume() is None and w.ws.plan_full().writes == 0


@contextmanager
def once(owner: Any, name: str, do: Callable[[Any], None], at: int = 2) -> Iterator[list[int]]:
    """`do` before the `at`-th call of a method, once."""
    original, calls = getattr(owner, name), []

    def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            do(self)
        return original(self, *arguments, **options)

    with mock.patch.object(owner, name, wrapped):
        yield calls


def apply(w: World) -> Any:
    plan = w.plan()
    return w.ws.apply(plan, accept=to_accept(plan))


# --- a connection that is cut -------------------------------------------------------------------------------------------------------


def cut(writer: SqlWriter) -> None:
    """The server ends the very connection that is writing, as it does when it is stopped."""
    connection = writer._connection
    if connection.dialect.name == "postgresql":
        pid, ending = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar(), "SELECT pg_terminate_backend({})"
    else:
        pid, ending = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar(), "KILL CONNECTION {}"
    other = sa.create_engine(writer._system.url, poolclass=sa.pool.NullPool)
    with other.connect() as c:
        c.exec_driver_sql(ending.format(pid))
    time.sleep(0.1)


@pytest.mark.parametrize("make_world", ["postgresql"], indirect=True)
def test_a_connection_cut_in_the_middle_of_a_run_is_taken_up_again(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    with once(SqlWriter, "write_many", cut) as calls:
        run = apply(w)
    assert run.status == "finished" and len(calls) == 3  # three chunks; what the second one had sent was found not to be there
    created_once(w)


def cut_readers(snapshot: SqlSnapshot) -> None:
    """Both servers end every connection to the two databases."""
    for side in snapshot.world.sides.values():  # type: ignore[attr-defined]
        ask = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if side.maria:
            ask = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        for (number,) in side.sql(ask):
            if side.maria:
                with suppress(sa.exc.OperationalError):  # it has just ended by itself
                    side.sql(f"KILL CONNECTION {number}")
    time.sleep(0.1)


@pytest.mark.parametrize("make_world", ["servers"], indirect=True)
@pytest.mark.parametrize("tries", [1, 3])
def test_connections_cut_while_planning(make_world: MakeWorld, tries: int) -> None:
    """Whichever read it is: planning begins anew; where that is of no use one sentence of the system's, and the next plan is whole."""
    w = a_pair(make_world)
    whole, said, number = w.plan().sentence(), set(), 0
    while True:
        number += 1
        with (
            mock.patch.object(SqlSnapshot, "world", w, create=True),
            mock.patch.object(engine_module, "WAITS", (0.0,) * (tries - 1)),
            once(SqlSnapshot, "read", cut_readers, at=number) as reads,
        ):
            try:
                assert w.plan().sentence() == whole
            except SynckitError as problem:
                said.add(str(problem))
        if len(reads) < number:
            break
    assert number > 4
    if tries == 3:
        assert not said
    else:
        assert all(re.match("The connection to the (local|integration) system .* was lost", sentence) for sentence in said)
        assert len(said) >= 2 and all(sentence.endswith("nothing has been written.") for sentence in said)


@pytest.mark.parametrize("make_world", ["postgresql"], indirect=True)
def test_the_answer_of_a_commit_is_lost_with_its_connection(make_world: MakeWorld) -> None:
    """The rows are there, nobody was told: they are found, not created once more."""
    w = a_pair(make_world)
    commit, lost = sa.Connection.commit, []

    def then_lost(connection: Any) -> None:
        commit(connection)
        if not lost and connection.engine.url.database and w.integration.count("account") == 4:
            lost.append(1)
            raise sa.exc.OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    with mock.patch.object(sa.Connection, "commit", then_lost):
        run = apply(w)
    assert lost and run.status == "finished"
    created_once(w)


@pytest.mark.parametrize("make_world", ["postgresql"], indirect=True)
def test_a_server_that_stays_away_ends_the_run_with_a_sentence_and_resume_finishes_it(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    sent: list[int] = []

    def gone(original: Callable[..., Any]) -> Callable[..., Any]:
        def cut_off(writer: SqlWriter, table: Table, *arguments: Any) -> Any:
            sent.append(table.name != NAME)
            if sum(sent) > 1:
                cut(writer)
            return original(writer, table, *arguments)

        return cut_off

    with (
        mock.patch.object(SqlWriter, "write_many", gone(SqlWriter.write_many)),
        mock.patch.object(SqlWriter, "write", gone(SqlWriter.write)),
        pytest.raises(SynckitError, match=r'The connection to the integration system "Integration" was lost.*synckit resume'),
    ):
        w.ws.apply(plan, accept=to_accept(plan))
    assert w.ws.jobs().iloc[0]["status"] == "interrupted" and w.integration.count("account") == 4
    assert w.ws.resume().status == "finished"
    created_once(w)


# --- locks --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_world", ["postgresql"], indirect=True)
def test_a_table_locked_by_another_program_is_waited_for_then_said(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    with w.integration.engine.connect() as other:
        other.exec_driver_sql("LOCK TABLE integration.account IN EXCLUSIVE MODE")
        with mock.patch.object(resume_module, "TRIES", 2), pytest.raises(SynckitError) as told:
            w.ws.apply(plan, accept=to_accept(plan))
        for word in (
            "Another program holds rows of the integration system",
            "within 0.3 seconds",
            "`lock_timeout`",
            "synckit resume",
        ):
            assert word in told.value.message
        other.rollback()
    assert w.ws.resume().status == "finished"
    created_once(w)


def test_a_file_locked_by_another_program_before_the_run(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    with closing(sqlite3.connect(w.folder / "integration.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PassingError, match="Another program holds rows of the integration system"):
            w.ws.apply(plan, accept=to_accept(plan))
        other.execute("ROLLBACK")
    assert w.ws.apply(plan, accept=to_accept(plan)).status == "finished"  # the same command again
    created_once(w)


def test_a_file_locked_in_the_middle_of_a_run(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    original, calls = SqlSystem.writer, []
    with closing(sqlite3.connect(w.folder / "integration.db", isolation_level=None)) as other:

        @contextmanager
        def writer(system: SqlSystem) -> Iterator[Any]:
            calls.append(1)
            if len(calls) == 3:  # the mark, a chunk, and now
                other.execute("BEGIN IMMEDIATE")
            elif len(calls) == 4:
                other.execute("ROLLBACK")
            with original(system) as made:
                yield made

        with mock.patch.object(SqlSystem, "writer", writer):
            run = apply(w)
    assert run.status == "finished" and len(calls) == 5
    created_once(w)


# --- each database, each trouble, straight at the writer ------------------------------------------------------------------------------

NOTE = Table(name="note", table="note", primary_key=("id",), uid="id", columns=(
    Column(name="id", column="id", type="text", length=20, primary_key=True), Column(name="words", column="words", type="text", length=50),
))  # fmt: skip


class Server:
    """One table on a server, synckit's system over it, and a second session that is somebody else's."""

    def __init__(self, url: str, **timeouts: float) -> None:
        self.engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with self.engine.begin() as c:
            c.exec_driver_sql("CREATE TABLE note (id varchar(20) PRIMARY KEY, words varchar(50))")
            c.exec_driver_sql("INSERT INTO note VALUES ('a', ''), ('b', ''), ('c', ''), ('d', '')")
        config = SystemConfig(name="Server", url=url, schema="notes", **timeouts)
        self.system = SqlSystem(config, Schema(name="notes", tables=(NOTE,)), "local")

    def write(self, *keys: str) -> list[str]:
        with self.system.writer() as writer:
            return [o.state for o in writer.write(NOTE, "id", [Write("update", k, {"words": "ours"}) for k in keys])]

    def words(self) -> set[str]:
        with self.engine.connect() as c:
            return {row[0] for row in c.exec_driver_sql("SELECT words FROM note")}


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def server(request: pytest.FixtureRequest) -> Callable[..., Server]:
    url = request.getfixturevalue(request.param)
    return lambda **timeouts: Server(url, **timeouts)


def test_a_lock_that_is_not_let_go(server: Callable[..., Server]) -> None:
    at = server(lock_timeout=1)
    with at.engine.connect() as other:
        other.exec_driver_sql("UPDATE note SET words = 'theirs' WHERE id = 'b'")
        with pytest.raises(PassingError, match=r"Another program holds rows of .* within 1 seconds"):
            at.write("a", "b", "c")
        other.rollback()
    assert at.words() == {""} and at.write("a", "b") == ["done", "done"]


def test_a_deadlock(server: Callable[..., Server]) -> None:
    at = server(lock_timeout=20)
    with at.engine.connect() as other:
        if other.dialect.name == "postgresql":
            other.exec_driver_sql("SET deadlock_timeout = '20s'")  # so that it is ours that is ended
        for n in range(100):  # the larger transaction stays
            other.exec_driver_sql(f"INSERT INTO note VALUES ('{n}', 'theirs')")  # noqa: S608
        other.exec_driver_sql("UPDATE note SET words = 'theirs' WHERE id IN ('b', 'c', 'd')")

        def cross() -> None:
            other.exec_driver_sql("UPDATE note SET words = 'theirs' WHERE id = 'a'")
            other.commit()

        thread = threading.Thread(target=cross)
        with pytest.raises(PassingError, match="wrote the same rows at the same time"), at.system.writer() as writer:
            writer.write(NOTE, "id", [Write("update", "a", {"words": "ours"})])
            thread.start()
            time.sleep(0.5)
            writer.write(NOTE, "id", [Write("update", "b", {"words": "ours"})])
        thread.join()
    assert at.words() == {"theirs"} and at.write("a", "b") == ["done", "done"]


def test_a_connection_that_is_cut(server: Callable[..., Server]) -> None:
    at = server()
    with pytest.raises(PassingError, match=r"The connection to the local system .* was lost"), at.system.writer() as writer:
        writer.write(NOTE, "id", [Write("update", "a", {"words": "ours"})])
        cut(writer)
        writer.write(NOTE, "id", [Write("update", "b", {"words": "ours"})])
    assert at.words() == {""} and at.write("a", "b") == ["done", "done"]


def test_a_statement_that_takes_too_long(server: Callable[..., Server]) -> None:
    at = server(statement_timeout=1, lock_timeout=20)
    with at.engine.connect() as other:
        other.exec_driver_sql("UPDATE note SET words = 'theirs' WHERE id = 'b'")
        with pytest.raises(SynckitError, match=r"within 1 seconds. Write a larger `statement_timeout`") as told:
            at.write("a", "b")
        assert not isinstance(told.value, PassingError)
        other.rollback()
    assert at.words() == {""}


def test_a_server_that_is_read_only_at_the_moment(server: Callable[..., Server]) -> None:
    at = server()
    with pytest.raises(SynckitError, match="read-only at the moment"), at.system.writer() as writer:
        on = "SET TRANSACTION READ ONLY" if writer._connection.dialect.name == "postgresql" else "START TRANSACTION READ ONLY"
        writer._connection.exec_driver_sql(on)
        writer.write(NOTE, "id", [Write("update", "a", {"words": "ours"})])
    assert at.words() == {""}


# --- disks --------------------------------------------------------------------------------------------------------------------------


def limited(path: Path, spare: int) -> Callable[[Any], Any]:
    """A way to open the SQLite file so that it cannot grow by more than `spare` pages: a full disk."""
    with closing(sqlite3.connect(path)) as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
    return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + spare}")


def test_the_disk_of_the_ledger_is_full(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    with w.ws.ledger.transaction():
        pass
    original = ledger_database._connect
    told = set()
    for spare in (0, 1, 3, 5, 8, 11):
        limit = limited(w.folder / "ledger.db", spare)

        def connect(uri: str, limit: Any = limit) -> Any:
            made = original(uri)
            limit(made)
            return made

        with mock.patch.object(ledger_database, "_connect", connect), suppress(SynckitError):
            try:
                w.ws.apply(plan, accept=to_accept(plan)) if not len(w.ws.ledger.runs()) else w.ws.resume()
            except SynckitError as problem:
                told.add(problem.message)
                raise
    assert told and all("because the disk is full" in said and "Free some space" in said for said in told), told
    run = w.ws.resume() if len(w.ws.ledger.runs()) else w.ws.apply(plan, accept=to_accept(plan))
    assert run is None or run.status == "finished"
    created_once(w)


def test_the_disk_of_a_system_is_full(make_world: MakeWorld) -> None:
    w = a_pair(make_world, padding="x" * 1900)
    plan = w.plan()

    def full(writer: SqlWriter) -> None:
        size = writer._connection.exec_driver_sql("PRAGMA page_count").scalar()
        writer._connection.exec_driver_sql(f"PRAGMA max_page_count = {size}")

    with once(SqlWriter, "write_many", full), pytest.raises(SynckitError, match=r"its disk or memory is full. Free some space"):
        w.ws.apply(plan, accept=to_accept(plan))
    assert len(w.ws.errors()) == 0  # no row is to blame
    assert w.ws.resume().status == "finished"
    created_once(w)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes of another kind")
def test_a_ledger_that_is_read_only(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    original = ledger_database._connect
    readable = lambda uri: original(uri.replace("mode=rwc", "mode=ro"))  # noqa: E731 - also for those who may write everywhere
    with w.ws.ledger.transaction():
        pass
    with (
        mock.patch.object(ledger_database, "_connect", readable),
        pytest.raises(SynckitError, match=r"is read-only. Allow writing there"),
    ):
        w.ws.apply(plan, accept=to_accept(plan))
    assert w.integration.count("account") == 0
    assert w.ws.apply(plan, accept=to_accept(plan)).status == "finished"
    created_once(w)


# --- the lease ----------------------------------------------------------------------------------------------------------------------


def test_a_lease_that_cannot_be_given_back_hides_no_error_and_stops_no_planning(make_world: MakeWorld) -> None:
    from synckit.ledger.lease import Lease

    def refused(lease: Lease, epoch: int) -> None:
        raise SynckitError("the ledger could not be written")

    w = a_pair(make_world)
    plan = w.plan()

    def broken(writer: SqlWriter) -> None:
        raise SynckitError("the first error")

    with mock.patch.object(Lease, "release", refused):
        with once(SqlWriter, "write_many", broken), pytest.raises(SynckitError, match="the first error"):
            w.ws.apply(plan, accept=to_accept(plan))
        assert w.ws.ledger.lease.holder() is None
        w.ws.plan_full()
        assert w.ws.resume().status == "finished"
        created_once(w)
