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
from synckit.reports.plan_text import cell_text
from synckit.reports.wording import number

if TYPE_CHECKING:
    from synckit.reports.job_report import Report

#: So many rows of a list are on the page; the rest is counted, and whole in the workbook and the frames.
ROWS = 200
#: Rows of the longest lists, all their groups together: the page stays below two megabytes.
IN_ALL = 1_500

#: Columns of short words that are never broken.
WHOLE = ("mapping", "direction", "type", "status", "started", "finished", "at", "kind", "counter", "op", "state", "trend", "side")

PAGE = """<style>
:root {color-scheme: light dark; --fg: #1c1c1c; --bg: #ffffff; --soft: #5f6368; --line: #d5d7da; --link: #0b57d0; --bad: #b3261e}
@media (prefers-color-scheme: dark) {:root {--fg: #e6e6e6; --bg: #16181b; --soft: #a5a9ae; --line: #3a3d41; --link: #8ab4f8; --bad: #f2b8b5}}
body {font: 14px/1.45 system-ui, sans-serif; color: var(--fg); background: var(--bg); margin: 2em auto; max-width: 78em; padding: 0 1.2em}
h1 {font-size: 1.5em; margin: 0 0 .2em} h2 {font-size: 1.15em; margin: 1.8em 0 .3em}
a {color: var(--link); text-decoration: none} a:hover {text-decoration: underline} .soft {color: var(--soft)} .bad {color: var(--bad)}
table {border-collapse: collapse; font-size: .92em; margin: .4em 0} th, td {text-align: left; padding: .22em .9em .22em 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; max-width: 34em} th {color: var(--soft); white-space: nowrap}
td.n, th.n {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap} td.w {white-space: nowrap}
td.k {font-family: ui-monospace, monospace; font-size: .9em}
.wide {overflow-x: auto} nav a {margin-right: 1.1em} summary {cursor: pointer} svg {max-width: 100%; height: auto}
@media print {:root {--fg: #000; --bg: #fff; --soft: #444; --line: #bbb; --link: #000} body {margin: 0; max-width: none; font-size: 10pt}
  nav {display: none} .wide {overflow: visible} tr, svg {break-inside: avoid} h2 {break-after: avoid} thead {display: table-header-group}}
@page {margin: 14mm}
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
    parts = ["<!doctype html>", '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
             f"<title>{escaped(report.title)}</title>{PAGE}</head><body>", f"<h1>{escaped(report.title)}</h1><p>{escaped(report.sentence())}</p>",
             f'<p class="soft">{facts}</p><nav>{nav}</nav>', f'<div role="img" aria-label="Outcomes run by run, and errors by cause">{svg(report.figure())}</div>']  # fmt: skip
    parts += [f'<section id="{n}"><h2>{html.escape(t)}</h2>{body}</section>' for n, t, body in bodies if body]
    return "".join([*parts, "</body></html>\n"])


def job_fragment(report: Report) -> str:
    """The report as a notebook shows it: the sentence and its main tables, in the notebook's theme."""
    from synckit.reports.job_report import SECTIONS, TEXT_SECTIONS, short

    tables = "".join(table_html(short(n, report.frames[n]), t) for n, t in SECTIONS if n in TEXT_SECTIONS and len(report.frames[n]))
    return f'{STYLE}<div class="synckit"><p><b>{escaped(report.title)}</b>: {escaped(report.sentence())}</p>{tables}</div>'


def _section(report: Report, name: str) -> str:
    frame = report.frames[name]
    if not len(frame):
        return ""
    if name == "jobs":
        return _jobs(report)
    if name == "causes":
        return _causes(report)
    if name == "errors":
        return _groups(frame, ["cause"], "errors")
    if name == "writes":
        return _groups(frame, ["run_id", "mapping", "direction", "op", "state"], "writes")
    if name == "written":
        shown = frame.head(ROWS)
        links = {"rows": [f"writes-{_slug(_group(r, WRITTEN_BY))}" for r in shown.to_dict("records")]}
        return _table(shown, links) + _capped(len(shown), len(frame))
    return _table(frame.head(ROWS)) + _capped(min(ROWS, len(frame)), len(frame))


WRITTEN_BY = ("run_id", "mapping", "direction", "op", "state")


def _jobs(report: Report) -> str:
    """Each counter leads to its rows: what was written, the errors of the run, the skipped records."""
    frame = report.frames["jobs"].head(ROWS)
    used = [
        c
        for c in COUNTERS
        if report.frames["jobs"][c].any() or (f"planned_{c}" in frame and report.frames["jobs"][f"planned_{c}"].any())
    ]
    shown = frame[
        [c for c in ("run_id", "mapping", "direction", "type", "status", "started", "duration", "rows_per_second") if c in frame]
    ].copy()
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
    shown = frame[["title", "mapping", "field", "value", "what", "victims", "trend", "by_mapping", "remedy"]]
    return _table(shown.head(ROWS), {"victims": [f"errors-{_slug(c)}" for c in frame["cause"]]}) + _capped(
        min(ROWS, len(frame)), len(frame)
    )


def _groups(frame: pd.DataFrame, by: list[str], prefix: str) -> str:
    """A long list, folded by group; each group can be led to, shows its first rows and counts the rest."""
    parts: list[str] = []
    left = IN_ALL
    hidden = {*by, "id", "job_id", "root_code", "root_mapping", "root_field", "root_value"}
    kept = [c for c in frame.columns if c not in hidden and frame[c].notna().any() and (frame[c].dropna() != "").any()]
    group, first = alike(frame, by)
    shown = frame[group < ROWS] if len(first) > ROWS else frame
    for key, rows in shown.groupby(by, sort=False, dropna=False):
        name = [str(k) for k in (key if isinstance(key, tuple) else (key,))]
        some = rows.head(max(min(ROWS, left), 3))
        left -= len(some)
        title = f"{', '.join(name)}: {number(len(rows))}"
        parts.append(
            f'<details id="{prefix}-{_slug(name)}"><summary>{escaped(title)}</summary>{_table(some[kept])}{_capped(len(some), len(rows))}</details>'
        )
    return "".join([*parts, _capped(len(parts), len(first))])


def _table(frame: pd.DataFrame, links: dict[str, list[str]] | None = None, notes: dict[str, list[str]] | None = None) -> str:
    numeric = {c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c]) and not pd.api.types.is_bool_dtype(frame[c])}
    kinds = {
        c: " class=n" if c in numeric else " class=k" if str(c).endswith("key") else " class=w" if c in WHOLE else ""
        for c in frame.columns
    }
    head = "".join(f"<th{kinds[c] if c in numeric else ''}>{html.escape(str(c).replace('_', ' '))}</th>" for c in frame.columns)
    rows = []
    for n, line in enumerate(frame.itertuples(index=False, name=None)):
        cells = []
        for c, value in zip(frame.columns, line, strict=True):
            text = html.escape(cell_text(value))
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
