"""Failing, failing again, and being left alone: S-086 to S-091."""

from __future__ import annotations

from typing import Any

from incremental import chosen, jobs, marks_at_stamps, modified, plan_modified
from world import MakeWorld, World, mapping, on_both, scenario

LOCAL = {"customer": "no code20 key, name text100, salesperson code20", "salesperson": "code code20 key"}
INTEGRATION = {"account": "name text160, ownerid guid", "systemuser": "name text50"}
FIELDS = "name <> name, salesperson > ownerid lookup SALESPEOPLE"


def failing(make_world: MakeWorld, in_pass: str = "to") -> World:
    """A pair that refers to the uncoupled salesperson PS, after its first failure."""
    w = make_world(
        LOCAL,
        INTEGRATION,
        [
            mapping("SALESPEOPLE", "salesperson > systemuser", "code < name", direction="from_integration"),
            mapping("CUSTOMER", "customer > account", FIELDS),
        ],
    )
    w.local.add("salesperson", "PS", code="PS")
    w.integration.add("systemuser", "U", name="PS")
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Acme")
    w.couple("CUSTOMER", "C", "G")
    w.local.edit("customer", "C", name="Acme Ltd", salesperson="PS")
    assert again(w)["CUSTOMER", "to"] == {"failed": 1}
    return w


def again(w: World) -> Any:
    """The customer is synchronised, without force."""
    return chosen(w, "CUSTOMER", local="C", direction="to", force=False)


def state(w: World) -> tuple[str, bool]:
    coupling = w.coupling("CUSTOMER", "C")
    assert coupling is not None
    return coupling["to_result"], coupling["skipped"]


@scenario("S-086")
@on_both
def test_one_failure_then_fixed(make_world: MakeWorld) -> None:
    w = failing(make_world)
    w.couple("SALESPEOPLE", "PS", "U")
    assert again(w)["CUSTOMER", "to"] == {"modified": 1}
    assert state(w) == ("success", False)


@scenario("S-087")
def test_two_failures_with_different_messages(make_world: MakeWorld) -> None:
    w = failing(make_world)
    w.local.edit("customer", "C", salesperson="XX")
    assert again(w)["CUSTOMER", "to"] == {"failed": 1}
    assert state(w) == ("failure", False)


@scenario("S-088")
@on_both
def test_two_failures_with_the_same_message(make_world: MakeWorld) -> None:
    w = failing(make_world)
    ran = again(w)
    assert ran["CUSTOMER", "to"] == {"skipped": 1}
    assert state(w) == ("failure", True)
    assert ran.errors() == ['salesperson "PS" must be coupled first: SALESPEOPLE has no coupled record with that key.']


@scenario("S-089")
def test_a_skipped_record_is_not_touched(make_world: MakeWorld) -> None:
    w = failing(make_world)
    again(w)
    plan = plan_modified(w, "CUSTOMER")
    assert set(plan.records("CUSTOMER")["disposition"]) <= {"skipped"}
    ran = again(w)
    assert jobs(ran) == 0
    assert ran.plan.records("CUSTOMER")["disposition"].tolist() == ["skipped"]  # and its reason says how to take it up again
    assert state(w) == ("failure", True)


@scenario("S-090")
@on_both
def test_a_failed_record_is_retried_although_unchanged(make_world: MakeWorld) -> None:
    w = make_world(
        {"customer": "no code20 key, name text100"},
        {"account": "name text160"},
        [mapping("CUSTOMER", "customer > account", "name <> name")],
    )
    for number in "12":
        w.local.add("customer", f"C{number}", no=number, name=number)
        w.integration.add("account", f"G{number}", name=number)
        w.couple("CUSTOMER", f"C{number}", f"G{number}")
    marks_at_stamps(w, "CUSTOMER")
    w.local.edit("customer", "C1", name="here")
    w.integration.edit("account", "G1", name="there")
    w.integration.edit("account", "G2", name="there")
    assert modified(w).together("CUSTOMER") == {"failed": 2, "modified": 1}
    assert [w.coupling("CUSTOMER", f"C{n}")["skipped"] for n in "12"] == [False, False]  # type: ignore[index]
    assert modified(w).together("CUSTOMER") == {"skipped": 2, "unchanged": 2}
    assert [w.coupling("CUSTOMER", f"C{n}")["skipped"] for n in "12"] == [True, False]  # type: ignore[index]


@scenario("S-091")
def test_a_new_failure_elsewhere_does_not_lift_the_flag(make_world: MakeWorld) -> None:
    w = failing(make_world)
    coupling = w.coupling("CUSTOMER", "C")
    assert coupling is not None
    with w.ws.ledger.transaction() as tx:
        tx.mark_results([{"id": coupling["id"], "code": "x", "message": "2", "skipped": True}], "from", "job")
        tx.mark_results([{"id": coupling["id"], "code": "x", "message": "3"}], "to", "job")
    assert state(w) == ("failure", True)


# --- what synckit does better than the reference --------------------------------------------------------------------------------------


def test_a_destination_that_refuses_twice_alike_skips_too(make_world: MakeWorld) -> None:
    w = make_world(
        {"customer": "no code20 key, name text100"},
        {"account": "name text160"},
        [mapping("CUSTOMER", "customer > account", "name <> name")],
    )
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Acme")
    w.couple("CUSTOMER", "C", "G")
    w.integration.refuse("account", "NEW.name = 'D'", "no way")
    w.local.edit("customer", "C", name="D")
    assert modified(w, surprises=True)["CUSTOMER", "to"] == {"failed": 1}
    assert modified(w, surprises=True)["CUSTOMER", "to"] == {"skipped": 1}
    assert modified(w).together("CUSTOMER").keys() <= {"skipped"}
    assert w.integration.row("account", "G")["name"] == "Acme"


def test_a_creation_that_failed_is_tried_again_by_every_run(make_world: MakeWorld) -> None:
    fields = "name > name, salesperson > ownerid lookup SALESPEOPLE"
    w = make_world(
        LOCAL,
        INTEGRATION,
        [
            mapping("SALESPEOPLE", "salesperson > systemuser", "code < name", direction="from_integration"),
            mapping("CUSTOMER", "customer > account", fields, direction="to_integration", only_coupled=False),
        ],
    )
    w.local.add("salesperson", "PS", code="PS")
    w.integration.add("systemuser", "U", name="PS")
    w.local.add("customer", "C", no="C", name="Acme", salesperson="PS")
    w.local.add("customer", "D", no="D", name="Later")
    assert modified(w)["CUSTOMER", "to"] == {"inserted": 1, "failed": 1}
    assert modified(w)["CUSTOMER", "to"]["failed"] == 1  # the watermark has passed it, and it is not forgotten
    w.couple("SALESPEOPLE", "PS", "U")
    assert modified(w)["CUSTOMER", "to"]["inserted"] == 1
    assert w.coupling("CUSTOMER", "C") is not None
