"""One apply per ledger: a lease with a heartbeat and an epoch that fences off whoever lost it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from synckit.errors import SynckitError
from synckit.ledger.database import Database, moment, row_of
from synckit.ledger.tables import LEASE, RUN

#: A holder that gave no sign of life for so long is taken for dead.
SILENCE = timedelta(minutes=2)

#: The lease, and whether the run that it was taken for has ended: then only giving it back has failed.
_WITH_RUN = sa.select(LEASE, sa.and_(RUN.c.status.is_not(None), RUN.c.status != "running").label("run_ended")).select_from(
    LEASE.outerjoin(RUN, RUN.c.id == LEASE.c.run_id)
)


@dataclass(frozen=True)
class Holder:
    """Who applies: a person, on a machine, in a process. Stored as "operator@host:pid"."""

    operator: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    def __str__(self) -> str:
        return f"{self.operator}@{self.host}:{self.pid}"

    @classmethod
    def parse(cls, text: str) -> Holder:
        rest, _, pid = text.rpartition(":")
        operator, _, host = rest.rpartition("@")
        return cls(operator, host, int(pid) if pid.isdigit() else 0)

    def has_died(self) -> bool:
        """True where this very machine can tell that the process is gone; False where it lives or nobody here can know."""
        if self.host != socket.gethostname() or self.pid <= 0 or sys.platform == "win32":  # there, signal 0 is no harmless question
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class Lease:
    """The ledger's one lease. Every call is a short transaction of its own: never call it while a ledger transaction is open."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, holder: Holder, now: datetime) -> int:
        """Take the lease and return its epoch, higher than every earlier one.

        Raises SynckitError naming holder and time where somebody holds it who is alive (heartbeat within two minutes and, on this
        machine, a living process).
        """
        with self._database.writing() as connection:
            row = row_of(connection.execute(_WITH_RUN).one_or_none())
            if row is None:
                row = {"epoch": 0, "holder": ""}
                connection.execute(sa.insert(LEASE).values(id=1, epoch=0))
            if is_held(row, now):
                other = Holder.parse(row["holder"])
                raise SynckitError(
                    f"{other.operator} is applying a plan to this ledger since {row['acquired'][:19]} UTC (process {other.pid} on "
                    f"{other.host}). Wait until that is done; a run that was cut off gives way after two minutes of silence."
                )
            epoch = int(row["epoch"]) + 1
            values = {"holder": str(holder), "run_id": None, "epoch": epoch, "acquired": moment(now), "heartbeat": moment(now)}
            connection.execute(sa.update(LEASE).values(values))
            return epoch

    @contextmanager
    def held(self, holder: Holder) -> Iterator[int]:
        """The lease from here to the end of the block; its epoch. What was raised inside is what is told: a lease that cannot be given
        back is given up by its silence, and stops nobody once its run has ended."""
        epoch = self.acquire(holder, datetime.now(UTC))
        try:
            yield epoch
        finally:
            with suppress(SynckitError):
                self.release(epoch)

    def heartbeat(self, epoch: int, now: datetime | None = None) -> None:
        """Give a sign of life. Raises SynckitError where the lease was lost."""
        with self._database.writing() as connection:
            check(connection, epoch)
            connection.execute(sa.update(LEASE).values(heartbeat=moment(now or datetime.now(UTC))))

    def check(self, epoch: int) -> None:
        """Raise SynckitError where the lease was lost to someone else or given back."""
        with self._database.reading() as connection:
            if connection is None:
                raise SynckitError("The ledger has disappeared while a plan was being applied. Nothing more is written.")
            check(connection, epoch)

    def release(self, epoch: int) -> None:
        """Give the lease back; nothing happens where it was lost already."""
        with self._database.writing() as connection:
            connection.execute(sa.update(LEASE).where(LEASE.c.epoch == epoch).values(holder="", run_id=None))

    def holder(self, now: datetime | None = None) -> Holder | None:
        """Who is applying at this moment, or None."""
        with self._database.reading() as connection:
            row = None if connection is None else row_of(connection.execute(_WITH_RUN).one_or_none())
        return Holder.parse(row["holder"]) if row and is_held(row, now or datetime.now(UTC)) else None


def is_held(row: dict[str, Any], now: datetime) -> bool:
    """Whether the row of the table `lease` names somebody who is alive at `now` and has not come to the end of the run."""
    if not row["holder"] or row.get("run_ended"):
        return False
    return row["heartbeat"] >= moment(now - SILENCE) and not Holder.parse(row["holder"]).has_died()


def check(connection: sa.Connection, epoch: int) -> None:
    """Raise SynckitError unless `epoch` still holds the lease. Inside a write transaction it then holds it until the commit."""
    query = sa.select(LEASE.c.holder, LEASE.c.epoch)
    row = connection.execute(query.with_for_update() if connection.dialect.name == "postgresql" else query).one_or_none()
    if row is None or row.epoch != epoch or not row.holder:
        taken = row is not None and bool(row.holder) and row.epoch != epoch
        who = f"{Holder.parse(row.holder).operator} has taken over" if row is not None and taken else "it was given back"
        raise SynckitError(
            f"This run has lost its hold on the ledger ({who}), so it stops here and writes nothing more. "
            "What it had begun is finished by: synckit resume"
        )
