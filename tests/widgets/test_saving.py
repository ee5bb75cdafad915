"""What a screen shows is taken away as a file: made by the presenter, handed to the browser by the view."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from synckit.demo import make_demo
from synckit.planning.plan import Plan
from synckit.widgets import ApplyPanel, ConnectAndMap, DiffView, PairQueue, PlanGrid, ReportView, Review
from synckit.workspace import Workspace, open_workspace


def sheet(screen: Any, name: str, file: str) -> list[tuple[Any, ...]]:
    """The lines of a sheet of the workbook that a screen gives."""
    screen.receive({"do": "save"})
    assert screen.error == "" and screen.file[0] == file and file in screen.said
    book = openpyxl.load_workbook(io.BytesIO(screen.file[1]))
    return [tuple(cell.value for cell in line) for line in book[name].iter_rows()]


def test_the_rows_shown_are_saved_with_their_sentence(full: Plan) -> None:
    grid = PlanGrid(full)
    grid.receive({"do": "choose", "facet": "mapping", "value": "VENDOR"})
    lines = sheet(grid, "Planned rows", "planned-rows.xlsx")
    assert lines[0] == tuple(grid.selected.columns) and len(lines) == 1 + len(grid.selected)
    assert {line[0] for line in lines[1:]} == {"VENDOR"}
    assert sheet(grid, "What this is", "planned-rows.xlsx")[0] == (full.sentence(),)


def test_values_are_text_in_the_workbook(full: Plan) -> None:
    grid = PlanGrid(full)
    grid.receive({"do": "search", "text": "=SUM"})
    assert len(grid.selected)
    grid.receive({"do": "save"})
    assert grid.file is not None
    book = openpyxl.load_workbook(io.BytesIO(grid.file[1]))
    assert not [c for page in book.worksheets for line in page.iter_rows() for c in line if c.data_type == "f"]


def test_changed_fields_and_pairs_are_saved(full: Plan) -> None:
    diff, pairs = DiffView(full), PairQueue(full)
    assert len(sheet(diff, "Fields", "sync-diff.xlsx")) == 1 + len(diff.selected)
    assert len(sheet(pairs, "Pairs", "possible-duplicates.xlsx")) == 1 + len(pairs.selected)


def test_nothing_shown_is_nothing_saved(full: Plan) -> None:
    grid = PlanGrid(full)
    grid.receive({"do": "search", "text": "nobody is called so"})
    grid.receive({"do": "save"})
    assert grid.file is None and "nothing to save" in grid.error
    assert next(b for b in grid.state()["actions"] if b["key"] == "e")["off"]


def test_a_report_is_saved_as_page_workbook_json_and_its_section_as_csv(with_errors: Workspace) -> None:
    view = ReportView(with_errors)
    view.receive({"do": "page"})
    assert view.file == ("job-report.html", view.report.to_html().encode())
    view.receive({"do": "json"})
    assert view.file is not None and json.loads(view.file[1])["sentence"] == view.report.sentence()
    view.receive({"do": "save"})
    assert view.file is not None and openpyxl.load_workbook(io.BytesIO(view.file[1])).sheetnames[0] == "Report"
    view.receive({"do": "csv"})
    assert view.file is not None and view.file[0] == "job-report-jobs.csv"


def test_mappings_fields_and_findings_are_saved(demo: Workspace) -> None:
    screen = ConnectAndMap(demo)
    lines = sheet(screen, "Mappings", "mappings.xlsx")
    assert len(lines) == 1 + len(demo.description.mappings)
    assert len(sheet(screen, "Fields", "mappings.xlsx")) == 1 + sum(len(m.fields) for m in demo.description.mappings)
    assert sheet(screen, "Findings", "mappings.xlsx")[0] == ("severity", "where", "what", "remedy")


def test_planned_beside_actual_is_saved_after_the_run_and_the_code_does_the_same(own_demo: Workspace, tmp_path: Path) -> None:
    plan = own_demo.plan_modified()
    review = Review(plan)
    DiffView(review).receive({"do": "toggle", "line": 10})
    panel = ApplyPanel(own_demo, review)
    assert "Save as Excel" not in json.dumps(panel.state()), "nothing ran yet"
    panel.receive({"do": "save"})
    assert "nothing to save" in panel.error
    run = panel.apply()
    lines = sheet(panel, "Planned beside actual", "run.xlsx")
    assert len(lines) == 1 + len(run.jobs) and sheet(panel, "What this is", "run.xlsx")[0] == (run.sentence(),)
    panel.receive({"do": "code"})
    assert panel.state()["blocks"][-1] == {"kind": "code", "text": panel.code()}
    with open_workspace(make_demo(tmp_path / "again")) as again:
        names = {"ws": again, "plan": again.plan_modified()}
        exec(panel.code(), names)
        assert names["plan"].total("excluded") == 1 and names["run"].written == run.written


def test_the_view_hands_the_file_to_the_browser_once(full: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anywidget")
    view = PlanGrid(full).view
    sent: list[Any] = []
    monkeypatch.setattr(type(view), "send", lambda self, content, buffers=None: sent.append((content, buffers)))
    view._receive(view, {"do": "save"}, [])
    view._receive(view, {"do": "move", "by": 1}, [])
    ((content, buffers),) = sent
    assert content == {"file": "planned-rows.xlsx"} and buffers[0][:2] == b"PK"
