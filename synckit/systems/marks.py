"""The line by which a ledger marks a database as kept in step by it, in a small table of its own there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from synckit.errors import PassingError, SynckitError
from synckit.mapping.schema import Column, Table
from synckit.systems.protocol import System, Write

NAME = "synckit_ledger"
KEY = "mark"
_LENGTHS = {KEY: 60, "ledger_id": 40, "side": 20, "partner": 500, "ledger": 500, "operator": 200, "since": 40}
TABLE = Table(
    name=NAME,
    table=NAME,
    primary_key=(KEY,),
    uid=KEY,
    columns=tuple(
        Column(name=name, column=name, type="text", length=length, nullable=False, primary_key=name == KEY)
        for name, length in _LENGTHS.items()
    ),
)


@dataclass(frozen=True)
class Mark:
    """One line: the ledger `ledger_id` (it lies at `ledger`) keeps this system, as its `side`, in step with the system whose identity is
    `partner`, as `operator` had it done first at the time `since`."""

    ledger_id: str
    side: Literal["local", "integration"]
    partner: str
    ledger: str
    operator: str
    since: str

    @property
    def key(self) -> str:
        return f"{self.ledger_id}:{self.side}"


def marks_in(system: System) -> list[Mark] | None:
    """The marks in a system; none where it has no such table, and None where the table cannot be read."""
    try:
        if system.physical_columns(TABLE) is None:
            return []
        with system.snapshot() as snapshot:
            rows = snapshot.read(TABLE, [name for name in _LENGTHS if name != KEY]).read_all().to_pylist()
    except PassingError:
        raise
    except SynckitError:
        return None
    return sorted((Mark(**row) for row in rows), key=lambda mark: mark.key)


def put_mark(system: System, mark: Mark) -> str:
    """Add a mark, with its table where there is none; '' or why that was not possible."""
    try:
        system.make_table(TABLE)
        values = {name: str(value)[: _LENGTHS[name]] for name, value in asdict(mark).items()}
        with system.writer() as writer:
            (outcome,) = writer.write(TABLE, KEY, [Write("insert", mark.key, values)])
    except PassingError:
        raise
    except SynckitError as refused:
        return refused.message
    return outcome.error


def take_marks(system: System, marks: list[Mark]) -> None:
    """Remove marks; those that are gone already are no matter."""
    if marks:
        with system.writer() as writer:
            writer.write(TABLE, KEY, [Write("delete", mark.key) for mark in marks])
