"""A checker with teeth: bugs planted in apply and resume, one at a time, each caught by the same trials that the real code passes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from harness import MODES, Stage

from synckit.applying import chunk as chunk_module
from synckit.applying import resume as resume_module
from synckit.applying import run as run_module
from synckit.applying.bulk import BulkChunk
from synckit.applying.chunk import Chunk
from synckit.applying.run import Applier
from synckit.ledger.transaction import Transaction
from synckit.systems.protocol import Outcome
from synckit.systems.sql_write import SqlWriter

Bug = Callable[[], Any]


def instead(owner: Any, name: str, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Bug:
    """`owner.name` replaced by `made(original)`."""
    return lambda: mock.patch.object(owner, name, made(getattr(owner, name)))


def nothing(owner: Any, name: str, answer: Any = None) -> Bug:
    return instead(owner, name, lambda original: lambda *a, **k: answer)


def _outcome(change: Callable[[Any, Any, Callable[[], Outcome]], Outcome]) -> Bug:
    return instead(resume_module, "_outcome", lambda original: lambda c, s, present: change(c, s, lambda: original(c, s, present)))


def _token_gone(original: Callable[..., Any]) -> Callable[..., Any]:
    def prepared(self: Any, line: Any) -> Any:
        sending = original(self, line)
        if sending is not None and sending.write.op == "update":
            sending.write = type(sending.write)("update", sending.write.key, sending.write.values)
        return sending

    return prepared


def _half(original: Callable[..., Any]) -> Callable[..., Any]:
    """Of what is written, the last row of a chunk is forgotten and called done."""

    def write(self: Any, table: Any, key: str, writes: Any) -> Any:
        kept = list(writes)[:-1] if len(writes) > 1 else list(writes)
        return original(self, table, key, kept) + [Outcome("done", w.key) for w in list(writes)[len(kept) :]]

    return write


def _other_values(original: Callable[..., Any]) -> Callable[..., Any]:
    def write(self: Any, table: Any, key: str, writes: Any) -> Any:
        for w in writes:
            for name, value in w.values.items():
                if isinstance(value, str) and name == "fax":
                    w.values[name] = value + " "
        return original(self, table, key, writes)

    return write


def _without(*kept_out: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, rows, *a, **k: original(
            self, [{n: v for n, v in r.items() if n not in kept_out} for r in rows], *a, **k
        )

    return made


def _shifted(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, rows: original(self, [{**r, "integration_key": rows[n - 1]["integration_key"]} for n, r in enumerate(rows)])


def _swallowed(original: Callable[..., Any]) -> Callable[..., Any]:
    """The first row of each chunk is not prepared at all."""

    def carry_out(self: Any) -> Any:
        self.lines = self.lines[1:] or self.lines
        return original(self)

    return carry_out


def _made_later(original: Callable[..., Any]) -> Callable[..., Any]:
    """The outcome is booked before the row is written."""

    def carry_out(self: Any) -> None:
        sendings = self._intend(self._source_unchanged([s for s in (self._prepare(line) for line in self.lines) if s is not None]))
        if sendings:
            self.book(sendings, [Outcome("done", s.key, None) for s in sendings])
            self._write(sendings)

    return carry_out


def _new_keys(original: Callable[..., Any]) -> Callable[..., Any]:
    def insert(self: Any, line: Any, source_key: str) -> Any:
        sending = original(self, line, source_key)
        if sending is not None and sending.write.key:
            key = str(uuid.uuid4())
            sending.key, sending.write = key, type(sending.write)("insert", key, sending.write.values)
        return sending

    return insert


BUGS: dict[str, Bug] = {
    "resume sends every create again under another key": instead(Chunk, "_insert", _new_keys),
    "resume calls every intent done": _outcome(lambda c, s, known: Outcome("done", s.write.key)),
    "resume calls every create done": _outcome(lambda c, s, known: Outcome("done", s.write.key) if s.write.op == "insert" else known()),
    "resume calls every update done": _outcome(lambda c, s, known: Outcome("done", s.write.key) if s.write.op == "update" else known()),
    "resume calls every intent stale": _outcome(lambda c, s, known: Outcome("stale", s.write.key)),
    "resume calls every intent failed": _outcome(lambda c, s, known: Outcome("failed", s.write.key, error="?")),
    "resume sends every create again": _outcome(lambda c, s, known: None if s.write.op == "insert" else known()),
    "resume does not settle intents": nothing(resume_module, "_settle"),
    "resume forgets what was done": nothing(resume_module, "_remember"),
    "resume loses the version of updates that were made": instead(resume_module, "_rows", lambda o: lambda c, ws: {key: (row, None) for key, (row, _) in o(c, ws).items()}),
    "updates are sent without a guard": instead(Chunk, "_prepare", _token_gone),
    "the source is not looked at again": instead(Chunk, "_source_unchanged", lambda o: lambda self, sendings: sendings),
    "the last row of a chunk is not written": instead(SqlWriter, "write", _half),
    "the first row of a chunk is not sent": instead(Chunk, "carry_out", _swallowed),
    "values are written otherwise": instead(SqlWriter, "write", _other_values),
    "couplings of creates are not added": nothing(Transaction, "add_couplings", []),
    "couplings of creates are mixed up": instead(Transaction, "add_couplings", _shifted),
    "couplings are added without their stamps": instead(Transaction, "add_couplings", _without("local_stamp", "integration_stamp")),
    "updates leave no stamps": nothing(Transaction, "stamp"),
    "claims are not given back": instead(Transaction, "finish_run", lambda o: lambda self, run, *a, **k: self.connection.exec_driver_sql("UPDATE run SET status = 'finished'")),
    "kept plans are not dropped": nothing(Transaction, "drop_plan"),
    "runs are not finished": nothing(Transaction, "finish_run"),
    "jobs are not finished": nothing(Transaction, "finish_job"),
    "failures are not counted": instead(run_module, "actual_counters", lambda o: lambda *a: {**o(*a), "failed": 0}),
    "second steps are left out": nothing(Applier, "_second_step"),
    "equal rows get no stamps": nothing(Applier, "_stamp_equal"),
    "an outcome is booked before its write": instead(Chunk, "carry_out", _made_later),
    "the passes are carried out without their predicted failures": nothing(Applier, "_book_predicted"),
    "stale rows are booked as done": instead(Chunk, "_settle", lambda o: lambda self, line, state, reason: self.applier.state.update({line.number: ("done", "")})),
    "failed rows are not booked": nothing(Chunk, "_book_failures"),
}  # fmt: skip


def _written_short(original: Callable[..., Any]) -> Callable[..., Any]:
    """Of many rows the last is forgotten and called done."""

    def write_many(self: Any, table: Any, key: str, writes: Any) -> Any:
        if len(writes.keys) < 2:
            return original(self, table, key, writes)
        tokens, refused = original(self, table, key, writes.take(range(len(writes.keys) - 1)))
        return [*tokens, None], refused

    return write_many


def _without_guard(original: Callable[..., Any]) -> Callable[..., Any]:
    def write_many(self: Any, table: Any, key: str, writes: Any) -> Any:
        return original(self, table, key, replace(writes, tokens=None, expect=None))

    return write_many


def _mixed_up(original: Callable[..., Any]) -> Callable[..., Any]:
    def add(self: Any, same: Any, columns: Any) -> Any:
        keys = columns["integration_key"]
        return original(self, same, {**columns, "integration_key": [*keys[1:], *keys[:1]]})

    return add


def _unstamped(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, same, columns: original(
        self, same, {**columns, "integration_stamp": [None] * len(columns["integration_key"])}
    )


IN_BULK: dict[str, Bug] = {
    "in bulk, the source is not looked at again": nothing(BulkChunk, "_look_at_source"),
    "in bulk, the last row is not written": instead(SqlWriter, "write_many", _written_short),
    "in bulk, updates are sent without a guard": instead(SqlWriter, "write_many", _without_guard),
    "in bulk, couplings are not added": nothing(Transaction, "add_many_couplings", []),
    "in bulk, couplings are mixed up": instead(Transaction, "add_many_couplings", _mixed_up),
    "in bulk, couplings are added without a stamp": instead(Transaction, "add_many_couplings", _unstamped),
    "in bulk, updates leave no stamps": nothing(Transaction, "stamp_many"),
    "in bulk, nothing is booked": nothing(BulkChunk, "book_all"),
    "in bulk, outcomes are not settled": nothing(Transaction, "settle_batch"),
}


def a_stage(bulk: bool) -> Iterator[Stage]:
    made = Stage(bulk=bulk)
    yield made
    made.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    yield from a_stage(False)


@pytest.fixture(scope="module")
def stage_in_bulk() -> Iterator[Stage]:
    yield from a_stage(True)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(bug())
        yield


def moments(stage: Stage) -> list[tuple[int, str]]:
    """No fault at all; then, of creates and of updates, the answer lost, and the booking lost, by error and by kill."""
    writes = [n for n, name in enumerate(stage.calls, 1) if name == "commit of a system"]
    spread = [writes[0], writes[len(writes) // 2], writes[-1], *writes[1:-1:3]]
    return [
        (0, "error before"),
        *[(n, mode) for n in spread for mode in ("kill after", "kill")],
        *[(n, MODES[n % 4]) for n in range(2, len(stage.calls), 9)],
    ]


def caught(stage: Stage, bug: Bug) -> str:
    """The smallest witness of the first trial that goes wrong, '' where none does."""
    for n, mode in moments(stage):
        with planted(bug):
            _, _, wrong = stage.trial(n, mode, next_plan=True)
        if wrong:
            return min(wrong, key=len)
    return ""


def test_the_real_code_passes_where_nothing_fails(stage: Stage) -> None:
    assert not stage.trial(0, "error before", next_plan=True)[2]
    assert len(BUGS) >= 30 and chunk_module is not None


def test_every_bug_can_be_planted() -> None:
    """Also those that only the long form tries: what they replace is still there."""
    for bug in (*BUGS.values(), *IN_BULK.values()):
        with planted(bug):
            pass


@pytest.mark.parametrize("name", [n if i % 5 == 0 else pytest.param(n, marks=pytest.mark.long) for i, n in enumerate(BUGS)])
def test_each_planted_bug_is_caught(stage: Stage, name: str) -> None:
    witness = caught(stage, BUGS[name])
    print(f"{name}: {witness[:200]}")
    assert witness, f"nobody noticed: {name}"


@pytest.mark.parametrize("name", [n if i % 5 == 0 else pytest.param(n, marks=pytest.mark.long) for i, n in enumerate(IN_BULK)])
def test_each_bug_planted_in_bulk_is_caught(stage_in_bulk: Stage, name: str) -> None:
    witness = caught(stage_in_bulk, IN_BULK[name])
    print(f"{name}: {witness[:200]}")
    assert witness, f"nobody noticed: {name}"
