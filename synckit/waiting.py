"""How far something has come that takes more than a second: a line and a bar that appear late and are gone when it is done.

Whoever works says `with waiting("Planning", 8) as told:`; who hears it (a terminal, a notebook's cell, a screen) is set by `heard_by`.
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

LATE = 1.0  # seconds before anything is shown
BETWEEN = 0.2  # seconds between two updates
EVERY = 500  # rows between two tellings

T = TypeVar("T")
#: What is done now, and how many steps or rows are behind.
Say = Callable[[str, int], None]
#: Given what is done and how many steps or rows it has (None: nobody knows), something to tell as long as it lasts.
Audience = Callable[[str, "int | None"], AbstractContextManager[Say]]


class Wait:
    """What the one who works calls: once per step, or with how many rows are behind."""

    def __init__(self, what: str, count: int | None, say: Say) -> None:
        self.what, self.count, self.done = what, count, 0
        self.say = say

    def __call__(self, name: str, rows: int) -> None:
        """One more step is done: that of `name`, with its rows."""
        self.done += 1
        steps = f"{self.done} of {self.count} · " if self.count else ""
        self.say(f"{self.what}: {steps}{name}" + (f", {rows:,} rows" if rows else ""), self.done)

    def rows(self, those: Iterable[T]) -> Iterator[T]:
        """`those`, one after the other, each of them a step."""
        for one in those:
            yield one
            self.done += 1
            if self.done % EVERY == 0:
                of = f" of {self.count:,}" if self.count else ""
                self.say(f"{self.what}: {self.done:,}{of} rows", self.done)


_heard_by: ContextVar[Audience | None] = ContextVar("heard_by", default=None)


@contextmanager
def heard_by(audience: Audience) -> Iterator[None]:
    """What waits inside tells `audience` of it."""
    before = _heard_by.set(audience)
    try:
        yield
    finally:
        _heard_by.reset(before)


@contextmanager
def waiting(what: str, count: int | None = None) -> Iterator[Wait]:
    """Tells of what takes its time; nobody, where no audience was named, but the cell in the main thread of a Jupyter kernel. What waits
    inside something that waits already speaks in its place."""
    audience = _heard_by.get()
    if audience is None:
        shown = in_notebook() and threading.current_thread() is threading.main_thread()
        audience = _in_a_cell if shown else unheard
    with audience(what, count) as say:
        outer = Wait(what, count, say)

        @contextmanager
        def inside(_what: str, _count: int | None) -> Iterator[Say]:
            yield lambda text, done: say(text, outer.done)

        with heard_by(inside):
            yield outer


@contextmanager
def unheard(what: str, count: int | None) -> Iterator[Say]:
    """Nobody listens."""
    yield lambda text, done: None


@contextmanager
def _in_a_cell(what: str, count: int | None) -> Iterator[Say]:
    line = _Line(f"{what} ...", count)
    try:
        yield line.say
    finally:
        line.vanish()


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Line:
    """The line below a cell."""

    def __init__(self, text: str, count: int | None) -> None:
        self.text, self.count, self.done, self.at, self.over = text, count, 0, 0.0, False
        self.shown: Any = None
        self._lock = threading.Lock()
        self._late = threading.Timer(LATE, self._show)
        self._late.daemon = True
        self._late.start()

    def _drawn(self) -> dict[str, str]:
        bar = f'<progress value="{min(self.done, self.count)}" max="{self.count}"></progress> ' if self.count else ""
        return {"text/plain": self.text, "text/html": f"<div>{bar}{html.escape(self.text)}</div>"}

    def _show(self) -> None:
        from IPython import display

        with self._lock:
            if not self.over:
                self.shown = display.display(self._drawn(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def say(self, text: str, done: int) -> None:
        with self._lock:
            self.text, self.done = text, done
            if self.shown is not None and time.monotonic() - self.at > BETWEEN:
                self.at = time.monotonic()
                self.shown.update(self._drawn(), raw=True)

    def vanish(self) -> None:
        self._late.cancel()
        with self._lock:
            self.over = True
            if self.shown is not None:
                self.shown.update({"text/plain": "", "text/html": ""}, raw=True)


__all__ = ["Audience", "Say", "Wait", "heard_by", "in_notebook", "unheard", "waiting"]
