"""One record of a pair was deleted: S-076 to S-082. Found by keys alone in every run, whatever changed."""

from __future__ import annotations

from typing import Any

import pytest
from incremental import chosen, marks_at_stamps, modified, plan_modified
from world import MakeWorld, World, guid, mapping, on_both, scenario

from synckit.errors import SynckitError

BOTH_WAYS: dict[str, Any] = {"direction": "bidirectional", "only_coupled": True}
FROM_ONLY: dict[str, Any] = {"direction": "from_integration", "only_coupled": False}
PROPERTIES = pytest.mark.parametrize("properties", [BOTH_WAYS, FROM_ONLY], ids=["bidirectional", "from_only"])


def deleted_customer(make_world: MakeWorld, policy: str, properties: dict[str, Any]) -> World:
    """Customer C and account G ("Beta") coupled and in sync; the customer is gone, its coupling remains."""
    arrow = "<>" if properties["direction"] == "bidirectional" else "<"
    described = mapping("CUSTOMER", "customer > account", f"name {arrow} name", deletion_conflict_resolution=policy, **properties)
    w = make_world({"customer": "no code20 key, name text100"}, {"account": "name text160"}, [described])
    w.local.add("customer", "C", no="10000", name="Beta")
    w.integration.add("account", "G", name="Beta")
    w.couple("CUSTOMER", "C", "G")
    marks_at_stamps(w, "CUSTOMER")
    w.local.delete("customer", "C")
    return w


@scenario("S-076", "S-077")
@on_both
@PROPERTIES
def test_without_a_policy_it_fails_then_skips(make_world: MakeWorld, properties: dict[str, Any]) -> None:
    w = deleted_customer(make_world, "none", properties)
    assert chosen(w, "CUSTOMER", integration="G", direction="from", force=False)["CUSTOMER", "from"] == {"failed": 1}
    assert chosen(w, "CUSTOMER", integration="G", direction="from", force=False)["CUSTOMER", "from"] == {"skipped": 1}
    coupling = w.coupling("CUSTOMER", integration="G")
    assert coupling is not None and coupling["skipped"]
    assert w.local.count("customer") == 0


@scenario("S-076", "S-077")
@PROPERTIES
def test_a_run_of_modified_records_finds_it_whatever_changed(make_world: MakeWorld, properties: dict[str, Any]) -> None:
    w = deleted_customer(make_world, "none", properties)
    assert modified(w)["CUSTOMER", "from"] == {"failed": 1}
    assert modified(w)["CUSTOMER", "from"] == {"skipped": 1}
    assert w.coupling("CUSTOMER", integration="G") is not None and w.local.count("customer") == 0
    assert plan_modified(w, deletions=False).records("CUSTOMER", "deleted partner").empty


@scenario("S-078", "S-079")
@on_both
@PROPERTIES
def test_the_policy_may_remove_the_coupling(make_world: MakeWorld, properties: dict[str, Any]) -> None:
    w = deleted_customer(make_world, "remove_coupling", properties)
    assert modified(w, direction="from")["CUSTOMER", "from"] == {"unchanged": 1}
    assert w.coupling("CUSTOMER", integration="G") is None
    assert w.integration.row("account", "G")["name"] == "Beta"


@scenario("S-080")
@on_both
@PROPERTIES
def test_the_policy_may_restore_the_record(make_world: MakeWorld, properties: dict[str, Any]) -> None:
    w = deleted_customer(make_world, "restore_records", properties)
    assert modified(w)["CUSTOMER", "from"] == {"inserted": 1}
    (customer,) = w.local.rows("customer")
    assert (customer["name"], customer["system_id"] != guid("C")) == ("Beta", True)
    assert w.partner("CUSTOMER", integration="G") == customer["system_id"]
    assert w.integration.count("account") == 1
    assert modified(w).together("CUSTOMER").keys() <= {"unchanged"}


@scenario("S-081")
def test_deleting_a_record_does_not_touch_its_coupling(make_world: MakeWorld) -> None:
    w = deleted_customer(make_world, "none", BOTH_WAYS)
    with pytest.raises(SynckitError, match='no record "10000"'):
        w.ws.plan_records("CUSTOMER", local="10000")
    coupling = w.coupling("CUSTOMER", integration="G")
    assert coupling is not None and not coupling["skipped"]


@scenario("S-082")
@on_both
def test_an_integration_record_deleted_without_a_policy(make_world: MakeWorld) -> None:
    w = make_world(
        {"customer": "no code20 key, name text100"},
        {"account": "name text160"},
        [mapping("CUSTOMER", "customer > account", "name <> name")],
    )
    for number in "12":
        w.local.add("customer", f"C{number}", no=number, name=number)
        w.integration.add("account", f"G{number}", name=number)
        w.couple("CUSTOMER", f"C{number}", f"G{number}", never=True)
    w.integration.delete("account", "G1")
    assert modified(w).counter("CUSTOMER", "to", "failed") == 1
    coupling = w.coupling("CUSTOMER", "C1")
    assert coupling is not None
    assert (coupling["to_result"], coupling["from_result"], coupling["skipped"]) == ("failure", "", False)
    modified(w)
    coupling = w.coupling("CUSTOMER", "C1")
    assert coupling is not None and coupling["skipped"]


# --- what synckit does better than the reference --------------------------------------------------------------------------------------


def test_a_row_that_only_left_the_filter_is_no_deletion(make_world: MakeWorld) -> None:
    described = mapping("CUSTOMER", "customer > account", "name <> name", integration_filter={"name": "<>Gone"},
                        deletion_conflict_resolution="remove_coupling")  # fmt: skip
    w = make_world({"customer": "no code20 key, name text100"}, {"account": "name text160"}, [described])
    w.local.add("customer", "C", no="1", name="Acme")
    w.integration.add("account", "G", name="Acme")
    w.couple("CUSTOMER", "C", "G")
    w.integration.edit("account", "G", name="Gone")
    modified(w)
    assert w.coupling("CUSTOMER", "C") is not None


def test_both_records_gone_is_shown_and_nothing_fails(make_world: MakeWorld) -> None:
    w = deleted_customer(make_world, "restore_records", BOTH_WAYS)
    w.integration.delete("account", "G")
    plan = plan_modified(w)
    assert plan.records("CUSTOMER", "broken coupling")["pass"].tolist() == ["to", "from"]
    assert w.carry_out(plan).together("CUSTOMER") == {}


@pytest.mark.parametrize(("policy", "counters"), [("none", {"failed": 1}), ("remove_coupling", {"unchanged": 1}), ("restore_records", {"inserted": 1})])  # fmt: skip
def test_it_is_found_where_synckit_itself_changed_the_other_record_last(
    make_world: MakeWorld, policy: str, counters: dict[str, int]
) -> None:
    described = mapping("CUSTOMER", "customer > account", "name <> name", deletion_conflict_resolution=policy)
    w = make_world(
        {"customer": "no code20 key, name text100"},
        {"account": "name text160, modifiedby guid"},
        [described],
        config={"integration": {"integration_user": guid("us"), "modified_by": "modifiedby"}},
    )
    for n in "12":
        w.local.add("customer", f"C{n}", no=n, name="Beta")
        w.integration.add("account", f"G{n}", name="Beta", modifiedby="us")
        w.couple("CUSTOMER", f"C{n}", f"G{n}")
    marks_at_stamps(w, "CUSTOMER")
    w.local.delete("customer", "C1")
    w.integration.edit("account", "G2", name="Written by us")
    plan = plan_modified(w)
    assert plan.records("CUSTOMER", "left out by rule")["integration_key"].tolist() == [guid("G2")]
    assert w.carry_out(plan)["CUSTOMER", "from"] == counters


@pytest.mark.parametrize("gone", ["local", "integration"])
def test_what_cannot_be_restored_says_why(make_world: MakeWorld, gone: str) -> None:
    regions = mapping("REGION", "region > region", "name <> name")
    customers = mapping("CUSTOMER", "customer > account", "name <> name, region <> regionid lookup REGION", deletion_conflict_resolution="restore_records",
                        update_conflict_resolution="get_from_integration")  # fmt: skip
    w = make_world(
        {"region": "code code10 key, name text50", "customer": "no code20 key, name text100, region code10"},
        {"region": "name text50", "account": "name text160, regionid guid"},
        [regions, customers],
    )
    w.local.add("customer", "C", no="1", name="Beta", region="N")  # refers to a region that nobody has
    w.integration.add("account", "G", name="Beta", regionid="nobody")
    w.couple("CUSTOMER", "C", "G")
    (w.local if gone == "local" else w.integration).delete(*{"local": ("customer", "C"), "integration": ("account", "G")}[gone])
    for plan in (w.plan("CUSTOMER"), w.ws.plan_restore()):
        (row,) = plan.records("CUSTOMER", "will fail").to_dict("records")
        assert row["code"] == "lookup_not_coupled" and "REGION" in row["reason"]
    w.carry_out(plan)


def test_a_restored_record_never_takes_the_key_of_the_deleted_one(make_world: MakeWorld) -> None:
    w = make_world(
        {"customer": "no code20 key, name text100"},
        {"account": "name text160"},
        [mapping("CUSTOMER", "customer > account", "name <> name", deletion_conflict_resolution="restore_records")],
    )
    w.local.add("customer", "C", no="1", name="Beta")
    w.full()
    keys = []
    for _ in range(3):
        (account,) = w.integration.rows("account")
        keys.append(account["accountid"])
        w.integration.delete("account", account["accountid"])
        w.carry_out(plan_modified(w))
    assert len(set(keys)) == 3
