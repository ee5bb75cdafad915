"""A job report as one page without any outside reference: light, dark and print; every number leads to its rows."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from synckit.diagnosis.causes import alike
from synckit.planning.tables import COUNTERS
from synckit.reports.frame_html import STYLE, escaped, table_html
from synckit.reports.job_figure import svg
from synckit.reports.plan_figure import GREY
from synckit.reports.plan_text import cell_text
from synckit.reports.wording import UNKNOWN_ERROR, count_of, number

if TYPE_CHECKING:
    from synckit.reports.job_report import Report

#: So many rows of a list are on the page; the rest is counted, and whole in the workbook and the frames.
ROWS = 200
#: Rows of the longest lists, all their groups together: the page stays below two megabytes.
IN_ALL = 1_500

#: Columns of short words that are never broken.
WHOLE = ("mapping", "direction", "type", "status", "started", "finished", "at", "kind", "counter", "op", "state", "trend", "side")
#: How a column is headed where its name would puzzle a reader.
LABELS = {"run_id": "run", "duration": "seconds", "rows_per_second": "rows a second", "op": "operation", "title": "cause",
          "victims": "records", "by_mapping": "records by mapping", "remedy": "what helps", "table_name": "table"}  # fmt: skip
#: What a section shows, in a sentence.
NOTES = {
    "runs": "One line per run. The numbers count records by what became of them.",
    "jobs": "One line per mapping and direction. A number leads to its rows; in red what the plan had said where it differs.",
    "planned": "What the plans had said beside what came about, where they differ.",
    "causes": "Errors with the same cause are one line, and each record counts once. The number leads to the errors. "
    "Solved: no record of it has failed since.",
    "errors": "Every error that was booked, by cause. Groups that are open are printed open.",
    "skipped": "Records that failed twice for the same reason: runs leave them out until someone retries them.",
    "written": "Rows as they were written. Step 2 completes a record written or compared before (a reference that had to exist first); jobs do "
    "not count it again.",
    "writes": "The rows themselves, with the keys of both sides. Groups that are open are printed open.",
    "sums": "The same number counted in two places.",
}

PAGE = """<style>
:root {color-scheme: light dark; --fg: #1c1c1c; --bg: #ffffff; --soft: #5f6368; --line: #d5d7da; --link: #0b57d0; --bad: #b3261e}
@media (prefers-color-scheme: dark) {:root {--fg: #e6e6e6; --bg: #16181b; --soft: #a5a9ae; --line: #3a3d41; --link: #8ab4f8; --bad: #f2b8b5}}
body {font: 14px/1.45 system-ui, sans-serif; color: var(--fg); background: var(--bg); margin: 2em auto; max-width: 92em; padding: 0 1.2em}
h1 {font-size: 1.5em; margin: 0 0 .2em} h2 {font-size: 1.15em; margin: 1.8em 0 .1em} p {max-width: 70em} h2 + p {margin: 0 0 .4em}
a {color: var(--link); text-decoration: none} a:hover {text-decoration: underline} .soft {color: var(--soft)} .bad {color: var(--bad)}
table {border-collapse: collapse; font-size: .92em; margin: .4em 0} th, td {text-align: left; padding: .22em .8em .22em 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; max-width: 30em} th {color: var(--soft); vertical-align: bottom}
td.n, th.n {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap} th.n {white-space: normal} td.w {white-space: nowrap}
#fields td {overflow-wrap: anywhere} td.k {font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere}
.wide {overflow-x: auto} nav {margin: 0 0 1em} nav a {margin-right: 1.1em} summary {cursor: pointer} svg {max-width: 100%; height: auto}
@media print {:root {color-scheme: light; --fg: #000; --bg: #fff; --soft: #444; --line: #bbb; --link: #000; --bad: #b3261e}
  body {margin: 0; max-width: none; padding: 0; font-size: 9pt} nav {display: none} .wide {overflow: visible} th, td {padding-right: .6em}
  tr, svg {break-inside: avoid} h2, h2 + p, summary {break-after: avoid} thead {display: table-header-group} svg {max-height: 12cm}}
@page {size: A4 landscape; margin: 12mm}
</style>"""


def job_html(report: Report) -> str:
    """The whole page."""
    from synckit.reports.job_report import SECTIONS

    bodies = [(name, title, _section(report, name)) for name, title in SECTIONS]
    anchors = {hit for _, _, body in bodies for hit in re.findall(r'<details id="([^"]+)"', body)}

    def there(hit: re.Match[str]) -> str:  # a group that is not on the page is led to by its list
        return hit[0] if hit[2] in anchors else f'href="#{hit[1]}"'

    bodies = [(name, title, re.sub(r'href="#(?=(writes|errors)-)([^"]+)"', there, body)) for name, title, body in bodies]
    nav = "".join(f'<a href="#{n}">{html.escape(t.partition(":")[0])}</a>' for n, t, body in bodies if body)
    facts = " &middot; ".join(f"{html.escape(k)}: {escaped(v)}" for k, v in report.scope.items())
    figure = svg(report.figure()).replace(GREY, "var(--soft)")  # its texts follow the page's theme
    parts = ["<!doctype html>", '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
             f"<title>{escaped(report.title)}</title>{PAGE}</head><body>", f"<h1>{escaped(report.title)}</h1><p>{escaped(report.sentence())}</p>",
             f'<p class="soft">{facts}</p><nav>{nav}</nav>', f'<div role="img" aria-label="Outcomes run by run, and errors by cause">{figure}</div>']  # fmt: skip
    for name, title, body in bodies:
        if body:
            note = f'<p class="soft">{html.escape(NOTES[name])}</p>' if name in NOTES else ""
            parts.append(f'<section id="{name}"><h2>{html.escape(title)}</h2>{note}{body}</section>')
    return "".join([*parts, "</body></html>\n"])


def job_fragment(report: Report) -> str:
    """The report as a notebook shows it: the sentence and its main tables, in the notebook's theme."""
    from synckit.reports.job_report import SECTIONS, TEXT_SECTIONS, short, unlike_planned

    tables = ""
    for n, t in SECTIONS:
        frame, note = unlike_planned(report.frames[n]) if n == "planned" else (report.frames[n], "")
        if n in TEXT_SECTIONS and len(frame):
            tables += table_html(short(n, frame), t)
        tables += f"<p>{t}. {note}</p>" if note else ""
    return f'{STYLE}<div class="synckit"><p><b>{escaped(report.title)}</b>: {escaped(report.sentence())}</p>{tables}</div>'


def _section(report: Report, name: str) -> str:
    frame = report.frames[name]
    if not len(frame):
        return ""
    match name:
        case "jobs":
            return _jobs(report)
        case "causes":
            return _causes(report)
        case "errors":
            return _groups(frame, ["cause"], "errors", _called(report.frames["causes"]))
        case "writes":
            return _groups(frame, list(WRITTEN_BY), "writes", {})
        case "planned":
            return _planned(frame)
    shown = frame.head(ROWS)
    if name == "written":
        links = {"rows": [f"writes-{_slug(_group(r, WRITTEN_BY))}" for r in shown.to_dict("records")]}
        return _table(_told(shown), links) + _capped(len(shown), len(frame))
    if name == "skipped":
        shown = shown.drop(columns=[c for c in ("id", "job_id", "code") if c in shown])
        shown = shown.assign(message=shown["message"].fillna("").replace("", UNKNOWN_ERROR))
    return _table(_told(shown)) + _capped(len(shown), len(frame))


WRITTEN_BY = ("run_id", "mapping", "direction", "op", "state")


def _told(frame: pd.DataFrame) -> pd.DataFrame:
    """Without columns that say nothing: texts that are empty everywhere, counters that are 0 everywhere."""
    empty = [
        c
        for c in frame
        if (c in COUNTERS and not frame[c].fillna(0).any()) or not (frame[c].notna() & (frame[c].astype(str) != "")).any()
    ]
    return frame.drop(columns=empty)


def _planned(frame: pd.DataFrame) -> str:
    """The lines that differ; those that came about as planned are counted."""
    from synckit.reports.job_report import unlike_planned

    other, note = unlike_planned(frame)
    as_planned = f'<p class="soft">{note}</p>' if note else ""
    return (_table(other.head(ROWS)) + _capped(min(ROWS, len(other)), len(other)) if len(other) else "") + as_planned


def _jobs(report: Report) -> str:
    """Each counter leads to its rows: what was written, the errors of the run, the skipped records."""
    frame = report.frames["jobs"].head(ROWS)
    used = [
        c
        for c in COUNTERS
        if report.frames["jobs"][c].any() or (f"planned_{c}" in frame and report.frames["jobs"][f"planned_{c}"].any())
    ]
    kept = [c for c in ("run_id", "mapping", "direction", "type", "status", "started", "duration", "rows_per_second") if c in frame]
    if (report.frames["jobs"]["type"] == "synchronization").all():
        kept.remove("type")
    shown = frame[kept].copy()
    links: dict[str, list[str]] = {}
    ops = {"inserted": "insert", "modified": "update", "deleted": "delete", "coupled": "couple", "uncoupled": "uncouple"}
    notes: dict[str, list[str]] = {}
    for c in used:
        shown[c] = frame[c]
        target = []
        for job in frame.to_dict("records"):
            of = {**job, "op": ops.get(c, ""), "state": "done"}
            target.append(
                ""
                if not job[c]
                else f"writes-{_slug(_group(of, WRITTEN_BY))}"
                if c in ops
                else "errors"
                if c == "failed"
                else "skipped"
                if c == "skipped"
                else ""
            )
        links[c] = target
        notes[c] = [
            f"planned {number(int(j[f'planned_{c}']))}" if f"planned_{c}" in j and j[c] != j[f"planned_{c}"] else ""
            for j in frame.to_dict("records")
        ]
    if "message" in frame and frame["message"].fillna("").astype(bool).any():
        shown["message"] = frame["message"]
    return _table(shown, links, notes) + _capped(len(frame), len(report.frames["jobs"]))


def _causes(report: Report) -> str:
    frame = report.frames["causes"]
    shown = frame[["title", "mapping", "field", "value", "what", "victims", "trend", "by_mapping", "remedy"]].head(ROWS)
    if "named" in frame:
        shown["value"] = frame["named"].where(frame["named"] != "", frame["value"])
    shown = _told(shown.assign(field=_fields(shown["field"]))).rename(columns={"what": "message"})
    return _table(shown, {"victims": [f"errors-{_slug(c)}" for c in frame["cause"]]}) + _capped(len(shown), len(frame))


def _fields(names: pd.Series) -> pd.Series:
    """Names of fields; a business rule, which stands there by its id, is no field."""
    return names.where(~names.fillna("").str.fullmatch(r"[a-z_]+\.[a-z_]+"), "")


def _called(causes: pd.DataFrame) -> dict[str, str]:
    """What the errors behind a cause are called."""
    from synckit.reports.job_report import cause_labels

    return dict(zip(map(str, causes["cause"]), cause_labels(causes), strict=True))


def _groups(frame: pd.DataFrame, by: list[str], prefix: str, titles: dict[str, str]) -> str:
    """A long list, folded by group; each group can be led to, shows its first rows and counts the rest."""
    parts: list[str] = []
    left = IN_ALL
    hidden = {*by, "id", "job_id", "code", "root_code", "root_mapping", "root_field", "root_value"}
    if frame["run_id"].nunique() < 2 or "run_id" in by:
        hidden.add("run_id")
    if "step" in frame and (frame["step"] == 1).all():
        hidden.add("step")
    kept = [c for c in frame.columns if c not in hidden and frame[c].notna().any() and (frame[c].dropna() != "").any()]
    several = frame["run_id"].nunique() > 1
    group, first = alike(frame, by)
    shown = frame[group < ROWS] if len(first) > ROWS else frame
    for key, rows in shown.groupby(by, sort=False, dropna=False):
        name = [str(k) for k in (key if isinstance(key, tuple) else (key,))]
        some = rows.head(max(min(ROWS, left), 3))
        left -= len(some)
        if prefix == "writes":
            run, mapping, direction, op, state = name
            title = f"{f'Run {run}, ' if several else ''}{mapping} {direction.replace('_', ' ')}, {op}{'' if state == 'done' else f' ({state})'}"
            title = f"{title}: {count_of(len(rows), 'row', 'rows')}"
        else:
            title = f"{titles.get(name[0], name[0])}: {count_of(len(rows), 'error', 'errors')}"
        table = some[kept].assign(field=_fields(some["field"])) if "field" in kept else some[kept]
        parts.append(
            f'<details id="{prefix}-{_slug(name)}"><summary>{escaped(title)}</summary>{_table(table)}{_capped(len(some), len(rows))}</details>'
        )
    return "".join([*parts, _capped(len(parts), len(first))])


def _table(frame: pd.DataFrame, links: dict[str, list[str]] | None = None, notes: dict[str, list[str]] | None = None) -> str:
    numeric = {c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c]) and not pd.api.types.is_bool_dtype(frame[c])}
    kinds = {
        c: " class=n" if c in numeric else " class=k" if str(c).endswith("key") else " class=w" if c in WHOLE else ""
        for c in frame.columns
    }
    heads = {c: html.escape(LABELS.get(str(c), str(c).replace("_", " "))) for c in frame.columns}
    head = "".join(f"<th{kinds[c] if c in numeric else ''}>{heads[c]}</th>" for c in frame.columns)
    rows = []
    for n, line in enumerate(frame.itertuples(index=False, name=None)):
        cells = []
        for c, value in zip(frame.columns, line, strict=True):
            text = html.escape(cell_text(value).replace("_", " ") if c == "direction" else cell_text(value))
            link = (links or {}).get(str(c), [])[n : n + 1]
            note = (notes or {}).get(str(c), [])[n : n + 1]
            text = f'<a href="#{link[0]}">{text}</a>' if link and link[0] and text else text
            text += f' <span class="bad">{html.escape(note[0])}</span>' if note and note[0] else ""
            cells.append(f'<td dir="auto"{kinds[c]}>{text}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _capped(shown: int, whole: int) -> str:
    return (
        f'<p class="soft">{number(shown)} of {number(whole)} shown; all of them are in the workbook.</p>' if shown < whole else ""
    )


def _group(row: dict[Any, Any], by: Iterable[str]) -> list[str]:
    return [str(row.get(c, "")) for c in by]


def _slug(parts: list[str] | str) -> str:
    """A name that can be led to: letters and digits, and a number that tells equal ones apart."""
    text = parts if isinstance(parts, str) else "-".join(parts)
    return re.sub(r"[^A-Za-z0-9]+", "-", text)[:60].strip("-") + format(
        sum(ord(c) * (i + 1) for i, c in enumerate(text)) % 65536, "x"
    )


__all__ = ["job_fragment", "job_html"]
