"""Opening creates nothing, reading changes nothing, the first write creates the ledger, and trouble is told in a sentence."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from synckit.errors import SynckitError
from synckit.ledger import upgrade
from synckit.ledger.database import explain
from synckit.ledger.ledger import Ledger
from synckit.ledger.tables import SCHEMA_VERSION

C = {"mapping": "CUSTOMER", "local_key": "l1", "integration_key": "i1"}


def fingerprint(path: Path) -> tuple[str, int]:
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns


def test_a_ledger_that_does_not_exist_answers_as_an_empty_one(ledger, path):
    assert not ledger.exists
    for table in (
        ledger.couplings("C"),
        ledger.due("C"),
        ledger.held("C"),
        ledger.jobs(),
        ledger.errors(),
        ledger.skipped(),
        ledger.runs(),
    ):
        assert table.num_rows == 0
    assert ledger.journal().num_rows == 0 and ledger.decisions().num_rows == 0 and ledger.coupling_counts().num_rows == 0
    assert ledger.watermarks("C") == {} and ledger.settings() == {} and ledger.created_times("C") == {} and ledger.claims(1) == {}
    assert ledger.run_counter() == 0 and ledger.coupling_count("C") == 0 and ledger.coupling("C", local="x") is None
    assert ledger.lease.holder() is None
    assert list(path.parent.iterdir()) == []


def test_the_id_is_the_same_before_and_after_creation(ledger, path):
    before = ledger.ledger_id
    assert before == Ledger.open(str(path), identity="BC / Dataverse").ledger_id
    assert (
        before == Ledger.open(sa.URL.create("sqlite", database=str(path)).render_as_string(), identity="BC / Dataverse").ledger_id
    )
    assert before != Ledger.open(str(path), identity="another pair").ledger_id
    with ledger.transaction() as tx:
        tx.put_setting("a", "b", "test")
    assert ledger.ledger_id == before == Ledger.open(str(path), identity="another pair").ledger_id


def test_reading_leaves_every_byte_and_the_folder_alone(ledger, path):
    with ledger.transaction() as tx:
        tx.add_couplings([C])
    before = fingerprint(path)
    assert ledger.couplings("CUSTOMER").num_rows == 1
    assert ledger.runs().num_rows == 0 and ledger.settings() == {} and ledger.run_counter() == 0
    assert fingerprint(path) == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_failed_transaction_leaves_nothing(ledger):
    with pytest.raises(ZeroDivisionError), ledger.transaction() as tx:
        tx.add_couplings([C])
        raise ZeroDivisionError
    assert not ledger.exists and ledger.coupling_count("CUSTOMER") == 0


def test_a_database_of_something_else_is_never_taken_for_a_ledger(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE customer (no TEXT)")
    other.close()
    before = fingerprint(path)
    ledger = Ledger.open(str(path), identity="x")
    for use in (ledger.run_counter, lambda: ledger.transaction().__enter__()):
        with pytest.raises(SynckitError, match="is no ledger: it is a database with the tables customer"):
            use()
    assert fingerprint(path) == before


def test_a_file_that_is_no_database_is_named(path):
    path.write_text("hello, this is a text file and it is long enough to have a header" * 20)
    with pytest.raises(SynckitError, match="is damaged or no database"):
        Ledger.open(str(path), identity="x").run_counter()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "has no address"),
        ("sqlite://", "cannot be in memory"),
        ("nosuch://anna:geheim@host/db", "is no SQLite or PostgreSQL URL"),
        ("mysql+pymysql://anna:geheim@host/db", "is no SQLite or PostgreSQL URL"),
    ],
)
def test_bad_addresses_are_refused_without_showing_secrets(address, says):
    with pytest.raises(SynckitError, match=says) as caught:
        Ledger.open(address, identity="x")
    assert "geheim" not in str(caught.value)


def test_passwords_are_neither_shown_nor_part_of_the_id():
    one, two = (Ledger.open(f"postgresql+psycopg://a:{word}@h/d?password={word}", identity="x") for word in ("geheim", "other"))
    assert "geheim" not in one.address + repr(one)
    assert one._database.birth_id == two._database.birth_id


def test_a_folder_that_is_missing_is_named(tmp_path):
    ledger = Ledger.open(str(tmp_path / "nowhere" / "ledger.db"), identity="x")
    assert ledger.run_counter() == 0
    with pytest.raises(SynckitError, match=r"folder of the ledger .* does not exist"), ledger.transaction():
        pass
    with pytest.raises(SynckitError, match="is a folder"):
        Ledger.open(str(tmp_path), identity="x")


def test_a_full_disk_and_a_read_only_ledger_are_sentences(ledger):
    with ledger.transaction() as tx:
        tx.add_couplings([C])
    with pytest.raises(SynckitError, match="the disk is full"), ledger.transaction() as tx:
        tx.connection.exec_driver_sql("PRAGMA max_page_count = 1")
        tx.add_couplings([{**C, "local_key": f"k{n:0500d}", "integration_key": f"i{n:0500d}"} for n in range(500)])
    with pytest.raises(SynckitError, match="is read-only"), ledger.transaction() as tx:
        tx.connection.exec_driver_sql("PRAGMA query_only = ON")
        tx.put_setting("a", "b")
    assert ledger.coupling_count("CUSTOMER") == 1 and ledger.settings() == {}
    assert "its database says: something odd" in explain("something odd", "x.db")


def test_a_killed_writer_leaves_the_ledger_readable(ledger, path):
    """The half-written transaction is rolled back although planning opens the file read-only."""
    with ledger.transaction() as tx:
        tx.add_couplings([C])
    script = (
        "import os, sys; from synckit.ledger.ledger import Ledger\n"
        "with Ledger.open(sys.argv[1], identity='x').transaction() as tx:\n"
        "    tx.connection.exec_driver_sql('PRAGMA cache_size = 1')\n"
        "    tx.add_couplings([dict(mapping='C', local_key=f'k{n:0100d}', integration_key=f'i{n:0100d}') for n in range(3000)])\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=Path(__file__).parents[2], check=False, env={**os.environ})
    assert done.returncode == 9
    assert path.with_name(path.name + "-journal").exists()
    assert ledger.coupling_count("CUSTOMER") == 1
    assert ledger.couplings("CUSTOMER")["local_key"].to_pylist() == ["l1"]


def make_old(path: Path, version: int = 0) -> None:
    """A ledger as an imagined earlier version wrote it: without the column `held` of couplings."""
    with sqlite3.connect(path) as old:
        old.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))
        old.execute("ALTER TABLE coupling DROP COLUMN held")
    old.close()


def add_held(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE coupling ADD COLUMN held TEXT")


def test_an_older_ledger_is_read_as_it_is_and_upgraded_by_the_first_write(ledger, path, monkeypatch):
    with ledger.transaction() as tx:
        tx.add_couplings([C])
    make_old(path)
    monkeypatch.setitem(upgrade.STEPS, 0, add_held)
    before = fingerprint(path)
    assert ledger.couplings("CUSTOMER")["held"].to_pylist() == [None]
    assert fingerprint(path) == before
    with ledger.transaction() as tx:
        tx.hold_couplings([1], "by hand")
    assert ledger.couplings("CUSTOMER")["held"].to_pylist() == ["by hand"]
    with sqlite3.connect(path) as new:
        assert new.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == (str(SCHEMA_VERSION),)
    new.close()


def test_the_journal_of_a_ledger_of_version_1_stays_readable(ledger, path):
    with ledger.transaction() as tx:
        run = tx.start_run("plan-1", "full", "anna", "pc", 1, 1)
        tx.journal_intents([{"run_id": run, "mapping": "CUSTOMER", "op": "update", "local_key": "l1", "after": {"name": "x"}}])
    with sqlite3.connect(path) as old:
        old.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
        old.execute("DROP TABLE journal_batch")
    old.close()
    before = fingerprint(path)
    lines = ledger.journal(mapping="CUSTOMER", key="l1").to_pylist()
    assert [(one["id"], one["after"], one["state"]) for one in lines] == [(1, '{"name":"x"}', "intent")]
    assert fingerprint(path) == before
    with ledger.transaction() as tx:
        tx.journal_outcomes([{"id": 1, "state": "done", "token_after": "v2"}])
        assert tx.journal_intents([{"run_id": run, "mapping": "CUSTOMER", "op": "update"}]) == 2
    assert ledger.journal(run=run)["state"].to_pylist() == ["done", "intent"]


def test_an_upgrade_that_fails_changes_nothing(ledger, path, monkeypatch):
    with ledger.transaction() as tx:
        tx.add_couplings([C])
    make_old(path)

    def broken(connection: sa.Connection) -> None:
        add_held(connection)
        raise SynckitError("no")

    monkeypatch.setitem(upgrade.STEPS, 0, broken)
    before = path.read_bytes()
    with pytest.raises(SynckitError, match="no"), ledger.transaction():
        pass
    assert path.read_bytes() == before


def test_newer_and_far_too_old_ledgers_are_refused(ledger, path):
    with ledger.transaction() as tx:
        tx.add_couplings([C])
    make_old(path)
    with pytest.raises(SynckitError, match="can no longer upgrade"):
        ledger.couplings("CUSTOMER")
    with sqlite3.connect(path) as newer:
        newer.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    newer.close()
    with pytest.raises(SynckitError, match=r"schema version 99.*Update synckit"):
        ledger.run_counter()
