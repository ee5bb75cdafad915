"""`synckit init` on what people have: the demo's databases and exports, two databases of one's own, urls with passwords."""

from __future__ import annotations

import csv
import sqlite3
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

import synckit
from synckit.demo import make_demo
from synckit.errors import SynckitError
from synckit.init import Proposal, propose_workspace, write_workspace
from synckit.init.names import column_likeness, is_kept_by_system, table_likeness

FIRMS = [f"Firm {n} {'GmbH' if n % 5 else 'Ltd'}" for n in range(40)]


def sql(path: Path, script: str, insert: str = "", rows: list[tuple] = ()) -> None:  # type: ignore[assignment]
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
        if insert:
            connection.executemany(insert, rows)
    connection.close()


def make_erp(path: Path, key: str = "INTEGER PRIMARY KEY") -> None:
    """Customers with integer keys, as a small ERP has them."""
    sql(
        path,
        f"CREATE TABLE customers (id {key}, customer_name VARCHAR(50) NOT NULL, email VARCHAR(80), phone VARCHAR(30), city TEXT,"
        " postcode TEXT, credit_limit TEXT, country TEXT, modified_at DATETIME NOT NULL);"
        "CREATE TABLE settings (name TEXT, value TEXT);",
        "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (n + 1, name, f"info@firm{n}.example", f"+49 30 {n:04d}", ["Berlin", "Ulm"][n % 2], f"{10000 + n}", f"{n}.50", "DE", f"2026-01-{n % 28 + 1:02d}T10:00:00.000Z")
            for n, name in enumerate(FIRMS)
        ],
    )  # fmt: skip


def make_crm(path: Path) -> None:
    """The same firms (but for the first ten) as clients with GUIDs, in other words."""
    sql(
        path,
        "CREATE TABLE clients (client_guid TEXT PRIMARY KEY, display_name TEXT NOT NULL, mail VARCHAR(120), telephone TEXT, town TEXT,"
        " zip TEXT, max_credit TEXT, rating INTEGER, updated_at TEXT NOT NULL);",
        "INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (str(uuid.UUID(int=n + 1)), name, f"info@firm{n}.example", f"+49 30 {n:04d}", ["Berlin", "Ulm"][n % 2], f"{10000 + n}", f"{n}.50", n % 3, f"2026-02-{n % 28 + 1:02d} 10:00:00")
            for n, name in enumerate(FIRMS) if n >= 10
        ],
    )  # fmt: skip


@pytest.fixture
def own(tmp_path) -> Path:
    make_erp(tmp_path / "erp.db")
    make_crm(tmp_path / "web_crm.db")
    return tmp_path


def works(proposal: Proposal, mappings: list[str] | None = None) -> synckit.Workspace:
    """The proposal written, loaded, checked without errors, and planned (all or the named mappings): what a proposal is for."""
    ws = synckit.open(write_workspace(proposal))
    assert [f for f in ws.check() if f.severity == "error"] == []
    ws.plan_full(mappings).summary()
    return ws


def fields(ws: synckit.Workspace, mapping: str) -> set[tuple[str | None, str | None]]:
    return {(row.local, row.integration) for row in ws.description.mapping(mapping).fields}


# the demo


@pytest.fixture(params=["sqlite", "exports"])
def demo(request, tmp_path) -> Path:
    """The demo's systems without its workspace and ledger."""
    make_demo(tmp_path / "demo", request.param).unlink()
    (tmp_path / "demo" / "ledger.db").unlink()
    return tmp_path / "demo"


def test_the_demo_is_recognised_and_gets_the_standard_mappings(demo):
    proposal = propose_workspace(demo)
    with works(proposal) as ws:
        d = ws.description
        assert (d.local.schema_, d.integration.schema_) == ("business_central", "dataverse")
        assert len(d.mappings) == 8 and d.ownership_model == "person"
        # read off the rows, as the demo's own workspace has them
        assert (d.local_currency, d.base_currency) == ("EUR", "EUR")
        assert (d.local.company, d.local.company_id) == ("Nordwind Trading", "50550957-a988-5516-af17-157b05900567")
        assert d.integration.integration_user == "d1d21ede-b42d-577d-9a3b-39acbd16018a"
    assert "mappings: standard" in proposal.text


def test_a_ledger_beside_the_databases_is_no_third_system(tmp_path):
    path = make_demo(tmp_path / "demo", "sqlite")
    path.unlink()
    assert len(propose_workspace(path.parent).mappings) == 8


def test_a_standard_mapping_without_its_table_is_left_out_and_said(tmp_path):
    folder = make_demo(tmp_path / "demo", "exports").parent
    (folder / "workspace.yaml").unlink()
    (folder / "business_central" / "vendor.csv").unlink()
    (folder / "business_central" / "shipping_agent.csv").unlink()
    proposal = propose_workspace(folder)
    assert "VENDOR" not in proposal.mappings and "CUSTOMER" in proposal.mappings
    assert "VENDOR is left out: the local side has no table vendor." in proposal.notes
    with works(proposal, ["SHIPMENT METHOD"]) as ws:
        rows = {row.local: row for row in ws.description.mapping("CUSTOMER").fields}
        assert not rows["Shipping Agent Code"].enabled and rows["Payment Terms Code"].enabled


def test_a_standard_mapping_does_without_a_column_that_is_not_there(tmp_path):
    folder = make_demo(tmp_path / "demo", "exports").parent
    (folder / "workspace.yaml").unlink()
    file = folder / "dataverse" / "account.csv"
    with file.open(encoding="utf-8", newline="") as source:
        lines = list(csv.DictReader(source))
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, [name for name in lines[0] if name != "fax"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    proposal = propose_workspace(folder)
    assert "enabled: false}  # there is no column fax in account" in proposal.text
    with works(proposal, ["SHIPMENT METHOD"]) as ws:
        assert not next(row for row in ws.description.mapping("CUSTOMER").fields if row.integration == "fax").enabled


# two databases of one's own


def test_two_databases_of_other_words_are_paired(own):
    proposal = propose_workspace(own)
    assert (proposal.local, proposal.integration, proposal.mappings) == ("erp", "web crm", ("CUSTOMERS",))
    with works(proposal) as ws:
        assert fields(ws, "CUSTOMERS") == {
            ("customer_name", "display_name"), ("email", "mail"), ("phone", "telephone"), ("city", "town"), ("postcode", "zip"),
            ("credit_limit", "max_credit"),
        }  # fmt: skip
        assert [row.local for row in ws.description.mapping("CUSTOMERS").fields if row.use_for_match] == ["email"]
        local, integration = ws.schemas["local"].table("customers"), ws.schemas["integration"].table("clients")
        assert (local.uid, local.column("id").kind, local.modified_on) == ("id", "integer", "modified_at")
        assert (integration.uid, integration.column("client_guid").kind, integration.modified_on) == (
            "client_guid",
            "guid",
            "updated_at",
        )
        assert integration.column("mail").length == 120 and integration.column("telephone").kind == "text"
        summary = ws.plan_full().summary()
        assert set(summary["create"]) == {40, 30}
    assert (
        "tells records apart best" in proposal.text
        and "# Left out, no counterpart found on the other side for local country." in proposal.text
    )
    assert "settings: no single column is unique" in proposal.text


def test_it_plans_no_change_for_coupled_records_that_are_equal(own):
    with works(propose_workspace(own)) as ws:
        couplings = own / "couplings.csv"
        couplings.write_text(
            "mapping,local_key,integration_key\n" + "\n".join(f"CUSTOMERS,{n + 1},{uuid.UUID(int=n + 1)}" for n in range(10, 40))
        )
        ws.import_couplings(couplings)
        summary = ws.plan_full().summary().set_index("pass")
        assert (summary.loc["to", "create"], summary.loc["from", "create"]) == (10, 0)
        assert summary.loc["to", "unchanged"] == 30


def test_sides_are_told_by_name_and_can_be_said(own):
    assert propose_workspace(own, local="web_crm.db").local == "web crm"
    assert propose_workspace(own, integration="erp.db").integration == "erp"
    both = propose_workspace(own, local="web_crm.db", integration="erp.db")
    assert (both.local, both.integration) == ("web crm", "erp")


def test_a_modified_on_column_with_gaps_is_not_proposed(own):
    sql(own / "web_crm.db", "CREATE TABLE x AS SELECT * FROM clients; DROP TABLE clients; CREATE TABLE clients (client_guid TEXT PRIMARY KEY,"
        " display_name TEXT, mail TEXT, updated_at TEXT); INSERT INTO clients SELECT client_guid, display_name, mail, NULL FROM x;"
        " UPDATE clients SET updated_at = '2026-01-01T00:00:00Z' WHERE rowid < 3; DROP TABLE x;")  # fmt: skip
    proposal = propose_workspace(own)
    assert "updated_at is empty in 28 rows, so it cannot tell versions" in proposal.text
    with works(proposal) as ws:
        assert ws.schemas["integration"].table("clients").modified_on is None


@pytest.mark.parametrize("key", ["TEXT", "INTEGER"])
def test_references_between_paired_tables_become_lookups(tmp_path, key):
    for name, table in (("erp.db", "customers"), ("crm.db", "clients")):
        keys = [n if key == "INTEGER" else str(uuid.UUID(int=n)) for n in range(1, 8)]
        firms = [(k, f"Firm {n}", f"a{n}@x.example") for n, k in enumerate(keys)]
        people = [(k, "Ann", f"B{n}", f"b{n}@x.example", k) for n, k in enumerate(keys)]
        sql(
            tmp_path / name,
            f"CREATE TABLE {table} (id {key} PRIMARY KEY, name TEXT, email TEXT, updated_at TEXT NOT NULL DEFAULT '2026-01-01T00:00:00Z');"
            "CREATE TABLE contacts (id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT, "
            f"company_id {key} REFERENCES {table} (id), updated_at TEXT NOT NULL DEFAULT '2026-01-01T00:00:00Z');",
        )
        sql(tmp_path / name, "", f"INSERT INTO {table} (id, name, email) VALUES (?, ?, ?)", firms)  # noqa: S608
        sql(
            tmp_path / name,
            "",
            "INSERT INTO contacts (id, first_name, last_name, email, company_id) VALUES (?, ?, ?, ?, ?)",
            people,
        )
    proposal = propose_workspace(tmp_path)
    if key == "INTEGER":  # planning resolves references by text
        assert "# Left out, references kept as numbers: company_id / company_id, to CUSTOMERS." in proposal.text
        return
    with works(proposal) as ws:
        row = next(row for row in ws.description.mapping("CONTACTS").fields if row.lookup is not None)
        assert (row.local, row.lookup.mapping, ws.order) == ("company_id", "CUSTOMERS", ["CUSTOMERS", "CONTACTS"])


def test_exports_of_one_kind_and_a_database_of_another(tmp_path):
    make_crm(tmp_path / "crm.db")
    (tmp_path / "exports").mkdir()
    rows = "\n".join(f"{n};{name};info@firm{n}.example;0{n};2026-01-01T10:00:00Z" for n, name in enumerate(FIRMS))
    (tmp_path / "exports" / "Customers.csv").write_text("No;Name;E-Mail;Post Code;Changed At\n" + rows, encoding="utf-8")
    proposal = propose_workspace(tmp_path)
    with works(proposal) as ws:
        assert ws.description.integration.name == "crm" and ws.local.read_only
        assert ("E-Mail", "mail") in fields(ws, "CUSTOMERS")
        assert ws.schemas["local"].table("Customers").column("Post Code").kind == "text"  # a leading zero is no number


def test_a_database_behind_a_url_and_its_password_is_not_written(tmp_path, postgres_url, monkeypatch):
    make_erp(tmp_path / "erp.db")
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE clients (client_id uuid PRIMARY KEY, name varchar(100) NOT NULL, email varchar(80), modified_on timestamptz NOT NULL)"
        )
        for n, name in enumerate(FIRMS):
            connection.execute(sa.text("INSERT INTO clients VALUES (:k, :n, :e, now())"), {"k": uuid.uuid4(), "n": name, "e": f"info@firm{n}.example"})  # fmt: skip
    engine.dispose()
    url = sa.make_url(postgres_url).set(password="t0p+secret").render_as_string(hide_password=False)
    proposal = propose_workspace(tmp_path, integration=url)
    assert "t0p" not in proposal.text + " ".join(proposal.notes) + repr(proposal)
    assert ":${INTEGRATION_PASSWORD}@" in proposal.text
    assert any("INTEGRATION_PASSWORD" in note for note in proposal.notes)
    monkeypatch.setenv("INTEGRATION_PASSWORD", "t0p+secret")
    with works(proposal) as ws:
        assert ("customer_name", "name") in fields(ws, "CUSTOMERS")


# what cannot be proposed


def test_an_existing_file_is_never_replaced(own):
    (own / "workspace.yaml").write_text("mine\n")
    with pytest.raises(SynckitError, match=r"workspace.yaml is there already and is not replaced"):
        write_workspace(propose_workspace(own))
    assert (own / "workspace.yaml").read_text() == "mine\n"
    assert write_workspace(propose_workspace(own), own / "second.yaml").name == "second.yaml"


def test_looking_changes_not_a_byte(own):
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    propose_workspace(own)
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


@pytest.mark.parametrize(("files", "sentence"), [([], "holds 0: none."), (["erp.db"], "holds 1: erp.db.")])
def test_too_few_systems(tmp_path, files, sentence):
    for name in files:
        make_erp(tmp_path / name)
    with pytest.raises(SynckitError, match=sentence):
        propose_workspace(tmp_path)


def test_too_many_systems_ask_which(own):
    make_erp(own / "erp_old.db")
    with pytest.raises(SynckitError, match=r"holds 3: erp.db, erp_old.db, web_crm.db. Say which with --local and --integration"):
        propose_workspace(own)


def test_systems_that_have_nothing_in_common(tmp_path):
    make_erp(tmp_path / "erp.db")
    sql(
        tmp_path / "weather.db",
        "CREATE TABLE readings (station TEXT PRIMARY KEY, celsius REAL); INSERT INTO readings VALUES ('a', 1.5)",
    )
    with pytest.raises(SynckitError, match=r"No table of erp .* can be paired with a table of weather"):
        propose_workspace(tmp_path)


@pytest.mark.parametrize("given", ["missing.db", "sqlite:///missing.db"])
def test_a_side_that_is_not_there(own, given):
    with pytest.raises(SynckitError, match=r"missing\.db"):
        propose_workspace(own, local=given, integration="web_crm.db")


# data as people have it


def test_german_headings_no_declared_key_and_dates_of_the_country(tmp_path):
    sql(
        tmp_path / "fibu.db",
        'CREATE TABLE Kunden ("Kunden-Nr." TEXT, Name TEXT, "Straße" TEXT, PLZ TEXT, Ort TEXT, "E-Mail-Adresse" TEXT, "Geändert am" TEXT);',
        "INSERT INTO Kunden VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            ("10000", "Müller", "Weg 1", "01234", "Köln", "a@m.example", "2025-01-02T10:00:00"),
            ("10001", "Bär", "Ring 2", "80331", "Ulm", "", "03.02.2025"),
        ],
    )
    sql(
        tmp_path / "crm.db",
        "CREATE TABLE accounts (accountid TEXT PRIMARY KEY, accountname TEXT, street TEXT, zip TEXT, city TEXT, email TEXT, erp_no TEXT);",
        "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)",
        [("a-1", "Mueller", "Weg 1", "01234", "Köln", "a@m.example", "10000")],
    )  # fmt: skip
    proposal = propose_workspace(tmp_path)
    assert proposal.mappings == ("KUNDEN",)
    assert 'Geändert am holds "03.02.2025", which is no moment as synckit reads it' in proposal.text
    with works(proposal) as ws:
        assert ws.schemas["local"].table("Kunden").uid == "Kunden-Nr."
        pairs = {f.local: f.integration for f in ws.description.mapping("KUNDEN").fields}
        assert pairs == {
            "Kunden-Nr.": "erp_no",
            "Name": "accountname",
            "Straße": "street",
            "PLZ": "zip",
            "Ort": "city",
            "E-Mail-Adresse": "email",
        }
        assert ws.plan_full().total("create") + ws.plan_full().total("will fail") == 3


def test_a_table_without_a_key_is_told_what_comes_nearest_to_one(tmp_path):
    for name, key in (("erp", "no"), ("crm", "id")):
        rows_of_ = [("1", "A", "x"), ("2", "B", "y"), ("2", "B", "x"), (None, "C", "y")]
        sql(
            tmp_path / f"{name}.db",
            f"CREATE TABLE customers ({key} TEXT, name TEXT, city TEXT);",
            "INSERT INTO customers VALUES (?, ?, ?)",
            rows_of_,
        )
    with pytest.raises(SynckitError) as refused:
        propose_workspace(tmp_path)
    assert "erp: customers: no single column is unique" in str(refused.value)
    assert 'no is empty in 1 row and holds "2" 2 times.' in str(refused.value)


def test_a_name_that_has_to_be_the_key_is_said(tmp_path):
    for side, more in (("erp", ""), ("crm", "2")):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "customers.csv").write_text(f"no,name,city\n1,A{more},x\n1,B{more},y\n2,C{more},x\n")
    notes = propose_workspace(tmp_path).notes
    assert 'erp: customers: its rows are told apart by name, because no holds "1" 2 times.' in notes


def test_nothing_in_an_export_is_required_because_it_happens_to_be_filled(tmp_path):
    for side, city, first in (("erp", "x", "1"), ("crm", "", "9")):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "customers.csv").write_text(f"no,name,city\n{first}1,{side},{city}\n{first}2,{side} too,y\n")
    with works(propose_workspace(tmp_path)) as ws:
        assert {c.name: c.nullable for c in ws.schemas["local"].table("customers").columns} == {
            "no": False,
            "name": True,
            "city": True,
        }
        assert ws.plan_full().total("will fail") == 0


# names


def test_names_of_one_meaning():
    assert column_likeness("E-Mail", "e_mail", "a", "b")[0] == 1.0
    assert column_likeness("customer_name", "display_name", "customers", "clients")[0] == 0.9
    assert (
        column_likeness("Straße", "street", "a", "b")[0] == 0.9 and column_likeness("Kundennummer", "no", "Kunden", "b")[0] == 0.9
    )
    assert column_likeness("phone_no", "fax_no", "a", "b")[0] == 0.0
    assert column_likeness("blocked", "active", "a", "b")[0] == 0.0
    assert table_likeness("Customers", "client") == 0.9 and table_likeness("orders", "customers") == 0.0
    assert table_likeness("Kunden", "accounts") == 0.9 and table_likeness("Lieferanten", "Vendor") == 0.9
    assert is_kept_by_system("Geändert am") and is_kept_by_system("Erstellt von") and not is_kept_by_system("Änderungswunsch")
    assert is_kept_by_system("created_at") and is_kept_by_system("SystemModifiedAt") and not is_kept_by_system("update_policy")
