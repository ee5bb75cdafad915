"""Worlds for the scenarios, and at the end of a run the table of scenarios: shown by which test, with what result."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import make_world

__all__ = ["make_world"]

README = Path(__file__).with_name("README.md")
LINE = re.compile(r"\|\s*(S-\d{3})\s*\|\s*(later|not applicable|elsewhere)\s*\|\s*(.*?)\s*\|")
_shown: dict[str, dict[str, str]] = {}  # scenario -> test -> result


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(number, semantics='synckit'): the scenario of the reference that a test shows")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    for mark in item.iter_markers("scenario"):
        if report.when == "call" or report.outcome != "passed":
            result = {"passed": "pass", "failed": "FAILED", "skipped": "not run"}[report.outcome]
            if result == "pass" and mark.kwargs.get("semantics") == "reference":
                result = "pass under semantics: reference"
            for number in mark.args:
                _shown.setdefault(number, {})[item.nodeid.rpartition("::")[2]] = result


def listed() -> dict[str, tuple[str, str]]:
    """scenario -> (later | not applicable | elsewhere, reason), as the README beside this file lists them."""
    return {number: (state, reason) for number, state, reason in LINE.findall(README.read_text(encoding="utf-8"))}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _shown:
        return
    lines = {number: [(test, result) for test, result in tests.items()] for number, tests in _shown.items()}
    for number, (state, reason) in listed().items():
        lines.setdefault(number, []).append((reason, state))
    terminalreporter.section("scenarios")
    for number in sorted(lines):
        for text, result in lines[number]:
            terminalreporter.write_line(f"{number}  {result:<32} {text}")
