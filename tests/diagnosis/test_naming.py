"""Lists of errors, causes, skipped records and writes call records by their names, as an explanation does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from typer.testing import CliRunner

from synckit.cli import app
from synckit.demo import make_demo
from synckit.diagnosis.causes import causes_text
from synckit.diagnosis.naming import named
from synckit.workspace import Workspace, open_workspace

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A demo after a full synchronisation and a run in which all that failed fails again."""
    with open_workspace(make_demo(tmp_path_factory.mktemp("naming") / "demo")) as ws:
        ws.apply(ws.plan_full(), accept=list(ws.order))
        ws.apply(ws.plan_modified())
        yield ws


def test_a_cause_calls_what_is_missing_by_its_name(ws: Workspace) -> None:
    causes = ws.causes().set_index("code")
    currency = causes.loc["lookup_not_coupled"].query("mapping == 'CURRENCY'").iloc[0]
    assert (currency["named"], currency["what"]) == (
        "AUD",
        'Currency Code "AUD" must be coupled first: CURRENCY has no coupled record with that key.',
    )
    option = causes.loc["missing_option"]
    assert (option["named"], option["value"]) == ("2% 10; Net 30", "2")
    assert 'option "2% 10; Net 30" (2) has no coupled record' in option["what"]
    for frame in (ws.causes(), ws.causes(run=1)):
        said = [line for line in causes_text(frame).splitlines() if not line.startswith("    Cause: ")]
        assert not GUID.search("\n".join(said))


def test_lists_in_a_terminal_speak_names_and_json_keeps_the_keys(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(ws.path).parent)
    for command in (["errors"], ["skipped"], ["report"], ["report", "--run", "1"]):
        said = CliRunner().invoke(app, command)
        assert said.exit_code == 0 and not GUID.search(said.output), said.output
    assert GUID.search(CliRunner().invoke(app, ["errors", "--json"]).output)
    behind = CliRunner().invoke(app, ["causes", "--records", "missing_option:PAYMENT TERMS:2"]).output
    assert "Jäger & Söhne" in behind and '"2% 10; Net' in behind
    assert "No error of it is known here." in CliRunner().invoke(app, ["skipped"]).output  # the one that the demo begins with


def test_page_and_workbook_have_names_beside_both_keys(ws: Workspace, tmp_path: Path) -> None:
    report = ws.report(run=1)
    for name in ("errors", "skipped", "writes"):
        frame = report[name]
        columns = list(frame.columns)
        assert columns[columns.index("record") :][:3] == ["record", "local_key", "integration_key"]
        assert (frame["record"] != "").any()
    wattlebird = report["errors"].query("record == 'Wattlebird Trading'").iloc[0]
    assert '"AUD"' in wattlebird["message"]
    page = report.to_html()
    assert "Referenced record is not coupled (CURRENCY AUD)" in page
    assert "<th>record</th>" in page[page.index('id="writes"') :]
    report.to_excel(tmp_path / "r.xlsx")
    book = openpyxl.load_workbook(tmp_path / "r.xlsx")
    for sheet in ("Errors", "Skipped backlog", "Rows written"):
        heads = [c.value for c in book[sheet][1]]
        assert "record" in heads


def test_a_message_changes_only_where_the_name_says_more() -> None:
    said = 'Currency Code "AUD" must be coupled first: CURRENCY has no coupled record with that key.'
    assert named(said, "AUD", "AUD") == said and named(said, "AUD", "") == said
    assert named(said, "AUD", "Dollar\x1b[1m").startswith('Currency Code "Dollar\\x1b[1m" must')
