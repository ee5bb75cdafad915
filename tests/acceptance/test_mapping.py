"""Mappings: S-001 to S-008."""

from __future__ import annotations

from typing import Any

import pytest
from world import MakeWorld, World, mapping, on_both, scenario

from synckit.errors import SynckitError
from synckit.mapping.checking import add_fields

LOCAL = {"currency": "code code10 key, symbol text10, name text30, salesperson code20"}
INTEGRATION = {"currency": "isocode text5, symbol text10, name text100, ownerid guid, fullname text100"}


def currencies(make_world: MakeWorld, fields: str, **properties: Any) -> World:
    described = mapping("CURRENCY", "currency > currency", fields, direction="to_integration", **properties)
    return make_world(LOCAL, INTEGRATION, [described])


@scenario("S-001")
def test_no_field_mappings_at_all(make_world: MakeWorld) -> None:
    described = mapping("TEST", "currency > currency", "", direction="from_integration")
    w = make_world(LOCAL, INTEGRATION, [described])
    w.integration.add("currency", "G", isocode="XAA")
    with pytest.raises(SynckitError, match="TEST has no field mapping rows"):
        w.full()
    assert w.local.count("currency") == 0 and not w.ws.ledger.exists


@scenario("S-002")
@on_both
def test_some_field_mappings_disabled(make_world: MakeWorld) -> None:
    w = currencies(make_world, "code > isocode, symbol > symbol off, name > name off")
    w.local.add("currency", "X", code="XAA", symbol="Xs", name="Xcur")
    assert w.full()["CURRENCY", "to"] == {"inserted": 1}
    (row,) = w.integration.rows("currency")
    assert (row["isocode"], row["symbol"], row["name"]) == ("XAA", None, None)
    assert w.coupling("CURRENCY", "X") is not None


@scenario("S-003")
@on_both
def test_all_field_mappings_enabled_and_the_target_column_is_shorter(make_world: MakeWorld) -> None:
    w = currencies(make_world, "code > isocode, symbol > symbol, name > name")
    w.local.add("currency", "X", code="ABCDEFG", symbol="Xs", name="Xcur")
    ran = w.full()
    assert ran["CURRENCY", "to"] == {"inserted": 1}
    (row,) = w.integration.rows("currency")
    assert (row["isocode"], row["symbol"], row["name"]) == ("ABCDE", "Xs", "Xcur")
    assert ran.plan.records()["warnings"][0] == ["value_cut"]
    assert w.partner("CURRENCY", "X") == row["currencyid"]


def test_a_text_warns_when_it_is_cut_and_not_whenever_its_record_is_updated(make_world: MakeWorld) -> None:
    w = currencies(make_world, "symbol > isocode, name > name")  # text into a shorter text, 5 characters
    w.local.add("currency", "X", code="X", symbol="ABCDEFG", name="Xcur")
    assert w.full().plan.records()["warnings"][0] == ["value_cut"]
    w.local.edit("currency", "X", name="Other")
    assert [list(x) for x in w.full().plan.records(disposition="update")["warnings"]] == [[]], "ABCDE is there already"
    w.local.edit("currency", "X", symbol="HIJKLMN")
    assert [list(x) for x in w.full().plan.records(disposition="update")["warnings"]] == [["value_cut"]]


@scenario("S-004")
def test_a_run_leaves_nothing_in_the_mapping_list(make_world: MakeWorld) -> None:
    w = currencies(make_world, "code > isocode")
    w.local.add("currency", "X", code="XAA")
    w.full()
    w.reopen()
    assert w.ws.mappings()["mapping"].tolist() == ["CURRENCY"]


@scenario("S-005")
@pytest.mark.parametrize("words", ["not_null clear", "clear not_null"])
def test_clear_on_failure_and_not_null_exclude_each_other(make_world: MakeWorld, words: str) -> None:
    w = currencies(make_world, f"code > isocode, salesperson > ownerid lookup CURRENCY {words}")
    (found,) = [f for f in w.ws.check(connect=False) if f.severity == "error"]
    assert "not_null and clear_on_failed_sync exclude each other" in found.message


@scenario("S-006")
def test_not_null_is_for_guid_columns_only(make_world: MakeWorld) -> None:
    fine = currencies(make_world, "code > isocode, salesperson > ownerid lookup CURRENCY not_null")
    assert not [f for f in fine.ws.check(connect=False) if f.severity == "error"]
    wrong = currencies(make_world, "code > isocode, salesperson > fullname not_null")
    (found,) = [f for f in wrong.ws.check(connect=False) if f.severity == "error"]
    assert 'not_null applies to GUID columns only, and "fullname" is a text' in found.message


@scenario("S-008")
def test_adding_a_field_row_for_a_column_that_does_not_exist(make_world: MakeWorld) -> None:
    w = currencies(make_world, "code > isocode")
    described, failed = add_fields(
        w.ws.description.mapping("CURRENCY"),
        w.ws.schemas["local"].table("currency"),
        w.ws.schemas["integration"].table("currency"),
        [("name", "fullname"), ("name", "nonexistingfield")],
    )
    added = described.fields[1:]
    assert [(f.integration, f.enabled) for f in added] == [("fullname", False)]
    assert len(failed) == 1 and "nonexistingfield was not added" in failed[0]
