"""A run is taken back: exactly what it wrote, nothing that others wrote since, and the next run leaves it alone until someone decides."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from world import MakeWorld, World, guid, mapping, on_both

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from test_mixed_pairs import Pair

from synckit.errors import SynckitError
from synckit.planning.plan import Plan


@pytest.fixture
def make_customers(make_world: MakeWorld) -> Any:
    def make(**properties: Any) -> World:
        w = make_world(
            {"customer": "no code20 key, name text50, fax text20, region code10", "region": "code code10 key, name text50"},
            {
                "account": "name text100, fax text20, regionid guid",
                "region": "name text50",
                "invoice": "text text20, accountid guid",
            },
            [
                mapping("REGION", "region > region", "name <> name"),
                mapping(
                    "CUSTOMER", "customer > account", "name <> name, fax <> fax, region > regionid lookup REGION", **properties
                ),
            ],
        )
        w.local.add("region", "R", code="R", name="North")
        for n in "AB":
            w.local.add("customer", n, no=n, name=n, region="R")
            w.integration.add("account", f"G{n}", name=n, fax="old")
            w.couple("CUSTOMER", n, f"G{n}")
        w.local.add("customer", "N", no="N", name="New", region="R")
        w.local.edit("customer", "A", fax="1")
        w.local.edit("customer", "B", fax="2")
        return w

    return make


def values(w: World) -> dict[Any, Any]:
    """Both systems without what they keep themselves."""
    own = ("system_modified_at", "modifiedon")
    return {place: {c: v or None for c, v in row.items() if c not in own} for place, row in w.everything().items()}


def left_out(plan: Plan) -> dict[str, str]:
    return {
        r["local_name"] or r["integration_name"]: r["reason"]
        for r in plan.records(disposition="left out by rule").to_dict("records")
    }


@on_both
def test_a_run_is_taken_back_and_the_taking_back_too(make_customers: Any) -> None:
    w = make_customers()
    before = values(w)
    first = w.full().run
    after = values(w)
    plan = w.ws.plan_undo(first.id)
    assert plan.sentence().startswith(f"Nothing has been written. An undo of run {first.id} would update 2, delete 2.")
    back = plan.fields.to_pylist()
    assert {(c["column"], c["old"], c["new"]) for c in back if c["column"] == "fax" and c["new"]} == {
        ("fax", "1", "old"),
        ("fax", "2", "old"),
    }
    assert {c["new"] for c in back if c["column"] == "regionid"} == {None}
    undo = w.ws.apply(plan)
    assert undo.exit_code == 0 and values(w) == before
    assert w.ws.ledger.coupling_count("REGION") == 0 and w.ws.ledger.coupling_count("CUSTOMER") == 2
    redo = w.ws.apply(w.ws.plan_undo(undo.id))
    assert redo.exit_code == 0 and values(w) == after
    assert w.plan().writes == 0 and not w.plan().total("held")  # in step again, and nothing is held
    again = w.ws.apply(w.ws.plan_undo(redo.id))
    assert again.exit_code == 0 and values(w) == before and w.plan().total("held")


def test_what_was_undone_is_held_until_someone_lifts_it(make_customers: Any) -> None:
    w = make_customers()
    run = w.full().run
    undo = w.ws.apply(w.ws.plan_undo(run.id))
    undone = values(w)
    for plan in (w.plan(), w.ws.plan_modified(), w.ws.plan_modified(from_start=True), w.ws.plan_modified(unconditional=True)):
        assert plan.writes == 0, plan.sentence()
    assert w.coupling("CUSTOMER", "A")["held"] == f"undone by run {undo.id}"
    assert {(h["side"], h["key"], h["reason"]) for h in w.ws.ledger.held("CUSTOMER").to_pylist()} == {
        ("local", guid("N"), f"undone by run {undo.id}")
    }
    w.integration.edit("account", "GA", name="Edited meanwhile")
    assert w.plan().writes == 0
    w.ws.lift("CUSTOMER", local=[guid("A"), guid("N")])
    w.ws.lift("REGION", local=guid("R"))
    plan = w.plan()
    assert {(r["local_name"], r["disposition"]) for r in plan.records(in_pass="to").to_dict("records")} >= {
        ("New", "create"), ("North", "create"), ("B", "held")}  # fmt: skip
    w.carry_out(plan)
    assert w.integration.row("account", "GA")["name"] == "Edited meanwhile"  # the edit of the held pair is not lost
    assert values(w)["local", "customer", guid("A")]["name"] == "Edited meanwhile"
    assert values(w)["integration", "account", guid("GB")] == undone["integration", "account", guid("GB")]


def test_rows_that_others_changed_since_are_left_out_and_named(make_customers: Any) -> None:
    w = make_customers()
    run = w.full().run
    created = w.partner("CUSTOMER", local="N")
    w.integration.edit("account", "GA", fax="mine")
    w.integration.edit("account", created, name="Mine, too")
    theirs = values(w)
    plan = w.ws.plan_undo(run.id)
    found = left_out(plan)
    assert found["A"] == found["New"] == "Left out: Its row in Integration was changed since."
    assert (
        re.fullmatch(r'Left out: account "(A|Mine, too)" refers to it \(regionid\), so it stays\.', found["North"])
        and len(found) == 3
    )
    assert plan.sentence().endswith("would update 1; 3 are left out.")
    w.ws.apply(plan)
    now = values(w)
    assert now["integration", "account", guid("GB")]["fax"] == "old"
    del now["integration", "account", guid("GB")], theirs["integration", "account", guid("GB")]
    assert now == theirs and w.ws.ledger.coupling_count("CUSTOMER") == 3
    w.local.edit("customer", "A", fax="3")
    later = w.full().run
    assert (
        f"changed since by run {later.id}" in left_out(w.ws.plan_undo(run.id))["A"]
        or "changed since" in left_out(w.ws.plan_undo(run.id))["A"]
    )


def test_a_created_record_that_others_refer_to_stays(make_customers: Any) -> None:
    w = make_customers()
    w.change("CUSTOMER", fields=[{"local": "name", "integration": "name"}])
    run = w.full().run
    w.integration.add("invoice", "I", text="4711", accountid=w.coupling("CUSTOMER", "N")["integration_key"])
    w.integration.edit("account", "GA", regionid=w.coupling("REGION", "R")["integration_key"])
    w.change(
        "CUSTOMER",
        fields=[
            {"local": "name", "integration": "name"},
            {"local": "region", "integration": "regionid", "lookup": {"mapping": "REGION"}},
        ],
    )
    plan = w.ws.plan_undo(run.id)
    assert left_out(plan) == {"North": 'Left out: account "A" refers to it (regionid), so it stays.'}
    assert plan.records("CUSTOMER", "delete")["local_name"].tolist() == ["New"]  # nobody has said that invoices refer to accounts


def test_what_changes_between_plan_and_apply_is_refused_by_name(make_customers: Any) -> None:
    w = make_customers()
    run = w.full().run
    plan = w.ws.plan_undo(run.id)
    w.integration.edit("account", "GB", fax="now")
    w.integration.edit("account", w.partner("CUSTOMER", local="N"), fax="now")
    undo = w.ws.apply(plan)
    told = {d["local_key"]: d["actual"] for d in undo.differences.to_dict("records")}
    assert told == {guid("B"): "stale", guid("N"): "stale", guid("R"): "blocked"}  # the region is still referred to
    assert w.integration.row("account", "GB")["fax"] == "now" and w.partner("CUSTOMER", local="N") is not None


def test_what_is_excluded_from_an_undo_stays_and_is_not_held(make_customers: Any) -> None:
    w = make_customers()
    run = w.full().run
    plan = w.ws.plan_undo(run.id).exclude("CUSTOMER", local=guid("N"))
    assert plan.records("REGION", "blocked")["local_name"].tolist() == ["North"]
    w.ws.apply(plan)
    assert w.partner("CUSTOMER", local="N") is not None and w.ws.ledger.held("CUSTOMER").num_rows == 0
    assert w.coupling("CUSTOMER", "N")["held"] is None


def test_uncoupling_is_taken_back_with_all_that_the_couplings_held(make_customers: Any) -> None:
    w = make_customers()
    w.full()
    kept = [{k: v for k, v in w.coupling("CUSTOMER", n).items() if k not in ("id", "held")} for n in "ABN"]
    run = w.ws.apply(w.ws.plan_uncoupling("CUSTOMER"))
    assert w.ws.ledger.coupling_count("CUSTOMER") == 0
    plan = w.ws.plan_undo(run.id)
    assert plan.total("coupling") == 3
    undo = w.ws.apply(plan)
    assert [{k: v for k, v in w.coupling("CUSTOMER", n).items() if k not in ("id", "held")} for n in "ABN"] == kept
    assert w.coupling("CUSTOMER", "A")["held"] == f"undone by run {undo.id}" and w.plan().writes == 0


def test_a_record_coupled_otherwise_since_is_left_out(make_customers: Any) -> None:
    w = make_customers()
    run = w.ws.apply(w.ws.plan_uncoupling("CUSTOMER"))
    w.ws.apply(w.ws.plan_coupling("CUSTOMER", [(guid("A"), guid("GB"))]))
    plan = w.ws.plan_undo(run.id)
    assert plan.total("coupling") == 0 and set(left_out(plan).values()) == {
        f"Left out: {guid('A')} and {guid('GB')} are coupled now."
    }


def test_what_cannot_be_undone_is_said(make_customers: Any) -> None:
    w = make_customers()
    with pytest.raises(SynckitError, match=r"There is no run 1\. No plan has been applied yet\."):
        w.ws.plan_undo(1)
    run = w.full().run
    with pytest.raises(SynckitError, match=rf"There is no run 9\. The latest is run {run.id}\."):
        w.ws.plan_undo(9)
    with w.ws.ledger.transaction() as tx:
        tx.finish_run(run.id, "interrupted")
    with pytest.raises(SynckitError, match="not finished"):
        w.ws.plan_undo(run.id)


def test_mariadb_and_postgresql(tmp_path: Path, mariadb_url: str, postgres_url: str) -> None:
    pair = Pair(tmp_path, mariadb_url, postgres_url)
    try:
        for n in (1, 2):
            pair.put("local", n, f"here {n}")
        pair.put("integration", 3, "there")
        pair.put("local", 4, "same")
        pair.put("integration", 4, "same", no="N4")
        pair.couple(4)
        pair.put("local", 4, "changed")
        start = {side: pair.names(side) for side in ("local", "integration")}
        run = pair.ws.apply(pair.ws.plan_full(), accept=["PARTNER"])
        ended = {side: pair.names(side) for side in ("local", "integration")}
        assert ended["local"] == ended["integration"] != start["integration"]
        undo = pair.ws.apply(pair.ws.plan_undo(run.id))
        assert undo.exit_code == 0 and {side: pair.names(side) for side in ended} == start
        assert pair.ws.plan_full().writes == 0
        redo = pair.ws.apply(pair.ws.plan_undo(undo.id))
        assert redo.exit_code == 0 and {side: pair.names(side) for side in ended} == ended
    finally:
        pair.close()


def test_a_text_of_zero_is_no_blank(make_customers: Any) -> None:
    w = make_customers()
    w.full()
    w.local.edit("customer", "A", fax="")
    w.integration.edit("account", "GA", fax="0")
    run = w.ws.apply(w.ws.plan_records("CUSTOMER", local=guid("A"), direction="to"))
    assert not w.integration.row("account", "GA")["fax"]
    w.ws.apply(w.ws.plan_undo(run.id))
    assert w.integration.row("account", "GA")["fax"] == "0"
