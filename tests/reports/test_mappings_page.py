"""The Integration Table Mappings page and the list of business rules, on the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

import synckit
from synckit.demo import make_demo
from synckit.errors import SynckitError
from synckit.mapping.rules import known_rules
from synckit.reports.mappings_page import COLUMNS, written_filter
from synckit.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return synckit.open(make_demo(tmp_path / "demo", "exports"))


def line(ws: Workspace, mapping: str) -> dict:
    page = ws.mappings().set_index("mapping", drop=False)
    return page.loc[mapping].to_dict()


def test_one_line_per_mapping_in_the_order_of_a_run(ws):
    page = ws.mappings()
    assert tuple(page.columns) == COLUMNS
    assert list(page["mapping"]) == ws.order
    assert list(page["rank"]) == list(range(1, 9))


def test_a_line_says_what_the_mapping_is(ws):
    customer = line(ws, "CUSTOMER")
    assert customer["local_table"] == "Customer" and customer["integration_table"] == "account"
    assert customer["direction"] == "bidirectional"
    assert customer["local_filter"] == "Blocked: ' '"
    assert customer["integration_filter"] == "statecode: Active; customertypecode: Customer; bcbi_companyid: $company_id|''"
    assert (customer["fields"], customer["fields_total"]) == (20, 22)
    assert customer["order_reason"].startswith("after SALESPEOPLE, CURRENCY, ")
    assert (customer["coupled"], customer["skipped"], customer["held"]) == (252, 1, 0)
    assert customer["integration_templates"] == "BCICUSTOME"
    assert line(ws, "PAYMENT TERMS")["integration_table"] == "account (paymenttermscode)"
    assert line(ws, "CURRENCY")["order_reason"] == "documented order"
    assert "Salesperson Code refers to it" in line(ws, "CONTACT")["order_reason"]


def test_only_coupled_says_where_it_comes_from(tmp_path):
    path = make_demo(tmp_path / "demo", "exports")
    path.write_text(path.read_text().replace("mappings: standard", "mappings:\n  - standard\n  - VENDOR: {only_coupled: false}"))
    ws = synckit.open(path)
    assert (line(ws, "CUSTOMER")["only_coupled"], line(ws, "CUSTOMER")["only_coupled_from"]) == (True, "standard")
    assert (line(ws, "VENDOR")["only_coupled"], line(ws, "VENDOR")["only_coupled_from"]) == (False, "file")
    with ws.ledger.transaction() as tx:
        tx.put_setting("only_coupled:CUSTOMER", "false", "closing question of run 3")
    assert not line(ws, "CUSTOMER")["only_coupled"]
    assert line(ws, "CUSTOMER")["only_coupled_from"] == "ledger: closing question of run 3"


def test_watermarks_and_held_rows_come_from_the_ledger(ws):
    assert line(ws, "VENDOR")["local_watermark"] == ""
    with ws.ledger.transaction() as tx:
        tx.set_watermark("VENDOR", "local", "2026-03-01T10:00:00")
    assert line(ws, "VENDOR")["local_watermark"] == "2026-03-01T10:00:00"
    assert line(ws, "VENDOR")["integration_watermark"] == ""


def test_looking_at_the_page_writes_nothing(ws, tmp_path):
    before = (tmp_path / "demo" / "ledger.db").read_bytes()
    ws.mappings()
    assert (tmp_path / "demo" / "ledger.db").read_bytes() == before


def test_every_rule_is_listed_with_who_carries_it_out(ws):
    rules = ws.rules().set_index(["mapping", "rule"])
    assert rules.loc[("CURRENCY", "currency.exchange_rate"), "carried_out_by"] == "values while planning"
    assert rules.loc[("CURRENCY", "currency.match_uncoupled"), "carried_out_by"] == "partners found while planning"
    assert rules.loc[("CURRENCY", "currency.iso_insert_only"), "carried_out_by"] == "the schema (access: insert)"
    assert set(rules.index.get_level_values("rule")) <= set(known_rules())
    assert not (rules["carried_out_by"] == "").any() and not (rules["effect"] == "").any()


def test_filters_are_written_as_people_write_them():
    assert written_filter("Name: A*") == "Name: A*"
    assert written_filter({"No.": [10000, None], "Open": True}) == "No.: 10000|''; Open: Yes"


# couplings in and out


def test_couplings_go_out_and_come_back(ws, tmp_path):
    assert ws.export_couplings(tmp_path / "out.csv") == sum(ws.mappings()["coupled"])
    report = ws.import_couplings(tmp_path / "out.csv")
    assert (report.imported, report.already_there) == (0, sum(ws.mappings()["coupled"]))


def test_an_integration_record_belongs_to_the_mapping_of_its_table(ws, tmp_path):
    file = tmp_path / "records.csv"
    file.write_text(
        "CRM ID;Integration ID;Table ID;Last Synch. Modified On;Last Synch. CRM Modified On;Skipped\n"
        "11111111-0000-4000-8000-000000000001;22222222-0000-4000-8000-000000000001;18;2026-01-31 10:00:00+02:00;2026-01-31T08:00:00Z;false\n"
    )
    assert ws.import_couplings(file).per_mapping == {"CUSTOMER": 1}
    coupling = ws.ledger.coupling("CUSTOMER", local="22222222-0000-4000-8000-000000000001")
    # planning would drop an offset, so the moment is told in UTC; what is in UTC stays as it was written
    assert coupling["local_stamp"] == "2026-01-31T08:00:00Z" and coupling["integration_stamp"] == "2026-01-31T08:00:00Z"


def test_refused_couplings_are_all_named_and_nothing_is_taken_in(ws, tmp_path):
    file = tmp_path / "wrong.csv"
    file.write_text("mapping,local_key,integration_key\nCUSTOMR,a,b\nVENDOR,,c\nVENDOR,d,e\n")
    with pytest.raises(SynckitError) as caught:
        ws.import_couplings(file)
    assert caught.value.message == "Nothing was imported: 2 rows are refused."
    assert 'line 2: there is no mapping "CUSTOMR". Did you mean "CUSTOMER"?' in caught.value.findings[0]
    assert "line 3: the key of the local record is empty." in caught.value.findings[1]
    assert ws.ledger.coupling("VENDOR", local="d") is None


def test_a_stamp_that_is_no_moment_is_refused(ws, tmp_path):
    file = tmp_path / "wrong.csv"
    file.write_text("mapping,local_key,integration_key,local_stamp\nVENDOR,d,e,31.01.2026 10:00\n")
    with pytest.raises(SynckitError, match=r'The local stamp "31.01.2026 10:00" of a coupling of VENDOR is no date and time'):
        ws.import_couplings(file)
