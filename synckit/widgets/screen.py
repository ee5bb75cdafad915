"""What all screens have in common: messages in, a state to draw out, a fallback for pages where nothing runs. No notebook is needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from synckit.errors import SynckitError
from synckit.reports.frame_html import STYLE

Message = dict[str, Any]
State = dict[str, Any]


class Screen(ABC):
    """A presenter. `receive` takes a message like {"do": "search", "text": "gent"} and calls `do_search(text="gent")`; `state` and
    `window` are what a view draws; `changed` is told whenever it should draw again."""

    def __init__(self) -> None:
        self.error = ""
        self.said = ""  # one sentence on what the last action did
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


def buttons(*those: State, label: str = "") -> State:
    return {"kind": "buttons", "label": label, "buttons": [b for b in those if b]}


def table(columns: list[str], rows: Sequence[list[Any] | State], caption: str = "", tall: bool = False) -> State:
    """`rows`: lists of cells, or {"cells": ..., "on": True} for the row that is chosen; cells are texts, lists of (text, is alike)
    segments, or {"text", "tone", "bar", "key", "buttons"}. `tall`: shown whole, however many rows there are."""
    return {"kind": "table", "columns": columns, "rows": list(rows), "caption": caption, "tall": tall}


__all__ = ["Message", "Screen", "State", "button", "buttons", "table", "text"]
