"""Frames as readable tables in a notebook: themed, escaped, capped and told so, keys shortened only where they are GUIDs."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import pandas as pd

from synckit.reports.plan_text import cell_text, frame_view, plain
from synckit.reports.wording import ACTION_OF, count_of, number

#: Only variables of JupyterLab's theme, with fallbacks for exported pages that inherit the reader's own colours. The class is named twice so
#: that its cells win over JupyterLab's own rules for tables, which set everything to the right.
STYLE = """<style>
.synckit {font-family: var(--jp-ui-font-family, sans-serif); color: var(--jp-ui-font-color1, inherit); max-width: 100%; overflow-x: auto}
.synckit table {border-collapse: collapse; margin: .4em 0; font-size: var(--jp-ui-font-size1, .9em)}
.synckit.synckit th, .synckit.synckit td {text-align: left; padding: .2em .7em .2em 0; border: 0; vertical-align: top; background: none; max-width: 32em;
  overflow-wrap: anywhere}
.synckit.synckit th {color: var(--jp-ui-font-color2, inherit); font-weight: 600; border-bottom: 1px solid var(--jp-border-color1, currentColor);
  white-space: nowrap}
.synckit.synckit td.n, .synckit.synckit th.n {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap}
.synckit.synckit td.k {font-family: var(--jp-code-font-family, monospace); font-size: .9em; white-space: nowrap}
.synckit.synckit tbody tr:hover td {background: var(--jp-layout-color2, transparent)}
.synckit caption {text-align: left; caption-side: top; font-weight: 600; padding: .3em 0}
.synckit .quiet {color: var(--jp-ui-font-color2, inherit); opacity: .85}
.synckit .bar {display: flex; height: .7em; width: 14em; margin-top: .25em; background: var(--jp-layout-color3, transparent)}
</style>"""


def escaped(value: object) -> str:
    """`value` as HTML text: no markup, no control or direction-changing character of it takes effect; lines stay one line."""
    return html.escape(cell_text(value))


class Shown:
    """A frame as it is shown: a themed table in a notebook, plain text elsewhere. The frame itself is in `frame`."""

    def __init__(self, frame: pd.DataFrame, caption: str, rows: int) -> None:
        self.frame, self.caption, self.rows = frame, caption, rows

    def _repr_html_(self) -> str:
        return f'{STYLE}<div class="synckit">{table_html(self.frame, self.caption, self.rows)}</div>'

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.caption, plain(frame_view(self.frame, self.rows), 120)]))


def show(
    frame: pd.DataFrame, caption: str = "", *, rows: int = 20, columns: Sequence[str] | None = None, by: str | None = None
) -> Shown:
    """`frame` for a notebook's reader: at most `rows` lines (the rest is counted), `columns` in that order where named, and the
    highest values of the column `by` first."""
    frame = frame if by is None else frame.sort_values(by, ascending=False, kind="stable")
    return Shown(frame if columns is None else frame[list(columns)], caption, rows)


def table_html(frame: pd.DataFrame, caption: str = "", rows: int = 20) -> str:
    """One table; every value escaped, numbers with thousands separators, "20 of 312 shown" where it is capped."""
    shown = frame.head(rows)
    numeric = {c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c]) and not pd.api.types.is_bool_dtype(frame[c])}
    kinds = ["n" if c in numeric else "k" if str(c).endswith("key") or c == "id" else "" for c in frame.columns]
    head = "".join(_tag("th", escaped(str(c).replace("_", " ")), k) for c, k in zip(frame.columns, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell(v, k, str(c)) for v, k, c in zip(line, kinds, frame.columns, strict=True))}</tr>"
        for line in shown.itertuples(index=False, name=None)
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    capped = f'<div class="quiet">{number(len(shown))} of {number(len(frame))} shown</div>' if len(shown) < len(frame) else ""
    if not len(frame):
        return f"<div><b>{html.escape(caption)}</b></div><div class='quiet'>Nothing to show.</div>"
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{capped}"


def _cell(value: object, kind: str, column: str) -> str:
    text = cell_text(value)
    action = ACTION_OF.get(text) if column == "disposition" else None
    content = html.escape(text.replace("_", " ") if column == "warnings" else text)
    if action is not None:
        content = f'<span style="color: {action.variable}">{html.escape(action.sign)} {content}</span>'
    return _tag("td", content, kind)


def _tag(name: str, content: str, kind: str) -> str:
    # dir=auto: a right-to-left name turns its own cell, not the table
    return f'<{name} dir="auto"{f" class={kind}" if kind else ""}>{content}</{name}>'


def bar(parts: Iterable[tuple[int, str, str]], whole: int) -> str:
    """A bar of coloured parts (number, colour, what it is), each as wide as its share of `whole`."""
    pieces = "".join(
        f'<span title="{html.escape(f"{number(n)} {what}")}" style="width: {100 * n / whole:.2f}%; background: {colour}"></span>'
        for n, colour, what in parts
        if n and whole
    )
    return f'<div class="bar" role="img" aria-label="{html.escape(count_of(whole, "record", "records"))}">{pieces}</div>'
