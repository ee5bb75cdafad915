"""Runs of modified and chosen records: S-053 to S-066, and of other areas those that only such a run can show."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from incremental import chosen, jobs, latest, mark, marks, marks_at_stamps, modified, moment, plan_chosen, plan_modified, stamps
from world import MakeWorld, World, guid, mapping, on_both, scenario

CUSTOMER = {"customer": "no code20 key, name text100, name_2 text50, blocked option _|ship|invoice"}
ACCOUNT = {"account": "name text160"}
CLOCKS = pytest.mark.parametrize("skew", [0, -300, 300])


def customers(make_world: MakeWorld, direction: str = "bidirectional", fields: str = "name <> name", **properties: Any) -> World:
    return make_world(CUSTOMER, ACCOUNT, [mapping("CUSTOMER", "customer > account", fields, direction=direction, **properties)])


def pair(w: World, number: str = "1", **local: Any) -> None:
    """A pair in sync: customer C<number> and account G<number>."""
    w.local.add("customer", f"C{number}", no=f"C{number}", name=f"Acme {number}", **local)
    w.integration.add("account", f"G{number}", name=f"Acme {number}")
    w.couple("CUSTOMER", f"C{number}", f"G{number}")


def in_sync(make_world: MakeWorld, numbers: str = "1", skew: int = 0, **properties: Any) -> World:
    """Pairs in sync after a run: the watermarks stand at the stamps. `skew`: seconds that the integration side's clock is ahead."""
    w = customers(make_world, **properties)
    w.integration.skew = timedelta(seconds=skew)
    for number in numbers:
        pair(w, number)
    marks_at_stamps(w, "CUSTOMER", local_later=0.005)
    return w


def name(w: World, side: str, alias: str) -> Any:
    return w.local.row("customer", alias)["name"] if side == "local" else w.integration.row("account", alias)["name"]


@scenario("S-053")
@on_both
def test_a_changed_integration_row_is_followed(make_world: MakeWorld) -> None:
    w = in_sync(make_world, direction="from_integration", fields="name < name")
    w.now += timedelta(days=1)
    w.integration.edit("account", "G1", name="MODIFIED")
    assert modified(w)["CUSTOMER", "from"] == {"modified": 1}
    assert name(w, "local", "C1") == "MODIFIED"


@scenario("S-054")
def test_an_unchanged_integration_row_is_not_even_compared(make_world: MakeWorld) -> None:
    w = in_sync(make_world, direction="from_integration", fields="name < name")
    plan = plan_modified(w)
    assert w.carry_out(plan)["CUSTOMER", "from"] == {"unchanged": 1}
    assert plan.changes().empty


@pytest.mark.parametrize(("overlap", "found"), [(None, 1), (1.0, 0)])
def test_a_row_committed_late_is_found_where_the_overlap_is_long_enough(
    make_world: MakeWorld, overlap: float | None, found: int
) -> None:
    w = in_sync(make_world, direction="from_integration", fields="name < name")
    w.now += timedelta(days=1)
    w.integration.edit("account", "G1", name="MODIFIED")
    marks(w, "CUSTOMER", integration=latest(w, "integration", "account") + timedelta(seconds=2))
    side = w.ws.description.integration
    version = side.version.model_copy(update={"overlap": overlap})
    w.ws.description = w.ws.description.model_copy(update={"integration": side.model_copy(update={"version": version})})
    assert modified(w)["CUSTOMER", "from"].get("modified", 0) == found


@pytest.mark.parametrize(("semantics", "found"), [("synckit", "late"), ("reference", "Acme 1")])
def test_what_is_committed_after_a_run_with_a_stamp_from_before_it(make_world: MakeWorld, semantics: str, found: str) -> None:
    w = in_sync(make_world, "12", semantics=semantics)
    w.local.edit("customer", "C2", name="D2", at="12:00:01")
    modified(w)
    w.local.edit("customer", "C1", name="late", at="12:00:00.500")
    modified(w)
    assert name(w, "integration", "G1") == found
    assert not plan_modified(w).writes, "what is read again and equals its stamp is no news"


@scenario("S-055")
def test_synchronising_away_from_the_side_that_did_not_change(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    w.integration.edit("account", "G1", name="Newer")
    assert chosen(w, "CUSTOMER", local="C1", direction="to", force=False)["CUSTOMER", "to"] == {"unchanged": 1}
    assert (name(w, "local", "C1"), name(w, "integration", "G1")) == ("Acme 1", "Newer")
    coupling = w.coupling("CUSTOMER", "C1")
    assert coupling is not None
    assert [coupling[c] for c in ("to_result", "to_job", "from_result", "from_job")] == ["", "", "", ""]


@scenario("S-056")
def test_a_fresh_coupling_counts_as_changed(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Beta")
    for half, table, column in ((w.local, "customer", "system_modified_at"), (w.integration, "account", "modifiedon")):
        half.sql(f"UPDATE {table} SET {column} = '1900-01-01T00:00:00.000Z'")  # noqa: S608
    w.couple("CUSTOMER", "C", "G", never=True)
    marks(w, "CUSTOMER", local=w.now, integration=w.now)
    rows = plan_modified(w).records("CUSTOMER")
    assert rows["pass"].tolist() == ["to", "from"]
    assert rows["code"].tolist() == ["never_synchronised"] * 2  # both sides count as changed, so what differs is a conflict


@scenario("S-057")
def test_only_an_unmapped_column_changed(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    before = stamps(w, "CUSTOMER", "C1")
    w.local.edit("customer", "C1", name_2="unmapped")
    assert modified(w, direction="to")["CUSTOMER", "to"] == {"unchanged": 1}
    after = stamps(w, "CUSTOMER", "C1")
    assert after[0] == latest(w, "local", "customer") > before[0]
    assert after[1] == before[1]


@scenario("S-058")
@on_both
def test_the_local_watermark_after_a_run_to_integration(make_world: MakeWorld) -> None:
    w = customers(make_world, "to_integration", "name > name", only_coupled=False)
    w.local.add("customer", "A", no="A", name="A")
    w.local.add("customer", "B", no="B", name="B")
    assert modified(w)["CUSTOMER", "to"] == {"inserted": 2}
    assert mark(w, "CUSTOMER", "local") == latest(w, "local", "customer")


@scenario("S-059")
def test_a_run_moves_only_its_own_sides_watermark(make_world: MakeWorld) -> None:
    w = customers(make_world, only_coupled=False)
    for number in "12":
        w.local.add("customer", f"C{number}", no=number, name=number)
    modified(w)
    marks(w, "CUSTOMER", local=None, integration=None)
    modified(w, direction="to")
    assert mark(w, "CUSTOMER", "integration") is None
    assert mark(w, "CUSTOMER", "local") == latest(w, "local", "customer")


@scenario("S-060", "S-061")
@CLOCKS
def test_nothing_changed_on_either_side(make_world: MakeWorld, skew: int) -> None:
    w = in_sync(make_world, skew=skew)
    before = (stamps(w, "CUSTOMER", "C1"), mark(w, "CUSTOMER", "local"), mark(w, "CUSTOMER", "integration"))
    ran = modified(w)
    assert (ran["CUSTOMER", "to"], ran["CUSTOMER", "from"]) == ({}, {"unchanged": 1})
    assert (stamps(w, "CUSTOMER", "C1"), mark(w, "CUSTOMER", "local"), mark(w, "CUSTOMER", "integration")) == before


@scenario("S-062")
@CLOCKS
def test_each_side_changed_on_another_pair(make_world: MakeWorld, skew: int) -> None:
    w = in_sync(make_world, "12", skew)
    before = {side: mark(w, "CUSTOMER", side) for side in ("local", "integration")}
    w.local.edit("customer", "C1", name="X")
    w.integration.edit("account", "G2", name="Y")
    ran = modified(w)
    assert (ran["CUSTOMER", "to"], ran["CUSTOMER", "from"]) == ({"modified": 1}, {"modified": 1, "unchanged": 1})
    for number, value in (("1", "X"), ("2", "Y")):
        assert name(w, "local", f"C{number}") == name(w, "integration", f"G{number}") == value
        seen = tuple(
            moment(w.version("CUSTOMER", side, guid(a))) for side, a in (("local", f"C{number}"), ("integration", f"G{number}"))
        )
        assert stamps(w, "CUSTOMER", f"C{number}") == seen
    assert all(mark(w, "CUSTOMER", side) >= earlier for side, earlier in before.items())  # type: ignore[operator]


@scenario("S-063")
@CLOCKS
def test_two_local_changes_in_a_row(make_world: MakeWorld, skew: int) -> None:
    w = in_sync(make_world, skew=skew)
    for value in ("X1", "X2"):
        w.local.edit("customer", "C1", name=value)
        ran = modified(w)
        assert (ran["CUSTOMER", "to"], ran["CUSTOMER", "from"]) == ({"modified": 1}, {"unchanged": 1})
        assert name(w, "integration", "G1") == value


@scenario("S-064")
@on_both
def test_two_integration_changes_in_a_row(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    counted = []
    for value in ("Y1", "Y2"):
        w.integration.edit("account", "G1", name=value)
        ran = modified(w)
        counted.append((ran["CUSTOMER", "to"], ran["CUSTOMER", "from"]))
        assert name(w, "local", "C1") == value
    assert counted == [({}, {"modified": 1}), ({"unchanged": 1}, {"modified": 1})]


@scenario("S-065")
@on_both
def test_inserted_once_then_recognised(make_world: MakeWorld) -> None:
    w = customers(make_world, only_coupled=False)
    w.integration.add("account", "G", name="Beta")
    assert modified(w)["CUSTOMER", "from"] == {"inserted": 1}
    assert modified(w).together("CUSTOMER") == {"unchanged": 2}
    assert modified(w).together("CUSTOMER") == {"unchanged": 1}
    assert w.local.count("customer") == 1


@scenario("S-066", semantics="reference")
def test_a_forced_run_counts_every_record_as_modified(make_world: MakeWorld) -> None:
    w = in_sync(make_world, "12345", semantics="reference")
    ran = chosen(w, "CUSTOMER", local="C1 C2 C3 C4 C5", direction="to")
    assert ran["CUSTOMER", "to"] == {"modified": 5} and jobs(ran) == 1


@scenario("S-066")
def test_a_forced_run_leaves_equal_records_alone(make_world: MakeWorld) -> None:
    w = in_sync(make_world, "12345")
    ran = chosen(w, "CUSTOMER", local="C1 C2 C3 C4 C5", direction="to")
    assert ran["CUSTOMER", "to"] == {"unchanged": 5} and jobs(ran) == 1


# --- filters and directions ------------------------------------------------------------------------------------------------------------


@scenario("S-010")
def test_widening_the_filter_later_picks_the_coupled_row_up(make_world: MakeWorld) -> None:
    w = customers(make_world, "to_integration", "name > name", only_coupled=False, local_filter={"no": "<>C3"})
    for number in "123":
        w.local.add("customer", f"C{number}", no=f"C{number}", name=number)
    modified(w)
    w.change("CUSTOMER", local_filter={})
    w.integration.add("account", "G3", name="3")
    w.couple("CUSTOMER", "C3", "G3", never=True)
    w.local.edit("customer", "C3", name="abc")
    assert modified(w).counter("CUSTOMER", "to", "modified") >= 1
    assert name(w, "integration", "G3") == "abc"


@scenario("S-013")
def test_a_chosen_record_outside_the_filter_is_passed_over(make_world: MakeWorld) -> None:
    w = in_sync(make_world, local_filter={"blocked": "<>invoice"})
    w.local.edit("customer", "C1", name="Changed", blocked=2)
    plan = plan_chosen(w, "CUSTOMER", local="C1", direction="to")
    assert plan.records("CUSTOMER")["reason"].tolist() == ["Outside the filter of Local."]
    assert jobs(w.carry_out(plan)) == 0
    assert name(w, "integration", "G1") == "Acme 1"


@scenario("S-014")
def test_a_coupled_record_that_leaves_the_filter_is_passed_over(make_world: MakeWorld) -> None:
    w = in_sync(make_world, direction="to_integration", fields="name > name", local_filter={"blocked": "<>invoice"})
    w.local.edit("customer", "C1", name="Acme Ltd")
    assert modified(w)["CUSTOMER", "to"] == {"modified": 1}
    w.local.edit("customer", "C1", name="Changed", blocked=2)
    assert modified(w)["CUSTOMER", "to"] == {}


@scenario("S-016")
def test_a_blank_integration_watermark_reads_everything(make_world: MakeWorld) -> None:
    w = customers(make_world, only_coupled=False)
    w.integration.add("account", "A", name="A", at="10:29")
    w.integration.add("account", "B", name="B", at="10:31")
    marks(w, "CUSTOMER", local=datetime(2026, 1, 5, 10, 30), integration=None)
    assert plan_modified(w).records("CUSTOMER", in_pass="from")["integration_key"].nunique() == 2


@scenario("S-017")
def test_a_parent_outside_the_filter_is_not_created_on_the_fly(make_world: MakeWorld) -> None:
    parents = mapping("CUSTOMER", "customer > account", "name > name", only_coupled=False, local_filter={"blocked": "<>invoice"})
    invoices = mapping(
        "INVOICE", "invoice > invoice", "no > name, customer > accountid lookup CUSTOMER", direction="to_integration"
    )
    w = make_world(
        {**CUSTOMER, "invoice": "no code20 key, customer code20"},
        {**ACCOUNT, "invoice": "name text50, accountid guid"},
        [parents, invoices],
    )
    w.local.add("customer", "A", no="A", name="Acme", blocked=2)
    w.local.add("invoice", "I", no="I1", customer="A")
    assert chosen(w, "INVOICE", local="I", direction="to", create=True)["INVOICE", "to"] == {"failed": 1}
    assert w.coupling("CUSTOMER", "A") is None


@scenario("S-018")
def test_a_run_against_the_direction_is_a_job_that_says_so(make_world: MakeWorld) -> None:
    w = in_sync(make_world, direction="to_integration", fields="name > name")
    ran = modified(w, direction="from")
    assert ran["CUSTOMER", "from"] == {}
    assert "not set up for from integration" in ran.job("CUSTOMER", "from")["message"]


@scenario("S-022")
@on_both
def test_a_mapping_to_integration_ignores_changes_of_the_destination(make_world: MakeWorld) -> None:
    w = in_sync(make_world, direction="to_integration", fields="name > name")
    w.local.edit("customer", "C1", name="Ours")
    w.integration.edit("account", "G1", name="Theirs")
    assert chosen(w, "CUSTOMER", local="C1", force=False)["CUSTOMER", "to"] == {"modified": 1}
    assert name(w, "integration", "G1") == "Ours"


@scenario("S-025")
def test_the_chosen_direction_wins_over_which_side_is_newer(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    w.integration.edit("account", "G1", name="Noon Ame")
    assert chosen(w, "CUSTOMER", local="C1", direction="to")["CUSTOMER", "to"] == {"modified": 1}
    assert name(w, "integration", "G1") == "Acme 1"
    assert modified(w).together("CUSTOMER").keys() <= {"unchanged"}  # settled: the next run has nothing to say


@scenario("S-048")
@on_both
def test_only_coupled_protects_uncoupled_rows(make_world: MakeWorld) -> None:
    w = in_sync(make_world, direction="from_integration", fields="name < name")
    w.integration.edit("account", "G1", name="New Name")
    w.integration.add("account", "G2", name="Uncoupled")
    assert modified(w)["CUSTOMER", "from"] == {"modified": 1}
    assert [row["name"] for row in w.local.rows("customer")] == ["New Name"]


@scenario("S-049")
def test_from_the_start_resets_the_watermarks(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C1", no="C1", name="Acme 1", at="12:02")
    w.integration.add("account", "G1", name="Acme 1", at="09:00")
    w.couple("CUSTOMER", "C1", "G1")
    w.integration.edit("account", "G1", name="Noon", at="12:00")
    marks(w, "CUSTOMER", local=datetime(2027, 1, 1), integration=datetime(2027, 1, 1))
    assert modified(w)["CUSTOMER", "from"] == {}  # the wrong watermarks hide the change
    before = {"local": latest(w, "local", "customer"), "integration": latest(w, "integration", "account")}
    modified(w, from_start=True)
    assert name(w, "local", "C1") == "Noon"
    assert {side: mark(w, "CUSTOMER", side) for side in before} == before


@scenario("S-052")
def test_an_uncoupled_record_chosen_by_hand_is_skipped(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C", name="Acme")
    ran = chosen(w, "CUSTOMER", local="C", direction="to")
    assert ran["CUSTOMER", "to"] == {"skipped": 1} and ran.errors() == []
    assert w.integration.count("account") == 0


# --- what a run leaves on a coupling ---------------------------------------------------------------------------------------------------


@scenario("S-103")
def test_success_to_integration_marks_the_coupling(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    w.local.edit("customer", "C1", name="D")
    ran = chosen(w, "CUSTOMER", local="C1", direction="to")
    assert ran["CUSTOMER", "to"] == {"modified": 1} and name(w, "integration", "G1") == "D"
    coupling = w.coupling("CUSTOMER", "C1")
    assert coupling is not None
    assert (coupling["to_result"], coupling["to_job"]) == ("success", ran.job("CUSTOMER", "to")["id"])
    assert (coupling["from_result"], coupling["from_job"]) == ("", "")


@scenario("S-104")
def test_success_from_integration_marks_the_coupling(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    w.integration.edit("account", "G1", name="D")
    ran = chosen(w, "CUSTOMER", integration="G1", direction="from")
    assert ran["CUSTOMER", "from"] == {"modified": 1} and name(w, "local", "C1") == "D"
    coupling = w.coupling("CUSTOMER", "C1")
    assert coupling is not None
    assert (coupling["from_result"], coupling["from_job"]) == ("success", ran.job("CUSTOMER", "from")["id"])
    assert (coupling["to_result"], coupling["to_job"]) == ("", "")


@scenario("S-105")
def test_the_destination_refuses_the_write(make_world: MakeWorld) -> None:
    w = in_sync(make_world)
    w.integration.edit("account", "G1", name="D")
    w.local.refuse("customer", "NEW.name = 'D'", "no way")
    ran = chosen(w, "CUSTOMER", integration="G1", direction="from", surprises=True)
    assert ran["CUSTOMER", "from"] == {"failed": 1} and name(w, "local", "C1") == "Acme 1"
    coupling = w.coupling("CUSTOMER", "C1")
    assert coupling is not None
    assert (coupling["from_result"], coupling["from_job"]) == ("failure", ran.job("CUSTOMER", "from")["id"])
    assert "no way" in ran.errors()[0]
