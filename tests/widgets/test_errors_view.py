"""Errors by cause, without a browser: records with their names and stories, the fix as a plan, applied from there, and the export."""

from __future__ import annotations

import io
import json
from typing import Any

import openpyxl

from synckit.widgets import ErrorsView
from synckit.workspace import Workspace


def send(view: ErrorsView, do: str, **given: Any) -> str:
    view.receive({"do": do, **given})
    return json.dumps(view.state(), ensure_ascii=False)


def at(view: ErrorsView, code: str) -> ErrorsView:
    """Open the cause of a code."""
    view.cursor, view.open = view.causes["code"].tolist().index(code), True
    return view


def test_causes_are_listed_with_what_fixes_them_and_open_with_their_records(with_errors: Workspace) -> None:
    view = ErrorsView(with_errors)
    assert view.lines.n == len(with_errors.causes()) == 2
    shown = send(at(view, "partner_deleted"), "close")
    shown = send(view, "open")
    assert "Vignobles Crémieux SA" in shown and "Restore the deleted records" in shown and "Its story" in shown
    assert "Restore" not in json.dumps(at(view, "both_changed").state()["detail"][4:]), "a conflict is not restored"


def test_a_record_opens_with_its_whole_story(with_errors: Workspace) -> None:
    view = at(ErrorsView(with_errors), "partner_deleted")
    table = next(b for b in view.state()["detail"] if b["kind"] == "table")
    view.receive(table["rows"][0][-1]["buttons"][0]["do"])
    assert view.error == "" and "deleted" in view.story
    assert view.state()["detail"][-1] == {"kind": "code", "text": view.story}
    send(view, "move", by=-1)
    assert view.story not in json.dumps(view.state()["detail"]), "a story belongs to its cause"


def test_a_story_asked_for_while_another_cause_is_chosen_belongs_to_its_own(with_errors: Workspace) -> None:
    view = at(ErrorsView(with_errors), "partner_deleted")
    table = next(b for b in view.state()["detail"] if b["kind"] == "table")
    asked = table["rows"][0][-1]["buttons"][0]["do"]
    send(view, "move", by=-1)
    view.receive(asked)  # pressed before the page had drawn the other cause
    assert view.story and view.story not in json.dumps(view.state()["detail"])
    send(view, "move", by=1)
    assert view.state()["detail"][-1] == {"kind": "code", "text": view.story}


def test_the_fix_is_a_plan_that_is_written_by_its_own_button(failed: Workspace) -> None:
    view = at(ErrorsView(failed), "partner_deleted")
    shown = send(view, "fix", how="restore")
    n, broken = len(view.victims()), len(failed.broken())
    assert view.plan is not None and view.plan.total("restore") == n > 0 and f"Write {n} row" in shown
    assert broken > n, "nothing is written yet"
    send(view, "apply")
    run = view.panel.wait(60) if view.panel else None
    assert run is not None and run.written == run.planned >= n and "Every write came out as planned." in json.dumps(view.state())
    assert len(failed.broken()) == broken - n
    before = view.causes["open"].sum()
    send(view, "refresh")
    assert view.causes["open"].sum() == before - n and view.plan is None


def test_a_conflict_is_decided_for_a_side_and_tried_again(failed: Workspace) -> None:
    view = at(ErrorsView(failed), "both_changed")
    send(view, "retry")
    assert view.plan is not None and view.plan.writes == 0 and "There is nothing to write" in json.dumps(view.state())
    assert "Changed in both systems" in json.dumps(view.state()["detail"][-3:]), "undecided it fails again, and says why"
    send(view, "fix", how="from")
    changes = view.plan.changes()
    assert len(changes) and set(changes["pass"]) == {"from"} and view.plan.total("conflict") == 0


def test_skipped_records_of_a_cause_are_taken_up_by_a_retry(failed: Workspace) -> None:
    failed.apply(failed.plan_modified(from_start=True))
    view = at(ErrorsView(failed), "partner_deleted")
    key = view.victims()["local_key"].iloc[0]
    assert key in set(failed.skipped()["local_key"]), "the same failure twice"
    send(view, "retry")
    assert view.error == "" and view.plan is not None and view.plan.base.kind == "retry"
    assert sum(len(head.released) for head in view.plan.base.mappings.values()) == len(view.victims())


def test_what_fixes_nothing_here_is_refused(with_errors: Workspace) -> None:
    view = at(ErrorsView(with_errors), "both_changed")
    assert "fixes nothing here" in json.loads(send(view, "fix", how="restore"))["error"]
    assert "no plan to apply" in json.loads(send(view, "apply"))["error"]


def test_what_is_shown_is_saved_as_a_workbook(with_errors: Workspace) -> None:
    view = ErrorsView(with_errors)
    send(view, "search", text="deleted")
    assert len(view.selected) == 1
    send(view, "save")
    assert view.file is not None and view.file[0] == "errors.xlsx" and "downloads" in view.said
    book = openpyxl.load_workbook(io.BytesIO(view.file[1]))
    assert book["Causes"].max_row == 2
    assert book["Records"].max_row == 1 + len(with_errors.cause_records(view.selected["cause"].iloc[0]))
    send(view, "search", text="no such cause")
    assert "nothing to save" in json.loads(send(view, "save"))["error"]
