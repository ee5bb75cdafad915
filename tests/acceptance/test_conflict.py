"""Both sides changed: S-067 to S-075."""

from __future__ import annotations

from typing import Any

import pytest
from incremental import chosen, modified, plan_chosen, plan_modified, stamps
from world import MakeWorld, Ran, World, mapping, on_both, scenario

ONE_WAY = {"to": "fax > fax, homepage <> homepage", "from": "fax < fax, homepage <> homepage"}
TWO_WAY = "fax <> fax, homepage <> homepage"


def pair(make_world: MakeWorld, fields: str, **properties: Any) -> World:
    """Customer C and account G in sync: fax 1, homepage one."""
    w = make_world(
        {"customer": "no code20 key, fax text30, homepage text80"},
        {"account": "fax text50, homepage text200"},
        [mapping("CUSTOMER", "customer > account", fields, **properties)],
    )
    w.local.add("customer", "C", no="C", fax="1", homepage="one")
    w.integration.add("account", "G", fax="1", homepage="one")
    w.couple("CUSTOMER", "C", "G")
    return w


def fax_changed_on_both(w: World) -> None:
    w.local.edit("customer", "C", fax="2")
    w.integration.edit("account", "G", fax="3")


def values(w: World, column: str = "fax") -> tuple[Any, Any]:
    return w.local.row("customer", "C")[column], w.integration.row("account", "G")[column]


def counted(ran: Ran, in_pass: str) -> tuple[dict[str, int], int]:
    """Counters and number of errors of a pass."""
    return ran["CUSTOMER", in_pass], len(ran.errors())


@scenario("S-067")
def test_an_unmapped_column_changed_on_both_sides(make_world: MakeWorld) -> None:
    w = pair(make_world, "homepage <> homepage")
    fax_changed_on_both(w)
    assert counted(modified(w, direction="to"), "to") == ({"unchanged": 1}, 0)
    assert values(w) == ("2", "3")


@scenario("S-068", "S-069")
@on_both
@pytest.mark.parametrize(("in_pass", "wins"), [("to", "2"), ("from", "3")])
def test_a_one_way_column_changed_on_both_sides(make_world: MakeWorld, in_pass: str, wins: str) -> None:
    w = pair(make_world, ONE_WAY[in_pass])
    fax_changed_on_both(w)
    assert counted(modified(w, direction=in_pass), in_pass) == ({"modified": 1}, 0)
    assert values(w) == (wins, wins)


@scenario("S-070")
def test_different_columns_changed_on_the_two_sides(make_world: MakeWorld) -> None:
    w = pair(make_world, TWO_WAY)
    w.local.edit("customer", "C", fax="2")
    w.integration.edit("account", "G", homepage="two")
    assert counted(modified(w, direction="to"), "to") == ({"failed": 1}, 1)
    assert (values(w), values(w, "homepage")) == (("2", "1"), ("one", "two"))


@scenario("S-071", "S-072")
@on_both
@pytest.mark.parametrize("in_pass", ["to", "from"])
def test_the_same_column_changed_on_both_sides(make_world: MakeWorld, in_pass: str) -> None:
    w = pair(make_world, TWO_WAY)
    fax_changed_on_both(w)
    assert counted(modified(w, direction=in_pass), in_pass) == ({"failed": 1}, 1)
    assert values(w) == ("2", "3")


@scenario("S-073")
@pytest.mark.parametrize(("policy", "to", "back", "wins"), [
    ("send_to_integration", {"modified": 1}, {"unchanged": 1}, "2"),
    ("get_from_integration", {"skipped": 1}, {"modified": 1}, "3"),  # the mirror image (engine behaviour 3.13)
])  # fmt: skip
def test_a_policy_settles_the_conflict(
    make_world: MakeWorld, policy: str, to: dict[str, int], back: dict[str, int], wins: str
) -> None:
    w = pair(make_world, "fax <> fax", update_conflict_resolution=policy)
    fax_changed_on_both(w)
    ran = modified(w)
    assert (ran["CUSTOMER", "to"], ran["CUSTOMER", "from"], ran.errors()) == (to, back, [])
    assert values(w) == (wins, wins)
    assert modified(w).together("CUSTOMER").keys() <= {"unchanged"}


@scenario("S-074")
@on_both
def test_force_overrides_a_conflict(make_world: MakeWorld) -> None:
    w = pair(make_world, TWO_WAY)
    w.local.edit("customer", "C", fax="2")
    w.integration.edit("account", "G", homepage="two")
    chosen(w, "CUSTOMER", integration="G", direction="from", force=False)
    assert (values(w), values(w, "homepage")) == (("2", "1"), ("one", "two"))
    assert chosen(w, "CUSTOMER", integration="G", direction="from")["CUSTOMER", "from"] == {"modified": 1}
    assert (values(w), values(w, "homepage")) == (("1", "1"), ("two", "two"))


@scenario("S-075")
def test_a_chosen_direction_settles_what_was_never_synchronised(make_world: MakeWorld) -> None:
    w = pair(make_world, TWO_WAY)
    w.local.add("customer", "C2", no="C2", fax="Acme")
    w.integration.add("account", "G2", fax="NotAcme")
    w.couple("CUSTOMER", "C2", "G2", never=True)
    assert chosen(w, "CUSTOMER", local="C2", direction="to")["CUSTOMER", "to"] == {"modified": 1}
    assert w.integration.row("account", "G2")["fax"] == "Acme"
    assert modified(w).together("CUSTOMER").keys() <= {"unchanged"}  # settled, and not asked again


# --- what synckit does better than the reference --------------------------------------------------------------------------------------


def test_what_only_the_integration_side_may_change_is_never_lost(make_world: MakeWorld) -> None:
    w = pair(make_world, ONE_WAY["from"])
    w.local.edit("customer", "C", no="C")  # touched: both sides are newer than their stamps
    w.integration.edit("account", "G", fax="3")
    modified(w, direction="to")  # finds nothing to write, and must not call the other side's change seen
    assert modified(w)["CUSTOMER", "from"] == {"modified": 1}
    assert values(w) == ("3", "3")


def test_each_side_carries_its_own_one_way_column_in_one_run(make_world: MakeWorld) -> None:
    w = pair(make_world, "fax > fax, homepage < homepage")
    w.local.edit("customer", "C", fax="2")
    w.integration.edit("account", "G", homepage="two")
    ran = modified(w)
    assert (ran["CUSTOMER", "to"], ran["CUSTOMER", "from"]) == ({"modified": 1}, {"modified": 1})
    assert (values(w), values(w, "homepage")) == (("2", "2"), ("two", "two"))


def test_a_conflict_is_settled_by_a_decision_and_stays_settled(make_world: MakeWorld) -> None:
    w = pair(make_world, TWO_WAY)
    fax_changed_on_both(w)
    plan = plan_modified(w)
    assert plan.conflicts()[["field", "local_value", "integration_value"]].values.tolist() == [["fax", "2", "3"]]
    w.carry_out(plan.resolve("CUSTOMER", plan.conflicts()["local_key"][0], use="integration"))
    assert values(w) == ("3", "3")
    before = stamps(w, "CUSTOMER", "C")
    assert modified(w).together("CUSTOMER").keys() <= {"unchanged"}
    assert stamps(w, "CUSTOMER", "C") == before


def test_an_edit_between_two_runs_after_a_merge_is_no_conflict(make_world: MakeWorld) -> None:
    w = pair(make_world, TWO_WAY)
    w.local.edit("customer", "C", homepage="zwei")
    modified(w)  # from now on fingerprints are known
    w.local.edit("customer", "C", fax="2")
    w.integration.edit("account", "G", homepage="two")
    plan = plan_modified(w)
    assert set(plan.conflicts()["changed_by"]) == {"local", "integration"}
    w.carry_out(plan.resolve("CUSTOMER", plan.conflicts()["local_key"][0], use="merge"))
    assert (values(w), values(w, "homepage")) == (("2", "2"), ("two", "two"))
    w.local.edit("customer", "C", fax="4")
    ran = modified(w)
    assert (ran["CUSTOMER", "to"], ran.together("CUSTOMER").get("failed", 0)) == ({"modified": 1}, 0)
    assert values(w) == ("4", "4")


def test_chosen_records_are_merged_where_nothing_collides(make_world: MakeWorld) -> None:
    w = pair(make_world, TWO_WAY)
    w.local.edit("customer", "C", homepage="zwei")
    modified(w)  # from now on fingerprints are known
    w.local.edit("customer", "C", fax="2")
    w.integration.edit("account", "G", homepage="two")
    plan = plan_chosen(w, "CUSTOMER", local="C")
    assert set(plan.records("CUSTOMER")["reason"]) == {"Changed in both systems, each in fields of its own: merged."}
    w.carry_out(plan)
    assert (values(w), values(w, "homepage")) == (("2", "2"), ("two", "two"))
    fax_changed_on_both(w)
    assert plan_chosen(w, "CUSTOMER", local="C").total("conflict"), "the same field on both sides is for a person to decide"


@pytest.mark.parametrize(("policy", "wins"), [("send_to_integration", "local"), ("get_from_integration", "integration")])
@pytest.mark.parametrize("extent", ["full", "modified"])
def test_what_a_policy_settles_is_shown_and_may_be_decided(make_world: MakeWorld, policy: str, wins: str, extent: str) -> None:
    w = pair(make_world, TWO_WAY, update_conflict_resolution=policy)
    w.local.edit("customer", "C", homepage="zwei")
    modified(w)  # from now on fingerprints are known
    fax_changed_on_both(w)
    w.integration.edit("account", "G", fax="3", homepage="two")
    plan = plan_modified(w) if extent == "modified" else w.plan()
    lines = plan.conflicts()[["field", "local_value", "integration_value", "changed_by"]].values.tolist()
    assert lines == [["fax", "2", "3", "both"], ["homepage", "zwei", "two", "integration"]]
    update = plan.records("CUSTOMER", disposition="update").iloc[0]
    assert (update["code"], update["pass"]) == ("policy_wins", "to" if wins == "local" else "from")
    assert "the policy of this mapping sends this side's values" in update["reason"]
    other = "integration" if wins == "local" else "local"
    decided = plan.resolve("CUSTOMER", plan.conflicts()["local_key"][0], use={"fax": other, "homepage": wins})
    w.carry_out(decided)
    assert values(w) == (("3", "3") if other == "integration" else ("2", "2"))
    assert values(w, "homepage") == (("zwei", "zwei") if wins == "local" else ("two", "two"))
