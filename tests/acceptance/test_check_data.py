"""A look through the data before a run: each finding is planted, counted, named by its records, and says what helps."""

from __future__ import annotations

import pandas as pd
import pytest
from world import MakeWorld, World, guid, mapping

from synckit.diagnosis.catalogue import CATALOGUE
from synckit.diagnosis.check_data import FINDINGS

LOCAL = {"currency": "code code10 key, name text30",
         "customer": "number code20 key, name text50, currency code10, due text20, kind option a|b, phone text30, status text10"}  # fmt: skip
INTEGRATION = {
    "money": "iso text5, name text50",
    "account": "name text20 required, moneyid guid, due date, kind choice, phone text30",
}
FIELDS = "name <> name match, currency <> moneyid lookup CURRENCY, due > due, phone <> phone"


@pytest.fixture
def w(make_world: MakeWorld) -> World:
    return make_world(LOCAL, INTEGRATION, [mapping("CURRENCY", "currency > money", "code > iso, name > name", direction="to_integration"),
                                           mapping("CUSTOMER", "customer > account", FIELDS, local_filter="status: <>closed", only_coupled=False)])  # fmt: skip


def customer(w: World, n: int, **values: str) -> None:
    w.local.add("customer", f"C{n}", {"number": f"C{n}", "name": f"Name {n}", **values})


def pair(w: World, n: int, **values: str) -> None:
    customer(w, n, **values)
    w.integration.add("account", f"A{n}", name=f"Name {n}", **values)
    w.couple("CUSTOMER", f"C{n}", f"A{n}")


def found(w: World, code: str, field: str = "") -> pd.Series:
    before = w.everything()
    frame = w.ws.check_data("CUSTOMER")
    assert w.everything() == before and tuple(frame.columns) == FINDINGS
    mine = frame[(frame["code"] == code) & (frame["field"] == field)]
    assert len(mine) == 1, frame[["code", "side", "field", "count", "what"]]
    row = mine.iloc[0]
    assert row["remedy"] == CATALOGUE[code].remedy and len(row["keys"]) <= 5
    return row


def test_values_that_will_be_cut_outside_the_filter_they_do_not_count(w: World) -> None:
    customer(w, 1, name="x" * 21)
    customer(w, 2, name="y" * 21, status="closed")
    row = found(w, "value_too_long", "name")
    assert (row["count"], row["rows"], row["severity"], row["keys"]) == (1, 1, "warning", [guid("C1")])
    assert "x" * 21 in row["what"] and "C1" in row["examples"]


def test_references_that_dangle_and_references_that_wait(w: World) -> None:
    w.local.add("currency", "GBP", code="GBP", name="Pound")
    for n, code in enumerate(["GBP", "GBP", "QQQ", ""]):
        customer(w, n, currency=code)
    assert found(w, "unresolved_lookup", "currency")["count"] == 2
    row = found(w, "dangling_lookup", "currency")
    assert (row["count"], row["severity"]) == (1, "error") and "QQQ" in row["what"]


def test_what_is_required_and_what_does_not_convert(w: World) -> None:
    customer(w, 1, name="")
    customer(w, 2, due="soon")
    assert found(w, "required_empty", "name")["keys"] == [guid("C1")]
    assert "soon" in found(w, "cannot_convert", "due")["what"]


def test_match_fields_that_are_not_unique(w: World) -> None:
    for n in range(3):
        customer(w, n, name="Same" if n else "same")
    row = found(w, "duplicate_match", "name")
    assert (row["count"], row["side"]) == (3, "local")


def test_a_filter_that_leaves_out_everything(w: World) -> None:
    customer(w, 1, status="closed")
    assert found(w, "filter_excludes_all")["count"] == 1


def test_rows_behind_the_watermark(w: World) -> None:
    customer(w, 1)
    customer(w, 2)
    w.tick()
    mark = w.now.isoformat()
    with w.ws.ledger.transaction() as tx:
        tx.set_watermark("CUSTOMER", "local", mark)
    customer(w, 3)
    row = found(w, "never_visited")
    assert (row["count"], set(row["keys"])) == (2, {guid("C1"), guid("C2")})
    w.carry_out(w.ws.plan_modified("CUSTOMER"))
    assert found(w, "never_visited")["count"] == 2
    w.carry_out(w.ws.plan_modified("CUSTOMER", from_start=True))
    assert "never_visited" not in set(w.ws.check_data("CUSTOMER")["code"])


def test_drift_and_deleted_sides_and_orphans(w: World) -> None:
    for n in range(5):
        pair(w, n)
    stamp = w.local.row("customer", "C0")["system_modified_at"]
    w.local.edit("customer", "C0", phone="drifted")
    w.local.edit("customer", "C0", system_modified_at=stamp)
    w.integration.delete("account", "A1")
    w.local.delete("customer", "C2")
    w.local.delete("customer", "C3")
    w.integration.delete("account", "A3")
    assert found(w, "drift")["keys"] == [guid("C0")]
    assert found(w, "orphan_coupling")["keys"] == [guid("C3")]
    lost = w.ws.check_data("CUSTOMER").set_index(["code", "side"])["keys"]
    assert (lost["deleted_side", "local"], lost["deleted_side", "integration"]) == ([guid("C1")], [guid("A2")])
    w.carry_out(w.ws.plan_full("CUSTOMER").exclude("CUSTOMER", disposition="deleted partner"), surprises=True)
    assert "drift" not in set(w.ws.check_data("CUSTOMER")["code"])


def test_the_skipped_backlog(w: World) -> None:
    pair(w, 1)
    w.local.edit("customer", "C1", currency="QQQ")
    for _ in range(2):
        w.tick()
        w.carry_out(w.ws.plan_modified("CUSTOMER"), surprises=True)
    assert found(w, "skipped_backlog")["count"] == 1


def test_clean_data_has_no_finding(w: World) -> None:
    pair(w, 1)
    assert not len(w.ws.check_data())
