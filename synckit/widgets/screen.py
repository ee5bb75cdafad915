"""What all screens have in common: messages in, a state to draw out, a fallback for pages where nothing runs. No notebook is needed."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from synckit.errors import SynckitError
from synckit.reports.frame_html import STYLE
from synckit.reports.job_report import write_workbook
from synckit.reports.wording import count_of

Message = dict[str, Any]
State = dict[str, Any]


class Screen(ABC):
    """A presenter. `receive` takes a message like {"do": "search", "text": "gent"} and calls `do_search(text="gent")`; `state` and
    `window` are what a view draws; `changed` is told whenever it should draw again."""

    def __init__(self) -> None:
        self.error = ""
        self.said = ""  # one sentence on what the last action did
        self.file: tuple[str, bytes] | None = None  # what was asked for to be saved, until a view has handed it to the browser
        self._tell: list[Callable[[], None]] = []
        self._view: Any = None

    def on_change(self, tell: Callable[[], None]) -> None:
        self._tell.append(tell)

    def changed(self) -> None:
        for tell in self._tell:
            tell()

    def receive(self, message: Message) -> None:
        """Do what a view asks for. What is refused, and why, is then in `error`; unknown messages are ignored."""
        given = dict(message)
        act = getattr(self, f"do_{given.pop('do', '')}", None)
        if act is None:
            return
        self.error = ""
        try:
            act(**given)
        except SynckitError as error:
            self.error = str(error)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            self.error = f"That did not work: {type(error).__name__}: {error}"
        self.changed()

    def seen(self) -> None:
        """Somebody looks at the screen again: what another notebook has decided in the same plan file meanwhile is shown."""
        review = getattr(self, "review", None)
        try:
            if review is not None and review.catch_up():
                self.said = "Shown as decided in another notebook meanwhile."
                self.changed()
        except SynckitError as error:
            self.error = str(error)
            self.changed()

    def sheets(self) -> tuple[str, Mapping[str, pd.DataFrame]]:
        """What "Save as Excel" saves: a name, and a frame per sheet. Screens without rows have none."""
        return "", {}

    def do_save(self) -> None:
        """Give what is shown to the reader as an Excel workbook (real types, filters, text that is never a formula)."""
        name, frames = self.sheets()
        rows = len(next(iter(frames.values()), ()))
        if not rows:
            raise SynckitError("Nothing is shown, so there is nothing to save.")
        content = io.BytesIO()
        write_workbook(
            content, "What this is", [[self.title()], [f"{count_of(rows, 'row', 'rows')}, as shown on the screen"]], frames
        )
        self.give(f"{name}.xlsx", content.getvalue())

    def title(self) -> str:
        """One sentence on what is shown."""
        return ""

    def give(self, name: str, content: bytes) -> None:
        """Hand a file to the reader: the browser saves it where it saves everything."""
        self.file = (name, content)
        self.said = f"{name} ({max(len(content) // 1024, 1):,} KiB) is among the downloads of your browser."

    @abstractmethod
    def state(self) -> State:
        """What the view draws."""

    def window(self, start: int, n: int) -> dict[str, Any]:
        """Rows for a view that windows its rows; screens without rows have none."""
        return {"start": 0, "rows": []}

    @abstractmethod
    def html(self) -> str:
        """The screen without any code running: for reopened and exported notebooks."""

    # -- in a notebook -------------------------------------------------------------------------------------------------------------

    @property
    def view(self) -> Any:
        """The one view of this presenter."""
        if self._view is None:
            from synckit.widgets.view import View

            self._view = View(self)
        return self._view

    def _repr_mimebundle_(self, **given: Any) -> Any:
        page = {"text/html": f'{STYLE}<div class="synckit">{self.html()}</div>', "text/plain": repr(self)}
        try:
            drawn = self.view._repr_mimebundle_(**given)
        except ImportError:  # no anywidget here: the page is enough to read
            return page
        data, more = drawn if isinstance(drawn, tuple) else (drawn, {})
        return {**(data or {}), **page}, more

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def text(value: str, tone: str = "") -> State:
    return {"kind": "text", "text": value, "tone": tone}


def button(do: Message, label: str, key: str = "", tone: str = "", hint: str = "", on: bool = False, off: bool = False) -> State:
    """`on`: pressed; `off`: cannot be pressed now."""
    return {"do": do, "label": label, "key": key, "tone": tone, "hint": hint, "on": on, "off": off}


def save_button(rows: int) -> State:
    """The button that saves what is shown."""
    return button({"do": "save"}, "Save as Excel", "e", hint="what is shown, as a workbook", off=not rows)


def buttons(*those: State, label: str = "") -> State:
    return {"kind": "buttons", "label": label, "buttons": [b for b in those if b]}


def table(
    columns: list[str], rows: Sequence[list[Any] | State], caption: str = "", tall: bool = False, sides: bool = False
) -> State:
    """`rows`: lists of cells, or {"cells": ..., "on": True} for the row that is chosen; cells are texts, lists of (text, is alike)
    segments, or {"text", "tone", "bar", "key", "buttons"}. `tall`: shown whole, however many rows there are. `sides`: differing
    segments are those of two sides, not of old and new."""
    return {"kind": "table", "columns": columns, "rows": list(rows), "caption": caption, "tall": tall, "sides": sides}


__all__ = ["Message", "Screen", "State", "button", "buttons", "save_button", "table", "text"]
