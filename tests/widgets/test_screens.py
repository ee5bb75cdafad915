"""Every behaviour of the screens, without a browser: what a view asks for, and what it is then given to draw."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from synckit.planning.plan import Plan
from synckit.planning.tables import CARRIED_OUT
from synckit.widgets import ApplyPanel, DiffView, ErrorsView, PairQueue, PlanGrid, Review
from synckit.widgets.segments import segments
from synckit.workspace import Workspace

ACCEPTED = ["CURRENCY", "PAYMENT TERMS", "VENDOR", "CUSTOMER", "CONTACT"]


def send(screen: Any, do: str, **given: Any) -> dict[str, Any]:
    """Send a message as the view does; gives the state that is drawn then, which is plain JSON."""
    screen.receive({"do": do, **given})
    return json.loads(json.dumps(screen.state()))


def texts(blocks: list[dict[str, Any]]) -> str:
    return json.dumps(blocks, ensure_ascii=False)


# -- the plan ------------------------------------------------------------------------------------------------------------------------


def test_the_grid_shows_what_would_be_done_and_counts_it(full: Plan) -> None:
    grid = PlanGrid(full)
    state = grid.state()
    assert state["head"][0]["text"] == full.sentence()
    assert f"{full.writes} will be written" in state["counted"]
    counts = {v["value"]: v["n"] for f in state["facets"] if f["id"] == "disposition" for v in f["values"]}
    assert counts["create"] == str(full.total("create")) and counts["conflict"] == str(full.total("conflict"))
    assert int(counts["update"]) == full.total("update") and int(counts["second step"]) == full.writes - full.total(*CARRIED_OUT)
    assert any("2 records stop in both directions" in block["text"] for block in state["head"])
    assert "not a source" not in counts, "rows of which nothing is decided are shown on request only"
    assert PlanGrid(full, everything=True).lines.n == full.rows.num_rows


def test_search_finds_every_word_in_any_column_whatever_the_accents(full: Plan) -> None:
    grid = PlanGrid(full)
    one = send(grid, "search", text="mullerjahn")
    assert one["total"] >= 1 and "Müllerjahn" in grid.window(0, 1)["rows"][0]["cells"][3]
    assert 1 <= send(grid, "search", text="müllerjahn VENDOR")["total"] <= one["total"]
    assert send(grid, "search", text="müllerjahn CURRENCY")["total"] == 0
    assert send(grid, "clear")["total"] == grid.lines.n


def test_facets_count_what_the_other_filters_let_through(full: Plan) -> None:
    grid = PlanGrid(full)
    state = send(grid, "choose", facet="mapping", value="VENDOR")
    of = {f["id"]: {v["value"]: int(v["n"]) for v in f["values"]} for f in state["facets"]}
    assert sum(of["disposition"].values()) == state["total"]
    assert len(of["mapping"]) > 1, "the other mappings can still be added"
    wider = send(grid, "choose", facet="mapping", value="CUSTOMER")
    assert wider["total"] > state["total"] and send(grid, "choose", facet="mapping", value="VENDOR")["total"] < wider["total"]


def test_sorting_goes_up_then_down_then_as_it_was(full: Plan) -> None:
    grid = PlanGrid(full)
    first = [r["line"] for r in grid.window(0, 400)["rows"]]
    send(grid, "sort", column="alike")
    scores = [r["cells"][5] for r in grid.window(0, 40)["rows"]]
    assert scores[:30] == sorted(scores[:30]) and scores[0]
    send(grid, "sort", column="alike")
    assert grid.window(0, 1)["rows"][0]["cells"][5] >= scores[-1]
    send(grid, "sort", column="alike")
    assert [r["line"] for r in grid.window(0, 400)["rows"]] == first


def test_space_leaves_out_and_takes_back_in_and_the_row_stays_where_it_is(full: Plan) -> None:
    grid = PlanGrid(full)
    send(grid, "choose", facet="disposition", value="create")
    line = grid.cursor
    assert grid.window(0, 1)["rows"][0]["tick"] is True
    state = send(grid, "toggle")
    assert state["line"] == line and grid.window(0, 1)["rows"][0] == {
        **grid.window(0, 1)["rows"][0],
        "line": line,
        "tick": False,
        "dim": True,
    }
    assert grid.plan.total("excluded") == 1
    send(grid, "toggle")
    assert grid.plan.total("excluded") == 0
    assert send(grid, "undo")["said"] and grid.plan.total("excluded") == 1


def test_what_needs_a_left_out_record_is_said_to_be_blocked(full: Plan) -> None:
    grid = PlanGrid(full)
    send(grid, "search", text="CURRENCY CAD")
    assert "cannot be written now" in send(grid, "toggle")["said"]


def test_leaving_out_all_that_is_shown_touches_nothing_else(full: Plan) -> None:
    grid = PlanGrid(full)
    send(grid, "choose", facet="warnings", value="possible_duplicate")
    n = len(grid.selected)
    assert n == full.look_alike() and set(grid.selected["disposition"]) == {"create"}
    send(grid, "exclude_shown")
    assert grid.plan.total("excluded") == n and grid.plan.total("create") == full.total("create") - n
    send(grid, "include_shown")
    assert grid.plan.summary().equals(full.summary())


def test_an_open_line_gives_the_reason_and_every_field(full: Plan) -> None:
    grid = PlanGrid(full)
    send(grid, "choose", facet="disposition", value="update")
    shown = send(grid, "open")["detail"]
    fields = full.changes(*(grid._place(grid.cursor)[i] for i in (0, 2, 1)))
    assert len(shown[-1]["rows"]) == len(fields)
    send(grid, "close")
    assert grid.state()["detail"] == []
    send(grid, "clear")
    send(grid, "choose", facet="disposition", value="will fail")
    assert grid._rows.column("reason")[grid.cursor].as_py() in texts(send(grid, "open")["detail"])


def test_what_cannot_be_left_out_says_so(full: Plan) -> None:
    grid = PlanGrid(full)
    send(grid, "choose", facet="disposition", value="conflict")
    assert "not written in this plan" in send(grid, "toggle")["said"] and not grid.plan.decisions


def test_messages_that_make_no_sense_are_answered_with_a_sentence_or_ignored(full: Plan) -> None:
    grid = PlanGrid(full)
    before = grid.state()
    for message in (
        {},
        {"do": "nonsense"},
        {"do": "__init__"},
        {"do": "toggle", "line": 10**9},
        {"do": "choose", "facet": "x", "value": 1},
        {"do": "search"},
    ):
        grid.receive(message)
    assert grid.state()["total"] == before["total"] and not grid.plan.decisions
    assert "facet" in send(grid, "choose", facet="x", value="y")["error"]


def test_a_pair_coupled_elsewhere_is_one_row_in_the_grid(full: Plan) -> None:
    review = Review(full)
    grid, pairs = PlanGrid(review), PairQueue(review)
    send(grid, "choose", facet="mapping", value="CUSTOMER")
    before = grid.lines.n
    send(pairs, "decide", answer="couple")
    assert grid.lines.n == before - 1 and grid.lines.chosen["mapping"] == {"CUSTOMER"}


# -- pairs ---------------------------------------------------------------------------------------------------------------------------


def test_c_n_and_s_decide_and_go_on_to_the_next(full: Plan) -> None:
    pairs = PairQueue(full)
    first, n = pairs.at, len(pairs.shown)
    state = send(pairs, "decide", answer="couple")
    assert pairs.at != first and pairs.answer(first) == "couple" and pairs.plan.total("couple") == full.total("couple") + 1
    send(pairs, "decide", answer="not_the_same")
    before = pairs.plan.total("create")
    send(pairs, "decide", answer="later")
    assert pairs.plan.total("create") < before, "nothing is created until someone decides"
    assert f"2 of {n} pairs decided · 1 couple · 1 not the same · 1 decide later" in texts(pairs.state()["blocks"])
    assert state["press"]["ArrowRight"] == {"do": "move", "by": 1}


def test_undo_goes_back_to_the_pair(full: Plan) -> None:
    pairs = PairQueue(full)
    first = pairs.at
    send(pairs, "decide", answer="couple")
    send(pairs, "undo")
    assert pairs.at == first and not pairs.plan.decisions
    send(pairs, "decide", answer="later")
    send(pairs, "list")
    send(pairs, "undecide", pair=first)
    assert pairs.at == first and not pairs.plan.decisions


def test_the_weights_of_the_fields_add_up_to_the_score(full: Plan) -> None:
    pairs = PairQueue(full)
    for i in pairs.shown[:8]:
        send(pairs, "look", pair=i)
        card = next(b for b in pairs.state()["blocks"] if b["kind"] == "table")
        score = pairs.all[i]["score"]
        *_, last, together = card["rows"]
        assert last[-1] == f"{score:.2f}" == together[-1]["text"]
        assert 1 / (1 + math.exp(-float(together[-2]))) == pytest.approx(score, abs=0.02), "the sum says the same as the score"


def test_a_missing_value_is_called_missing_and_differing_characters_are_marked(full: Plan) -> None:
    card = texts([PairQueue(full)._card(p) for p in PairQueue(full).all])
    assert '{"text": "missing", "tone": "quiet"}' in card and ", false]" in card


def test_the_score_can_be_hidden_until_the_pair_is_decided(full: Plan) -> None:
    pairs = PairQueue(full, blind=True)
    shown = texts(pairs.state()["blocks"][:1] + pairs.state()["blocks"][2:3])
    assert "score shown once decided" in shown and "log-odds" not in shown


def test_the_threshold_counts_live(full: Plan) -> None:
    pairs = PairQueue(full)
    few = send(pairs, "threshold", value=0.95)
    assert len(pairs.shown) < len(pairs.all) and f"{len(pairs.shown)} pairs" in texts(few["blocks"])
    assert "No pair looks alike enough" in texts(send(pairs, "threshold", value=1.0)["blocks"]) or pairs.shown


def test_similar_pairs_are_listed_first_and_what_is_decided_is_not_touched(full: Plan) -> None:
    pairs = PairQueue(full)
    at = next(i for i in pairs.shown if (send(pairs, "look", pair=i), len(pairs.similar()))[1] > 1)
    found = pairs.similar()
    send(pairs, "decide", answer="not_the_same")
    send(pairs, "look", pair=next(i for i in found if i != at))
    state = send(pairs, "similar")
    assert not [i for i in pairs.similar() if i == at] and f"{len(found) - 1} pair" in texts(state["blocks"])
    send(pairs, "decide_similar", answer="couple")
    assert pairs.answer(at) == "not_the_same" and all(pairs.answer(i) == "couple" for i in found if i != at)
    send(pairs, "undo")
    assert not any(pairs.answer(i) for i in found if i != at), "one undo takes the whole step back"


def test_what_is_coupled_already_cannot_be_coupled_again(full: Plan) -> None:
    pairs = PairQueue(full)
    taken = [i for i, p in enumerate(pairs.all) if p["coupled"]]
    assert taken, "the demo has such pairs"
    send(pairs, "threshold", value=0.0)
    send(pairs, "look", pair=taken[0])
    assert "is coupled already" in send(pairs, "decide", answer="couple")["error"] and not pairs.plan.decisions


# -- differences ---------------------------------------------------------------------------------------------------------------------


def test_a_conflict_is_decided_for_a_side_per_field_and_left_open_again(full: Plan, demo: Workspace) -> None:
    view = DiffView(full, ws=demo)
    send(view, "choose", facet="direction", value="conflict")
    name = view.lines.lines([view.cursor])[0]["name"]
    key = view.lines.lines([view.cursor])[0]["local_key"]
    assert full.total("conflict") == view.plan.total("conflict") == 4
    send(view, "resolve", use="local")
    assert view.plan.total("conflict") == 2 and view.lines.lines([view.cursor])[0]["name"] == name, (
        "the line stays under the cursor"
    )
    send(view, "resolve", use="integration")
    assert set(view.chosen_sides(view._at(None)).values()) == {"integration"}
    fields = list(view.chosen_sides(view._at(None)))
    send(view, "choose_field", field=fields[0], side="local")
    assert view.chosen_sides(view._at(None))[fields[0]] == "local"
    send(view, "resolve", use="leave")
    assert not view.plan.decisions and view.plan.records("CUSTOMER", "conflict")["local_key"].eq(key).any()
    assert "merge" in send(view, "resolve", use="merge")["error"], "nobody knows here which side changed it"


def test_an_open_line_shows_both_sides_whole_and_who_changed_them(full: Plan, demo: Workspace) -> None:
    view = DiffView(full, ws=demo)
    send(view, "choose", facet="mapping", value="CUSTOMER")
    shown = texts(send(view, "open")["detail"])
    assert "The whole record" in shown and "changed 2026" in shown
    who = re.findall(r", by ([^\"]+)\"", shown)
    assert who and not any(re.search(r"[0-9a-f]{8}-", one) for one in who), "users have names"


def test_a_record_is_left_out_with_all_its_fields(full: Plan) -> None:
    view = DiffView(full).show(mapping="VENDOR")
    row = view.lines.lines([view.cursor])[0]
    send(view, "toggle")
    same = [r["tick"] for r in view.window(0, 200)["rows"] if view._places[r["line"]] == view._places[view.cursor]]
    assert view.plan.total("excluded") >= 1 and set(same) == {False}
    send(view, "toggle")
    assert view.plan.total("excluded") == 0 and row["name"] in view.said


@pytest.mark.parametrize(
    ("left", "right", "marked"),
    [
        ("München", "Muenchen", ["ü", "ue"]),
        ("Köln", "Köln", []),
        ("", "new", ["new"]),
        ("Relecloud & Sons", "Relecloud and Sons", ["&", "and"]),
    ],
)
def test_differing_characters_are_cut_out(left: str, right: str, marked: list[str]) -> None:
    mine, theirs = segments(left, right)
    assert "".join(t for t, _ in mine) == left and "".join(t for t, _ in theirs) == right
    assert [t for t, alike in [*mine, *theirs] if not alike] == marked


# -- applying, errors ----------------------------------------------------------------------------------------------------------------


def test_apply_names_count_and_systems_asks_what_to_accept_and_ends_in_planned_beside_actual(
    own_demo: Workspace, tmp_path: Path
) -> None:
    grid = PlanGrid(own_demo.plan_full(), tmp_path / "p.plan")
    panel = ApplyPanel(own_demo, grid)
    send(grid, "toggle", line=next(r["line"] for r in grid.window(0, 50)["rows"] if r["tick"]))
    first = panel.state()
    label = texts(first["blocks"])
    assert f"Write {grid.plan.writes} rows to Dataverse (demo) and Business Central (Nordwind Trading)" in label
    assert "accept each of them first" in send(panel, "apply")["error"] and own_demo.jobs().empty
    for name in ACCEPTED:
        send(panel, "accept", mapping=name)
    send(panel, "apply")
    run = panel.wait(60)
    assert run is not None and run.status == "finished" and run.written == run.planned == grid.plan.writes
    told = texts(panel.state()["blocks"])
    assert "Every write came out as planned." in told and "Planned beside actual" in told and "One question at the end" in told
    send(panel, "answer", mapping="CUSTOMER", value="yes")
    send(panel, "closing")
    page = own_demo.mappings().set_index("mapping")
    assert not page.loc["CUSTOMER", "only_coupled"] and page.loc["VENDOR", "only_coupled"]
    send(panel, "answer", mapping="CUSTOMER", value="no")
    send(panel, "closing")
    assert own_demo.mappings().set_index("mapping").loc["CUSTOMER", "only_coupled"], "the answer can be given again"

    errors = ErrorsView(own_demo)
    assert errors.lines.n == len(own_demo.causes()) > 0
    opened = errors.state()["detail"]
    victim = next(b for b in opened if b["kind"] == "table")["rows"][0][-1]["buttons"][0]["do"]
    errors.receive(victim)
    assert errors.story and errors.error == ""
    assert "<table" in errors.html() and errors.selected["cause"].is_unique


def test_a_run_can_be_stopped_between_chunks(own_demo: Workspace) -> None:
    panel = ApplyPanel(own_demo, own_demo.plan_full())
    panel.do_stop()
    panel.accepted = set(ACCEPTED)
    panel._work()
    assert panel.run is not None and panel.run.status == "cancelled" and "came out differently" in texts(panel.state()["blocks"])
    assert own_demo.plan_full().writes > 0


def test_what_apply_refuses_is_said_on_the_panel(own_demo: Workspace) -> None:
    plan = own_demo.plan_modified()
    ApplyPanel(own_demo, plan).apply()
    second = ApplyPanel(own_demo, plan)
    send(second, "apply")
    second.wait(60)
    assert second.run is None and second.error and second.error in texts([second.state()["error"]])
