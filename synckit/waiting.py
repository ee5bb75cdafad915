"""Progress in a notebook: one line that appears when something takes more than a second, and vanishes when it is done; silent elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LATE = 1.0  # seconds before anything is shown
BETWEEN = 0.2  # seconds between two updates


@contextmanager
def waiting(what: str, count: int | None = None) -> Iterator[Callable[[str, int], None]]:
    """Gives `advance(name, rows)`, called once for each of `count` steps. Only a Jupyter kernel's main thread shows anything."""
    if not in_notebook() or threading.current_thread() is not threading.main_thread():
        yield lambda name, rows: None
        return
    line = _Line(f"{what} ...")
    done = 0

    def advance(name: str, rows: int) -> None:
        nonlocal done
        done += 1
        steps = f"{done} of {count} · " if count else ""
        line.say(f"{what}: {steps}{name}" + (f", {rows:,} rows" if rows else ""))

    try:
        yield advance
    finally:
        line.vanish()


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Line:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.over = text, 0.0, False
        self.shown: Any = None
        self._lock = threading.Lock()
        self._late = threading.Timer(LATE, self._show)
        self._late.daemon = True
        self._late.start()

    def _show(self) -> None:
        from IPython import display

        with self._lock:
            if not self.over:
                self.shown = display.display({"text/plain": self.text}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def say(self, text: str) -> None:
        with self._lock:
            self.text = text
            if self.shown is not None and time.monotonic() - self.at > BETWEEN:
                self.at = time.monotonic()
                self.shown.update({"text/plain": text}, raw=True)

    def vanish(self) -> None:
        self._late.cancel()
        with self._lock:
            self.over = True
            if self.shown is not None:
                self.shown.update({"text/plain": ""}, raw=True)


__all__ = ["in_notebook", "waiting"]
