"""Plans made by hand: couple (S-026 to S-035), restore (S-083 to S-085), skip and retry (S-086 to S-093, S-133); uncoupling (S-094 to S-099) stands in
test_uncouple.py."""

from __future__ import annotations

import pytest
from incremental import chosen, jobs, marks_at_stamps, modified
from world import MakeWorld, Ran, World, guid, mapping, on_both, scenario

from synckit.errors import SynckitError

COMPANY = guid("this company")
CUSTOMER = mapping("CUSTOMER", "customer > account", "name <> name, salesperson > owner lookup SALESPEOPLE")
SALESPEOPLE = mapping("SALESPEOPLE", "salesperson > user", "name < fullname", direction="from_integration")


def customers(make_world: MakeWorld, *more: dict, local: str = "", integration: str = "", **properties: object) -> World:
    """Customers and accounts, salespeople and users."""
    described = {**CUSTOMER, **properties}
    return make_world(
        {"customer": f"no code20 key, name text50, salesperson code10{local}", "salesperson": "code code10 key, name text50"},
        {"account": f"name text160, owner guid{integration}", "user": "fullname text100"},
        [SALESPEOPLE, described, *more],
    )


def pair(w: World, local: str, integration: str, couple: bool = True, **values: object) -> None:
    w.local.add("customer", local, no=local, name=local, **values)
    w.integration.add("account", integration, name=local)
    if couple:
        w.couple("CUSTOMER", local, integration)


def couple(w: World, *pairs: tuple[str, str], name: str = "CUSTOMER", **how: object) -> Ran:
    return w.carry_out(w.ws.plan_coupling(name, [(guid(a), guid(b)) for a, b in pairs], **how))  # type: ignore[arg-type]


# -- couple --------------------------------------------------------------------------------------------------------------------------


@scenario("S-015")
def test_the_integration_filter_also_limits_whom_one_may_couple(make_world: MakeWorld) -> None:
    w = customers(make_world, integration_filter={"name": "A"})
    pair(w, "C", "G", couple=False)
    w.integration.add("account", "A", name="A")
    ran = couple(w, ("C", "G"))
    assert w.coupling("CUSTOMER", "C") is None and "integration filter leaves it out" in ran.errors()[0]
    couple(w, ("C", "A"))
    assert w.partner("CUSTOMER", "C") == "A"


@scenario("S-026")
def test_a_planned_coupling_is_found_from_both_sides(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G1", couple=False)
    assert couple(w, ("C", "G1"))["CUSTOMER", "to"] == {"coupled": 1}
    assert (w.partner("CUSTOMER", local="C"), w.partner("CUSTOMER", integration="G1")) == ("G1", "C")
    assert w.ws.jobs()["type"].tolist() == ["coupling"]


@scenario("S-027")
def test_from_the_integration_side_a_coupled_record_stays_as_it_is(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G1")
    w.integration.add("account", "G2", name="Other")
    ran = couple(w, ("C", "G2"), starting_from="integration")
    assert ran["CUSTOMER", "to"] == {"failed": 1} and "already" in ran.errors()[0]
    assert w.partner("CUSTOMER", "C") == "G1"


@scenario("S-028")
@on_both
def test_from_the_local_side_the_coupling_is_pointed_elsewhere(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G1")
    w.integration.add("account", "G2", name="Other")
    plan = w.ws.plan_coupling("CUSTOMER", [(guid("C"), guid("G2"))])
    row = plan.records().iloc[0]
    assert list(row["warnings"]) == ["recoupled"] and row["reason"] == "C is coupled to Other instead of C."
    w.carry_out(plan)
    assert w.partner("CUSTOMER", "C") == "G2" and w.partner("CUSTOMER", integration="G1") is None
    assert w.ws.ledger.coupling_count("CUSTOMER") == 1


@scenario("S-029")
def test_a_dead_coupling_gives_way_and_all_of_it_is_journalled(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G1")
    pair(w, "B", "G2")
    w.local.delete("customer", "A")
    couple(w, ("B", "G1"))
    assert w.partner("CUSTOMER", "B") == "G1" and w.ws.ledger.coupling_count("CUSTOMER") == 1
    lines = w.ws.ledger.journal().to_pylist()
    assert [(line["op"], w.aliases[line["local_key"]]) for line in lines] == [("uncouple", "A"), ("uncouple", "B"), ("couple", "B")]
    assert all('"local_stamp":"2026' in line["before"] for line in lines[:2])


def test_a_living_coupling_is_never_taken_over(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G1")
    pair(w, "B", "G2", couple=False)
    assert couple(w, ("B", "G1"))["CUSTOMER", "to"] == {"failed": 1}
    assert w.partner("CUSTOMER", integration="G1") == "A"


@scenario("S-030")
@on_both
def test_coupled_and_sent(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Beta")
    plan = w.ws.plan_coupling("CUSTOMER", [("C", "Beta")], sync="to")
    change = plan.changes().iloc[0]
    assert (change["field"], change["old"], change["new"]) == ("name", "Beta", "Acme")
    assert w.carry_out(plan)["CUSTOMER", "to"] == {"coupled": 1, "modified": 1}
    assert w.partner("CUSTOMER", "C") == "G" and w.integration.row("account", "G")["name"] == "Acme"
    assert modified(w)["CUSTOMER", "to"].get("modified") is None  # both are in step


@scenario("S-031")
def test_coupled_and_fetched(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("salesperson", "S", code="S", name="Jo")
    w.integration.add("user", "U", fullname="Joanna")
    assert couple(w, ("S", "U"), name="SALESPEOPLE", sync="from")["SALESPEOPLE", "from"] == {"coupled": 1, "modified": 1}
    assert w.local.row("salesperson", "S")["name"] == "Joanna"
    with pytest.raises(SynckitError, match="not set up for to integration"):
        w.ws.plan_coupling("SALESPEOPLE", [(guid("S"), guid("U"))], sync="to")


@scenario("S-032")
def test_coupled_without_a_synchronisation(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C", name="Ann")
    w.integration.add("account", "G", name="Anna")
    before = w.everything()
    couple(w, ("C", "G"))
    assert w.partner("CUSTOMER", "C") == "G" and w.everything() == before


def test_what_was_left_out_of_a_coupling_is_not_coupled_nor_synchronised(make_world: MakeWorld) -> None:
    w = customers(make_world)
    for local, integration in (("C", "G"), ("D", "H")):
        w.local.add("customer", local, no=local, name=local)
        w.integration.add("account", integration, name="Beta")
    pairs = [(guid("C"), guid("G")), (guid("D"), guid("H"))]
    w.carry_out(w.ws.plan_coupling("CUSTOMER", pairs, sync="to").exclude("CUSTOMER", local=guid("C")))
    assert w.partner("CUSTOMER", "C") is None and w.integration.row("account", "G")["name"] == "Beta"
    assert w.partner("CUSTOMER", "D") == "H" and w.integration.row("account", "H")["name"] == "D"
    assert not w.ws.ledger.held("CUSTOMER").num_rows


def test_a_row_that_changed_after_planning_is_not_coupled(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G", couple=False)
    plan = w.ws.plan_coupling("CUSTOMER", [(guid("C"), guid("G"))])
    w.integration.edit("account", "G", name="New")
    ran = w.carry_out(plan, surprises=True)
    assert w.coupling("CUSTOMER", "C") is None and "was changed after planning" in ran.errors()[0]


@scenario("S-033")
def test_created_once_only(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("salesperson", "S", code="S")
    w.integration.add("user", "U", fullname="Jo")
    w.couple("SALESPEOPLE", "S", "U")
    w.local.add("customer", "C", no="C", name="Acme", salesperson="S")
    assert chosen(w, "CUSTOMER", local="C", direction="to", create=True)["CUSTOMER", "to"] == {"inserted": 1}
    partner = w.partner("CUSTOMER", "C")
    w.local.edit("customer", "C", name="Here")
    w.integration.edit("account", w.partner("CUSTOMER", "C"), name="There")
    again = chosen(w, "CUSTOMER", local="C", direction="to", create=True)
    row = again.plan.records("CUSTOMER").iloc[0]
    assert (row["disposition"], row["code"], jobs(again)) == ("skipped", "already_coupled", 0)
    assert w.integration.count("account") == 1 and w.partner("CUSTOMER", "C") == partner


@scenario("S-034")
def test_creating_by_hand_asks_no_watermark(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G")
    w.local.add("customer", "C", no="C", name="Acme", at="10:53:17")
    with w.ws.ledger.transaction() as tx:
        tx.set_watermark("CUSTOMER", "local", "2026-01-05T10:53:18")
    assert chosen(w, "CUSTOMER", local="C", direction="to", create=True)["CUSTOMER", "to"] == {"inserted": 1}
    assert w.ws.ledger.watermarks("CUSTOMER")["local"] == "2026-01-05T10:53:18"


def test_a_run_of_chosen_records_moves_no_watermark(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G1")
    pair(w, "B", "G2")
    marks_at_stamps(w, "CUSTOMER")
    before = w.ws.ledger.watermarks("CUSTOMER")
    w.local.edit("customer", "A", name="first")
    w.local.edit("customer", "B", name="second")
    chosen(w, "CUSTOMER", local="B", direction="to")
    assert w.ws.ledger.watermarks("CUSTOMER") == before
    modified(w)
    assert w.integration.row("account", "G1")["name"] == "first"


@scenario("S-035")
def test_a_creation_that_breaks_a_rule(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C", name="Acme", salesperson="XX")
    ran = chosen(w, "CUSTOMER", local="C", direction="to", create=True)
    assert ran["CUSTOMER", "to"] == {"failed": 1} and ran.run.status == "finished"
    assert w.coupling("CUSTOMER", "C") is None and not w.integration.count("account")
    assert 'salesperson "XX"' in ran.errors()[0]


# -- broken couplings ----------------------------------------------------------------------------------------------------------------


def skip(w: World, *aliases: str, name: str = "CUSTOMER") -> None:
    with w.ws.ledger.transaction() as tx:
        tx.set_skipped([w.coupling(name, a)["id"] for a in aliases], True)  # type: ignore[index]


@scenario("S-083")
@on_both
def test_a_deleted_local_record_is_restored(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="10000", name="Acme")
    w.integration.add("account", "G", name="Beta" + "x" * 60)
    w.couple("CUSTOMER", "C", "G")
    skip(w, "C")
    w.local.delete("customer", "C")
    w.local.add("customer", "D", no="20000", name="Other")
    ran = w.carry_out(w.ws.plan_restore())
    assert ran.together("CUSTOMER") == {"inserted": 1}
    made = next(row for row in w.local.rows("customer") if row["name"].startswith("Beta"))
    assert made["no"] != "10000" and len(made["name"]) == 50
    assert w.coupling("CUSTOMER", integration="G")["local_key"] == made["system_id"]  # type: ignore[index]
    assert not len(w.ws.skipped()) and not len(w.ws.broken())


@scenario("S-084")
@on_both
def test_a_deleted_integration_record_is_restored(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G1")
    skip(w, "C")
    w.integration.delete("account", "G1")
    assert w.carry_out(w.ws.plan_restore("CUSTOMER", local="C")).together("CUSTOMER") == {"inserted": 1}
    (made,) = w.integration.rows("account")
    assert made["accountid"] != guid("G1") and made["name"] == "C"
    assert w.partner("CUSTOMER", "C") == made["accountid"]
    assert not len(w.ws.skipped())


@scenario("S-085")
def test_broken_couplings_are_searched_for_and_looking_changes_nothing(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G")
    pair(w, "D", "H")
    w.local.delete("customer", "C")
    assert not len(w.ws.skipped())
    found = w.ws.broken()
    assert found[["mapping", "missing", "name"]].values.tolist() == [["CUSTOMER", "local", "C"]]
    assert not len(w.ws.skipped())  # the reference flags what it finds; here a list is only a list


def test_a_survivor_is_deleted_on_request_with_every_value_shown(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G")
    pair(w, "D", "H")
    w.local.delete("customer", "C")
    with pytest.raises(SynckitError, match="exactly one"):
        w.ws.plan_delete("CUSTOMER", local="D")
    plan = w.ws.plan_delete("CUSTOMER", integration=guid("G"))
    assert ("name", "C", True) in {
        (r["column"], r["old"], r["new"] is None or r["new"] != r["new"]) for r in plan.changes().to_dict("records")
    }
    run = w.ws.apply(plan)
    assert run.jobs["deleted"].tolist() == [1] and w.integration.count("account") == 1
    assert w.coupling("CUSTOMER", integration="G") is None and w.partner("CUSTOMER", "D") == "H"


def test_a_survivor_that_changed_after_planning_is_not_deleted(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G")
    w.local.delete("customer", "C")
    plan = w.ws.plan_delete("CUSTOMER")
    w.integration.edit("account", "G", name="New")
    run = w.ws.apply(plan)
    assert run.jobs["failed"].tolist() == [1] and w.integration.count("account") == 1
    assert w.coupling("CUSTOMER", integration="G") is not None


# -- skip and retry ------------------------------------------------------------------------------------------------------------------


def waiting(make_world: MakeWorld) -> World:
    """A coupled customer whose salesperson PS is not coupled: synchronising it fails."""
    w = customers(make_world)
    for code in ("PS", "XX"):
        w.local.add("salesperson", code, code=code)
        w.integration.add("user", f"U{code}", fullname=code)
    pair(w, "C", "G")
    w.local.edit("customer", "C", name="New", salesperson="PS")
    assert modified(w, "CUSTOMER")["CUSTOMER", "to"] == {"failed": 1}
    return w


@scenario("S-086")
def test_one_failure_then_fixed(make_world: MakeWorld) -> None:
    w = waiting(make_world)
    w.couple("SALESPEOPLE", "PS", "UPS")
    assert modified(w, "CUSTOMER")["CUSTOMER", "to"] == {"modified": 1}
    coupling = w.coupling("CUSTOMER", "C")
    assert coupling["to_result"] == "success" and not coupling["skipped"]  # type: ignore[index]


@scenario("S-087")
def test_two_different_failures(make_world: MakeWorld) -> None:
    w = waiting(make_world)
    w.local.edit("customer", "C", salesperson="XX")
    assert modified(w, "CUSTOMER")["CUSTOMER", "to"] == {"failed": 1}
    coupling = w.coupling("CUSTOMER", "C")
    assert coupling["to_result"] == "failure" and not coupling["skipped"]  # type: ignore[index]


@scenario("S-088")
def test_the_same_failure_twice(make_world: MakeWorld) -> None:
    w = waiting(make_world)
    ran = modified(w, "CUSTOMER", direction="to")
    assert ran["CUSTOMER", "to"] == {"skipped": 1} and len(ran.errors()) == 1
    coupling = w.coupling("CUSTOMER", "C")
    assert coupling["to_result"] == "failure" and coupling["skipped"]  # type: ignore[index]


@scenario("S-089")
def test_a_skipped_record_is_left_alone(make_world: MakeWorld) -> None:
    w = waiting(make_world)
    modified(w, "CUSTOMER")
    ran = chosen(w, "CUSTOMER", local="C", direction="to")
    assert not len(ran.run.jobs) and ran.plan.total("skipped")
    assert w.coupling("CUSTOMER", "C")["skipped"]  # type: ignore[index]


@scenario("S-090")
def test_a_failed_record_is_looked_at_again_although_unchanged(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G1")
    pair(w, "B", "G2")
    marks_at_stamps(w, "CUSTOMER")
    w.local.edit("customer", "A", name="here")
    w.integration.edit("account", "G1", name="there")
    w.integration.edit("account", "G2", name="there")
    first = modified(w, "CUSTOMER").together("CUSTOMER")
    assert (first["failed"], first["modified"]) == (2, 1)
    assert not len(w.ws.skipped())
    second = modified(w, "CUSTOMER").together("CUSTOMER")
    assert second["skipped"] == 2 and "failed" not in second
    assert w.ws.skipped()["local_key"].tolist() == [guid("A")]


@scenario("S-091")
def test_a_failure_of_the_other_direction_lifts_no_flag(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G")
    number = w.coupling("CUSTOMER", "A")["id"]  # type: ignore[index]
    with w.ws.ledger.transaction() as tx:
        tx.mark_results([{"id": number, "code": "x", "message": "1"}], "to", "j1")
        tx.mark_results([{"id": number, "code": "x", "message": "2", "skipped": True}], "from", "j2")
        tx.mark_results([{"id": number, "code": "x", "message": "3"}], "to", "j3")
    assert w.coupling("CUSTOMER", "A")["skipped"]  # type: ignore[index]


@scenario("S-092")
def test_retry_a_selection(make_world: MakeWorld) -> None:
    w = customers(make_world)
    for n, name in enumerate("ABC"):
        pair(w, name, f"G{n}")
    skip(w, "A", "B", "C")
    plan = w.ws.plan_retry("CUSTOMER", local=["A", "C"])
    assert sum(len(head.released) for head in plan.base.mappings.values()) == 2
    w.carry_out(plan)
    assert [w.coupling("CUSTOMER", name)["skipped"] for name in "ABC"] == [False, True, False]  # type: ignore[index]
    with pytest.raises(SynckitError, match="not skipped"):
        w.ws.plan_retry("CUSTOMER", local="A")
    w.carry_out(w.ws.plan_retry())
    assert not len(w.ws.skipped())


@scenario("S-133")
def test_what_can_be_done_with_a_skipped_record_whose_partner_is_gone(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "C", "G")
    w.integration.add("account", "H", name="C")
    skip(w, "C")
    w.integration.delete("account", "G")
    assert w.ws.skipped()["local_key"].tolist() == [guid("C")]
    assert w.ws.broken()[["missing", "name", "skipped"]].values.tolist() == [["integration", "C", True]]
    for plan in (w.ws.plan_retry("CUSTOMER", local="C"), w.ws.plan_records("CUSTOMER", local="C", direction="to")):
        assert plan.writes == 0 and plan.total("update") == plan.total("create") == 0, "neither retry nor synchronise"
    assert w.ws.explain("CUSTOMER", local="C")  # the log
    w.carry_out(w.ws.plan_uncoupling("CUSTOMER", local="C"))
    assert w.coupling("CUSTOMER", "C") is None
    couple(w, ("C", "H"))
    assert w.partner("CUSTOMER", "C") == "H" and not len(w.ws.skipped())


def test_a_retried_record_is_synchronised_at_once(make_world: MakeWorld) -> None:
    w = waiting(make_world)
    modified(w, "CUSTOMER")  # alike: skipped
    assert w.ws.plan_retry().total("will fail")  # and says why, not "skipped" again
    w.couple("SALESPEOPLE", "PS", "UPS")
    assert w.carry_out(w.ws.plan_retry())["CUSTOMER", "to"] == {"modified": 1}
    assert w.integration.row("account", "G")["name"] == "New" and not len(w.ws.skipped())


def test_a_hold_is_lifted(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G")
    w.local.edit("customer", "A", name="New")
    w.carry_out(w.ws.plan_modified().exclude("CUSTOMER", local=guid("A")))
    assert w.ws.plan_modified().total("held") and w.ws.plan_modified().total("update") == 0
    assert w.ws.lift("CUSTOMER", local="A") == 1
    assert modified(w, "CUSTOMER")["CUSTOMER", "to"] == {"modified": 1}
    assert w.ws.ledger.decisions()["kind"].to_pylist()[-1] == "lift"
    with pytest.raises(SynckitError, match="is not held"):
        w.ws.lift("CUSTOMER", local="A")


def test_all_holds_of_a_mapping_are_lifted_at_once(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "A", "G")
    w.local.edit("customer", "A", name="New")
    w.local.add("customer", "B", name="Only here")
    w.carry_out(w.ws.plan_full().exclude("CUSTOMER"))
    held = w.ws.plan_full()
    assert held.total("held") and not held.writes and "synckit lift MAPPING KEY, or MAPPING --all" in held.to_text()
    assert w.ws.lift("CUSTOMER", all_held=True) == 2, "a coupled record and one of one's own"
    assert w.ws.plan_full().total("held") == 0 and w.ws.plan_full().total("create", "update") == 2
    assert w.ws.lift("CUSTOMER", all_held=True) == 0


@scenario("S-093")
def test_the_list_of_skipped_records(make_world: MakeWorld) -> None:
    w = customers(make_world)
    pair(w, "Cannon", "G")
    w.local.add("salesperson", "RS", code="RS")
    w.integration.add("user", "U", fullname="R")
    w.couple("SALESPEOPLE", "RS", "U")
    for name, alias, error in (("CUSTOMER", "Cannon", "Y"), ("SALESPEOPLE", "RS", "X")):
        coupling = w.coupling(name, alias)
        with w.ws.ledger.transaction() as tx:
            epoch_free = tx.start_run(f"plan of {alias}", "modified", "me", "here", 1, -1)
            job = tx.start_job(epoch_free, name, "to_integration")
            tx.book_errors(
                [{"job_id": job, "run_id": epoch_free, "mapping": name, "local_key": guid(alias), "code": "e", "message": error}]
            )
            tx.mark_results([{"id": coupling["id"], "code": "e", "message": error, "skipped": True}], "to", job)  # type: ignore[index]
            tx.finish_run(epoch_free, "finished")
    listed = w.ws.skipped()
    assert listed[["mapping", "message"]].values.tolist() == [["SALESPEOPLE", "X"], ["CUSTOMER", "Y"]]
    assert listed["local_key"].tolist() == [guid("RS"), guid("Cannon")] and listed["at"].is_monotonic_decreasing


def test_dependants_are_released_in_the_run_that_couples_their_parent(make_world: MakeWorld) -> None:
    w = make_world(
        {"customer": "no code20 key, name text50, area code10", "area": "code code10 key, name text50"},
        {"account": "name text160, territory guid", "territory": "name text50"},
        [mapping("AREA", "area > territory", "name > name", direction="to_integration", only_coupled=True),
         mapping("CUSTOMER", "customer > account", "name > name, area > territory lookup AREA", direction="to_integration", only_coupled=False)],
    )  # fmt: skip
    w.local.add("area", "N", code="N", name="North")
    w.local.add("customer", "C", no="C", name="Acme", area="N")
    assert modified(w)["CUSTOMER", "to"] == {"failed": 1}
    w.change("AREA", only_coupled=False)
    ran = modified(w)  # nothing was edited since
    assert (ran["AREA", "to"], ran["CUSTOMER", "to"]) == ({"inserted": 1}, {"inserted": 1})
    assert w.integration.rows("account")[0]["territory"] == w.integration.rows("territory")[0]["territoryid"]
