"""Checking both systems: every table and column that is used is looked for, and told in words that say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

import synckit
from synckit.demo import make_demo
from synckit.mapping.checking import Finding

SHOP = """
local:
  name: Shop
  {local}
  schema: &tables
    name: shop
    tables:
      - name: customer
        primary_key: [no]
        uid: id
        modified_on: changed
        name_column: title
        columns:
          - {{name: id, type: guid}}
          - {{name: no, type: text, length: 20}}
          - {{name: title, type: text, length: 100}}
          - {{name: balance, type: decimal, scale: 2}}
          - {{name: visits, type: integer}}
          - {{name: changed, type: datetime}}
  {more}
integration:
  name: Office
  url: sqlite:///office.db
  schema: *tables
mappings:
  - name: CUSTOMER
    local: {{table: customer}}
    integration: {{table: customer}}
    fields:
      - {{local: no, integration: no}}
      - {{local: title, integration: title}}
      - {{local: balance, integration: balance}}
      - {{local: visits, integration: visits}}
"""
GOOD = "CREATE TABLE customer (id TEXT PRIMARY KEY, no VARCHAR(20), title VARCHAR(100), balance TEXT, visits INTEGER, changed TEXT)"
ROW = ("00000000-0000-4000-8000-00000000000{n}", "C{n}", "Title", "1.50", 3, "2026-01-0{n}T10:00:00Z")


def fill(path: Path, ddl: str = GOOD, rows: int = 3) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(ddl)
        for n in range(1, rows + 1):
            values = tuple(v.format(n=n) if isinstance(v, str) else v for v in ROW)
            width = len(connection.execute("SELECT * FROM pragma_table_info('customer')").fetchall())
            if width == len(values):
                connection.execute(f"INSERT INTO customer VALUES ({', '.join('?' * width)})", values)  # noqa: S608
    connection.close()


@pytest.fixture
def findings(tmp_path):
    """What check says of the local side, whose table is made by `ddl` (and then `sql` is run); errors of the mappings are none."""

    def look(ddl: str = GOOD, sql: str = "", local: str = "url: sqlite:///shop.db", more: str = "") -> list[Finding]:
        for name in ("shop.db", "office.db"):
            (tmp_path / name).unlink(missing_ok=True)
        fill(tmp_path / "shop.db", ddl)
        fill(tmp_path / "office.db")
        if sql:
            with sqlite3.connect(tmp_path / "shop.db") as connection:
                connection.executescript(sql)
            connection.close()
        (tmp_path / "workspace.yaml").write_text(SHOP.format(local=local, more=more))
        with synckit.open(tmp_path) as ws:
            return [f for f in ws.check() if f.place.startswith("local") or "rules" in f.place]

    return look


def told(found: list[Finding], severity: str) -> list[str]:
    return [f"{f.place}: {f.message} {f.remedy}".strip() for f in found if f.severity == severity]


def test_two_sound_systems_have_a_clean_bill(findings):
    assert findings() == []


def test_the_demo_has_neither_errors_nor_warnings(tmp_path):
    for kind in ("sqlite", "exports"):
        with synckit.open(make_demo(tmp_path / kind, kind)) as ws:
            assert [f for f in ws.check() if f.severity != "note"] == []


def test_a_missing_table_is_answered_with_the_nearest(findings):
    (error,) = told(findings(GOOD.replace("TABLE customer", "TABLE customers")), "error")
    assert 'The local system "Shop" has no table "customer" (customer). Did you mean "customers"?' in error


def test_a_missing_column_names_who_uses_it_and_the_nearest(findings):
    (error,) = told(findings(GOOD.replace("visits", "visit_count")), "error")
    assert error == (
        'local > table customer > visits: The table customer has no column "visits", which CUSTOMER > fields > visits / visits uses. '
        'Did you mean "visit_count"?'
    )


def test_a_version_column_that_synckit_should_keep_must_be_there(findings):
    (error,) = told(findings(GOOD.replace("changed TEXT", "x TEXT"), more="version: {kept_by: synckit}"), "error")
    assert 'has no column "changed", in which synckit would keep the versions of its rows. Add the column' in error


def test_types_that_disagree_are_warned_of(findings):
    (warning,) = told(findings(GOOD.replace("visits INTEGER", "visits TEXT")), "warning")
    assert 'The column "visits" is TEXT, the schema says integer: a value that does not convert' in warning


@pytest.mark.parametrize("declared", ["REAL", "DECIMAL(10,2)"])
def test_money_in_a_binary_fraction_is_warned_of(findings, declared):
    (warning,) = told(findings(GOOD.replace("balance TEXT", f"balance {declared}")), "warning")
    assert f'"balance" is {declared}, which keeps binary fractions; its values are rounded to 2 decimals' in warning


def test_a_shorter_text_is_told_and_on_sqlite_only_as_a_note(findings):
    (note,) = told(findings(GOOD.replace("title VARCHAR(100)", "title VARCHAR(40)")), "note")
    assert "is VARCHAR(40) and holds 40 characters, the schema says 100" in note and "Write `length: 40`" in note


def test_a_server_that_enforces_a_shorter_length_is_a_warning(findings, postgres_url):
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE customer (id uuid PRIMARY KEY, no varchar(20), title varchar(40), balance double precision, visits bigint,"
            " changed timestamptz NOT NULL)"
        )
    engine.dispose()
    warnings = told(findings(local=f"url: {postgres_url}"), "warning")
    assert any("VARCHAR(40) and holds 40 characters" in w and "the database refuses longer values" in w for w in warnings)
    assert any("binary fractions" in w for w in warnings)
    assert len(warnings) == 2


def test_a_key_that_is_not_unique_is_warned_of(findings):
    twice = told(
        findings(GOOD.replace(" PRIMARY KEY", ""), "UPDATE customer SET id = '00000000-0000-4000-8000-000000000001'"), "warning"
    )
    assert 'The key column "id" of the table customer repeats an earlier value in 2 of 3 rows' in twice[0]
    empty = told(findings(GOOD.replace(" PRIMARY KEY", ""), "UPDATE customer SET id = NULL WHERE no = 'C2'"), "warning")
    assert "is empty in 1 of 3 rows" in empty[0]


@pytest.mark.parametrize(("where", "state"), [("no = 'C2'", "1 of 3 rows"), ("1", "all of 3 rows")])
def test_an_empty_modified_on_column_is_an_error(findings, where, state):
    (error,) = told(findings(sql=f"UPDATE customer SET changed = NULL WHERE {where}"), "error")  # noqa: S608
    assert f'The modified-on column "changed" of the table customer is empty in {state}' in error


def test_a_value_that_cannot_be_read_is_told_with_its_row(findings):
    (error,) = told(findings(sql="UPDATE customer SET changed = 'yesterday' WHERE no = 'C1'"), "error")
    assert "'yesterday'" in error and "not a date and time" in error


def test_the_reason_of_a_read_only_system_is_a_note(findings):
    assert told(findings(more="protected: true"), "note") == [
        'local: The local system "Shop" is marked `protected: true` in the workspace, so nothing is written to it.'
    ]


def test_tables_that_business_rules_read_must_be_there(tmp_path):
    path = make_demo(tmp_path / "demo", "exports")
    (tmp_path / "demo" / "business_central" / "currency_exchange_rate.csv").unlink()
    with synckit.open(path) as ws:
        (error,) = [f for f in ws.check() if f.severity == "error"]
    assert error.place == "CURRENCY > rules > currency.exchange_rate"
    assert 'reads the table "currency_exchange_rate", which Business Central (Nordwind Trading) does not have.' in error.message


def test_without_an_option_table_the_options_of_the_schema_hold(tmp_path):
    path = make_demo(tmp_path / "demo", "exports")
    (tmp_path / "demo" / "dataverse" / "stringmap.csv").unlink()
    with synckit.open(path) as ws:
        (warning,) = [f for f in ws.check() if f.severity == "warning"]
    assert 'There is no table "stringmap"' in warning.message


def test_checking_changes_nothing(findings, tmp_path):
    findings()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with synckit.open(tmp_path) as ws:
        ws.check()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
