"""The one view of all screens: it carries a presenter's state to the browser and the browser's messages to the presenter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from synckit.waiting import BETWEEN, Say, heard_by
from synckit.widgets.screen import Screen

STATIC = Path(__file__).parent / "static"
ROWS = 44  # rows sent at once: some more than a screen shows


class View(anywidget.AnyWidget):
    """Draws `screen`. Behaviour belongs to the presenter; what is here forwards."""

    _esm = STATIC / "screen.js"
    _css = STATIC / "screen.css"
    state = traitlets.Dict().tag(sync=True)
    win = traitlets.Dict().tag(sync=True)
    work = traitlets.Dict().tag(sync=True)  # what an action that takes its time is at, and which share of it is behind
    turn = traitlets.Int(0).tag(sync=True)  # counts answered messages: until it moves, the page says that somebody works

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._start = 0
        super().__init__(state=screen.state(), win=screen.window(0, ROWS))
        self.on_msg(self._receive)
        screen.on_change(self.publish)

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("do") == "window":
            self._start = max(int(content.get("start", 0)), 0)
            self.win = {**self.screen.window(self._start, ROWS), "asked": content.get("asked", 0)}
        elif content.get("do") == "seen":  # the page is looked at again: other notebooks may have decided in the same plan file
            self.screen.seen()
        else:
            with heard_by(self._hear):
                self.screen.receive(content)
            if self.screen.file is not None:
                (name, made), self.screen.file = self.screen.file, None
                self.send({"file": name}, buffers=[made])
            with self.hold_sync():
                self.work = {}
                self.turn += 1

    @contextmanager
    def _hear(self, what: str, count: int | None) -> Iterator[Say]:
        """The page shows how far an action has come; half a second must pass before it does."""
        self.work = {"text": f"{what} \u2026", "share": 0 if count else None}
        told = time.monotonic()

        def say(text: str, done: int) -> None:
            nonlocal told
            if time.monotonic() - told > BETWEEN:
                told = time.monotonic()
                self.work = {"text": text, "share": min(done / count, 1) if count else None}

        yield say

    def publish(self) -> None:
        """Send what the presenter shows now; rows stay where the reader has scrolled to."""
        with self.hold_sync():
            self.state = self.screen.state()
            if self.state.get("kind") == "grid":
                self._start = min(self._start, max(self.state["total"] - 1, 0))
                self.win = self.screen.window(self._start, ROWS)


__all__ = ["View"]
