"""What a field carries: S-107 to S-117."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from world import MakeWorld, World, guid, mapping, on_both, scenario

from synckit.errors import SynckitError

KINDS = (
    "big bigint, flag boolean, short code20, day date, rhythm dateformula, moment datetime, amount decimal.1, lasts duration, number integer, "
    "kind option _|one|two, words text50, hour time, id guid, record text250, story memo"
)
FIELDS = ", ".join(f"{part.split()[0]} > {part.split()[0]}" for part in KINDS.split(", "))
VALUES: dict[str, Any] = {
    "big": 9_007_199_254_740_993,
    "flag": True,
    "short": "ABC-1",
    "day": date(2026, 2, 28),
    "rhythm": "1M+CM",
    "moment": datetime(2026, 2, 28, 12, 30, 15, 123000),
    "amount": Decimal("12345678901.5"),
    "lasts": 93_784_000,
    "number": -42,
    "kind": 2,
    "words": "Große Straße 5, 東京, O'Brien",
    "hour": time(23, 59, 58),
    "id": "5e1f7a5c-1111-4000-8000-00000000abcd",
    "record": "Customer: 10000",
    "story": "line one\nline two\n" * 2000,
}


def every_kind(make_world: MakeWorld) -> World:
    described = mapping("ALL", "everything > everything", FIELDS, direction="to_integration")
    return make_world({"everything": f"no code20 key, {KINDS}"}, {"everything": KINDS}, [described])


@scenario("S-107")
@on_both
def test_all_column_types_into_a_new_row(make_world: MakeWorld) -> None:
    w = every_kind(make_world)
    w.local.add("everything", "E", no="E", **VALUES)
    assert w.full()["ALL", "to"] == {"inserted": 1}
    (row,) = w.integration.rows("everything")
    assert {name: row[name] for name in VALUES} == VALUES
    assert row["everythingid"] != guid("E")


@scenario("S-108")
@on_both
def test_an_equal_row_is_not_modified(make_world: MakeWorld) -> None:
    w = every_kind(make_world)
    w.local.add("everything", "E", no="E", **VALUES)
    w.integration.add("everything", "F", **VALUES)
    w.couple("ALL", "E", "F", never=True)
    ran = w.full()
    assert ran["ALL", "to"] == {"unchanged": 1}
    assert ran.plan.changes().empty


@scenario("S-109")
@pytest.mark.parametrize(
    ("tables", "fields", "complaint"),
    [
        ("customer > account", "", "has no field mapping rows"),
        ("nothing > account", "name > name", 'no table "nothing"'),
        ("customer > nothing", "name > name", 'no table "nothing"'),
        ("customer > account", "name > nothing", 'no field "nothing"'),
    ],
)
def test_an_incomplete_description_fails_as_a_whole(make_world: MakeWorld, tables: str, fields: str, complaint: str) -> None:
    described = mapping("CUSTOMER", tables, f"{fields}, fax > fax" if fields else "", direction="to_integration")
    w = make_world({"customer": "no code20 key, name text100, fax text30"}, {"account": "name text160, fax text30"}, [described])
    w.local.add("customer", "C", no="C", name="Acme", fax="1")
    with pytest.raises(SynckitError, match=complaint):
        w.full()
    assert w.integration.count("account") == 0


@scenario("S-110", "S-111", "S-112")
@pytest.mark.parametrize(
    ("fields", "theirs", "to", "differs"),
    [
        ("name <> name", "Other", "conflict", ["name"]),  # a two-way column differs
        ("name > name", "Other", "update", ["name"]),  # a one-way column differs
        ("name <> name", "Acme", "unchanged", []),  # a two-way column is equal
        ("name > name", "Acme", "unchanged", []),  # a one-way column is equal
        ("fax <> fax", "Other", "unchanged", []),  # the column is not mapped at all
    ],
)
def test_what_differs_and_whether_it_goes_both_ways(
    make_world: MakeWorld, fields: str, theirs: str, to: str, differs: list[str]
) -> None:
    w = make_world(
        {"customer": "no code20 key, name text100, fax text30"},
        {"account": "name text160, fax text30"},
        [mapping("CUSTOMER", "customer > account", fields)],
    )
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name=theirs)
    w.couple("CUSTOMER", "C", "G", never=True)  # both sides count as changed, so that a two-way difference shows as a conflict
    plan = w.plan()
    assert plan.records("CUSTOMER", in_pass="to", all_rows=True)["disposition"].tolist() == [to]
    assert plan.changes("CUSTOMER")["field"].tolist() == (differs if to == "update" else [])


LOCAL = {"contact": "no code20 key, county text30, salesperson code20, currency code10", "currency": "code code10 key",
         "salesperson": "code code20 key"}  # fmt: skip
INTEGRATION = {
    "contact": "county text30, ownerid guid, currencyid guid",
    "transactioncurrency": "isocode text5",
    "systemuser": "name text50",
}
CURRENCY = mapping("CURRENCY", "currency > transactioncurrency", "code > isocode", direction="to_integration")
SALESPEOPLE = mapping("SALESPEOPLE", "salesperson > systemuser", "code < name", direction="from_integration")


def contacts(make_world: MakeWorld, fields: str) -> World:
    w = make_world(LOCAL, INTEGRATION, [CURRENCY, SALESPEOPLE, mapping("CONTACT", "contact > contact", fields)])
    w.local.add("currency", "X", code="X")
    w.integration.add("transactioncurrency", "G1", isocode="X")
    w.couple("CURRENCY", "X", "G1")
    return w


@scenario("S-113")
@on_both
def test_a_reference_goes_from_code_to_id(make_world: MakeWorld) -> None:
    w = contacts(make_world, "currency <> currencyid lookup CURRENCY")
    w.local.add("contact", "A", no="A")
    w.integration.add("contact", "B")
    w.couple("CONTACT", "A", "B")
    w.local.edit("contact", "A", currency="X")
    assert w.full("CONTACT")["CONTACT", "to"] == {"modified": 1}
    assert w.integration.row("contact", "B")["currencyid"] == guid("G1")


@scenario("S-114")
def test_not_null_keeps_the_old_reference(make_world: MakeWorld) -> None:
    w = contacts(make_world, "county <> county, salesperson > ownerid lookup SALESPEOPLE not_null")
    w.local.add("contact", "A", no="A")
    w.integration.add("contact", "B", ownerid="owner")
    w.couple("CONTACT", "A", "B")
    w.local.edit("contact", "A", county="Kent")
    assert w.full("CONTACT")["CONTACT", "to"] == {"modified": 1}
    row = w.integration.row("contact", "B")
    assert (row["county"], row["ownerid"]) == ("Kent", guid("owner"))


def primary_contact(make_world: MakeWorld, words: str) -> World:
    w = make_world(
        {"customer": "no code20 key, name text50, contact code20", "contact": "no code20 key"},
        {"account": "name text50, primarycontactid guid", "contact": "name text50"},
        [
            mapping("CONTACT", "contact > contact", "no > name", direction="to_integration"),
            mapping("CUSTOMER", "customer > account", f"name <> name, contact <> primarycontactid lookup CONTACT {words}"),
        ],
    )
    w.local.add("contact", "CONT", no="CONT")
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Acme", primarycontactid="G9")
    w.couple("CUSTOMER", "C", "G")
    w.local.edit("customer", "C", contact="CONT")
    return w


@scenario("S-115")
def test_clear_on_failure_clears(make_world: MakeWorld) -> None:
    w = primary_contact(make_world, "clear")
    ran = w.full("CUSTOMER")
    assert ran["CUSTOMER", "to"] == {"modified": 1} and ran.errors() == []
    assert w.integration.row("account", "G")["primarycontactid"] is None


@scenario("S-116")
def test_without_clear_on_failure_the_record_fails(make_world: MakeWorld) -> None:
    w = primary_contact(make_world, "")
    ran = w.full("CUSTOMER")
    assert ran["CUSTOMER", "to"] == {"failed": 1}
    assert ran.errors() == ['contact "CONT" must be coupled first: CONTACT has no coupled record with that key.']
    assert w.integration.row("account", "G")["primarycontactid"] == guid("G9")
    coupling = w.coupling("CUSTOMER", "C")
    assert coupling is not None
    assert (coupling["to_result"], coupling["to_job"]) == ("failure", ran.job("CUSTOMER", "to")["id"])
    assert coupling["from_result"] == ""


@scenario("S-117")
@on_both
def test_a_template_fills_unmapped_columns_on_insert(make_world: MakeWorld) -> None:
    template = {"code": "T1", "sets": {"location": "EAST"}}
    described = mapping("CUSTOMER", "customer > account", "name <> name", local_templates=[template])
    w = make_world({"customer": "no code20 key, name text100, location code10"}, {"account": "name text160"}, [described])
    w.integration.add("account", "G", name="Acme")
    ran = w.full()
    assert ran["CUSTOMER", "from"] == {"inserted": 1}
    assert [(row["name"], row["location"]) for row in w.local.rows("customer")] == [("Acme", "EAST")]
