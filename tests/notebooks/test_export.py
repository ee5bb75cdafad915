"""`jupyter nbconvert` without a network: an exported notebook shows the tables and figures, and values of records stay text."""

from __future__ import annotations

import html
import re
import sqlite3
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pytest

from synckit.demo import make_demo
from synckit.planning.plan import Plan, PlanBase
from synckit.widgets import ApplyPanel, ConnectAndMap, DiffView, ErrorsView, PairQueue, PlanGrid, ReportView
from synckit.workspace import Workspace, open_workspace

exporters = pytest.importorskip("nbconvert").exporters
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(make_demo(tmp_path_factory.mktemp("export") / "demo"))


def exported(*shown: Any) -> str:
    """The page that nbconvert makes of a notebook whose cells show these."""
    cells = []
    for one in shown:
        bundle = getattr(one, "_repr_mimebundle_", None)
        data = bundle() if bundle else {"text/html": one._repr_html_()}
        data = data[0] if isinstance(data, tuple) else data
        cells.append(nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("display_data", data=data)]))
    page, _ = exporters.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    return str(page)


def hostile(plan: Plan) -> Plan:
    """The plan with names and values that want to be HTML."""
    values = {f: getattr(plan.base, f) for f in PlanBase.__dataclass_fields__}
    changed: dict[str, pa.Table] = {}
    for name, columns in {
        "rows": ("local_name", "integration_name", "reason"), "changes": ("old", "new"), "conflicts": ("old", "new"),
        "duplicates": ("source_name", "existing_name", "why"), "evidence": ("source_value", "existing_value"), "errors": ("message", "value"),
    }.items():  # fmt: skip
        table: pa.Table = values[name]
        for column in columns:
            texts = pa.array([None if v is None else HOSTILE for v in table.column(column).to_pylist()], pa.string())
            table = table.set_column(table.schema.get_field_index(column), column, texts)
        changed[name] = table
    return Plan(PlanBase(**{**values, **changed, "given_id": ""}))


def test_the_tables_are_in_the_page(demo: Workspace) -> None:
    plan = demo.plan_full()
    page = exported(ConnectAndMap(demo), plan, PlanGrid(plan), PairQueue(plan), DiffView(plan), ApplyPanel(demo, plan))
    words = html.unescape(page)
    for text in (
        plan.sentence(),
        "Possible duplicates, best first",
        "Mappings, in the order of a run",
        "100 of 373 rows shown",
        "Nothing was applied here",
    ):
        assert text in words, text
    assert page.count("<table") >= 6 and "PlanGrid object" not in page


def test_nothing_of_a_record_is_markup(demo: Workspace) -> None:
    plan = hostile(demo.plan_full())
    page = exported(plan, PlanGrid(plan), PairQueue(plan), DiffView(plan), ApplyPanel(demo, plan))
    assert page.count(html.escape(HOSTILE)) > 100 and not re.search(r"<img[^>]*onerror", page)


def test_errors_and_reports_of_hostile_records_are_text(tmp_path: Path) -> None:
    ws = open_workspace(make_demo(tmp_path / "demo"))
    for database, table in (("dataverse.db", "account"), ("business_central.db", "customer")):
        with sqlite3.connect(tmp_path / "demo" / database) as connection:
            connection.execute(f"UPDATE {table} SET name = ?", (HOSTILE,))  # noqa: S608
    ws.apply(ws.plan_modified(from_start=True))
    errors = ErrorsView(ws)
    key = ws.errors(limit=1).iloc[0]
    page = exported(errors, ReportView(ws), ws.explain(key["mapping"], local=key["local_key"]))
    assert HOSTILE in str(errors.state()), "the screen has it as text, which the script only ever makes text nodes of"
    assert not re.search(r"<img[^>]*onerror", page) and html.escape(HOSTILE) in page
    assert "data:image/svg+xml;base64" in page, "the figure of the report"
