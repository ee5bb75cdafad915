"""What takes more than a second says so in a notebook, in one line that is gone when it is done; elsewhere nothing is shown."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import IPython
import pytest

from synckit import waiting


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the one line said, in turn, in a pretended kernel."""
    said: list[str] = []

    def heard(data: dict[str, str]) -> None:
        bar = re.search(r'value="(\d+)" max="(\d+)"', data["text/html"])
        said.append(data["text/plain"] + (f" [{bar[1]}/{bar[2]}]" if bar else ""))

    def display(data: dict[str, str], **_: Any) -> SimpleNamespace:
        heard(data)
        return SimpleNamespace(update=lambda data, raw: heard(data))

    monkeypatch.setattr(waiting, "LATE", 0.05)
    monkeypatch.setattr(waiting, "BETWEEN", 0.0)
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", display)
    return said


def test_the_line_appears_late_moves_and_vanishes(shown: list[str]) -> None:
    with waiting.waiting("Planning", 8) as advance:
        time.sleep(0.3)
        advance("CUSTOMER", 1200)
    assert shown == ["Planning ... [0/8]", "Planning: 1 of 8 · CUSTOMER, 1,200 rows [1/8]", ""]


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


def test_rows_are_counted_and_nobody_knows_how_many_there_are(shown: list[str]) -> None:
    with waiting.waiting("Writing the workbook", 1200) as told:
        time.sleep(0.3)
        assert list(told.rows(range(1200))) == list(range(1200))
    with waiting.waiting("Looking <b>") as told:
        time.sleep(0.3)
    assert shown == [
        "Writing the workbook ... [0/1200]", "Writing the workbook: 500 of 1,200 rows [500/1200]",
        "Writing the workbook: 1,000 of 1,200 rows [1000/1200]", "", "Looking <b> ...", "",
    ]  # fmt: skip


def test_what_waits_inside_speaks_in_the_place_of_what_waits_outside(shown: list[str]) -> None:
    with waiting.waiting("Checking", 4) as outer:
        time.sleep(0.3)
        outer("VENDOR", 0)
        with waiting.waiting("Looking through the data", 2) as inner:
            inner("CUSTOMER", 12)
        outer("CONTACT", 0)
    assert shown == ["Checking ... [0/4]", "Checking: 1 of 4 · VENDOR [1/4]",
                     "Looking through the data: 1 of 2 · CUSTOMER, 12 rows [1/4]", "Checking: 2 of 4 · CONTACT [2/4]", ""]  # fmt: skip


def test_who_asked_to_hear_is_told_and_the_cell_is_not(shown: list[str]) -> None:
    heard: list[tuple[str, int]] = []

    @contextmanager
    def screen(what: str, count: int | None) -> Iterator[waiting.Say]:
        yield lambda text, done: heard.append((text, done))

    with waiting.heard_by(screen), waiting.waiting("Planning", 2) as told:
        time.sleep(0.1)
        told("CUSTOMER", 7)
    assert heard == [("Planning: 1 of 2 · CUSTOMER, 7 rows", 1)] and shown == []
