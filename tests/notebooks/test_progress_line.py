"""What takes more than a second says so in a notebook, in one line that is gone when it is done; elsewhere nothing is shown."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import IPython
import pytest

from synckit import waiting


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the one line said, in turn, in a pretended kernel."""
    said: list[str] = []

    def display(data: dict[str, str], **_: Any) -> SimpleNamespace:
        said.append(data["text/plain"])
        return SimpleNamespace(update=lambda data, raw: said.append(data["text/plain"]))

    monkeypatch.setattr(waiting, "LATE", 0.05)
    monkeypatch.setattr(waiting, "BETWEEN", 0.0)
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", display)
    return said


def test_the_line_appears_late_moves_and_vanishes(shown: list[str]) -> None:
    with waiting.waiting("Planning", 8) as advance:
        time.sleep(0.3)
        advance("CUSTOMER", 1200)
    assert shown == ["Planning ...", "Planning: 1 of 8 · CUSTOMER, 1,200 rows", ""]


def test_what_is_quick_shows_nothing(shown: list[str]) -> None:
    with waiting.waiting("Planning", 1) as advance:
        advance("CUSTOMER", 1)
    time.sleep(0.15)
    assert shown == []


def test_outside_a_kernel_nothing_is_shown(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython")
    with waiting.waiting("Planning") as advance:
        time.sleep(0.15)
        advance("CUSTOMER", 1)
    assert shown == [] and not waiting.in_notebook()
