"""Forgetting: the journal's personal data and the job history before a day; what is still needed stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from synckit.ledger.ledger import Ledger
from synckit.ledger.tables import COUPLING, JOB, JOB_ERROR, JOURNAL, JOURNAL_BATCH, RUN, SETTING

PURGED = "journal_purged_before"


@dataclass(frozen=True)
class Purge:
    """What a purge removes (or has removed): jobs, their errors, and the journalled values of whole runs; and what it keeps, since
    a skipped or failed coupling still refers to it."""

    before: date
    jobs: int
    errors: int
    journal_runs: int
    kept_jobs: int
    done: bool = False

    def sentence(self) -> str:
        verb = "were removed" if self.done else "would be removed"
        text = (
            f"{self.jobs:,} jobs with {self.errors:,} errors, and the journalled values of {self.journal_runs:,} runs before {self.before} {verb}. "
            "Runs without their journal cannot be undone."
        )
        return text + (f" {self.kept_jobs:,} jobs stay: skipped or failed records refer to them." if self.kept_jobs else "")

    def __repr__(self) -> str:
        return f"<Purge {self.sentence()}>"


def purge(ledger: Ledger, before: date, *, really: bool) -> Purge:
    """Remove what ended before `before` (00:00 UTC), or with `really` False only count it. Unfinished runs keep everything; a job that a
    skipped coupling, or one whose last result is a failure, refers to stays with its errors (S-102). Runs themselves stay: they
    keep a plan from being applied twice."""
    moment = before.isoformat()
    if not ledger.exists:
        return Purge(before, 0, 0, 0, 0, really)
    old = sa.select(RUN.c.id).where(
        RUN.c.status.in_(("finished", "cancelled", "failed")), RUN.c.started < moment, RUN.c.finished < moment
    )
    needed = sa.union(
        *(
            sa.select(COUPLING.c[f"{p}_job"]).where(sa.or_(COUPLING.c.skipped, COUPLING.c[f"{p}_result"] == "failure"))
            for p in ("to", "from")
        )
    )
    doomed = sa.select(JOB.c.id).where(JOB.c.run_id.in_(old), JOB.c.id.not_in(needed))
    kept = sa.select(JOB.c.id).where(JOB.c.run_id.in_(old), JOB.c.id.in_(needed))
    journals = sa.union(
        sa.select(JOURNAL.c.run_id).where(JOURNAL.c.run_id.in_(old)),
        sa.select(JOURNAL_BATCH.c.run_id).where(JOURNAL_BATCH.c.run_id.in_(old)),
    )

    def counted(connection: sa.Connection) -> tuple[int, int, int, int]:
        def count(query: Any) -> int:
            return int(connection.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one())

        return (count(doomed), count(sa.select(JOB_ERROR.c.id).where(JOB_ERROR.c.job_id.in_(doomed))), count(journals), count(kept))

    if not really:
        with ledger._database.reading() as connection:
            assert connection is not None
            return Purge(before, *counted(connection))
    with ledger.transaction() as tx:
        connection = tx.connection
        found = Purge(before, *counted(connection), done=True)
        connection.execute(sa.delete(JOB_ERROR).where(JOB_ERROR.c.job_id.in_(doomed)))
        for table in (JOURNAL, JOURNAL_BATCH):
            connection.execute(sa.delete(table).where(table.c.run_id.in_(old)))
        connection.execute(sa.delete(JOB).where(JOB.c.id.in_(doomed)))
        latest = connection.execute(sa.select(SETTING.c.value).where(SETTING.c.key == PURGED)).scalar() or ""
        tx.put_setting(PURGED, max(moment, latest), "purge")
    return found


__all__ = ["PURGED", "Purge", "purge"]
