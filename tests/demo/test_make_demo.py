"""Making the demo in a folder: what it writes, what it refuses, and that every database holds the same values."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from synckit.demo import SCHEMAS, data_folder, make_demo, rows_of
from synckit.errors import SynckitError
from synckit.ledger.ledger import Ledger
from synckit.mapping.loading import load_schema, load_workspace

COUPLINGS = list(rows_of(data_folder() / "couplings.csv"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("here") / "demo").parent


def test_the_workspace_is_valid_and_names_everything(demo: Path) -> None:
    workspace = load_workspace(demo)
    assert [mapping.name for mapping in workspace.mappings if mapping.name == "SALESPEOPLE"], "person ownership"
    assert (workspace.local_currency, workspace.base_currency, workspace.ownership_model) == ("EUR", "EUR", "person")
    assert workspace.local.company == "Nordwind Trading"
    assert workspace.integration.integration_user and workspace.integration.modified_by == "modifiedby"
    assert workspace.local.version.kept_by == workspace.integration.version.kept_by == "synckit"


def test_every_mapped_column_is_there_and_the_columns_that_filters_ask_for(demo: Path) -> None:
    workspace = load_workspace(demo)
    for side, name in SCHEMAS.items():
        schema = load_schema(name)
        for mapping in workspace.mappings:
            table = schema.table(getattr(mapping, side).table)
            header = set(next(rows_of(data_folder() / name / f"{table.table}.csv")))
            wanted = {getattr(field, side) for field in mapping.fields} - {None}
            wanted |= set(getattr(mapping, f"{side}_filter"))
            assert {table.column(column).column for column in wanted} <= header, f"{mapping.name}, {name}"


def test_sqlite_holds_the_values_of_the_files(demo: Path) -> None:
    for name in ("business_central", "dataverse"):
        with sqlite3.connect(demo / f"{name}.db") as connection:
            connection.row_factory = sqlite3.Row
            for path in (data_folder() / name).glob("*.csv"):
                stored = [{k: shown(v) for k, v in dict(row).items()} for row in connection.execute(f'SELECT * FROM "{path.stem}"')]  # noqa: S608
                written = [{k: {"true": "1", "false": "0"}.get(v, v) for k, v in row.items()} for row in rows_of(path)]
                assert sorted(map(str, stored)) == sorted(map(str, written)), path.stem


def shown(value: object) -> str:
    return "" if value is None else str(value)


def test_tables_have_types_keys_and_an_index_on_modified_on(demo: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{demo / 'business_central.db'}")
    look = sa.inspect(engine)
    columns = {column["name"]: column for column in look.get_columns("customer")}
    assert str(columns["name"]["type"]) == "VARCHAR(100)"
    assert str(columns["credit_limit_lcy"]["type"]) == "TEXT"
    assert not columns["e_mail"]["nullable"]
    assert look.get_pk_constraint("customer")["constrained_columns"] == ["no"]
    indexes = {tuple(index["column_names"]): index["unique"] for index in look.get_indexes("customer")}
    assert indexes == {("system_id",): 1, ("system_modified_at",): 0}
    engine.dispose()


def test_a_new_row_gets_what_the_system_itself_gives(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dataverse.db"
    copy.write_bytes((demo / "dataverse.db").read_bytes())
    with sqlite3.connect(copy) as connection:
        connection.execute("INSERT INTO account (accountid, name) VALUES ('x', 'New')")
        state, status, modified = connection.execute(
            "SELECT statecode, statuscode, modifiedon FROM account WHERE accountid = 'x'"
        ).fetchone()
    assert (state, status) == (0, 1)
    assert modified.endswith("Z") and len(modified) == 24


def test_the_ledger_knows_the_couplings(demo: Path) -> None:
    ledger = Ledger.open(str(demo / "ledger.db"), identity="")
    try:
        for mapping in {c["mapping"] for c in COUPLINGS}:
            wanted = {
                (c["local_key"], c["integration_key"], c["local_stamp"] or None) for c in COUPLINGS if c["mapping"] == mapping
            }
            columns = [ledger.couplings(mapping)[name].to_pylist() for name in ("local_key", "integration_key", "local_stamp")]
            assert set(zip(*columns, strict=True)) == wanted
    finally:
        ledger.close()


def test_exports_are_the_files_themselves(tmp_path: Path) -> None:
    workspace = load_workspace(make_demo(tmp_path / "demo", "exports"))
    assert workspace.local.folder == str(tmp_path / "demo" / "business_central")
    assert workspace.local.url is None
    for path in data_folder().glob("*/*.csv"):
        assert (tmp_path / "demo" / path.parent.name / path.name).read_bytes() == path.read_bytes()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(SynckitError, match=r"is not empty \(thesis\.txt\)"):
            make_demo(tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_earlier_demo_is_replaced_only_by_force_and_only_its_own_files(tmp_path: Path) -> None:
    workspace = make_demo(tmp_path / "demo")
    (tmp_path / "demo" / "monday.plan").write_text("mine")
    workspace.write_text("changed")
    with pytest.raises(SynckitError, match="holds a demo already"):
        make_demo(tmp_path / "demo")
    assert workspace.read_text() == "changed"
    make_demo(tmp_path / "demo", force=True)
    assert workspace.read_text() != "changed"
    assert (tmp_path / "demo" / "monday.plan").read_text() == "mine"


def test_a_file_in_the_way_and_impossible_wishes_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SynckitError, match="is a file"):
        make_demo(tmp_path / "file")
    with pytest.raises(SynckitError, match="leave the database urls out"):
        make_demo(tmp_path / "demo", "exports", url_local="postgresql:///x")
    with pytest.raises(SynckitError, match="give them two databases"):
        make_demo(tmp_path / "demo", url_local="postgresql:///x", url_integration="postgresql:///x")
    with pytest.raises(SynckitError, match="environment variable") as refused:
        make_demo(tmp_path / "demo", url_local="postgresql://u:hush@h/x")
    assert "hush" not in str(refused.value)
    assert not (tmp_path / "demo").exists()


# --- PostgreSQL: SYNCKIT_TEST_POSTGRES names a server (…/postgres) where databases may be made and dropped -----------------------


@pytest.fixture
def two_databases() -> Iterator[list[str]]:
    server = os.environ.get("SYNCKIT_TEST_POSTGRES")
    if not server:
        pytest.skip("SYNCKIT_TEST_POSTGRES is not set")
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    names = [f"synckit_demo_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    with engine.connect() as connection:
        for name in names:
            connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    yield [url.set(drivername="postgresql", database=name).render_as_string(hide_password=False) for name in names]
    with engine.connect() as connection:
        for name in names:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    engine.dispose()


def test_postgresql_holds_the_same_values_and_stamps_as_it_spells_them(tmp_path: Path, two_databases: list[str]) -> None:
    local, integration = two_databases
    make_demo(tmp_path / "demo", url_local=local, url_integration=integration)
    with pytest.raises(SynckitError, match="earlier demo"):
        make_demo(tmp_path / "other", url_local=local, url_integration=integration)
    make_demo(tmp_path / "demo", url_local=local, url_integration=integration, force=True)
    engine = sa.create_engine(sa.make_url(integration).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        connection.execute(sa.text("SET TIME ZONE 'UTC'"))
        found = connection.execute(sa.text("SELECT accountid::text, name, creditlimit, modifiedon::text FROM account")).all()
    engine.dispose()
    written = {row["accountid"]: row for row in rows_of(data_folder() / "dataverse" / "account.csv")}
    assert {key: (name, limit) for key, name, limit, _ in found} == {
        key: (row["name"], Decimal(row["creditlimit"]) if row["creditlimit"] else None) for key, row in written.items()
    }
    tokens = {key: token for key, _, _, token in found}
    ledger = Ledger.open(str(tmp_path / "demo" / "ledger.db"), identity="")
    stamps = dict(
        zip(*(ledger.couplings("CUSTOMER")[name].to_pylist() for name in ("integration_key", "integration_stamp")), strict=True)
    )
    ledger.close()
    current = {
        c["integration_key"] for c in COUPLINGS if c["integration_stamp"] == written.get(c["integration_key"], {}).get("modifiedon")
    }
    checked = [key for key in stamps if key in current]
    assert len(checked) > 150
    assert all(stamps[key] == tokens[key] for key in checked)
