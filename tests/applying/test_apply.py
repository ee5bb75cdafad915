"""Applying a plan: what is shown is what happens, what changed meanwhile is refused by name, and what a run leaves behind."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from world import MakeWorld, World, guid, mapping, on_both
from written import state_of, written

from synckit.applying.refusals import to_accept
from synckit.demo import make_demo
from synckit.errors import SynckitError
from synckit.ledger.lease import Holder
from synckit.planning.tables import COUNTERS
from synckit.workspace import open_workspace

LOCAL = {"customer": "no code20 key, name text100, fax text30, salesperson code20", "salesperson": "code code20 key, name text50"}
INTEGRATION = {"account": "name text160, fax text50, ownerid guid", "systemuser": "name text100"}
SALESPEOPLE = mapping("SALESPEOPLE", "salesperson > systemuser", "name > name", direction="to_integration")
CUSTOMER = mapping("CUSTOMER", "customer > account", "name <> name, fax <> fax, salesperson > ownerid lookup SALESPEOPLE")


def customers(make_world: MakeWorld, coupled: int = 0, alone: int = 0) -> World:
    """Customers C1.. coupled in sync with accounts G1.., and customers N1.. that stand alone."""
    w = make_world(LOCAL, INTEGRATION, [json.loads(json.dumps(m)) for m in (SALESPEOPLE, CUSTOMER)])
    for n in range(1, coupled + 1):
        w.local.add("customer", f"C{n}", no=f"C{n:04}", name=f"Customer {n}")
        w.integration.add("account", f"G{n}", name=f"Customer {n}")
        w.couple("CUSTOMER", f"C{n}", f"G{n}")
    for n in range(1, alone + 1):
        w.local.add("customer", f"N{n}", no=f"N{n:04}", name=f"New {n}")
    return w


# --- what is shown is what happens ----------------------------------------------------------------------------------------------


def test_the_demo_is_written_as_planned_and_a_second_plan_names_only_what_failed(tmp_path: Path) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        plan = ws.plan_full()
        before = state_of(ws)
        run = ws.apply(plan, accept=to_accept(plan))
        cells = written(plan, before, state_of(ws), ws)
        assert cells > 1000
        assert run.exit_code == 3 and run.written == run.planned == plan.writes
        for job in run.jobs.to_dict("records"):
            assert [job[c] for c in COUNTERS] == [job[f"planned_{c}"] for c in COUNTERS], job["mapping"]
        assert run.differences.empty

        again = ws.plan_full()
        assert again.writes == 0
        failing = ["conflict", "will fail", "blocked", "deleted partner"]
        columns = ["mapping", "pass", "local_key", "integration_key", "code"]
        first, second = (p.records(disposition=failing)[columns].fillna("").values.tolist() for p in (plan, again))
        assert sorted(first) == sorted(second) and len(first) == int(run.jobs["failed"].sum())


@on_both
def test_couplings_have_the_versions_of_their_rows_after_a_run(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=3, alone=2)
    w.local.edit("customer", "C1", name="Changed here")
    w.integration.edit("account", "G2", fax="Changed there")
    w.full()
    modified = {row["system_id"]: row["system_modified_at"] for row in w.local.rows("customer")}
    modified |= {row["accountid"]: row["modifiedon"] for row in w.integration.rows("account")}
    with sqlite3.connect(w.ws.description.ledger) as ledger:
        stamps = ledger.execute("SELECT local_key, local_stamp, integration_key, integration_stamp FROM coupling").fetchall()
    assert len(stamps) == 5
    for local, local_stamp, integration, integration_stamp in stamps:
        for key, stamp in ((local, local_stamp), (integration, integration_stamp)):
            moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
            assert moment.astimezone(UTC).replace(tzinfo=None) == modified[key]


@on_both
def test_after_a_run_nothing_is_left_to_do(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=2, alone=1)
    w.integration.add("account", "B", name="Beta")
    w.local.edit("customer", "C1", name="Changed here", fax="1")
    w.integration.edit("account", "G2", fax="Changed there")
    w.full()
    again = w.plan()
    assert again.writes == 0 and again.total("unchanged") == 8


# --- what changed meanwhile -----------------------------------------------------------------------------------------------------


@on_both
def test_what_changed_after_planning_is_refused_by_name_and_the_rest_applies(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=5, alone=3)
    for n in range(1, 6):
        w.local.edit("customer", f"C{n}", name=f"Renamed {n}")
    plan = w.plan()
    w.local.edit("customer", "C1", fax="meanwhile")
    w.integration.edit("account", "G2", fax="meanwhile")
    w.local.delete("customer", "C3")
    w.integration.delete("account", "G4")
    w.local.edit("customer", "N1", fax="meanwhile")
    w.integration.add("account", "X", name="somebody else's")
    w.couple("CUSTOMER", "N2", "X")
    ran = w.carry_out(plan, surprises=True)
    assert ran["CUSTOMER", "to"] == {"inserted": 1, "modified": 1, "failed": 6}
    assert (ran.run.exit_code, ran.run.status) == (3, "finished")
    said = {w.aliases[row["local_key"]]: (row["actual"], row["reason"]) for row in ran.run.differences.to_dict("records")}
    assert said == {
        "C1": ("stale", "Its row in Local was changed after planning."),
        "C2": ("stale", "Its row in Integration was changed or deleted after planning."),
        "C3": ("stale", "Its row in Local was deleted after planning."),
        "C4": ("stale", "Its row in Integration was changed or deleted after planning."),
        "N1": ("stale", "Its row in Local was changed after planning."),
        "N2": ("stale", "It was coupled after planning."),
    }
    assert w.integration.row("account", "G5")["name"] == "Renamed 5"
    assert w.integration.row("account", "G2") | {"fax": None} == {
        **w.integration.row("account", "G2"),
        "name": "Customer 2",
        "fax": None,
    }
    assert {w.aliases.get(k, k) for k in w.ws.ledger.due("CUSTOMER")["key"].to_pylist()} == set(said)


def test_a_row_that_the_destination_refuses_fails_alone_and_blocks_what_refers_to_it(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=1)
    for code in ("GOOD", "BAD"):
        w.local.add("salesperson", code, code=code, name=code)
        for n in "12":
            w.local.add("customer", f"{code}{n}", no=f"{code}{n}", name=f"of {code} {n}", salesperson=code)
    w.integration.refuse("systemuser", "NEW.name = 'BAD'", "no such licence", "INSERT")
    ran = w.full(surprises=True)
    assert ran["SALESPEOPLE", "to"] == {"inserted": 1, "failed": 1}
    assert ran["CUSTOMER", "to"] == {"inserted": 3, "failed": 2}
    said = {w.aliases[r["local_key"]]: (r["actual"], r["reason"]) for r in ran.run.differences.to_dict("records")}
    assert said["BAD"][0] == "failed" and "no such licence" in said["BAD"][1]
    assert {said["BAD1"][0], said["BAD2"][0]} == {"blocked"} and len(said) == 3
    assert w.ws.ledger.couplings("CUSTOMER").num_rows == 3 == w.integration.count("account")


def test_a_refused_update_leaves_the_others_of_its_chunk(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=9)
    for n in range(1, 10):
        w.local.edit("customer", f"C{n}", fax=f"fax {n}")
    w.integration.refuse("account", "NEW.fax = 'fax 4'", "no way")
    ran = w.full(surprises=True)
    assert ran["CUSTOMER", "to"] == {"modified": 8, "failed": 1}
    assert [row["local_key"] for row in ran.run.differences.to_dict("records")] == [guid("C4")]
    coupling = w.coupling("CUSTOMER", "C4")
    assert coupling is not None and coupling["to_result"] == "failure" and "no way" in coupling["to_error"]


# --- what is refused as a whole -------------------------------------------------------------------------------------------------


def refused(w: World, plan: Any, **how: Any) -> str:
    """The sentence with which applying is refused; nothing has been written then."""
    before, runs = w.everything(), w.ws.ledger.runs().num_rows
    with pytest.raises(SynckitError) as caught:
        w.ws.apply(plan, **{"accept": to_accept(plan), **how})
    assert w.everything() == before and w.ws.ledger.runs().num_rows == runs
    return str(caught.value)


def test_the_same_plan_twice_is_refused(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=1)
    plan = w.plan()
    w.carry_out(plan)
    assert "This plan was already applied by run 1" in refused(w, plan)
    again = w.plan()  # a plan that has nothing to write is a plan, too
    w.carry_out(again)
    assert "already applied by run 2" in refused(w, again)


def test_a_plan_for_other_systems_or_another_ledger_is_refused(make_world: MakeWorld) -> None:
    one, other = customers(make_world, alone=1), customers(make_world, alone=1)
    plan = one.plan()
    assert "This plan was made for another local system" in refused(other, plan)
    one.settings["ledger"] = "another.db"
    one.reopen()
    with one.ws.ledger.transaction() as tx:
        tx.put_setting("made", "yes")
    assert "another ledger" in refused(one, plan)


def test_a_changed_mapping_is_refused_and_a_changed_comment_is_not(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=1)
    plan = w.plan()
    w.change("CUSTOMER", local_filter={"name": "A*"})
    assert "Mapping CUSTOMER has been changed since the plan was made" in refused(w, plan)
    w.change("CUSTOMER", local_filter={})
    _ = w.ws
    w.path.write_text("# only a comment\n" + w.path.read_text(encoding="utf-8"), encoding="utf-8")
    with open_workspace(w.path) as ws:
        assert ws.apply(plan).exit_code == 0


def test_a_system_that_cannot_be_written_is_refused(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=1)
    plan = w.plan()
    w.config["integration"] = {"protected": True}
    w.reopen()
    assert "protected: true" in refused(w, plan)


def test_where_coupling_is_recommended_a_mapping_must_be_accepted_by_name(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=2)
    w.integration.add("account", "B", name="New 1")
    plan = w.plan()
    assert to_accept(plan) == ["CUSTOMER"]
    assert "--accept CUSTOMER" in refused(w, plan, accept=[])
    assert "--accept CUSTOMER" in refused(w, plan, accept=["SALESPEOPLE"])
    without = plan.exclude("CUSTOMER")
    assert to_accept(without) == [] and w.ws.apply(without).written == 0
    w.carry_out(w.ws.plan_full())


def test_a_lease_that_someone_holds_is_respected(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=1)
    plan = w.plan()
    epoch = w.ws.ledger.lease.acquire(Holder("anna", "elsewhere", 4711), datetime.now(UTC))
    assert "anna is applying a plan to this ledger" in refused(w, plan)
    with pytest.raises(SynckitError, match="is being applied right now"):
        w.ws.plan_full()
    w.ws.ledger.lease.release(epoch)
    w.carry_out(plan)


# --- decisions, the closing question, stopping ----------------------------------------------------------------------------------


def test_excluded_rows_are_held_and_every_later_plan_shows_them(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=2, alone=2)
    w.local.edit("customer", "C1", name="Not this one")
    plan = w.plan().exclude("CUSTOMER", local=[guid("C1"), guid("N1")])
    ran = w.carry_out(plan)
    assert ran["CUSTOMER", "to"] == {"inserted": 1, "unchanged": 1}
    for _ in range(2):
        later = w.full().plan.records("CUSTOMER", "held", "to")
        assert {w.aliases[k]: r for k, r in zip(later["local_key"], later["reason"], strict=True)} == dict.fromkeys(
            ("C1", "N1"), f"left out of run {ran.run.id} by {w.ws.operator}"
        )
    assert w.integration.row("account", "G1")["name"] == "Customer 1" and w.coupling("CUSTOMER", "N1") is None


def test_a_hold_can_be_lifted_although_its_record_is_gone(make_world: MakeWorld) -> None:
    w = customers(make_world, alone=1)
    w.carry_out(w.plan().exclude("CUSTOMER", local=guid("N1")))
    w.local.delete("customer", "N1")
    assert w.ws.lift("CUSTOMER", local=guid("N1")) == 1
    with pytest.raises(SynckitError, match="has no record"):
        w.ws.lift("CUSTOMER", local=guid("N1"))


def test_records_inside_a_filter_are_left_out(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=2, alone=3)
    w.local.edit("customer", "C1", name="Not this one")
    w.local.edit("customer", "N2", name="Not this one either")
    plan = w.ws.exclude(w.plan(), "customer", local="Name: @not*|Alone 9")
    left_out = plan.records("CUSTOMER", "excluded")
    assert [w.aliases[key] for key in left_out["local_key"]] == ["C1", "N2"]
    assert plan.decisions[0].note == "local: Name: @not*|Alone 9"
    assert w.carry_out(plan)["CUSTOMER", "to"] == {"inserted": 2, "unchanged": 1}
    with pytest.raises(SynckitError, match="None of the plan's writes of CUSTOMER is inside the filter"):
        w.ws.exclude(w.plan(), "CUSTOMER", integration={"name": "nobody"})
    with pytest.raises(SynckitError, match='has no field "Nam"'):
        w.ws.exclude(w.plan(), "CUSTOMER", local="Nam: x")
    with pytest.raises(SynckitError, match="local= or integration="):
        w.ws.exclude(w.plan(), "CUSTOMER")


@pytest.mark.parametrize(
    ("answer", "closing"),
    [
        ("no", {"SALESPEOPLE": "kept", "CUSTOMER": "kept"}),
        ("yes", {"SALESPEOPLE": "creating", "CUSTOMER": "creating"}),
        ({"customer": True}, {"SALESPEOPLE": "kept", "CUSTOMER": "creating"}),
        (lambda names: {names[0]: True}, {"SALESPEOPLE": "creating", "CUSTOMER": "kept"}),
    ],
)
def test_the_closing_question(make_world: MakeWorld, answer: Any, closing: dict[str, str]) -> None:
    w = customers(make_world, alone=1)
    ran = w.full(keep_creating=answer)
    assert ran.run.closing == closing
    creating = {f"only_coupled:{name}" for name, said in closing.items() if said == "creating"}
    assert {k: v["value"] for k, v in w.ws.ledger.settings().items()} == dict.fromkeys(creating, "false")
    assert all(m.only_coupled for m in w.ws.description.mappings)  # the file is never touched


def test_stopping_between_two_chunks(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synckit.applying.run.ROWS_AT_ONCE", 2)
    w = customers(make_world, alone=6)
    asked: list[int] = []
    ran = w.full(should_stop=lambda: asked.append(1) is None and len(asked) > 2, surprises=True)
    assert (ran.run.status, ran.run.exit_code, ran.run.written, ran.run.planned) == ("cancelled", 130, 4, 6)
    assert ran["CUSTOMER", "to"] == {"inserted": 4}
    assert ran.run.differences["actual"].tolist() == ["not attempted"] * 2
    assert w.integration.count("account") == 4 == w.ws.ledger.couplings("CUSTOMER").num_rows
    assert w.ws.resume() is None
    assert w.full()["CUSTOMER", "to"] == {"inserted": 2, "unchanged": 4}


def test_progress_tells_rows_and_time_left(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synckit.applying.run.ROWS_AT_ONCE", 2)
    w = customers(make_world, alone=5)
    told: list[Any] = []
    w.full(progress=told.append)
    assert [(p.mapping, p.in_pass, p.done, p.total) for p in told] == [("CUSTOMER", "to", n, 5) for n in (2, 4, 5)]
    assert told[-1].rows_per_second > 0 and told[-1].seconds_left == 0


# --- what is drawn, and what is remembered --------------------------------------------------------------------------------------


@on_both
def test_numbers_are_drawn_from_the_series_at_apply(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=2)
    for name in ("Ann", "Bob"):
        w.integration.add("account", name, name=name)
    plan = w.plan()
    assert set(plan.changes("CUSTOMER").query("column == 'no'")["new"]) == {"next number"}
    w.local.add("customer", "late", no="C0003", name="took a number meanwhile")
    w.carry_out(plan, surprises=True)
    numbers = sorted(row["no"] for row in w.local.rows("customer"))
    assert numbers == ["C0001", "C0002", "C0003", "C0004", "C0005"]


def test_an_option_is_created_and_used(make_world: MakeWorld) -> None:
    w = make_world("business_central", "dataverse", "standard", local_currency="EUR", base_currency="EUR")
    w.integration.add("transactioncurrency", "E", isocurrencycode="EUR")
    w.local.add("payment_terms", "T", {"Code": "30DAYS"})
    w.local.add("customer", "C", {"No.": "C1", "Name": "Acme", "Payment Terms Code": "30DAYS"})
    ran = w.full("PAYMENT TERMS", "CUSTOMER")
    assert ran["PAYMENT TERMS", "to"] == {"inserted": 1}
    assert ran["CUSTOMER", "to"] == {"inserted": 1}
    coupling = w.coupling("PAYMENT TERMS", "T")
    assert coupling is not None
    (account,) = w.integration.rows("account")
    assert str(account["paymenttermscode"]) == coupling["integration_key"]
    assert w.plan("PAYMENT TERMS", "CUSTOMER").writes == 0


def test_watermarks_and_due_rows(make_world: MakeWorld) -> None:
    w = customers(make_world, coupled=1, alone=1)
    w.local.add("customer", "late", no="L1", name="Late", salesperson="nobody", at="12:00")
    ran = w.full("CUSTOMER")
    assert ran["CUSTOMER", "to"] == {"inserted": 1, "unchanged": 1, "failed": 1}
    marks = w.ws.ledger.watermarks("CUSTOMER")
    assert marks["local"].startswith("2026-01-05T12:00:00")
    newest = max(row["modifiedon"] for row in ran.before_rows("account"))
    assert datetime.fromisoformat(marks["integration"]) == newest
    due = w.ws.ledger.due("CUSTOMER").to_pylist()
    assert [(d["side"], w.aliases[d["key"]]) for d in due] == [("local", "late")] and "must be coupled first" in due[0]["reason"]
    w.local.edit("customer", "late", salesperson="")
    w.full("CUSTOMER")
    assert w.ws.ledger.due("CUSTOMER").num_rows == 0
