"""Bad input gets one clear sentence: which file, which mapping, which field, and what to write instead."""

from __future__ import annotations

import os
import sqlite3
import traceback
from pathlib import Path

import openpyxl
import pytest
import sqlalchemy as sa

import synckit
from synckit.cli import main
from synckit.demo import make_demo
from synckit.errors import SynckitError

SECRET = "hunter2-Pa55"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """The workspace file of a demo on two SQLite files; tests write variants beside it."""
    return make_demo(tmp_path_factory.mktemp("bad") / "demo", "sqlite")


@pytest.fixture
def variant(demo):
    """The demo's workspace with `old` replaced by `new`, in a file of its own."""

    def make(old: str, new: str) -> Path:
        text = demo.read_text(encoding="utf-8")
        assert old in text
        path = demo.with_name("variant.yaml")
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return make


def refused(action) -> str:
    """The whole text of the SynckitError that `action` raises; no secret is in it, nor in what Python would print of it."""
    with pytest.raises(SynckitError) as caught:
        action()
    printed = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in printed
    assert "\n" not in caught.value.message
    return str(caught.value)


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def errors(path: Path) -> list[str]:
    with synckit.open(path) as ws:
        return [f"{f.place}: {f.message} {f.remedy}".strip() for f in ws.check() if f.severity == "error"]


def plan(path: Path) -> None:
    with synckit.open(path) as ws:
        ws.plan_full()


# the file


def test_a_workspace_that_is_missing(tmp_path):
    assert refused(lambda: synckit.open(tmp_path / "no.yaml")) == f"There is no workspace file {tmp_path}/no.yaml."
    assert "holds no workspace file; name one with --workspace, or make one with `synckit init`." in refused(
        lambda: synckit.open(tmp_path)
    )


def test_a_file_that_is_not_yaml(tmp_path):
    path = tmp_path / "workspace.yaml"
    path.write_text("local:\n  name: [\nintegration: {\n")
    assert "workspace.yaml, line" in refused(lambda: synckit.open(path)) and "this is not YAML" in refused(
        lambda: synckit.open(path)
    )
    path.write_bytes(os.urandom(64) + b"\0")
    assert "is not a text file (UTF-8) and therefore no workspace file." in refused(lambda: synckit.open(path))
    path.write_text("- a\n- b\n")
    assert "holds a list; a workspace file is a mapping" in refused(lambda: synckit.open(path))


def test_an_unknown_key(variant):
    text = refused(lambda: synckit.open(variant("local_currency:", "local_curency:")))
    assert "variant.yaml has one mistake:" in text
    assert 'there is no key "local_curency". Did you mean "local_currency"?' in text


def test_a_wrong_type_in_the_file(variant):
    text = refused(lambda: synckit.open(variant("mappings: standard", "mappings:\n  - CUSTOMER: {only_coupled: perhaps}")))
    assert "mappings > CUSTOMER > only_coupled" in text and '"perhaps" is neither true nor false.' in text


def test_all_mistakes_are_told_at_once(variant):
    text = refused(lambda: synckit.open(variant("ownership_model: person", "ownership_model: persn\nbase_curency: EUR")))
    assert "2 mistakes" in text and "persn" in text and "base_curency" in text


# a plan file


def test_a_plan_file_that_was_cut_short(demo, tmp_path):
    whole, cut = tmp_path / "whole.plan", tmp_path / "cut.plan"
    with synckit.open(demo) as ws:
        ws.plan_full(["CURRENCY"]).save(str(whole))
    cut.write_bytes(whole.read_bytes()[:-100])
    assert "cut.plan is not a whole plan: it was cut short or altered" in refused(lambda: synckit.load_plan(str(cut)))


# mappings


def test_an_output_never_takes_the_place_of_another_file(demo, tmp_path, capsys):
    """The workspace, the ledger and the databases stay whatever is typed after an option that names a file to write."""
    folder = demo.parent
    saved = tmp_path / "x.plan"
    run(["plan", "full", "-w", str(demo), "-m", "SHIPPING AGENT", "--out", str(saved)])
    for name in ("workspace.yaml", "ledger.db", "dataverse.db"):
        target = str(folder / name)
        for words in (
            ["plan", "full", "-m", "SHIPPING AGENT", "--out", target],
            ["decide", str(saved), "-m", "SHIPPING AGENT", "--exclude-mapping", "--out", target],
            ["show", str(saved), "--excel", target],
            ["report", "--html", target],
            ["report", "--excel", target],
            ["couplings", "export", target],
            ["sync", "modified", "--log", target],
            ["plan", "full", "-m", "SHIPPING AGENT", "--out", ""],
        ):
            before = (folder / name).read_bytes()
            assert run([*words, "-w", str(demo)]) == 1, words
            said = capsys.readouterr().err
            assert "Traceback" not in said and "did not expect" not in said and "name" in said, (words, said)
            assert (folder / name).read_bytes() == before, words
        assert run(["--log", target, "mappings", "-w", str(demo)]) == 1 and (folder / name).read_bytes() == before


def test_what_is_no_plan_at_all_is_not_called_cut_short(demo, tmp_path):
    assert refused(lambda: synckit.load_plan(str(demo))) == f"{demo} is not a synckit plan."
    book = tmp_path / "x.xlsx"
    openpyxl.Workbook().save(book)
    assert "is a workbook, not a plan" in refused(lambda: synckit.load_plan(str(book)))


def test_a_demo_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "cannot be made in" in refused(lambda: make_demo(tmp_path / "file" / "demo"))


def test_an_unknown_mapping_is_told_those_that_there_are(demo):
    with synckit.open(demo) as ws:
        assert 'Did you mean "CUSTOMER"?' in refused(lambda: ws.plan_full("CUSTOMR"))
        assert "The workspace has CURRENCY, SALESPEOPLE," in refused(lambda: ws.plan_full("zzz"))


def test_an_unknown_table(variant):
    path = variant("mappings: standard", "mappings:\n  - CUSTOMER: {local: {table: custmer}}")
    nearest = 'The schema "business_central" has no table "custmer". Did you mean "customer"?'
    assert f"CUSTOMER > local: {nearest}" in errors(path)
    text = refused(lambda: plan(path))
    assert "Mapping CUSTOMER, local table: There is no table" in text and 'Did you mean "customer"?' in text


def test_an_unknown_column(variant):
    path = variant("mappings: standard", "mappings:\n  - CURRENCY: {fields: [{local: Descripton, integration: currencyname}]}")
    assert errors(path) == [
        'CURRENCY > fields > Descripton / currencyname: Table "Currency" has no field "Descripton". Did you mean "Description"?'
    ]
    text = refused(lambda: plan(path))
    assert "CURRENCY" in text and 'has no field "Descripton". Did you mean "Description"?' in text


def test_columns_of_kinds_that_never_fit(variant):
    path = variant("mappings: standard", "mappings:\n  - CURRENCY: {fields: [{local: EMU Currency, integration: exchangerate}]}")
    assert any("neither becomes the other" in error for error in errors(path))


def test_a_cycle(variant):
    path = variant("mappings: standard", "mappings:\n  - standard\n  - CURRENCY: {depends_on: [CUSTOMER]}")
    text = next(error for error in errors(path) if "circle" in error)
    assert "CURRENCY -> CUSTOMER -> CURRENCY" in text or "CUSTOMER -> CURRENCY -> CUSTOMER" in text
    assert "The mappings depend on each other in a circle" in refused(lambda: plan(path))


def test_a_filter_that_does_not_parse(variant):
    path = variant("mappings: standard", "mappings:\n  - standard\n  - CUSTOMER: {local_filter: {City: '(Berlin|Ulm'}}")
    (error,) = errors(path)
    assert error.startswith("CUSTOMER > local_filter:") and "City" in error
    text = refused(lambda: plan(path))
    assert "Mapping CUSTOMER, local filter" in text and "City: a ) is missing" in text


# systems


def test_a_sqlite_file_that_is_missing(variant, demo):
    path = variant("business_central.db", "nowhere.db")
    sentence = f"There is no SQLite file {demo.parent}/nowhere.db for the local system"
    assert any(sentence in error and "write the path of an existing file" in error for error in errors(path))
    assert sentence in refused(lambda: plan(path))
    assert not (demo.parent / "nowhere.db").exists()


def test_a_file_that_is_no_database(variant, demo):
    (demo.parent / "notes.db").write_text("name;balance\n" * 50)
    path = variant("business_central.db", "notes.db")
    assert any("notes.db, the url of the local system" in error and "is not an SQLite database" in error for error in errors(path))
    assert "is not an SQLite database" in refused(lambda: plan(path))


def test_a_folder_of_exports_that_is_missing(variant):
    text = refused(lambda: plan(variant("url: 'sqlite:///business_central.db'", "folder: exports")))
    assert "exports" in text and "does not exist; write the folder of the exports." in text


def test_a_database_that_cannot_be_reached_and_its_password(variant):
    url = f"postgresql://reader:{SECRET}@127.0.0.1:1/bc?connect_timeout=1"
    path = variant("'sqlite:///business_central.db'", url)
    (error,) = errors(path)
    assert error.startswith("local: The database of the local system") and "at 127.0.0.1:1 cannot be reached" in error
    assert "check host and port in its url" in error and SECRET not in error
    assert "cannot be reached" in refused(lambda: plan(path))
    with synckit.open(path) as ws:
        assert SECRET not in repr(ws) + repr(ws.description) + str(ws.description) + repr(ws.local) + ws.local.address
        warning = next(f for f in ws.check() if f.place == "local > url")
    assert "The password stands in the file in clear." in warning.message and SECRET not in warning.message


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_a_login_that_is_refused_never_prints_the_password(variant, request, server):
    url = sa.make_url(request.getfixturevalue(server)).set(username="no_such_user", password=SECRET)
    path = variant("'sqlite:///business_central.db'", "'" + url.render_as_string(hide_password=False) + "'")
    text = refused(lambda: plan(path))
    assert "no_such_user" in text and ("refused the user" in text or "has no database or user" in text)
    (error,) = errors(path)
    assert error.startswith("local:") and SECRET not in error


def test_a_wrong_password_of_a_user_that_exists(variant, mariadb_url):
    url = sa.make_url(mariadb_url)
    user = f"reader_{url.database[-8:]}"
    engine = sa.create_engine(url)
    with engine.begin() as root:
        root.exec_driver_sql(f"CREATE USER {user}@localhost IDENTIFIED BY 'the right one'")
    try:
        path = variant("'sqlite:///business_central.db'", f"'{url.set(username=user, password=SECRET).render_as_string(False)}'")
        (error,) = errors(path)
        for text in (error, refused(lambda: plan(path))):
            assert f'refused the user "{user}"' in text and "check user and password" in text and SECRET not in text
    finally:
        with engine.begin() as root:
            root.exec_driver_sql(f"DROP USER {user}@localhost")
        engine.dispose()


def test_a_variable_that_is_not_set(variant, monkeypatch):
    monkeypatch.delenv("BC_PASSWORD", raising=False)
    path = variant("'sqlite:///business_central.db'", "postgresql://reader:${BC_PASSWORD}@127.0.0.1/bc")
    assert "needs the environment variable BC_PASSWORD, which is not set; set it and run again." in refused(lambda: plan(path))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everything")
def test_a_file_that_may_not_be_written(variant, demo):
    file = demo.parent / "business_central.db"
    file.chmod(0o444)
    try:
        with synckit.open(demo) as ws:
            assert ws.local.read_only.endswith("business_central.db is read-only.")
            ws.plan_full("CURRENCY")
    finally:
        file.chmod(0o644)


def test_a_database_that_is_read_only(postgres_url, tmp_path):
    make_demo(tmp_path / "demo", "sqlite", url_local=postgres_url)
    name = sa.make_url(postgres_url).database
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    engine.dispose()
    with synckit.open(tmp_path / "demo") as ws:
        assert ws.local.read_only == (
            'The local system "Business Central (Nordwind Trading)" cannot be written: its server is read-only.'
        )
        assert any(f.severity == "note" and "its server is read-only" in f.message for f in ws.check())
        assert not ws.plan_full("CURRENCY").summary().empty


def test_a_system_that_is_protected(variant):
    with synckit.open(variant("local:\n", "local:\n  protected: true\n")) as ws:
        assert "is marked `protected: true` in the workspace, so nothing is written to it." in ws.local.read_only
        assert ws.integration.read_only == ""


@pytest.mark.parametrize(("where", "state"), [("1", "all of 353 rows"), ("rowid % 10 = 0", "35 of 353 rows")])
def test_a_system_whose_modified_on_column_is_empty(tmp_path, where, state):
    path = make_demo(tmp_path / "demo", "sqlite")
    with sqlite3.connect(tmp_path / "demo" / "dataverse.db") as connection:
        connection.execute(f"UPDATE account SET modifiedon = NULL WHERE {where}")  # noqa: S608
    connection.close()
    (error,) = errors(path)
    assert (
        error.startswith("integration > table ")
        and f'The modified-on column "modifiedon" of the table account is empty in {state}' in error
    )
    assert "Fill the column, or name another as `modified_on`" in error


def test_the_password_of_a_ledger_url_is_not_shown(variant):
    path = variant("ledger: ledger.db", f"ledger: postgresql://keeper:{SECRET}@127.0.0.1:1/ledger?connect_timeout=1")
    text = refused(lambda: plan(path))
    assert "127.0.0.1:1" in text and "ledger" in text.casefold()
