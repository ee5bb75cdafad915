"""Bringing a ledger written by an older synckit up to date: one step function per schema version, all in one transaction."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from synckit.errors import SynckitError
from synckit.ledger.tables import JOURNAL_BATCH, META, SCHEMA_VERSION


def _journal_in_batches(connection: sa.Connection) -> None:
    """The journal may hold many writes in one row; the lines that stand in rows of their own stay as they are."""
    JOURNAL_BATCH.create(connection, checkfirst=True)


#: Schema version -> the step that leads from it to the next one. A step changes tables only; it neither commits nor counts.
STEPS: dict[int, Callable[[sa.Connection], None]] = {1: _journal_in_batches}


def refuse_newer(version: int, address: str) -> None:
    """Raise SynckitError where the ledger was written by a newer synckit than this one."""
    if version > SCHEMA_VERSION:
        raise SynckitError(
            f"The ledger {address} has schema version {version}, but this synckit knows versions up to {SCHEMA_VERSION}. "
            "Update synckit (pip install --upgrade synckit) and try again."
        )


def upgrade(connection: sa.Connection, version: int, address: str) -> None:
    """Carry out every step from `version` to SCHEMA_VERSION inside the caller's transaction, and write the new version down.

    Raises SynckitError where the ledger is newer than the program, or so old that no step leads on from it.
    """
    refuse_newer(version, address)
    for step in range(version, SCHEMA_VERSION):
        if step not in STEPS:
            raise SynckitError(
                f"The ledger {address} has schema version {step}, which this synckit can no longer upgrade. "
                "Open it once with an older synckit, or export its couplings there and import them into a new ledger."
            )
        STEPS[step](connection)
    if version < SCHEMA_VERSION:
        connection.execute(sa.update(META).where(META.c.key == "schema_version").values(value=str(SCHEMA_VERSION)))
