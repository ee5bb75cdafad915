"""What a screen shows is taken along: as CSV, as code that gives the same frame; screens open where one looks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.widgets import DiffView, ErrorsView, PairQueue, PlanGrid, ReportView
from synckit.widgets.saving import as_csv
from synckit.workspace import Workspace


def send(screen: Any, do: str, **given: Any) -> dict[str, Any]:
    screen.receive({"do": do, **given})
    return json.loads(json.dumps(screen.state()))


def run(code: str, **names: Any) -> dict[str, Any]:
    """What the names hold after the code, which is given as a screen shows it; the value of its last line is in `_`."""
    lines = code.splitlines()
    exec("\n".join(lines[:-1]), names)
    return {**names, "_": eval(lines[-1], names)}


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


# -- as CSV --------------------------------------------------------------------------------------------------------------------------

MAKE: dict[str, Callable[[Plan, Workspace], Any]] = {
    "planned-rows": lambda full, ws: PlanGrid(full).show(search="gmbh", disposition="create"),
    "sync-diff": lambda full, ws: DiffView(full).show(mapping=["VENDOR", "CURRENCY"], sort="field"),
    "possible-duplicates": lambda full, ws: PairQueue(full, threshold=0.8),
    "errors": lambda full, ws: ErrorsView(ws).show(search="deleted"),
    "job-report-jobs": lambda full, ws: ReportView(ws),
}


@pytest.mark.parametrize("name", MAKE)
def test_what_is_shown_is_saved_as_csv_row_by_row(full: Plan, with_errors: Workspace, name: str) -> None:
    screen = MAKE[name](full, with_errors)
    assert send(screen, "csv")["error"] == "" and screen.file is not None
    file, content = screen.file
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert file == f"{name}.csv" and lines[0] == list(screen.selected.columns) and len(lines) - 1 == len(screen.selected) > 0


def test_nothing_shown_is_no_csv(full: Plan) -> None:
    grid = PlanGrid(full)
    state = send(grid, "search", text="no such record anywhere")
    assert all(b["off"] for b in state["actions"] if b["do"]["do"] in ("csv", "save"))
    assert "nothing to save" in send(grid, "csv")["error"] and grid.file is None


def test_no_text_of_a_csv_is_a_formula_and_numbers_stay_numbers() -> None:
    frame = pd.DataFrame({"name": ["=cmd|' /C calc'!A0", "@SUM(A1)", "-5 Grad", "Ærø\nSønder"], "n": [-1.5, 2, None, 4], "list": [["a", "b"], [], None, ["c"]]})  # fmt: skip
    lines = list(csv.reader(io.StringIO(as_csv(frame).decode("utf-8-sig"), newline="")))[1:]
    assert [line[0] for line in lines] == ["'=cmd|' /C calc'!A0", "'@SUM(A1)", "'-5 Grad", "Ærø\nSønder"]
    assert [line[1] for line in lines] == ["-1.5", "2.0", "", "4.0"] and [line[2] for line in lines] == ["a, b", "", "", "c"]


# -- as code -------------------------------------------------------------------------------------------------------------------------


def test_the_code_of_the_grid_decides_and_shows_the_same(full: Plan) -> None:
    grid = PlanGrid(full)
    send(grid, "choose", facet="mapping", value="VENDOR")
    send(grid, "choose", facet="disposition", value="create")
    send(grid, "toggle")
    send(grid, "choose", facet="disposition", value="create")
    send(grid, "search", text='a "Nordwind Trading"')
    send(grid, "search", text="a")
    send(grid, "sort", column="name")
    send(grid, "sort", column="name")
    state = send(grid, "code")
    code = next(b["text"] for b in state["head"] if b["kind"] == "code")
    found = run(code, plan=full)
    same(found["_"], grid.selected)
    assert found["plan"].summary().equals(grid.plan.summary()) and found["plan"].total("excluded") == 1
    assert not [b for b in send(grid, "code")["head"] if b["kind"] == "code"], "a second press hides it"


def test_the_code_of_the_other_screens_shows_the_same(full: Plan, with_errors: Workspace) -> None:
    view = DiffView(full)
    send(view, "choose", facet="direction", value="conflict")
    send(view, "resolve", use="local")
    send(view, "choose", facet="direction", value="conflict")
    send(view, "choose", facet="mapping", value="CUSTOMER")
    same(run(view.code(), plan=full)["_"], view.selected)
    pairs = PairQueue(full, mapping="customer")
    send(pairs, "decide", answer="couple")
    send(pairs, "threshold", value=0.9)
    same(run(pairs.code(), plan=full)["_"], pairs.selected)
    report = ReportView(with_errors)
    send(report, "section", name="causes")
    assert "report.to_html" in report.code()
    same(run("\n".join(report.code().splitlines()[:2]), ws=with_errors)["_"], report.selected)


@pytest.mark.parametrize(("code", "how"), [("partner_deleted", "restore"), ("both_changed", "from"), ("both_changed", "")])
def test_the_code_of_errors_gives_the_causes_and_the_plan_of_the_fix(with_errors: Workspace, code: str, how: str) -> None:
    view = ErrorsView(with_errors)
    send(view, "go", line=view.causes["code"].tolist().index(code))
    send(view, "fix", how=how) if how else send(view, "retry")
    names = run(view.code() + "\nplan", ws=with_errors)
    assert view.plan is not None and names["_"].summary().equals(view.plan.summary())
    same(names["errors"].selected, view.selected)


def test_what_code_asks_to_show_is_refused_where_there_is_no_such_thing(full: Plan) -> None:
    with pytest.raises(SynckitError, match="there are: disposition, mapping"):
        PlanGrid(full).show(colour="red")
    with pytest.raises(SynckitError, match=r'No row has "VENDORS" as its mapping; there are: .*VENDOR'):
        PlanGrid(full).show(mapping="VENDORS")
    with pytest.raises(SynckitError, match='no column "size"'):
        PlanGrid(full).show(sort="size")


def test_selected_is_a_frame_of_what_the_screen_shows(full: Plan) -> None:
    grid = PlanGrid(full).show(disposition="create", mapping=["VENDOR", "CUSTOMER"], sort="alike", descending=True)
    frame = grid.selected
    assert isinstance(frame, pd.DataFrame) and len(frame) == grid.state()["total"] > 20
    assert set(frame["mapping"]) == {"VENDOR", "CUSTOMER"} and set(frame["disposition"]) == {"create"}
    shown = [r["cells"][3] for r in grid.window(0, len(frame))["rows"]]
    named = frame["local_name"].where(frame["pass"] == "to", frame["integration_name"])
    assert shown == named.tolist(), "in the order of the screen"


# -- where a screen opens ------------------------------------------------------------------------------------------------------------


def test_rows_that_need_a_decision_stand_first_then_what_cannot_be_written(full: Plan) -> None:
    frame = PlanGrid(full).selected
    asks = (frame["disposition"] == "conflict") | frame["warnings"].map(lambda those: "possible_duplicate" in those)
    n = int(asks.sum())
    assert n == full.total("conflict") + full.look_alike() and asks[:n].all()
    assert frame["disposition"][n:].iloc[0] not in ("create", "update", "couple"), "what fails or is blocked comes next"
    rest = frame[n:][frame["disposition"][n:].isin(["create", "update", "couple"])]
    order = [m for m in full.base.mappings if m in set(rest["mapping"])]
    assert list(dict.fromkeys(rest["mapping"])) == order, "the rest in the order of a run"


def test_differences_open_on_the_conflicts_and_errors_on_the_largest_cause(full: Plan, with_errors: Workspace) -> None:
    view = DiffView(full)
    assert view.window(0, 1)["rows"][0]["cells"][0]["text"] == "conflict" and view.cursor == view.window(0, 1)["rows"][0]["line"]
    errors = ErrorsView(with_errors)
    assert errors.open and errors.causes["open"].iloc[errors.cursor] == errors.causes["open"].max() > 0
    assert any(b["kind"] == "table" and b["rows"] for b in errors.state()["detail"]), "its records are shown"


# -- the report ----------------------------------------------------------------------------------------------------------------------


def test_the_report_is_of_the_runs_asked_for_and_opens_section_by_section(with_errors: Workspace) -> None:
    view = ReportView(with_errors)
    whole = json.dumps(view.state()["blocks"], ensure_ascii=False)
    assert view.report.sentence() in whole and '"kind": "picture"' in whole and '"on": true' in whole
    assert view.selected is view.report.frames["jobs"]
    assert "data:image/svg+xml" in view.html() and "<table" in view.html(), "an exported notebook shows figure and tables"
    shown = send(view, "section", name="errors")
    assert view.selected is view.report.frames["errors"] and any(b["kind"] == "table" for b in shown["blocks"])
    send(view, "period", value="last")
    assert view.report.sentence() == with_errors.report().sentence() and view.section == "errors"
    assert 'not of "2 weeks"' in send(view, "period", value="2 weeks")["error"] and view.period == "last"
    assert "no section" in send(view, "section", name="__class__")["error"]


def test_a_workspace_in_which_nothing_ran_has_an_empty_report(own_demo: Workspace) -> None:
    view = ReportView(own_demo)
    assert "No run is in this period" in json.dumps(view.state()["blocks"]) and view.state()["error"] == ""
    assert "0 runs" in view.html() and "<img" not in view.html()
