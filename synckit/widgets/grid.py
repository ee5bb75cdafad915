"""A screen of many lines: what PlanGrid, DiffView and ErrorsView share. It filters, sorts, moves a cursor, and opens a line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from synckit.errors import SynckitError
from synckit.reports.frame_html import escaped
from synckit.reports.plan_text import cell_text
from synckit.reports.wording import count_of, number, safe
from synckit.widgets.lines import Lines
from synckit.widgets.saving import Saving
from synckit.widgets.screen import State, button

FALLBACK = 100  # rows of the page that shows where nothing runs
VALUES = 12  # values of a facet that are shown as buttons; those chosen are always among them


class Grid(Saving):
    """`lines` are the rows; subclasses say how one looks (`row`), what a cell reads in the fallback, and what an open line shows."""

    #: (column, title, share of the width, kind); kind "n" is a number, "k" a key, "s" segments, "a" an action with its colour.
    columns: tuple[tuple[str, str, float, str], ...] = ()
    titles: dict[str, str] = {}  # of the facets
    keys = "j k or arrows move · enter opens a line · / search"

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.lines = lines
        self.cursor = int(lines.shown[0]) if len(lines.shown) else -1  # number of a line, not its place on the screen
        self.open = False

    def show(self, search: str = "", sort: str = "", descending: bool = False, **facets: str | Sequence[str]) -> Self:
        """What clicks do, for code: show the lines in which the words of `search` stand and that have one of the named values in each
        facet, such as `show(mapping="CUSTOMER", disposition=["create", "update"])`; whatever is not named is shown in full."""
        self.lines.clear()
        self.lines.search(search)
        for facet, values in facets.items():
            wanted = [values] if isinstance(values, str) else list(values)
            if facet not in self.lines.facets:
                raise SynckitError(f'There is no facet "{facet}"; there are: {", ".join(self.lines.facets)}.')
            known = self.lines.values(facet)
            for value in wanted:
                if value not in known:
                    raise SynckitError(f'No row has "{value}" as its {facet}; there are: {", ".join(sorted(known))}.')
            self.lines.choose(facet, wanted)
        self.lines.sorted_by = None
        if sort:
            if sort not in self.lines.columns:
                raise SynckitError(f'There is no column "{sort}".')
            self.lines.sort(sort, descending)
        self._keep_cursor()
        self.changed()
        return self

    def shown_code(self) -> str:
        """The call of `show` that filters, searches and sorts as the screen does now; "" where everything is shown as it stands."""
        given = [f"search={self.lines.text!r}"] if self.lines.text.strip() else []
        given += [f"{name}={sorted(chosen)!r}" for name, chosen in self.lines.chosen.items() if chosen]
        if self.lines.sorted_by is not None:
            column, descending = self.lines.sorted_by
            given += [f"sort={column!r}", *(["descending=True"] if descending else [])]
        return f".show({', '.join(given)})" if given else ""

    def selected_count(self) -> int:
        return len(self.lines.shown)

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_search(self, text: str) -> None:
        """Show the lines in which every word stands."""
        self.lines.search(str(text))
        self._keep_cursor()

    def do_choose(self, facet: str, value: str) -> None:
        """Add a value of a facet to what is shown, or take it away again."""
        if facet not in self.lines.chosen:
            raise SynckitError(f'There is no facet "{facet}".')
        self.lines.choose(facet, self.lines.chosen[facet] ^ {value})
        self._keep_cursor()

    def do_clear(self) -> None:
        """Show everything again."""
        self.lines.clear()
        self._keep_cursor()

    def do_sort(self, column: str) -> None:
        """Order by a column; a second time the other way round, a third time as it was."""
        if column not in self.lines.columns:
            raise SynckitError(f'There is no column "{column}".')
        now = self.lines.sorted_by
        if now is not None and now[0] == column:
            self.lines.sorted_by = None if now[1] else (column, True)
            self.lines._shown = None
        else:
            self.lines.sort(column)

    def do_move(self, by: int) -> None:
        """Move the cursor by so many lines."""
        shown = self.lines.shown
        if len(shown):
            place = self.lines.place_of(self.cursor) + int(by)
            self.cursor = int(shown[min(max(place, 0), len(shown) - 1)])

    def do_go(self, line: int) -> None:
        """Put the cursor on a line."""
        self.cursor = self._line(line)

    def do_open(self, line: int | None = None) -> None:
        """Open the line under the cursor (or this one), or close it."""
        if line is not None and self._line(line) != self.cursor:
            self.cursor, self.open = int(line), True
        else:
            self.open = not self.open and self.cursor >= 0

    def do_close(self) -> None:
        self.open = False

    def _line(self, line: int) -> int:
        if not 0 <= int(line) < self.lines.n:
            raise SynckitError(f"There is no line {line}.")
        return int(line)

    def _keep_cursor(self) -> None:
        shown = self.lines.shown
        if not len(shown):
            self.cursor, self.open = -1, False
        elif self.cursor < 0 or self.lines.place_of(self.cursor) < 0:
            self.cursor = int(shown[0])

    # -- what a view draws -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def row(self, line: int, values: dict[str, Any]) -> State:
        """A line as it is drawn: {"cells": [...], "tick": true | false | null, "dim": bool}; with "sides": True its
        two segment cells are values of two sides, not old and new."""

    def detail(self, line: int) -> list[State]:
        """The blocks of an open line."""
        return []

    def head(self) -> list[State]:
        """The blocks above the lines."""
        return []

    def actions(self) -> list[State]:
        """The buttons above the lines."""
        return []

    def counted(self) -> str:
        """The status at the right: how many of how many lines are shown."""
        return f"{number(len(self.lines.shown))} of {count_of(self.lines.n, 'row', 'rows')}"

    def prepare(self, numbers: np.ndarray) -> None:
        """Called before the rows of a window are drawn, for what is looked up for several at once."""

    def window(self, start: int, n: int) -> dict[str, Any]:
        numbers, values = self.lines.window(start, n)
        self.prepare(numbers)
        rows = [{"line": int(i), **self.row(int(i), v)} for i, v in zip(numbers, values, strict=True)]
        return {"start": max(start, 0), "rows": rows}

    def state(self) -> State:
        shown = self.lines.shown
        filtered = bool(self.lines.text.strip()) or any(self.lines.chosen.values())
        actions = [*self.actions(), button({"do": "clear"}, "Show all", off=not filtered, hint="without search and filters")]
        return {
            "kind": "grid", "error": self.error, "said": self.said, "head": self.head(), "actions": actions, "keys": self.keys,
            "columns": [{"id": c, "title": t, "share": w, "kind": k} for c, t, w, k in self.columns],
            "facets": [self._facet(name) for name in self.lines.facets], "text": self.lines.text,
            "sort": None if self.lines.sorted_by is None else list(self.lines.sorted_by), "total": len(shown), "all": self.lines.n,
            "counted": self.counted(), "line": self.cursor, "place": self.lines.place_of(self.cursor) if self.cursor >= 0 else -1,
            "detail": self.detail(self.cursor) if self.open and self.cursor >= 0 else [],
        }  # fmt: skip

    def _facet(self, name: str) -> State:
        counts = self.lines.counts(name)
        chosen = self.lines.chosen[name]
        few = [v for i, v in enumerate(counts) if i < VALUES or v in chosen]
        values = [
            {"value": v, "label": safe(self.label(name, v)), "n": number(counts[v]), "on": v in chosen, "tone": self.tone(name, v)}
            for v in few
        ]
        return {"id": name, "title": self.titles.get(name, name), "values": values, "more": len(counts) - len(few)}

    def label(self, facet: str, value: str) -> str:
        return value

    def tone(self, facet: str, value: str) -> str:
        return ""

    # -- where nothing runs ----------------------------------------------------------------------------------------------------------

    def html(self) -> str:
        rows = self.window(0, FALLBACK)["rows"]
        heads = "".join(f"<th>{escaped(title)}</th>" for _, title, _, _ in self.columns)
        ticked = any(r.get("tick") is not None for r in rows)
        body = ""
        for row in rows:
            cells = "".join(f'<td dir="auto">{escaped(_plain(cell))}</td>' for cell in row["cells"])
            body += f"<tr>{_tick(row.get('tick')) if ticked else ''}{cells}</tr>"
        told = "".join(f"<p><b>{escaped(b['text'])}</b></p>" for b in self.head() if b["kind"] == "text")
        total = len(self.lines.shown)
        note = (
            f"{number(len(rows))} of {number(total)} rows shown; run the notebook to filter, sort and decide."
            if total
            else "Nothing to show."
        )
        table = (
            f"<table><thead><tr>{'<th></th>' if ticked else ''}{heads}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        )
        return f'{told}{table}<div class="quiet">{note}</div>'


def _tick(state: bool | None) -> str:
    return f"<td>{'' if state is None else '&#10003;' if state else '&ndash;'}</td>"


def _plain(cell: Any) -> str:
    if isinstance(cell, dict):
        cell = cell.get("text", "")
    if isinstance(cell, list):
        return "".join(piece for piece, _ in cell)
    return cell_text(cell)


__all__ = ["FALLBACK", "Grid"]
