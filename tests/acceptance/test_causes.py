"""Errors by cause: each cause is produced, carries its remedy, and following the remedy makes the error go away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from world import MakeWorld, World, guid, mapping

import synckit
from synckit.cli import main
from synckit.diagnosis.catalogue import CATALOGUE, catalogue, catalogue_page, cause_of, classify
from synckit.diagnosis.causes import plan_causes
from synckit.errors import SynckitError
from synckit.mapping.rules import known_rules
from synckit.planning.reasons import SENTENCES

LOCAL = {
    "currency": "code code10 key, name text30",
    "customer": "number code20 key, name text50, currency code10, due text20, phone text30",
}
INTEGRATION = {
    "money": "iso text5, name text50",
    "account": "name text100 required, moneyid guid, due date, phone text30, number text20",
}
FIELDS = "name <> name, currency <> moneyid lookup CURRENCY, due > due, phone <> phone"


def currency(fields: str = "code > iso match, name > name") -> dict[str, Any]:
    return mapping("CURRENCY", "currency > money", fields, direction="to_integration")


@pytest.fixture
def w(make_world: MakeWorld) -> World:
    return make_world(
        LOCAL, INTEGRATION, [currency(), mapping("CUSTOMER", "customer > account", FIELDS, direction="bidirectional")]
    )


def with_local_currency(make_world: MakeWorld) -> World:
    """A blank currency of a customer stands for EUR."""
    lookup = {
        "local": "currency",
        "integration": "moneyid",
        "direction": "to_integration",
        "lookup": {"mapping": "CURRENCY", "blank_local": "local_currency"},
    }
    maps = [currency(), mapping("CUSTOMER", "customer > account", "name > name", lookup, direction="to_integration")]
    return make_world(LOCAL, INTEGRATION, maps, local_currency="EUR")


def pair(w: World, n: int = 1, **values: str) -> None:
    """A coupled customer and account in step."""
    w.local.add("customer", f"C{n}", number=f"C{n}", name=f"Name {n}", **values)
    w.integration.add("account", f"A{n}", name=f"Name {n}", **values)
    w.couple("CUSTOMER", f"C{n}", f"A{n}")


def the_cause(w: World, code: str) -> pd.Series:
    found = w.ws.causes()
    assert code in set(found["code"]), found[["cause", "victims"]]
    row = found[found["code"] == code].iloc[0]
    assert row["remedy"] == cause_of(code).remedy != ""
    assert row["open"] == row["victims"] and row["trend"] == "new"
    return row


def gone(w: World, code: str, *names: str, full: bool = True) -> None:
    """After another run the cause is solved."""
    w.tick()
    w.carry_out(w.ws.plan_full(list(names) or None) if full else w.ws.plan_modified(list(names) or None), surprises=True)
    row = w.ws.causes().set_index("code").loc[code]
    assert (row["open"], row["trend"]) == (0, "solved")


def test_one_missing_currency_is_one_cause_with_many_victims(w: World) -> None:
    for n in range(40):
        w.local.add("customer", f"C{n}", number=f"C{n:02}", name=f"Name {n}", currency="GBP")
    w.full("CUSTOMER")
    row = the_cause(w, "lookup_not_coupled")
    assert (row["victims"], row["mapping"], row["value"], row["by_mapping"]) == (40, "CURRENCY", "GBP", "CUSTOMER 40")
    records = w.ws.cause_records(row["cause"])
    assert len(records) == 40 and set(records["value"]) == {"GBP"} and set(records["field"]) == {"currency"}
    w.local.add("currency", "GBP", code="GBP", name="Pound")
    gone(w, "lookup_not_coupled")


def test_the_trend_over_runs(w: World) -> None:
    w.local.add("customer", "C1", number="C1", name="One", currency="GBP")
    w.full("CUSTOMER")
    assert w.ws.causes()["trend"].tolist() == ["new"]
    w.full("CUSTOMER")
    assert w.ws.causes()["trend"].tolist() == ["persisting"]
    assert w.ws.causes(run=1)["trend"].tolist() == ["new"]
    assert w.ws.causes(run=2)["trend"].tolist() == ["persisting"]
    w.local.edit("customer", "C1", currency="")
    gone(w, "lookup_not_coupled", "CUSTOMER")
    with pytest.raises(SynckitError, match="no run 9"):
        w.ws.causes(run=9)


def test_blocked_records_join_the_cause_of_the_record_that_fails(make_world: MakeWorld) -> None:
    w = make_world({"area": "code code10 key, since text20", "customer": "number code20 key, name text50, area code10"},
                   {"region": "name text20, since date", "account": "name text100, regionid guid"},
                   [mapping("AREA", "area > region", "code > name, since > since", direction="to_integration"),
                    mapping("CUSTOMER", "customer > account", "name > name, area > regionid lookup AREA", direction="to_integration")])  # fmt: skip
    w.local.add("area", "N", code="N", since="not a date")
    for n in range(3):
        w.local.add("customer", f"C{n}", number=f"C{n}", name=f"Name {n}", area="N")
    planned = plan_causes(w.plan())
    assert planned[["code", "mapping", "victims", "by_mapping"]].values.tolist() == [
        ["cannot_convert", "AREA", 4, "CUSTOMER 3, AREA 1"]
    ]
    ran = w.full()
    assert {"blocked", "cannot_convert"} == set(ran.run.errors["code"])
    row = the_cause(w, "cannot_convert")
    assert (row["victims"], row["field"]) == (4, "since")
    w.local.edit("area", "N", since="2026-01-31")
    gone(w, "cannot_convert")
    assert w.integration.count("account") == 3


def test_a_required_value_that_is_blank(w: World) -> None:
    w.local.add("customer", "C1", number="C1", name="")
    w.full("CUSTOMER")
    assert the_cause(w, "required_blank")["field"] == "name"
    w.local.edit("customer", "C1", name="Now it has one")
    gone(w, "required_blank")


def test_a_key_that_exists_already(make_world: MakeWorld) -> None:
    w = make_world({"customer": "number code20 key, name text50"}, {"account": "name text100, number text20"},
                   [mapping("CUSTOMER", "customer > account", "number < number, name < name", direction="from_integration")])  # fmt: skip
    w.local.add("customer", "C1", number="10", name="Old")
    w.integration.add("account", "A1", number="10", name="New")
    w.full()
    assert the_cause(w, "key_collision")["value"] == ""
    w.integration.edit("account", "A1", number="11")
    gone(w, "key_collision")


def test_a_conflict_is_decided(w: World) -> None:
    pair(w)
    w.local.edit("customer", "C1", phone="1")
    w.integration.edit("account", "A1", phone="2")
    w.full("CUSTOMER")
    assert the_cause(w, "both_changed")["victims"] == 1
    w.tick()
    w.carry_out(w.ws.plan_full("CUSTOMER").resolve("CUSTOMER", local=guid("C1"), use="local"), surprises=True)
    assert w.ws.causes()["trend"].tolist() == ["solved"]


def test_a_coupling_that_was_never_synchronised_is_decided_by_a_direction(w: World) -> None:
    w.local.add("customer", "C1", number="C1", name="Here")
    w.integration.add("account", "A1", name="There")
    w.couple("CUSTOMER", "C1", "A1", never=True)
    w.full("CUSTOMER")
    the_cause(w, "never_synchronised")
    w.tick()
    w.carry_out(w.ws.plan_records("CUSTOMER", local="C1", direction="to"), surprises=True)
    assert w.ws.causes()["trend"].tolist() == ["solved"]


def test_a_deleted_partner_is_restored(w: World) -> None:
    pair(w)
    w.integration.delete("account", "A1")
    w.full("CUSTOMER")
    the_cause(w, "partner_deleted")
    w.tick()
    w.carry_out(w.ws.plan_restore("CUSTOMER"), surprises=True)
    assert w.ws.causes()["trend"].tolist() == ["solved"]


def test_a_row_that_the_database_refuses_fails_then_is_skipped_and_is_retried(w: World) -> None:
    pair(w)
    w.integration.refuse("account", "NEW.phone = '666'", "the number of the beast")
    w.local.edit("customer", "C1", phone="666")
    w.carry_out(w.ws.plan_modified("CUSTOMER"), surprises=True)
    row = the_cause(w, "failed")
    assert "number of the beast" in row["what"]
    w.tick()
    w.carry_out(w.ws.plan_modified("CUSTOMER"), surprises=True)
    found = w.ws.causes()
    assert len(found) == 1 and found.loc[0, "open"] == 1 and len(w.ws.skipped()) == 1
    w.local.edit("customer", "C1", phone="667")
    w.carry_out(w.ws.plan_retry(), surprises=True)
    assert w.ws.causes()["trend"].tolist() == ["solved"]


def test_a_cause_over_several_mappings_is_retried_in_one_plan(make_world: MakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    integration = {**INTEGRATION, "money": "iso text5, name text50 required"}
    w = make_world(
        LOCAL,
        integration,
        [currency(), mapping("CUSTOMER", "customer > account", FIELDS, direction="bidirectional", only_coupled=True)],
    )
    pair(w)
    w.local.edit("customer", "C1", currency="XYZ")
    w.local.add("customer", "C2", number="C2", name="New", currency="XYZ")
    w.local.add("currency", "XYZ", code="XYZ", name="")
    w.carry_out(w.ws.plan_full(), surprises=True)
    w.tick()
    (cause,) = w.ws.causes().to_dict("records")
    assert (cause["code"], cause["by_mapping"]) == ("required_blank", "CUSTOMER 2, CURRENCY 1")
    w.local.edit("currency", "XYZ", name="Mended")
    for words, code in (([], 2), (["--mapping", "CUSTOMER"], 1)):
        with pytest.raises(SystemExit) as left:
            main(["plan", "retry", "--cause", cause["cause"], "-w", str(w.path), *words])
        assert left.value.code == code
    assert "create 2" in (told := capsys.readouterr()).out and "leave the mapping" in told.err
    w.carry_out(w.ws.plan_retry(records=w.ws.cause_records(cause["cause"])), surprises=True)
    assert w.ws.causes()["trend"].tolist() == ["solved"]
    (made,) = w.integration.rows("money")
    assert made["name"] == "Mended" and w.integration.row("account", "A1")["moneyid"] == made["moneyid"]
    assert len(w.ws.ledger.couplings("CUSTOMER")) == 2, "what failed to be created is created"


def test_the_second_failure_of_a_kind_stays_with_its_cause(w: World) -> None:
    pair(w)
    w.local.edit("customer", "C1", phone="1")
    w.integration.edit("account", "A1", phone="2")
    w.carry_out(w.ws.plan_modified("CUSTOMER"), surprises=True)
    w.tick()
    w.carry_out(w.ws.plan_modified("CUSTOMER"), surprises=True)
    assert "fails_again" in set(w.ws.errors()["code"]) and len(w.ws.skipped()) == 1
    found = w.ws.causes()
    assert found["code"].tolist() == ["both_changed"] and found["trend"].tolist() == ["persisting"] and found.loc[0, "runs"] == 2


def test_what_changed_after_planning_is_planned_again(w: World) -> None:
    pair(w)
    w.local.edit("customer", "C1", phone="1")
    plan = w.ws.plan_modified("CUSTOMER")
    w.local.edit("customer", "C1", phone="2")
    w.carry_out(plan, surprises=True)
    the_cause(w, "stale")
    gone(w, "stale", full=False)


@pytest.mark.parametrize("code", ["integration_coupled", "local_coupled", "outside_integration_filter"])
def test_couplings_that_are_refused(w: World, code: str) -> None:
    w.change("CUSTOMER", integration_filter="phone: <>hidden")
    pair(w, 1)
    pair(w, 2)
    w.integration.add("account", "A3", name="Three", phone="hidden")
    w.local.add("customer", "C3", number="C3", name="Three")
    pairs = {
        "integration_coupled": (guid("C3"), guid("A1")),
        "local_coupled": (guid("C1"), guid("A2")),
        "outside_integration_filter": (guid("C3"), guid("A3")),
    }
    if code == "local_coupled":
        w.integration.add("account", "A4", name="Four")
        pairs[code] = (guid("C1"), guid("A4"))
    plan = w.ws.plan_coupling("CUSTOMER", [pairs[code]], starting_from="integration" if code == "local_coupled" else "local")
    w.carry_out(plan, surprises=True)
    found = w.ws.causes()
    assert found["code"].tolist() == [code] and found["remedy"].tolist() == [CATALOGUE[code].remedy]


def test_a_local_currency_that_the_other_side_lacks(make_world: MakeWorld) -> None:
    w = with_local_currency(make_world)
    w.local.add("customer", "C1", number="C1", name="One")
    w.full("CUSTOMER")
    the_cause(w, "local_currency_missing")
    w.integration.add("money", "EUR", iso="EUR", name="Euro")
    gone(w, "local_currency_missing", "CUSTOMER")


# -- the catalogue -----------------------------------------------------------------------------------------------------------------

#: How codes are written down in the sources.
WRITTEN = re.compile(
    r'"code": "(\w+)"|\["code"\] = "(\w+)"|\["code"\] = "[^"]*", "(\w+)"|"(\w+)" if again else "(\w+)"|\'(\w+)\\x1f|add\(record, "(\w+)"|code = "(\w+)" if|else "(\w+)"\n *add\(|THEN \'(\w+)\' ELSE \'(\w+)\' END"'
)


def test_every_code_that_the_product_can_give_is_in_the_catalogue() -> None:
    root = Path(synckit.__file__).parent
    codes = set(SENTENCES)
    for path in [*root.glob("planning/*.py"), *root.glob("applying/*.py")]:
        codes |= {c for hit in WRITTEN.findall(path.read_text(encoding="utf-8")) for c in hit if c}
    codes -= {"error"}  # stands in until the record's first error is known
    assert {
        "stale",
        "coupling_refused",
        "key_collision",
        "integration_coupled",
        "fails_again",
        "missing_option",
        "against_direction",
    } <= codes
    assert not {c for c in codes if c not in CATALOGUE and not c.isupper()}
    assert all(cause_of(r.id).code == r.id for r in known_rules().values())


def test_every_entry_says_what_it_means_and_what_helps() -> None:
    page = catalogue_page()
    for row in catalogue().itertuples():
        assert row.title and row.meaning and row.remedy, row.code
        assert f"`{row.code}`" in page


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Currency Code GBP must be coupled to a record in Dataverse.", "lookup_not_coupled"),
        ("The Customer record cannot be updated because it is coupled to a deleted record.", "partner_deleted"),
        ("Modifying Account failed because of the following error: the plug-in said no.", "failed"),
        ("Cannot couple the Account record to this Customer record, because the Account record is already coupled to 10000.", "integration_coupled"),
        ("The mapping CUSTOMER is not configured for FromIntegrationTable synchronization.", "against_direction"),
        ("You must specify which integration fields to use for match-based coupling.", "no_match_criteria"),
        ("You must specify which integration field mappings on the integration table mapping CUSTOMER should be used for match-based coupling.", "no_match_criteria"),
        ("Source table 18 and destination table 5342 do not match integration table mapping CUSTOMER.", "wrong_table"),
        ("Inserting Account failed because of the following error: the name is too long.", "failed"),
        ("Cannot update a record in the CRM Account table. The mapping between the Name field on the Customer table and the Account Name field on the CRM Account "
         "table is bidirectional, and one or both values have changed since the last synchronization.", "both_changed"),
        ("Cannot create or update the currency TRY in Dataverse, because there is no exchange rate defined for it.", "currency.exchange_rate"),
        ("Table 18 must be mapped to table 5341 to transfer values between fields Name and Name.", "table_not_mapped"),
        ("There are no field mapping rows for the CUSTOMER Integration Table Mapping in the To direction.", "no_field_mappings"),
        ("Failed to couple 12 record(s), because no unique uncoupled matching entity was found in Dataverse with the specified matching criteria.", "no_match"),
        ("Uncoupling Customer failed because of the following error: locked", "uncoupling_failed"),
        ("The value is in an incorrect format.", "cannot_convert"),
        ("The template CUST-X was not found.", "template_missing"),
        ("There is no exchange rate for currency TRY.", "currency.exchange_rate"),
        ("Etwas ging schief.", "unknown"),
    ],
)  # fmt: skip
def test_messages_of_the_reference_find_their_code(message: str, code: str) -> None:
    assert classify(message) == code
