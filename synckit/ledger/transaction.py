"""Writing to the ledger: one thin object per transaction, everything in batches."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from synckit.errors import SynckitError
from synckit.ledger import couplings, journal
from synckit.ledger.couplings import Coupled, Refused, Side, among
from synckit.ledger.database import moment
from synckit.ledger.tables import (
    CLAIM,
    COUPLING,
    CREATED,
    DECISION,
    DUE,
    HELD,
    JOB,
    JOB_ERROR,
    JOURNAL,
    JOURNAL_BATCH,
    LEASE,
    META,
    RUN,
    RUN_PLAN,
    SETTING,
    WATERMARK,
)
from synckit.mapping.model import Pass
from synckit.planning.tables import COUNTERS

_JOURNAL_DEFAULTS: dict[str, Any] = {column.name: None for column in JOURNAL.columns if column.name != "id"} | {
    "job_id": "",
    "direction": "",
    "step": 1,
    "seq": 0,
    "side": "",
    "table_name": "",
    "state": "intent",
    "error": "",
}
_STAMPS = ("local_stamp", "integration_stamp", "fingerprints")
_OUTCOME_DEFAULTS: dict[str, Any] = {"b_token_after": None, "b_error": "", "b_local_key": None, "b_integration_key": None}
_ERROR_DEFAULTS: dict[str, Any] = {"local_key": None, "integration_key": None, "code": "", "field": "", "value": "", "message": ""}


class Transaction:
    """One write transaction of the ledger. `at` is the moment that everything in it is stamped with; `connection` the open one.

    Made by Ledger.transaction; everything is committed together or not at all.
    """

    def __init__(self, connection: sa.Connection, at: datetime) -> None:
        self.connection = connection
        self.at = moment(at)

    # Runs and jobs

    def start_run(self, plan_id: str, kind: str, operator: str, host: str, pid: int, epoch: int) -> int:
        """Begin a run of a plan and tie it to the lease; returns its number. Raises SynckitError where it was applied before."""
        values = {"plan_id": plan_id, "kind": kind, "operator": operator, "host": host, "pid": pid, "epoch": epoch}
        try:
            with self.connection.begin_nested():
                query = sa.insert(RUN).values(**values, status="running", started=self.at)
                key = self.connection.execute(query).inserted_primary_key
        except sa.exc.IntegrityError:
            earlier = self.connection.execute(sa.select(RUN).where(RUN.c.plan_id == plan_id)).one_or_none()
            if earlier is None:
                raise
            end = "is not finished: synckit resume" if earlier.status in ("running", "interrupted") else "make a new plan"
            raise SynckitError(
                f"This plan was already applied by run {earlier.id} on {earlier.started[:19]} UTC ({earlier.operator}); {end}."
            ) from None
        run_id = int(key[0]) if key else 0
        self._hold_lease(run_id, epoch)
        self.bump_run_counter()
        return run_id

    def resume_run(self, run_id: int, pid: int, host: str, epoch: int) -> None:
        """Take an interrupted run up again under a new epoch of the lease."""
        values = {"status": "running", "finished": None, "pid": pid, "host": host, "epoch": epoch}
        self.connection.execute(sa.update(RUN).where(RUN.c.id == run_id).values(values))
        self._hold_lease(run_id, epoch)
        self.bump_run_counter()

    def finish_run(self, run_id: int, status: str, message: str = "", closing_answer: str | None = None) -> None:
        """End a run; unless it was interrupted, its claims are given back."""
        values: dict[str, Any] = {"status": status, "message": message, "finished": self.at}
        if closing_answer is not None:
            values["closing_answer"] = closing_answer
        self.connection.execute(sa.update(RUN).where(RUN.c.id == run_id).values(values))
        if status != "interrupted":
            self.connection.execute(sa.delete(CLAIM).where(CLAIM.c.run_id == run_id))
        self.bump_run_counter()

    def keep_plan(self, run_id: int, content: bytes) -> None:
        """Keep the plan of a run until the run ends, for resume."""
        self.connection.execute(sa.insert(RUN_PLAN).values(run_id=run_id, content=content))

    def drop_plan(self, run_id: int) -> None:
        self.connection.execute(sa.delete(RUN_PLAN).where(RUN_PLAN.c.run_id == run_id))

    def start_job(
        self,
        run_id: int,
        mapping: str,
        direction: str,
        type: str = "synchronization",
        planned: Mapping[str, int] | None = None,
    ) -> str:
        """Begin a job (one per mapping and pass, also for an empty one); returns its id. `planned` are the plan's counters."""
        last = self.connection.execute(sa.select(sa.func.max(JOB.c.number))).scalar() or 0
        values: dict[str, Any] = {f"planned_{name}": (planned or {}).get(name, 0) for name in COUNTERS}
        values |= {"id": str(uuid.uuid4()), "number": last + 1, "run_id": run_id, "mapping": mapping, "direction": direction}
        self.connection.execute(sa.insert(JOB).values(**values, type=type, started=self.at))
        return values["id"]

    def count_job(self, job_id: str, counters: Mapping[str, int]) -> None:
        """Set a running job's counters (its live progress)."""
        self.connection.execute(sa.update(JOB).where(JOB.c.id == job_id).values({name: counters.get(name, 0) for name in COUNTERS}))

    def finish_job(self, job_id: str, counters: Mapping[str, int], message: str = "") -> None:
        self.count_job(job_id, counters)
        self.connection.execute(sa.update(JOB).where(JOB.c.id == job_id).values(finished=self.at, message=message))

    def book_errors(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Job errors: job_id, run_id, mapping, and of local_key, integration_key, code, field, value, message what is known."""
        self._many(sa.insert(JOB_ERROR), [{**_ERROR_DEFAULTS, "at": self.at, **row} for row in rows])

    # Journal

    def journal_intents(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write down what is about to be sent; returns the number of the first line, the others follow it without a gap.

        A row: run_id, mapping, op, side, and of the journal's columns what is known; `before` and `after` are dicts of the changed
        columns (canonical values) or None.
        """
        first = self._next_line()
        lines = []
        for number, row in enumerate(rows, first):
            line = {**_JOURNAL_DEFAULTS, "at": self.at, **row, "id": number}
            for column in ("before", "after"):
                if line[column] is not None and not isinstance(line[column], str):
                    line[column] = journal.encode(line[column])
            lines.append(line)
        self._many(sa.insert(JOURNAL), lines)
        return first

    def _next_line(self) -> int:
        alone, last = sa.func.max(JOURNAL.c.id), sa.func.max(JOURNAL_BATCH.c.id + JOURNAL_BATCH.c.lines - 1)
        return max(int(self.connection.execute(sa.select(number)).scalar() or 0) for number in (alone, last)) + 1

    def journal_batch(self, batch: journal.Batch) -> int:
        """As `journal_intents`, for many writes of one sort: one row for all of them."""
        first = self._next_line()
        values = {
            **batch.common,
            "id": first,
            "lines": len(batch.seq),
            "key_hashes": journal.hashes(batch),
            "intents": journal.pack(batch),
        }
        self.connection.execute(sa.insert(JOURNAL_BATCH).values(**values, at=self.at))
        return first

    def settle_batch(self, first: int, outcomes: journal.Outcomes) -> None:
        """What became of the batch whose first line has that number."""
        values = {"outcomes": journal.pack_outcomes(outcomes), "settled_at": self.at if outcomes.settled else None}
        self.connection.execute(sa.update(JOURNAL_BATCH).where(JOURNAL_BATCH.c.id == first).values(values))

    def _settle_in_batches(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Outcomes of single lines that stand in batches; returns the rows that do not."""
        b = JOURNAL_BATCH.c
        numbers = [row["id"] for row in rows]
        wanted = sa.and_(b.id <= max(numbers, default=0), b.id + b.lines > min(numbers, default=0))
        rest = list(rows)
        for found in self.connection.execute(sa.select(b.id, b.lines, b.side, b.outcomes).where(wanted)).all():
            mine = [row for row in rest if found.id <= row["id"] < found.id + found.lines]
            if not mine:
                continue
            rest = [row for row in rest if not found.id <= row["id"] < found.id + found.lines]
            outcomes = journal.unpack_outcomes(found.outcomes, found.lines)
            for row in mine:
                place = row["id"] - found.id
                outcomes.tokens[place] = row.get("token_after")
                outcomes.other.pop(place, None)
                if row["state"] != "done":
                    outcomes.other[place] = (row["state"], row.get("error") or "")
                if row.get(f"{found.side}_key") is not None:
                    outcomes.keys[place] = row[f"{found.side}_key"]
            self.settle_batch(found.id, outcomes)
        return rest

    def journal_outcomes(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What became of intents. A row: id, state ("done", "stale", "failed"), and of token_after, error, local_key,
        integration_key what the outcome told (a key that the system drew)."""
        known: list[dict[str, Any]] = []
        drawn: list[dict[str, Any]] = []
        for row in self._settle_in_batches(list(rows)):
            line = {**_OUTCOME_DEFAULTS, **{f"b_{name}": value for name, value in row.items()}}
            (known if line["b_local_key"] is None and line["b_integration_key"] is None else drawn).append(line)
        values: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in ("state", "token_after", "error")}
        query = sa.update(JOURNAL).where(JOURNAL.c.id == sa.bindparam("b_id")).values(**values, at=self.at)
        self._many(query, known)  # apart from the others: touching a key column means touching its index
        keys: dict[str, Any] = {
            name: sa.func.coalesce(sa.bindparam(f"b_{name}"), JOURNAL.c[name]) for name in ("local_key", "integration_key")
        }
        self._many(query.values(keys), drawn)

    # Claims

    def held_by_others(self, mapping: str, side: Side, keys: Sequence[str], run_id: int) -> set[str]:
        """Source rows of `side` for which a run that is not finished may be creating a partner: claimed, or in a batch in doubt."""
        others = sa.select(CLAIM.c.source_key).where(CLAIM.c.mapping == mapping, CLAIM.c.side == side, CLAIM.c.run_id != run_id)
        found = set(self.connection.execute(others).scalars())
        b = JOURNAL_BATCH.c
        doubtful = (
            sa.select(b.intents).join(RUN, RUN.c.id == b.run_id).where(b.mapping == mapping, b.side != side, b.run_id != run_id)
        )
        unfinished = sa.and_(b.settled_at.is_(None), RUN.c.status.in_(("running", "interrupted")))
        for intents in self.connection.execute(doubtful.where(unfinished)).scalars():
            found.update(journal.source_keys(intents))
        return found.intersection(keys) if found else found

    def claim(self, mapping: str, side: Side, keys: Sequence[str], run_id: int) -> list[str]:
        """Claim source rows for which this run creates a partner; returns the keys that another run holds."""
        others = self.held_by_others(mapping, side, keys, run_id)
        query = sa.select(CLAIM.c.source_key).where(CLAIM.c.mapping == mapping, CLAIM.c.side == side, CLAIM.c.run_id == run_id)
        taken = others.union(self.connection.execute(query.where(among(self.connection, CLAIM.c.source_key, keys))).scalars())
        new = [key for key in dict.fromkeys(keys) if key not in taken]
        self._many(sa.insert(CLAIM), [{"mapping": mapping, "side": side, "source_key": key, "run_id": run_id} for key in new])
        return [key for key in dict.fromkeys(keys) if key in others]

    def release_claims(self, mapping: str, side: Side, keys: Iterable[str], run_id: int) -> None:
        """Give claims back, for creates that failed and may be tried by a later run."""
        where = sa.and_(*(CLAIM.c[name] == sa.bindparam(f"b_{name}") for name in ("mapping", "side", "source_key", "run_id")))
        rows = [{"b_mapping": mapping, "b_side": side, "b_source_key": key, "b_run_id": run_id} for key in keys]
        self._many(sa.delete(CLAIM).where(where), rows)

    def count_created(self, mapping: str, side: Side, keys: Sequence[str]) -> None:
        """Count one more created partner for each source row."""
        mine = sa.and_(CREATED.c.mapping == mapping, CREATED.c.side == side)
        query = sa.select(CREATED.c.source_key).where(mine, among(self.connection, CREATED.c.source_key, keys))
        known = set(self.connection.execute(query).scalars())
        again = sa.update(CREATED).where(mine, CREATED.c.source_key == sa.bindparam("b_key")).values(times=CREATED.c.times + 1)
        self._many(again, [{"b_key": key} for key in keys if key in known])
        first = [{"mapping": mapping, "side": side, "source_key": key, "times": 1} for key in keys if key not in known]
        self._many(sa.insert(CREATED), first)

    # Couplings

    def couplings_of(self, mapping: str, side: Side, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The couplings that hold one of `keys` on `side`, as they are inside this transaction: key -> coupling row."""
        return couplings.by_keys(self.connection, mapping, side, keys)

    def add_couplings(self, rows: Sequence[dict[str, Any]]) -> list[Refused]:
        """Add couplings; the database refuses a second one of either record, and those rows are returned with the reason."""
        return couplings.add(self.connection, rows, self.at)

    def add_many_couplings(self, common: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> list[Refused]:
        """As `add_couplings`: what all of them have in common, and the rest as columns."""
        rows = len(columns["local_key"])
        if not rows:
            return []
        try:
            with self.connection.begin_nested():
                every = {name: [value] * rows for name, value in {**common, "coupled_at": self.at}.items()}
                self._columns(sa.insert(COUPLING), {**every, **columns})
            return []
        except sa.exc.IntegrityError:
            return self.add_couplings([{**common, **{name: values[n] for name, values in columns.items()}} for n in range(rows)])

    def partners(self, mapping: str, side: Side, keys: Sequence[str], more: Sequence[str] = ()) -> dict[str, tuple[Any, ...]]:
        """What thousands of keys are coupled to (see synckit.ledger.couplings.partners)."""
        return couplings.partners(self.connection, mapping, side, keys, more)

    def couple(
        self,
        mapping: str,
        local_key: str,
        integration_key: str,
        from_side: Side,
        *,
        local_exists: Callable[[str], bool],
        called: Callable[[Side, str], str] | None = None,
        run_id: int | None = None,
    ) -> Coupled:
        """Couple by hand (see synckit.ledger.couplings.couple)."""
        arguments = (self.connection, mapping, local_key, integration_key, from_side)
        return couplings.couple(*arguments, local_exists=local_exists, called=called, at=self.at, run_id=run_id)

    def stamp(self, rows: Iterable[Mapping[str, Any]], in_pass: Pass | None = None, job_id: str = "") -> None:
        """Set stamps after a success. A row: id, local_stamp, integration_stamp, fingerprints; None or left out: stays as it is.

        With `in_pass`, its result becomes 'success' with this job and its error is cleared; without, results stay blank (S-055).
        """
        given = list(rows)
        self.stamp_many({name: [row.get(name) for row in given] for name in (*_STAMPS, "id")}, in_pass, job_id)

    def stamp_many(self, columns: Mapping[str, Sequence[Any]], in_pass: Pass | None = None, job_id: str = "") -> None:
        """As `stamp`, from columns."""
        values: dict[str, Any] = {name: sa.func.coalesce(sa.bindparam(f"b_{name}"), COUPLING.c[name]) for name in _STAMPS}
        if in_pass:
            values |= {f"{in_pass}_result": "success", f"{in_pass}_job": job_id, f"{in_pass}_error": ""}
        query = sa.update(COUPLING).where(COUPLING.c.id == sa.bindparam("b_id")).values(values)
        self._columns(query, {f"b_{name}": columns[name] for name in (*_STAMPS, "id")})

    def mark_results(self, rows: Iterable[Mapping[str, Any]], in_pass: Pass, job_id: str) -> None:
        """Mark couplings as failed in a pass. A row: id, code, message, and skipped (True where it now becomes skipped)."""
        values = {f"{in_pass}_result": "failure", f"{in_pass}_job": job_id, f"{in_pass}_error": sa.bindparam("b_error")}
        self._many(
            sa.update(COUPLING)
            .where(COUPLING.c.id == sa.bindparam("b_id"))
            .values(**values, skipped=sa.or_(COUPLING.c.skipped, sa.bindparam("b_skipped", type_=sa.Boolean))),
            [
                {"b_id": row["id"], "b_error": error_text(row["code"], row["message"]), "b_skipped": bool(row.get("skipped"))}
                for row in rows
            ],
        )

    def forget_failures(self, ids: Iterable[int]) -> None:
        """Failures of either direction are settled by a decision; the flag `skipped` stays as it is."""
        values = {
            f"{p}_{c}": sa.case((COUPLING.c[f"{p}_result"] == "failure", ""), else_=COUPLING.c[f"{p}_{c}"])
            for p in ("to", "from")
            for c in ("error", "result")
        }
        self._many(sa.update(COUPLING).where(COUPLING.c.id == sa.bindparam("b_id")).values(values), [{"b_id": one} for one in ids])

    def set_skipped(self, ids: Iterable[int], skipped: bool) -> None:
        """Set or clear the skip flag, nothing else: the last failure stays and lets the next run pick the row up (3.15)."""
        query = sa.update(COUPLING).where(COUPLING.c.id == sa.bindparam("b_id")).values(skipped=skipped)
        self._many(query, [{"b_id": one} for one in ids])

    def hold_couplings(self, ids: Iterable[int], reason: str | None) -> None:
        """Hold couplings for `reason`, or lift that with None."""
        query = sa.update(COUPLING).where(COUPLING.c.id == sa.bindparam("b_id")).values(held=reason)
        self._many(query, [{"b_id": one} for one in ids])

    def remove_couplings(self, ids: Iterable[int]) -> None:
        couplings.remove(self.connection, list(ids))

    # Watermarks, due and held rows

    def set_watermark(self, mapping: str, side: Side, value: str | None) -> None:
        """Set the watermark of one side, as given; None clears it. Moving it only forward is for the caller."""
        row = {"mapping": mapping, "side": side, "value": value}
        self._replace(WATERMARK, [row] if value is not None else [], [row])

    def set_due(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows to look at next time whatever the watermark says: mapping, side, key, reason, run_id."""
        self._replace(DUE, [{"reason": "", "run_id": None, **row} for row in rows])

    def due_keys(self, mapping: str, side: Side) -> set[str]:
        """The keys of the rows of one side that are due."""
        query = sa.select(DUE.c.key).where(DUE.c.mapping == mapping, DUE.c.side == side)
        return set(self.connection.execute(query).scalars())

    def clear_due(self, mapping: str, side: Side, keys: Iterable[str]) -> None:
        self._replace(DUE, [], [{"mapping": mapping, "side": side, "key": key} for key in keys])

    def set_held(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Source rows that no run carries out until someone lifts it: mapping, side, key, reason, run_id."""
        self._replace(HELD, [{"reason": "", "run_id": None, "since": self.at, **row} for row in rows])

    def clear_held(self, mapping: str, side: Side, keys: Iterable[str]) -> None:
        self._replace(HELD, [], [{"mapping": mapping, "side": side, "key": key} for key in keys])

    # Settings, decisions, counter

    def put_setting(self, key: str, value: str | None, origin: str = "") -> None:
        """Set a ledger setting with where it comes from; None revokes it."""
        row = {"key": key, "value": value, "origin": origin, "at": self.at}
        self._replace(SETTING, [row] if value is not None else [], [row])

    def record_decision(
        self,
        operator: str,
        mapping: str,
        kind: str,
        local_key: str | None = None,
        integration_key: str | None = None,
        value: str = "",
    ) -> None:
        row = {"operator": operator, "mapping": mapping, "kind": kind, "local_key": local_key, "integration_key": integration_key}
        self.connection.execute(sa.insert(DECISION).values(**row, value=value, at=self.at))

    def bump_run_counter(self) -> int:
        """Count one more change of what plans rest on; returns the new count. Planning reads it before and after its snapshots."""
        counter = META.c.key == "run_counter"
        value = int(self.connection.execute(sa.select(META.c.value).where(counter)).scalar_one()) + 1
        self.connection.execute(sa.update(META).where(counter).values(value=str(value)))
        return value

    def _hold_lease(self, run_id: int, epoch: int) -> None:
        self.connection.execute(sa.update(LEASE).where(LEASE.c.epoch == epoch, LEASE.c.holder != "").values(run_id=run_id))

    def _replace(self, table: sa.Table, rows: Sequence[Mapping[str, Any]], gone: Sequence[Mapping[str, Any]] | None = None) -> None:
        keys = [column.name for column in table.primary_key]
        where = sa.and_(*(table.c[name] == sa.bindparam(f"b_{name}") for name in keys))
        latest = {tuple(row[name] for name in keys): dict(row) for row in rows}  # of two for one key the last one counts
        doomed = [{f"b_{name}": row[name] for name in keys} for row in (gone or list(latest.values()))]
        self._many(sa.delete(table).where(where), doomed)
        self._many(sa.insert(table), list(latest.values()))

    def _many(self, statement: sa.Insert | sa.Update | sa.Delete, rows: list[dict[str, Any]]) -> None:
        """executemany with dicts that all have the same keys."""
        if rows:
            self._columns(statement, {name: [row[name] for row in rows] for name in rows[0]})

    def _columns(self, statement: sa.Insert | sa.Update | sa.Delete, columns: Mapping[str, Sequence[Any]]) -> None:
        """executemany, from columns straight to the driver's tuples: SQLAlchemy's own way costs more than the rows."""
        rows = len(next(iter(columns.values())))
        if not rows:
            return
        dialect: Any = self.connection.dialect
        compiled: Any = statement.compile(
            dialect=dialect if dialect.positional else type(dialect)(paramstyle="format"), column_keys=list(columns)
        )
        ordered = (columns[name] if name in columns else [compiled.params[name]] * rows for name in compiled.positiontup)
        self.connection.exec_driver_sql(str(compiled), list(zip(*ordered, strict=True)))


def error_text(code: str, message: str) -> str:
    """The last error of a coupling as stored: its code, then its text."""
    return f"{code}: {message}"


def split_error(text: str) -> tuple[str, str]:
    """Code and message of a stored error; both '' where there is none."""
    code, _, message = text.partition(": ")
    return code, message
