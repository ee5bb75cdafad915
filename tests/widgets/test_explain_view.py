"""Any record's story from the screen: its mapping chosen, its key, number or name typed; and a run taken back from where it is shown."""

from __future__ import annotations

import json

from synckit.widgets import ApplyPanel, ExplainView, ReportView
from synckit.workspace import Workspace


def shown(screen: ExplainView | ApplyPanel | ReportView) -> str:
    return json.dumps(screen.state()["blocks"], ensure_ascii=False)


def test_it_begins_with_the_record_that_failed_last(with_errors: Workspace) -> None:
    view = ExplainView(with_errors)
    last = with_errors.errors(limit=1).to_dict("records")[0]
    assert view.mapping == last["mapping"] and view.record in (last["local_key"], last["integration_key"])
    assert view.told is not None and view.told.found and "failed last" in view.said


def test_without_errors_it_waits_to_be_asked(demo: Workspace) -> None:
    view = ExplainView(demo)
    assert view.told is None and view.error == "" and "Name a record" in shown(view)
    assert "No record was named" in view.html()


def test_a_record_is_found_by_number_or_name_and_told_with_headings(demo: Workspace) -> None:
    view = ExplainView(demo, "CUSTOMER", "10000")
    by_number = shown(view)
    assert "Where it is" in by_number and "ull synchronisation" in by_number and "<h" not in by_number
    view.receive({"do": "explain", "text": "Źródło Meble sp.j."})
    assert view.told is not None and view.told.found and view.told.facts["local"]["number"] == "10000"
    view.receive({"do": "code_of"})
    assert view.said == "ws.explain('CUSTOMER', key='Źródło Meble sp.j.')"


def test_what_is_not_there_is_said_and_nothing_is_lost(demo: Workspace) -> None:
    view = ExplainView(demo, "CUSTOMER", "99999999")
    assert view.error == "" and "has no record" in shown(view)
    view.receive({"do": "explain", "text": "  "})
    assert "Write which record" in view.error
    view.receive({"do": "mapping", "value": "VENDOR"})
    assert view.mapping == "VENDOR" and view.error == ""


def test_a_run_is_taken_back_from_the_panel_that_carried_it_out(own_demo: Workspace) -> None:
    before = own_demo.plan_modified()
    panel = ApplyPanel(own_demo, before)
    panel.receive({"do": "take_back"})
    assert "Nothing was written yet" in panel.error
    panel.apply()
    assert "Take this run back" in shown(panel)
    panel.receive({"do": "take_back"})
    assert panel.undo is not None and "An undo of run 1" in shown(panel) and own_demo.jobs(run=2).empty, "a plan first"
    panel.receive({"do": "apply"})
    run = panel.undo.wait(60)
    assert run is not None and run.status == "finished" and run.written == run.planned
    after = own_demo.plan_modified()
    assert after.total("held") > 0 and after.sentence() != before.sentence(), "what is undone is held"


def test_a_run_is_taken_back_from_the_report(failed: Workspace) -> None:
    view = ReportView(failed)
    view.receive({"do": "section", "name": "runs"})
    assert "Take back" in shown(view)
    view.receive({"do": "undo_run", "run": 1})
    assert view.plan is not None and view.plan.base.kind == "undo" and "plan = ws.plan_undo(1)" in view.code()
    view.receive({"do": "section", "name": "jobs"})
    assert "Write " not in shown(view), "the plan belongs to its section"
    view.receive({"do": "section", "name": "runs"})
    view.receive({"do": "apply"})
    assert view.panel is not None and (run := view.panel.wait(60)) is not None and run.status == "finished"
    view.receive({"do": "refresh"})
    assert len(view.selected) == 2 and view.plan is None
    assert [row[1] for row in view.state()["blocks"][-1]["rows"]] == ["modified", "undo"]
    view.receive({"do": "undo_run", "run": 1})
    assert "was changed since by run 2" in shown(view), "why nothing is left to take back"


def test_the_sections_of_the_report_call_records_by_name_and_fit(with_errors: Workspace) -> None:
    view = ReportView(with_errors)
    for name in ("errors", "skipped", "writes"):
        view.receive({"do": "section", "name": name})
        table = view.state()["blocks"][-1]
        assert view.error == "" and "record" in table["columns"] and len(table["columns"]) <= 8
        assert all(row[table["columns"].index("record")] for row in table["rows"])
        assert "local key" not in table["columns"], "keys stand in what is saved"
