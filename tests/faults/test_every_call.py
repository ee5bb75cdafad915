"""Two states only: whichever call fails, and however, after resume each record and coupling is as before or as planned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import INTERRUPTS, MODES, STALLS, Stage

EVERY = (*MODES, *STALLS, *INTERRUPTS)


@pytest.fixture(scope="module", params=[(True, False), (False, False), (True, True)], ids=["in bulk", "line by line", "on servers"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A pair of SQLite files; the last one MariaDB and PostgreSQL."""
    bulk, on_servers = request.param
    made = Stage(bulk=bulk, urls=request.getfixturevalue("server_pair") if on_servers else None)
    yield made
    made.close()


def test_the_wrapper_sees_every_kind_of_call(stage: Stage) -> None:
    assert {"read", "write", "commit of a system", "commit of the ledger"} == set(stage.calls) and len(stage.calls) > 60


def told(title: str, trials: int, records: int, wrong: list[str]) -> None:
    print(f"{title}: {trials} faults, third states {len(wrong)} of {records:,} records and couplings")
    assert not wrong, "\n".join(wrong[:20])


def test_a_fault_at_every_seventh_call(stage: Stage) -> None:
    found, records = [], 0
    calls = range(1, len(stage.calls) + 1, 7)
    for n in calls:
        _, looked, wrong = stage.trial(n, EVERY[n // 7 % len(EVERY)], next_plan=n % 3 == 0)
        found, records = found + wrong, records + looked
    told("every seventh call", len(calls), records, found)


LONG = [pytest.param(on_servers, 1, marks=pytest.mark.long) for on_servers in (False, True)]


@pytest.mark.parametrize(
    ("on_servers", "step"), [(False, 8), *LONG], ids=["every eighth call", "every call", "every call, servers"]
)
@pytest.mark.parametrize("again", [False, True], ids=["undo", "undo of the undo"])
def test_a_fault_while_a_run_is_taken_back(request: pytest.FixtureRequest, again: bool, on_servers: bool, step: int) -> None:
    undo = Stage(undo=True, again=again, urls=request.getfixturevalue("fresh_pair") if on_servers else None)
    try:
        found, records = [], 0
        calls = range(2, len(undo.calls) + 1, step)
        for n in calls:
            _, looked, wrong = undo.trial(n, EVERY[n // step % len(EVERY)])
            found, records = found + wrong, records + looked
        told(f"taking back, every {step}. call", len(calls), records, found)
    finally:
        undo.close()


@pytest.mark.long
@pytest.mark.parametrize("mode", EVERY)
def test_a_fault_at_every_call(stage: Stage, mode: str) -> None:
    found, records, n = [], 0, 0
    while True:
        n += 1
        reached, looked, wrong = stage.trial(n, mode, next_plan=n % 10 == 0)
        if not reached:
            break
        found, records = found + wrong, records + looked
    assert n == len(stage.calls) + 1
    told(f"every call, {mode}", n - 1, records, found)


@pytest.mark.long
@pytest.mark.parametrize("mode", EVERY)
def test_a_fault_inside_resume_as_well(stage: Stage, mode: str) -> None:
    found, records, trials = [], 0, 0
    for n in range(3, len(stage.calls) + 1, 11):
        for m in range(1, 40, 6):
            _, looked, wrong = stage.trial(n, mode, in_resume=m)
            found, records, trials = found + wrong, records + looked, trials + 1
    told(f"inside resume, {mode}", trials, records, found)
