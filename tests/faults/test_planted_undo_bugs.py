"""Bugs planted in planning, applying and resuming an undo, one at a time: each is caught by trials that the real code passes."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from harness import Stage
from test_planted_bugs import Bug, _outcome, _token_gone, instead, moments, nothing, planted

sys.path.insert(0, str(Path(__file__).parents[1] / "applying"))
from test_undo_random import among_others, made, rehearse

from synckit.applying import undo as applying
from synckit.applying.couplings import CouplingChunk
from synckit.applying.undo import UndoChunk
from synckit.ledger.transaction import Transaction
from synckit.planning import undo as planning
from synckit.planning.undo import _Undo
from synckit.systems.protocol import Outcome


def _other_key(original: Callable[..., Any]) -> Callable[..., Any]:
    def prepared(self: Any, line: Any) -> Any:
        sending = original(self, line)
        if sending is not None and sending.write.op == "insert":
            sending.key = str(uuid.uuid4())
            sending.write = replace(sending.write, key=sending.key)
        return sending

    return prepared


def _one_field_short(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, one, row, now: original(self, one, row, now)[:-1] if one.op == "update" else original(self, one, row, now)


def _bare(original: Callable[..., Any]) -> Callable[..., Any]:
    """Couplings return without what they held."""
    only = ("mapping", "local_key", "integration_key")
    return lambda self, rows: original(self, [{k: r[k] for k in only} for r in rows])


def _last_before(original: Callable[..., Any]) -> Callable[..., Any]:
    """Of several writes to a row, what stood there before the last one goes back, not before the first."""

    def take(self: Any, entry: Any) -> None:
        self.written.pop(next((p for p in self.written if p[2] == entry[f"{entry['side'] or 'local'}_key"]), None), None)
        original(self, entry)

    return take


def _delete_unguarded(original: Callable[..., Any]) -> Callable[..., Any]:
    def prepared(self: Any, line: Any) -> Any:
        sending = original(self, line)
        if sending is not None and sending.write.op == "delete":
            sending.write = type(sending.write)("delete", sending.write.key, {})
        return sending

    return prepared


def held_again(seed: int, kind: str) -> int:
    """Couplings that return hold all that they held."""
    with made(seed) as (ws, _):
        known = (
            "mapping",
            "local_key",
            "integration_key",
            "local_stamp",
            "integration_stamp",
            "to_result",
            "from_result",
            "skipped",
        )
        before = [
            tuple(c[k] for k in known if k in c)
            for c in sorted(ws.ledger.couplings(kind).to_pylist(), key=lambda c: c["local_key"])
        ]
        ws.apply(ws.plan_undo(ws.apply(ws.plan_uncoupling(kind)).id))
        after = [
            tuple(c[k] for k in known if k in c)
            for c in sorted(ws.ledger.couplings(kind).to_pylist(), key=lambda c: c["local_key"])
        ]
        assert after == before, f"{set(before) ^ set(after)}"
        return len(before)


#: (trial, seed, kind of plan): together they go through every branch of an undo. The quickest stand first: many bugs need no more.
TRIALS: tuple[tuple[Callable[[int, str], int], int, str], ...] = (
    (held_again, 0, "REGION"), (rehearse, 2, "coupling"), (rehearse, 1, "delete"), (among_others, 5, "restore"), (among_others, 3, "full"),
    (among_others, 22, "full"), (rehearse, 1, "restore"), (rehearse, 0, "uncoupling"), (rehearse, 0, "modified"), (rehearse, 0, "full"),
)  # fmt: skip


UNDO_BUGS: dict[str, Bug] = {
    "nobody looks whether a row was changed since": nothing(_Undo, "_changed_since", ("", "")),
    "the last field of an update does not go back": instead(_Undo, "_fields", _one_field_short),
    "every value is thought to be as before": nothing(planning, "_alike", True),
    "made couplings stay": nothing(_Undo, "_uncouple"),
    "removed couplings do not return": nothing(_Undo, "_couple"),
    "the first write of a row is forgotten": instead(_Undo, "_take", _last_before),
    "deleted rows return under another key": instead(UndoChunk, "_prepare", _other_key),
    "an undo is sent without a guard": instead(UndoChunk, "_prepare", _token_gone),
    "couplings of deleted rows stay": nothing(Transaction, "remove_couplings"),
    "removed couplings are not journalled": nothing(applying, "journal_uncoupled"),
    "couplings return without what they held": instead(Transaction, "add_couplings", _bare),
    "undone pairs are not held": nothing(Transaction, "hold_couplings"),
    "undone rows without a coupling are not held": nothing(Transaction, "set_held"),
    "rows that changed since are deleted all the same": instead(CouplingChunk, "_prepare", _delete_unguarded),
}

RESUME_BUGS: dict[str, Bug] = {
    "resume calls every delete of an undo done": _outcome(lambda c, s, known: Outcome("done", s.write.key) if s.write.op == "delete" else known()),
    "resume calls every update of an undo done": _outcome(lambda c, s, known: Outcome("done", s.write.key) if s.write.op == "update" else known()),
    "resume calls every delete of an undo stale": _outcome(lambda c, s, known: Outcome("stale", s.write.key) if s.write.op == "delete" else known()),
    "a resumed undo leaves the couplings": instead(Transaction, "remove_couplings", lambda original: lambda self, ids: original(self, list(ids)[1:])),
}  # fmt: skip


def noticed(bug: Bug) -> str:
    """What the first trial that goes wrong says, '' where none does."""
    for trial, seed, kind in TRIALS:
        try:
            with planted(bug):
                trial(seed, kind)
        except Exception as problem:
            return f"{trial.__name__} {seed} {kind}: {str(problem) or type(problem).__name__}"
    return ""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage(undo=True)
    yield made
    made.close()


def some(names: dict[str, Bug]) -> list[Any]:
    return [n if i % 5 == 0 else pytest.param(n, marks=pytest.mark.long) for i, n in enumerate(names)]


@pytest.mark.long
def test_the_real_code_passes() -> None:
    assert not noticed(mock.MagicMock(return_value=mock.MagicMock()))
    assert sum(trial(seed, kind) > 0 for trial, seed, kind in TRIALS) == len(TRIALS)


@pytest.mark.parametrize("name", some(UNDO_BUGS))
def test_each_bug_planted_in_undo_is_caught(name: str) -> None:
    witness = noticed(UNDO_BUGS[name])
    print(f"{name}: {witness[:200]}")
    assert witness, f"nobody noticed: {name}"


@pytest.mark.parametrize("name", some(RESUME_BUGS))
def test_each_bug_planted_in_resuming_an_undo_is_caught(stage: Stage, name: str) -> None:
    witness = ""
    for n, mode in moments(stage):
        with planted(RESUME_BUGS[name]):
            wrong = stage.trial(n, mode)[2]
        if wrong:
            witness = min(wrong, key=len)
            break
    print(f"{name}: {witness[:200]}")
    assert witness, f"nobody noticed: {name}"
