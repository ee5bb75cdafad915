"""The job report: its sums hold against the ledger, its page stands alone, its workbook opens with real types."""

from __future__ import annotations

import gc
import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from synckit.demo import make_demo
from synckit.diagnosis.causes import grouped, with_causes
from synckit.errors import SynckitError
from synckit.planning.tables import COUNTERS
from synckit.reports.job_report import SECTIONS, Report, built, cause_labels
from synckit.reports.plan_text import frame_view, plain
from synckit.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with open_workspace(make_demo(tmp_path_factory.mktemp("report") / "demo")) as ws:
        plan = ws.plan_full(["CURRENCY", "SALESPEOPLE", "PAYMENT TERMS", "VENDOR"]).exclude("VENDOR", warning="possible_duplicate")
        ws.apply(plan, accept=list(plan.mappings))
        ws.apply(ws.plan_modified(["CURRENCY", "VENDOR"]))
        yield ws


@pytest.fixture(scope="module")
def report(ws: Workspace) -> Report:
    return ws.report(since="2000-01-01", values=True)


def ledger(ws: Workspace, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(ws.ledger.address.removeprefix("sqlite:///")) as connection:
        return connection.execute(query).fetchall()


def test_every_sum_is_the_ledgers(ws: Workspace, report: Report) -> None:
    sums = ledger(ws, f"SELECT {', '.join(f'sum({c}), sum(planned_{c})' for c in COUNTERS)} FROM job")[0]  # noqa: S608
    for n, counter in enumerate(COUNTERS):
        assert report.total(counter) == int(report["runs"][counter].sum()) == sums[2 * n]
        mine = report["planned"][report["planned"]["counter"] == counter]
        assert (int(mine["actual"].sum()), int(mine["planned"].sum())) == sums[2 * n : 2 * n + 2]
    assert len(report["errors"]) == ledger(ws, "SELECT count(*) FROM job_error")[0][0]
    assert len(report["jobs"]) == ledger(ws, "SELECT count(*) FROM job")[0][0]
    assert len(report["skipped"]) == ledger(ws, "SELECT count(*) FROM coupling WHERE skipped")[0][0]
    assert int(report["written"]["rows"].sum()) == len(report["writes"])
    assert report["sums"]["agree"].all(), report["sums"]


def test_every_number_of_a_cause_has_its_rows(report: Report) -> None:
    for cause in report["causes"].itertuples():
        mine = report["errors"][report["errors"]["cause"] == cause.cause]
        assert len(mine[["mapping", "local_key", "integration_key"]].drop_duplicates()) == cause.victims


def test_fields_are_there_when_asked_for(ws: Workspace, report: Report) -> None:
    fields = report["fields"]
    renamed = fields[(fields["old"] == "Danish Krone") & (fields["new"] == "Danish Krone (DKK)")]
    assert len(renamed) == 1 and renamed.iloc[0][["local_key", "integration_key"]].notna().all()
    assert not len(ws.report(run=1)["fields"])


def test_a_run_a_mapping_a_day(ws: Workspace) -> None:
    assert ws.report()["runs"]["run_id"].tolist() == [2]
    assert set(ws.report(run=1, mapping="VENDOR")["jobs"]["mapping"]) == {"VENDOR"}
    assert not len(ws.report(since=datetime(2999, 1, 1))["jobs"])
    with pytest.raises(SynckitError, match="no run 9"):
        ws.report(run=9)
    with pytest.raises(SynckitError, match="is no date"):
        ws.report(since="last tuesday")
    with pytest.raises(SynckitError, match="not both"):
        ws.report(1, since="2026-01-01")


def test_the_page_stands_alone_and_its_links_lead_somewhere(report: Report, tmp_path: Path) -> None:
    page = report.to_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page
    outside = re.findall(r"""(?:src|href)=["'](?!#)[^"']*|url\((?!#)[^)]*|@import|<script""", page)
    assert not outside
    anchors = set(re.findall(r'id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page)) - set(re.findall(r'xlink:href="#([^"]+)"', page))
    assert links <= anchors, links - anchors
    assert "@media print" in page and "prefers-color-scheme: dark" in page
    assert page == report.to_html()


GOLDEN = Path(__file__).with_name("golden") / "job_report.html"


def of_a_small_log() -> Report:
    """A report whose every value is written here: two runs, planned beside actual, two causes, a write, a decision, a skipped record."""
    at = pd.Timestamp("2026-11-20 08:00:00")
    errors = with_causes(
        [{"run_id": 2, "at": at, "mapping": "CUSTOMER", "direction": "to_integration", "local_key": f"C{n}", "integration_key": None, "field": "Currency Code",
          "code": "lookup_not_coupled", "value": "GBP", "message": 'Currency Code "GBP" must be coupled first: CURRENCY has no coupled record with that key.'}
         for n in range(3)]
        + [{"run_id": 1, "at": at, "mapping": "VENDOR", "direction": "from_integration", "local_key": None, "integration_key": "<b>V1</b>", "field": "", "value": "",
            "code": "failed", "message": "=1+1; the trigger said <no>"}],
        lambda mapping, lines: {})  # fmt: skip
    counted = dict.fromkeys(COUNTERS, 0)
    job = {
        "type": "synchronization",
        "started": at,
        "finished": at,
        "duration": 2.0,
        "message": "",
        **counted,
        **{f"planned_{c}": 0 for c in COUNTERS},
    }
    jobs = pd.DataFrame([
        {**job, "id": "job 1", "run_id": 1, "mapping": "VENDOR", "direction": "from_integration", "status": "error", "failed": 1, "planned_failed": 1},
        {**job, "id": "job 2", "run_id": 2, "mapping": "CUSTOMER", "direction": "to_integration", "status": "error", "inserted": 1, "planned_inserted": 2,
         "failed": 3, "planned_failed": 2, "skipped": 1, "planned_skipped": 1},
    ])  # fmt: skip
    runs = pd.DataFrame(
        [
            {"id": n, "kind": "full", "status": "finished", "operator": "Ada", "started": at, "finished": at, "message": ""}
            for n in (1, 2)
        ]
    )
    written = {"id": 1, "run_id": 2, "job_id": "job 2", "mapping": "CUSTOMER", "direction": "to_integration", "step": 1, "side": "integration", "table_name": "account",
               "op": "insert", "local_key": "C9", "integration_key": "A9", "before": None, "after": '{"name": "Šahin & Sons"}', "state": "done", "error": "", "at": at}  # fmt: skip
    skipped = pd.DataFrame(
        [
            {
                "mapping": "CUSTOMER",
                "local_key": "C5",
                "integration_key": "A5",
                "code": "both_changed",
                "message": "Changed in both.",
                "at": at,
            }
        ]
    )
    decisions = pd.DataFrame(
        [
            {
                "at": at,
                "operator": "Ada",
                "mapping": "CUSTOMER",
                "kind": "exclude",
                "local_key": "C7",
                "integration_key": None,
                "value": "",
            }
        ]
    )
    return built("Job report, golden", {"local": "Contoso", "integration": "Dataverse"}, runs, jobs, errors, grouped(errors), skipped, pd.DataFrame([written]),
                 decisions, datetime(2026, 11, 22), values=True)  # fmt: skip


def test_the_page_is_as_written_down() -> None:
    """UPDATE_GOLDEN=1 writes the file anew; then open it in a browser. The figure, which fonts and versions draw otherwise, is left out."""
    page = re.sub(r"<svg.*?</svg>", "<svg></svg>", of_a_small_log().to_html(), flags=re.DOTALL)
    page = re.sub(r"(</tr>|</h2>|</p>|</summary>|</style>|</nav>)", r"\1\n", page)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")


def test_the_figure_says_it_in_words_and_is_not_clipped() -> None:
    """Every text lies within the figure; its greys and colours stand out on white and on black."""
    figure = of_a_small_log().figure()
    figure.draw_without_rendering()
    whole = figure.bbox
    texts = [
        t for axes in figure.axes for t in [*axes.texts, axes.title, axes._left_title, *axes.get_yticklabels()] if t.get_text()
    ]
    for text in texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 + 1 and whole.y0 <= box.y0 and box.y1 <= whole.y1 + 1, text.get_text()
        assert min(_contrast(text.get_color(), page) for page in ("white", "black")) > 3, text.get_text()
    assert any("Referenced record is not coupled" in t.get_text() for t in texts)


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours as WCAG defines it."""

    def light(colour: str) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    a, b = sorted((light(one), light(other)))
    return (b + 0.05) / (a + 0.05)


def test_the_workbook_has_real_types_filters_and_no_formula(report: Report, tmp_path: Path) -> None:
    report.to_excel(tmp_path / "r.xlsx")
    book = openpyxl.load_workbook(tmp_path / "r.xlsx")
    assert book.sheetnames[0] == "Report" and len(book.sheetnames) == len([n for n, _ in SECTIONS if len(report[n].columns)]) + 1
    jobs = book["Jobs"]
    head = [c.value for c in jobs[1]]
    assert jobs.freeze_panes == "A2" and jobs.auto_filter.ref
    assert [int(r[head.index("inserted")].value) for r in jobs.iter_rows(min_row=2)] == report["jobs"]["inserted"].tolist()
    assert isinstance(jobs.cell(2, head.index("started") + 1).value, datetime)
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)
    for sheet in book.worksheets[1:]:
        assert sheet.freeze_panes == "A2" and (sheet.max_row == 1 or sheet.auto_filter.ref), sheet.title
    assert book["Errors"].max_row == len(report["errors"]) + 1 and book["Rows written"].max_row == len(report["writes"]) + 1
    told = {c.value: n for n, c in enumerate(book[book.sheetnames[-1]][1])}
    assert all(row[told["agree"]].value is True for row in book[book.sheetnames[-1]].iter_rows(min_row=2))


def test_values_are_hostile(report: Report, tmp_path: Path) -> None:
    errors = report["errors"].copy()
    errors["message"], errors["value"] = "<script>alert(1)</script>", "=cmd|' /C calc'!A0"
    hostile = Report("<b>", {}, {**report.frames, "errors": errors})
    assert "<script>alert" not in hostile.to_html() and "<script>alert" not in hostile._repr_html_()
    hostile.to_excel(tmp_path / "h.xlsx")
    assert all(c.data_type == "s" for c in openpyxl.load_workbook(tmp_path / "h.xlsx")["Errors by cause"][1])


def test_plain_values_and_text(report: Report) -> None:
    again = json.loads(report.to_json())
    assert len(again["jobs"]) == len(report["jobs"]) and again["sentence"] == report.sentence()
    assert report.sentence() in report.to_text()
    assert report.figure().axes


def test_an_empty_ledger_has_a_report(tmp_path: Path) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        empty = ws.report()
        assert empty.to_html() and empty.to_text() and empty.to_dict()
        empty.to_excel(tmp_path / "e.xlsx")


def test_a_hundred_thousand_changes_stay_below_two_megabytes(report: Report) -> None:
    n = 100_000
    line = report["writes"].iloc[[0]]
    lines = (
        line.take([0] * n)
        .reset_index(drop=True)
        .assign(before='{"name": "' + "old " * 10 + '"}', after='{"name": "' + "new " * 10 + '"}', id=range(n))
    )
    lines["local_key"] = [f"key {i}" for i in range(n)]
    errors = report["errors"].take([0] * n).reset_index(drop=True).assign(cause=[f"cause {i % 500}" for i in range(n)])
    runs = report["runs"].rename(columns={"run_id": "id"}).drop(columns=list(COUNTERS))
    large = built(
        "large",
        {},
        runs,
        report["jobs"],
        errors,
        report["causes"],
        report["skipped"],
        lines,
        report["decisions"],
        datetime(2026, 1, 1),
        values=True,
    )
    page = large.to_html()
    assert len(page.encode()) < 2_000_000
    links, anchors = (set(re.findall(pattern, page)) for pattern in (r' href="#([^"]+)"', r' id="([^"]+)"'))
    assert links <= anchors | {"skipped"}
    assert "of 100,000 shown" in page


def test_headings_are_never_cut_in_a_terminal(report: Report) -> None:
    text = report.to_text()
    for heading in ("seconds", "inserted", "modified", "unchanged", "skipped", "failed"):
        assert heading in text
    narrow = plain(frame_view(pd.DataFrame({"rows_per_second": [1.5], "message": ["x" * 200]}), None), 40)
    assert "second" in narrow and "1.50" in narrow


def test_planned_beside_actual_shows_the_differences_and_counts_the_rest(report: Report) -> None:
    assert f"Planned beside actual\n{len(report['planned'])} numbers: as planned." in report.to_text()
    planned = report["planned"].copy()
    planned.loc[len(planned) - 1, ["actual", "difference"]] = [7777, 7770]  # far below the first twenty
    other = replace(report, frames={**report.frames, "planned": planned})
    part = other.to_text().partition("Planned beside actual")[2].partition("\n\n")[0]
    assert "7,777" in part and part.count("\n") == 4 and f"{len(planned) - 1} other numbers: as planned." in part
    assert "7,777" in other._repr_html_()


def test_no_two_causes_have_one_name_in_the_figure() -> None:
    def line(value: str, mapping: str = "SALESPEOPLE", code: str = "lookup_not_coupled") -> dict[str, object]:
        said = f'Salesperson Code "{value}" must be coupled first: {mapping} has no coupled record with that key.'
        return {"run_id": 1, "at": None, "mapping": "CUSTOMER", "direction": "to_integration", "local_key": value, "integration_key": None,
                "field": "Salesperson Code", "code": code, "value": value, "message": said}  # fmt: skip

    failed = [{**line(v, code="failed"), "message": m} for v, m in (("1", "A trigger refused it"), ("2", "A lock was held"))]
    causes = grouped(with_causes([line("ZV"), line("AB"), *failed], lambda mapping, lines: {}))
    labels = cause_labels(causes)
    assert len(set(labels)) == 4
    assert {"Referenced record is not coupled (SALESPEOPLE ZV)", "Referenced record is not coupled (SALESPEOPLE AB)"} <= set(labels)


def test_a_workbook_that_cannot_be_written_says_so_and_nothing_else(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with pytest.raises(SynckitError, match=r"r\.xlsx cannot be written: No such file or directory\."):
        report.to_excel(tmp_path / "nowhere" / "r.xlsx")
    gc.collect()
    assert not ignored
