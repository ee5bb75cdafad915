"""One ledger for a pair of systems: the first marks them, as its plan says; a second is refused by the first one's name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner
from world import MakeWorld, World, mapping, on_both

from synckit.applying.refusals import to_accept
from synckit.cli import app
from synckit.errors import SynckitError
from synckit.planning.planfile import plan_bytes, read_plan
from synckit.reports.plan_text import plan_text
from synckit.systems.marks import NAME, marks_in
from synckit.systems.sql import SqlSystem
from synckit.workspace import Workspace, open_workspace


def a_pair(make_world: MakeWorld, **settings: Any) -> World:
    w = make_world(
        {"customer": "no code20 key, name text50"},
        {"account": "name text50"},
        [mapping("CUSTOMER", "customer > account", "name <> name", only_coupled=False)],
        **settings,
    )
    w.local.add("customer", "A", no="A", name="Adatum")
    w.integration.add("account", "B", name="Bellows")
    return w


def second(w: World) -> Workspace:
    """The same two systems with another ledger."""
    _ = w.ws
    described = json.loads(w.path.read_text(encoding="utf-8"))
    other = w.folder / "other.yaml"
    other.write_text(json.dumps({**described, "ledger": "other.db"}), encoding="utf-8")
    return open_workspace(other)


def tables(w: World) -> int:
    names = (
        "SELECT count(*) FROM sqlite_master WHERE name = "
        if w.local.lite
        else "SELECT count(*) FROM information_schema.tables WHERE table_name = "
    )
    return sum(half.sql(f"{names}'{NAME}'")[0][0] for half in (w.local, w.integration)) // (1 if w.local.lite else 2)


@on_both
def test_the_first_plan_says_that_it_marks_both_systems_and_a_second_ledger_is_refused_by_name(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    assert "Marks Local and Integration as kept in step by this ledger" in plan_text(plan, 400)
    assert read_plan(plan_bytes(plan), "it").base.sides["local"].mark == "new" and tables(w) == 0
    with second(w) as ws:
        stale = ws.plan_full()
        w.carry_out(plan)
        assert [m.ledger_id for s in w.ws.systems.values() for m in marks_in(s) or ()] == [w.ws.ledger.ledger_id] * 2
        w.tick()
        again = w.ws.plan_full()
        assert "Marks" not in plan_text(again, 400) and again.base.sides["local"].mark == "ours"
        before = w.everything()
        for refused in (stale, ws.plan_full()):
            with pytest.raises(SynckitError) as told:
                ws.apply(refused, accept=to_accept(refused))
            for word in ("Local and Integration are kept in step by another ledger", w.ws.ledger.address, w.ws.ledger.ledger_id, w.ws.operator, "--take-over"):  # fmt: skip
                assert word in told.value.message
        assert w.everything() == before and not ws.ledger.exists

        # on purpose it may; then the first one is refused
        plan = ws.plan_full()
        assert ws.apply(plan, accept=to_accept(plan), take_over=True).status == "finished"
        assert {m.ledger_id for m in marks_in(w.ws.systems["integration"]) or ()} == {ws.ledger.ledger_id}
        w.integration.edit("account", "B", name="Bellows Ltd")
        mine = w.ws.plan_full()
        with pytest.raises(SynckitError, match="kept in step by another ledger"):
            w.ws.apply(mine, accept=to_accept(mine))


def test_one_of_the_systems_may_be_kept_in_step_with_a_third(make_world: MakeWorld) -> None:
    w, other = a_pair(make_world), a_pair(make_world)
    w.full()
    _ = w.ws, other.ws
    described = json.loads(w.path.read_text(encoding="utf-8"))
    described["integration"] = json.loads(other.path.read_text(encoding="utf-8"))["integration"]
    path = w.folder / "third.yaml"
    path.write_text(json.dumps({**described, "ledger": "third.db"}), encoding="utf-8")
    with open_workspace(path) as ws:
        plan = ws.plan_full()
        assert ws.apply(plan, accept=to_accept(plan)).status == "finished"
        assert len(marks_in(ws.systems["local"]) or ()) == 2


def test_where_the_workspace_leaves_the_mark_out_nothing_is_made(make_world: MakeWorld) -> None:
    w = a_pair(make_world, config={"local": {"mark": False}, "integration": {"mark": False}})
    plan = w.plan()
    assert "Marks" not in plan_text(plan, 400)
    w.carry_out(plan)
    assert tables(w) == 0


def test_only_systems_that_the_plan_writes_to_are_marked_and_an_undo_leaves_the_mark(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    plan = w.plan()
    rows = [r["local_key"] for r in plan.records("CUSTOMER", disposition="create").to_dict("records") if r["pass"] == "to"]
    plan = plan.exclude("CUSTOMER", local=rows)
    assert "Marks Local as kept in step" in plan_text(plan, 400)
    run = w.carry_out(plan).run
    assert [len(marks_in(s) or ()) for s in w.ws.systems.values()] == [1, 0]
    w.ws.apply(w.ws.plan_undo(run.id))
    assert [len(marks_in(s) or ()) for s in w.ws.systems.values()] == [1, 0]
    with second(w) as ws:  # one mark is enough: it names the other system
        plan = ws.plan_full()
        with pytest.raises(SynckitError, match="kept in step by another ledger"):
            ws.apply(plan, accept=to_accept(plan))


def test_a_system_that_lets_no_table_be_made_is_told_once(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(system: SqlSystem, table: Any) -> None:
        raise SynckitError(f"{system.title} does not let a table be made: permission denied")

    monkeypatch.setattr(SqlSystem, "make_table", refused)
    w = a_pair(make_world)
    run = w.full().run
    assert run.status == "finished" and "Local could not be marked" in run.message and "permission denied" in run.to_text()
    w.local.edit("customer", "A", name="Adatum Ltd")
    plan = w.plan()
    assert "Marks" not in plan_text(plan, 400) and w.carry_out(plan).run.message == ""


def test_two_ledgers_at_the_very_same_moment(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have found no mark; whoever then finds the other's takes its own back."""
    from synckit.applying import one_ledger

    w = a_pair(make_world)
    plan = w.plan()
    with second(w) as ws:
        late = ws.plan_full()
        w.carry_out(plan)
        original = one_ledger.refuse_second
        calls: list[int] = []
        monkeypatch.setattr(one_ledger, "refuse_second", lambda ws: (calls.append(1), len(calls) > 1 and original(ws)))
        with pytest.raises(SynckitError, match="kept in step by another ledger"):
            ws.apply(late, accept=to_accept(late))
        assert len(calls) == 2 and {m.ledger_id for s in ws.systems.values() for m in marks_in(s) or ()} == {w.ws.ledger.ledger_id}
        assert ws.ledger.lease.holder() is None


def test_the_command_line_takes_over_and_says_it_in_json_where_nothing_is_to_resume(make_world: MakeWorld) -> None:
    w = a_pair(make_world)
    w.full()
    path = str(w.folder / "it.plan")
    with second(w) as ws:
        ws.plan_full().save(path)
        runner, here = CliRunner(), ["--workspace", ws.path]
        assert runner.invoke(app, ["apply", path, "--yes", "--accept", "CUSTOMER", *here]).exit_code == 1
        done = runner.invoke(app, ["apply", path, "--yes", "--accept", "CUSTOMER", "--take-over", *here])
        assert done.exit_code == 0, done.output
        idle = runner.invoke(app, ["resume", "--json", *here])
        assert json.loads(idle.stdout)["run"] is None and idle.exit_code == 0
