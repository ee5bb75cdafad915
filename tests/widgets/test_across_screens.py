"""What is decided on one screen is seen, named and kept on the others: undo, pairs that were left out, holds, and what buttons say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synckit.planning.plan import Plan
from synckit.widgets import ApplyPanel, DiffView, PairQueue, PlanGrid
from synckit.workspace import Workspace


def label(panel: ApplyPanel) -> str:
    return str(next(b["label"] for block in panel.state()["blocks"] for b in block.get("buttons", []) if b["tone"] == "main"))


def test_undo_takes_back_only_what_was_decided_here_and_names_it(full: Plan, tmp_path: Path) -> None:
    file = str(tmp_path / "a.plan")
    grid = PlanGrid(full, file).show(mapping="VENDOR")
    grid.receive({"do": "exclude_shown"})
    left = grid.plan.total("excluded")
    pairs = PairQueue(full, file)  # another notebook, later
    undo = next(b for block in pairs.state()["blocks"] for b in block.get("buttons", []) if b["label"] == "Undo")
    assert undo["off"], "nothing was decided here"
    pairs.receive({"do": "undo"})
    assert "Nothing was decided here" in pairs.said and pairs.plan.total("excluded") == left
    pairs.receive({"do": "decide", "answer": "couple"})
    named = pairs.said.split(":")[0].split(" and ")[0]
    pairs.receive({"do": "undo"})
    assert "the same" in pairs.said and named in pairs.said and pairs.plan.total("excluded") == left
    assert not pairs.review.can_undo


def test_what_another_notebook_decided_is_shown_as_soon_as_somebody_looks(full: Plan, tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    file = str(tmp_path / "a.plan")
    grid = PlanGrid(full, file)
    view = grid.view
    view._receive(view, {"do": "seen"}, [])
    assert grid.said == "", "nothing was decided elsewhere"
    PairQueue(full, file).receive({"do": "decide", "answer": "couple"})
    assert grid.plan.total("couple") == full.total("couple")
    view._receive(view, {"do": "seen"}, [])
    assert grid.plan.total("couple") == full.total("couple") + 1 and "another notebook" in view.state["said"]
    (tmp_path / "a.plan").write_bytes(b"PK no plan")
    view._receive(view, {"do": "seen"}, [])
    assert "is not a whole plan" in view.state["error"]


def test_a_pair_that_was_left_out_says_so_and_what_is_said_last_counts(full: Plan) -> None:
    pairs = PairQueue(full)
    pair = pairs.pair
    assert pair is not None
    side, key = pair["creates"][0]
    pairs.review.decide(lambda plan: plan.exclude(pair["mapping"], **{side: key}))
    assert "left out of the plan" in json.dumps(pairs.state())
    at = pairs.at
    pairs.receive({"do": "decide", "answer": "couple"})
    rows = pairs.plan.records(pair["mapping"], disposition="couple")
    assert key in set(rows["local_key"]) | set(rows["integration_key"]), "it is coupled, and not left out any more"
    pairs.receive({"do": "look", "pair": at})
    assert "left out of the plan" not in json.dumps(pairs.state())


def test_a_pair_coupled_after_all_is_not_booked_as_different(own_demo: Workspace) -> None:
    plan = own_demo.plan_full()
    pairs = PairQueue(plan)
    pairs.receive({"do": "decide", "answer": "not_the_same"})
    pairs.receive({"do": "look", "pair": 0})
    pairs.receive({"do": "decide", "answer": "couple"})
    assert pairs.answer(0) == "couple"
    run = ApplyPanel(own_demo, pairs.review).apply(accept=list(plan.base.mappings))
    assert run.status == "finished" and own_demo.judged().empty


def test_the_accepted_mappings_count_the_same_look_alikes_as_the_sentence(full: Plan) -> None:
    grid = PlanGrid(full).show(mapping="CUSTOMER", warnings="possible_duplicate")
    for line in grid.lines.shown[:5]:
        grid.receive({"do": "toggle", "line": int(line)})
    panel = ApplyPanel(None, grid)  # type: ignore[arg-type]  # nothing is applied
    ticks = [c["label"] for b in panel.state()["blocks"] for c in b.get("checks", [])]
    alike = sum(int(t.split(", ")[1].split(" ")[0]) for t in ticks if "look like" in t)
    outside = grid.plan.duplicates("SALESPEOPLE")
    assert alike + len(outside) == grid.plan.look_alike() < full.look_alike()


def test_the_button_says_what_it_removes_and_deletes(own_demo: Workspace) -> None:
    coupled = own_demo.plan_uncoupling(
        "VENDOR", local=[own_demo.plan_full().records("VENDOR", disposition="update")["local_key"].iloc[0]]
    )
    assert label(ApplyPanel(own_demo, coupled)) == "Remove 2 couplings, with the company in 2 rows of Dataverse (demo)"
    full = own_demo.plan_full()
    own_demo.apply(full, accept=list(full.base.mappings))
    back = own_demo.plan_undo(1)
    said = label(ApplyPanel(own_demo, back))
    assert f"{back.total('delete')} of them deleted" in said and "; remove " in said


def test_holds_are_lifted_from_the_grid(own_demo: Workspace) -> None:
    plan = own_demo.plan_full()
    own_demo.apply(plan.exclude("VENDOR"), accept=list(plan.base.mappings))
    grid = PlanGrid(own_demo.plan_full(), ws=own_demo)
    held = grid.plan.total("held")
    assert held and "held and left alone" in json.dumps(grid.state()["head"])
    assert "Lift all holds" in json.dumps(grid.state()["actions"])
    grid.receive({"do": "lift"})
    assert "lifted" in grid.said and own_demo.plan_full().total("held") == 0
    assert "Lift all holds" not in json.dumps(PlanGrid(own_demo.plan_full(), ws=own_demo).state()["actions"])


def test_a_filter_that_nothing_passes_any_more_is_still_shown(full: Plan) -> None:
    view = DiffView(full).show(direction="conflict")
    for _ in range(3):
        view.receive({"do": "resolve", "use": "local"})
        view.receive({"do": "move", "by": 1})
    chips = next(f for f in view.state()["facets"] if f["id"] == "direction")["values"]
    assert next(v for v in chips if v["value"] == "conflict")["on"], "a filter that is on can be taken off"


@pytest.mark.parametrize("answer", ["couple", "not_the_same", "later"])
def test_every_answer_can_be_undone_by_name(full: Plan, answer: str) -> None:
    pairs = PairQueue(full)
    pairs.receive({"do": "decide", "answer": answer})
    pairs.receive({"do": "undo"})
    assert pairs.said.startswith("Taken back: ") and not pairs.plan.decisions
