"""The view by its message handler, without a browser; and the page that stands in its place where nothing runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from synckit.planning.plan import Plan, PlanBase
from synckit.widgets import ApplyPanel, ConnectAndMap, DiffView, ErrorsView, PairQueue, PlanGrid, ReportView
from synckit.workspace import Workspace

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe"


def test_the_view_forwards_and_sends_rows_where_the_reader_is(full: Plan) -> None:
    pytest.importorskip("anywidget")
    grid = PlanGrid(full)
    view = grid.view
    assert view.win["rows"][0]["line"] == grid.cursor and view.state["total"] == grid.lines.n
    view._receive(view, {"do": "window", "start": 100, "asked": 7}, [])
    assert view.win["start"] == 100 and view.win["asked"] == 7
    view._receive(view, {"do": "search", "text": "gmbh"}, [])
    assert view.state["text"] == "gmbh" and view.state["total"] == len(grid.lines.shown) > 0
    assert view.win["rows"], "rows are sent although the reader had scrolled beyond the end of what is found"
    view._receive(view, {"do": "toggle"}, [])
    assert grid.plan.total("excluded") == 1 and "left out" in view.state["said"]


def test_what_takes_its_time_says_how_far_it_is(full: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anywidget")
    monkeypatch.setattr("synckit.widgets.view.BETWEEN", -1)
    monkeypatch.setattr("synckit.waiting.EVERY", 50)
    view = PlanGrid(full).view
    heard: list[dict[str, object]] = []
    view.observe(lambda change: heard.append(change["new"]), "work")
    turn = view.turn
    view._receive(view, {"do": "save"}, [])
    assert heard[0] == {"text": "Writing the workbook \u2026", "share": 0}
    shares = [one["share"] for one in heard[1:-1]]
    assert len(shares) > 2 and shares == sorted(shares) and shares[0] > 0 and shares[-1] <= 1
    assert heard[-1] == {} and view.turn == turn + 1, "gone when it is done"


def test_a_decision_on_one_screen_redraws_the_others(full: Plan) -> None:
    pytest.importorskip("anywidget")
    grid = PlanGrid(full)
    pairs = PairQueue(grid)
    before = grid.view.state["head"]
    pairs.receive({"do": "decide", "answer": "couple"})
    assert grid.view.state["head"] != before


def test_a_notebook_that_nobody_runs_shows_the_table(full: Plan, demo: Workspace, with_errors: Workspace) -> None:
    for make in SCREENS.values():
        screen = make(full, demo, with_errors)
        bundle = screen._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        assert data["text/html"].count("<") > 3 and "<script" not in data["text/html"]
        assert "application/vnd.jupyter.widget-view+json" in data


def test_the_core_works_without_widgets() -> None:
    """Neither the package nor its presenters load anywidget; a presenter without it shows its page."""
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "import synckit, synckit.cli, synckit.widgets\n"
        "from synckit.widgets.screen import Screen\n"
        "class One(Screen):\n"
        "    def state(self): return {}\n"
        "    def html(self): return '<p>here</p>'\n"
        "assert '<p>here</p>' in One()._repr_mimebundle_()['text/html']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def hostile(plan: Plan) -> Plan:
    """The plan with a name that wants to be HTML, and to turn the line round."""
    rows = plan.base.rows
    for column in ("local_name", "integration_name"):
        names = pa.array([None if n is None else HOSTILE for n in rows.column(column).to_pylist()], pa.string())
        rows = rows.set_column(rows.schema.get_field_index(column), column, names)
    values = {f: getattr(plan.base, f) for f in PlanBase.__dataclass_fields__}
    return Plan(PlanBase(**{**values, "given_id": "", "rows": rows}))


def test_names_that_want_to_be_html_stay_text(full: Plan) -> None:
    for screen in (PlanGrid(hostile(full)), DiffView(hostile(full))):
        page = screen.html()
        assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page and "\u202e" not in page
        assert "\u202e" not in str(screen.window(0, 50)) and "\u202e" not in str(screen.state())


SCREENS = {
    "plan_grid": lambda full, demo, failed: PlanGrid(full), "pair_queue": lambda full, demo, failed: PairQueue(full),
    "diff_view": lambda full, demo, failed: DiffView(full), "apply_panel": lambda full, demo, failed: ApplyPanel(demo, full),
    "errors_view": lambda full, demo, failed: ErrorsView(failed), "connect_map": lambda full, demo, failed: ConnectAndMap(demo),
    "report_view": lambda full, demo, failed: ReportView(failed),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in SCREENS if n != "report_view"])  # that one is full of durations
def test_the_page_is_as_it_was(full: Plan, demo: Workspace, with_errors: Workspace, name: str) -> None:
    """Golden pages of the demo; delete a file to have it written anew, then look at the difference."""
    page = re.sub(r"(</tr>|</p>)", r"\1\n", SCREENS[name](full, demo, with_errors).html()) + "\n"
    page = re.sub(r"sqlite:/+[^<]*?/demo/", "sqlite:///demo/", page)
    page = re.sub(r"rows, \d+\.\d s", "rows, 0.0 s", page)
    page = page if name != "errors_view" else re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d", "2026-06-01 08:00", page)
    file = GOLDEN / f"{name}.html"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(page, encoding="utf-8")
        pytest.fail(f"{file.name} was written; look at it and run again")
    assert page == file.read_text(encoding="utf-8")


def test_the_script_never_makes_html_of_a_value() -> None:
    script = (Path(__file__).parents[2] / "synckit/widgets/static/screen.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", script)


def test_search_and_filters_are_cleared_at_once(full: Plan) -> None:
    grid = PlanGrid(full)
    clear = grid.state()["actions"][-1]
    assert clear["label"] == "Show all" and clear["off"], "everything is shown"
    grid.receive({"do": "choose", "facet": "mapping", "value": "VENDOR"})
    grid.receive({"do": "search", "text": "nobody is called so"})
    assert grid.state()["total"] == 0 and not grid.state()["actions"][-1]["off"]
    grid.receive(grid.state()["actions"][-1]["do"])
    assert grid.state()["total"] == grid.lines.n and grid.state()["text"] == "" and grid.cursor >= 0
