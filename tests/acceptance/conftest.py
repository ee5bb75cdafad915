"""Worlds for the scenarios, and what each scenario's test came to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from world import make_world

__all__ = ["make_world"]


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
            report.user_properties += [("scenario", f"{number}|{result}") for number in mark.args]  # travels between processes
