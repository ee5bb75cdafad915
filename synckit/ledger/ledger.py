"""What synckit remembers, read as plain values and Arrow tables, written in explicit transactions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from synckit.ledger import journal, lease
from synckit.ledger.arrow import MOMENT, as_table, fetch, fetch_many
from synckit.ledger.couplings import chunks
from synckit.ledger.database import Database, row_of
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
from synckit.ledger.transaction import Transaction, split_error
from synckit.planning.tables import COUNTERS

#: From so many keys on, all couplings are read rather than those of the keys.
MANY_KEYS = 50_000
_TYPES = {"i": pa.int64(), "s": pa.string(), "b": pa.bool_(), "t": MOMENT, "f": pa.float64()}


def _schema(text: str) -> pa.Schema:
    """A schema from words such as "id:i! name:s": i integer, s text, b boolean, t moment, f float; ! never null."""
    fields = [word.partition(":") for word in text.split()]
    return pa.schema([pa.field(name, _TYPES[kind[0]], nullable=not kind.endswith("!")) for name, _, kind in fields])


COUPLINGS = _schema(
    "id:i! local_key:s! integration_key:s! local_stamp:s integration_stamp:s to_result:s! from_result:s! to_error:s! from_error:s! "
    "skipped:b! held:s"
)
WAITING = _schema("side:s! key:s! reason:s!")
HOLDS = _schema("side:s! key:s! reason:s! since:s")
RUNS = _schema(
    "id:i! plan_id:s! kind:s! status:s! started:t finished:t operator:s! host:s! pid:i epoch:i message:s! closing_answer:s!"
)
JOBS = _schema(
    "id:s! run_id:i! mapping:s! direction:s! type:s! status:s! started:t finished:t duration:f message:s! "
    + " ".join(f"{counter}:i!" for counter in (*COUNTERS, *(f"planned_{name}" for name in COUNTERS)))
)
ERRORS = _schema(
    "id:i! job_id:s! run_id:i! mapping:s! direction:s! local_key:s integration_key:s code:s! field:s! value:s! message:s! at:t"
)
SKIPPED = _schema("id:i! mapping:s! local_key:s! integration_key:s! direction:s! code:s! message:s! job_id:s! at:t")
JOURNAL_LINES = _schema(
    "id:i! run_id:i! job_id:s! mapping:s! direction:s! step:i! seq:i! side:s! table_name:s! op:s! source_key:s local_key:s "
    "integration_key:s before:s after:s source_token:s token_before:s token_after:s state:s! error:s! at:t"
)
DECISIONS = _schema("id:i! at:t operator:s! mapping:s! kind:s! local_key:s integration_key:s value:s!")
COUNTS = _schema("mapping:s! coupled:i! failed:i! skipped:i! held:i!")


def _walked(connection: sa.Connection, mapping: str) -> sa.ColumnElement[bool]:
    """The condition that limits a walk over the couplings to one mapping; on SQLite not by its index where that holds most of them."""
    column: sa.ColumnElement[str] = COUPLING.c.mapping
    if connection.dialect.name == "sqlite":
        counted = sa.select(sa.func.count()).select_from(COUPLING)
        mine = connection.scalar(counted.where(column == mapping)) or 0
        if mine * 4 > (connection.scalar(counted) or 0):
            column = sa.literal_column("+coupling.mapping", sa.Text)
    return column == mapping


def _ascending(column: pa.ChunkedArray) -> bool:
    whole = column.combine_chunks()
    return bool(pc.all(pc.less(whole[:-1], whole[1:])).as_py()) if len(whole) > 1 else True


class Ledger:
    """The ledger of one pair of systems. Reading never changes it (nor creates it); writing goes through `transaction`.

    Where the database or file does not exist yet, every question is answered as by an empty ledger.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lease = lease.Lease(database)

    @classmethod
    def open(cls, url_or_path: str, *, identity: str) -> Ledger:
        """The ledger at a path (SQLite) or a SQLite or PostgreSQL URL. `identity` names the pair of systems that it is about.

        Creates nothing: the first transaction does. Raises SynckitError where the address is none, and later, on first use, where
        the file is not a ledger or was written by a newer synckit.
        """
        return cls(Database(url_or_path, identity))

    def close(self) -> None:
        self._database.close()

    def __repr__(self) -> str:
        return f"<Ledger {self.address}>"

    @property
    def address(self) -> str:
        """Where the ledger lies, without secrets."""
        return self._database.address

    @property
    def exists(self) -> bool:
        with self._database.reading() as connection:
            return connection is not None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Write transactions inside share one connection; each is committed by itself as ever."""
        with self._database.keeping():
            yield

    @contextmanager
    def transaction(self, at: datetime | None = None, *, epoch: int | None = None) -> Iterator[Transaction]:
        """One write transaction: committed whole at the end, rolled back whole on any exception. The first one creates the ledger.

        `at` is the moment everything in it is stamped with (default: now). With `epoch` the lease must still be held under it,
        else SynckitError and nothing is written.
        """
        with self._database.writing() as connection:
            if epoch is not None:
                lease.check(connection, epoch)
            yield Transaction(connection, at or datetime.now(UTC))

    # Facts

    @property
    def ledger_id(self) -> str:
        """The ledger's id; before it exists, the id it will be created with."""
        return self._meta("ledger_id", self._database.birth_id)

    def run_counter(self) -> int:
        """Grows with every change of what plans rest on; read before and after the snapshots of a plan."""
        return int(self._meta("run_counter", "0"))

    def settings(self) -> dict[str, dict[str, str]]:
        """key -> {value, origin, at}."""
        rows = self._rows(sa.select(SETTING).order_by(SETTING.c.key))
        return {row["key"]: {"value": row["value"], "origin": row["origin"], "at": row["at"]} for row in rows}

    # Couplings and what else a plan starts from

    def couplings(self, mapping: str, *, fingerprints: bool = False) -> pa.Table:
        """All couplings of a mapping (COUPLINGS), in the order of their ids; with `fingerprints` that column too."""
        schema = COUPLINGS.append(pa.field("fingerprints", pa.string())) if fingerprints else COUPLINGS
        with self._database.reading() as connection:
            if connection is None:
                return schema.empty_table()
            query = sa.select(*(COUPLING.c[name] for name in schema.names)).where(_walked(connection, mapping))
            found = fetch_many(self._database, connection, query, schema)
            return found if _ascending(found.column("id")) else found.sort_by("id")  # half the time of ORDER BY

    def couplings_of(self, mapping: str, local: Sequence[str], integration: Sequence[str], *, waiting: bool = False) -> pa.Table:
        """At least the couplings (COUPLINGS) that hold one of these keys and, with `waiting`, those that failed last and are not
        skipped, or have no stamp on some side. Found by the indexes; where much is asked for, all are read."""
        if len(local) + len(integration) > MANY_KEYS:
            return self.couplings(mapping)
        mine = sa.select(*(COUPLING.c[name] for name in COUPLINGS.names))
        named = COUPLING.c.mapping == mapping
        conditions: list[sa.ColumnElement[bool]] = [sa.and_(named, COUPLING.c.local_key.in_(some)) for some in chunks(local)]
        conditions += [sa.and_(named, COUPLING.c.integration_key.in_(some)) for some in chunks(integration)]
        with self._database.reading() as connection:
            if connection is None:
                return COUPLINGS.empty_table()
            if waiting:
                failed = sa.or_(COUPLING.c.to_result == "failure", COUPLING.c.from_result == "failure")
                unstamped = (sa.func.coalesce(COUPLING.c[f"{side}_stamp"], "") == "" for side in ("local", "integration"))
                conditions.append(sa.and_(_walked(connection, mapping), ~COUPLING.c.skipped, sa.or_(failed, *unstamped)))
            whole = pa.concat_tables([COUPLINGS.empty_table(), *(fetch(connection, mine.where(c), COUPLINGS) for c in conditions)])
        last = whole.append_column("row", pa.array(range(whole.num_rows), pa.int64())).group_by("id").aggregate([("row", "max")])
        return whole.take(last.column("row_max")).sort_by("id")

    def coupled_keys(self, mapping: str) -> pa.Table:
        """The keys alone of all couplings of a mapping: id, local_key, integration_key."""
        schema = pa.schema([COUPLINGS.field(name) for name in ("id", "local_key", "integration_key")])
        with self._database.reading() as connection:
            if connection is None:
                return schema.empty_table()
            query = sa.select(*(COUPLING.c[name] for name in schema.names)).where(_walked(connection, mapping))
            return fetch_many(self._database, connection, query, schema)

    def coupling(self, mapping: str, *, local: str | None = None, integration: str | None = None) -> dict[str, Any] | None:
        """The whole coupling of one record, or None."""
        where = [COUPLING.c.mapping == mapping]
        where += [COUPLING.c.local_key == local] if local is not None else []
        where += [COUPLING.c.integration_key == integration] if integration is not None else []
        found = self._rows(sa.select(COUPLING).where(*where).limit(1)) if len(where) > 1 else []
        return found[0] if found else None

    def coupled_by(self, run: int) -> dict[str, set[tuple[str, str]]]:
        """mapping -> (local key, integration key) of the couplings that a run made and that are still there."""
        found: dict[str, set[tuple[str, str]]] = {}
        query = sa.select(COUPLING.c.mapping, COUPLING.c.local_key, COUPLING.c.integration_key)
        for row in self._rows(query.where(COUPLING.c.coupled_by_run == run)):
            found.setdefault(row["mapping"], set()).add((row["local_key"], row["integration_key"]))
        return found

    def coupling_count(self, mapping: str) -> int:
        with self._database.reading() as connection:
            query = sa.select(sa.func.count()).select_from(COUPLING).where(COUPLING.c.mapping == mapping)
            return 0 if connection is None else int(connection.execute(query).scalar_one())

    def coupling_counts(self) -> pa.Table:
        """Per mapping that has couplings: how many, and how many of them failed last, are skipped, are held (COUNTS)."""
        failed = sa.and_(~COUPLING.c.skipped, sa.or_(COUPLING.c.to_result == "failure", COUPLING.c.from_result == "failure"))
        columns = [sa.func.sum(sa.case((test, 1), else_=0)) for test in (failed, COUPLING.c.skipped, COUPLING.c.held.is_not(None))]
        query = sa.select(COUPLING.c.mapping, sa.func.count(), *columns).group_by(COUPLING.c.mapping).order_by(COUPLING.c.mapping)
        return self._table(query, COUNTS)

    def watermarks(self, mapping: str) -> dict[str, str]:
        """side -> watermark, as stored; a side that has none is missing."""
        return {row["side"]: row["value"] for row in self._rows(sa.select(WATERMARK).where(WATERMARK.c.mapping == mapping))}

    def due(self, mapping: str) -> pa.Table:
        """Rows to look at whatever the watermark says (side, key, reason)."""
        query = sa.select(DUE.c.side, DUE.c.key, DUE.c.reason).where(DUE.c.mapping == mapping)
        return self._table(query.order_by(DUE.c.side, DUE.c.key), WAITING)

    def held(self, mapping: str) -> pa.Table:
        """Source rows that no run carries out until someone lifts it (side, key, reason, since); held couplings stand in `couplings`."""
        query = sa.select(HELD.c.side, HELD.c.key, HELD.c.reason, HELD.c.since).where(HELD.c.mapping == mapping)
        return self._table(query.order_by(HELD.c.side, HELD.c.key), HOLDS)

    def created_times(self, mapping: str) -> dict[tuple[str, str], int]:
        """(side, source key) -> how often a partner was created for it; rows that never had one are missing."""
        query = sa.select(CREATED).where(CREATED.c.mapping == mapping)
        return {(row["side"], row["source_key"]): row["times"] for row in self._rows(query)}

    def claims(self, run: int) -> dict[tuple[str, str], list[str]]:
        """(mapping, side) -> source keys that a run has claimed and not given back."""
        claims: dict[tuple[str, str], list[str]] = {}
        query = sa.select(CLAIM).where(CLAIM.c.run_id == run)
        for row in self._rows(query.order_by(CLAIM.c.mapping, CLAIM.c.side, CLAIM.c.source_key)):
            claims.setdefault((row["mapping"], row["side"]), []).append(row["source_key"])
        return claims

    # Runs, jobs, errors

    def runs(self, *, now: datetime | None = None) -> pa.Table:
        """All runs, newest first (RUNS). A run that is booked as running but whose process is gone shows as interrupted."""
        with self._database.reading() as connection:
            if connection is None:
                return RUNS.empty_table()
            query = sa.select(*(_run_status(connection, now) if name == "status" else RUN.c[name] for name in RUNS.names))
            return fetch_many(self._database, connection, query.order_by(RUN.c.id.desc()), RUNS)

    def kept_plan(self, run: int) -> bytes | None:
        """The plan of an unfinished run, as it was kept when the run began."""
        rows = self._rows(sa.select(RUN_PLAN.c.content).where(RUN_PLAN.c.run_id == run))
        return rows[0]["content"] if rows else None

    def jobs(
        self,
        mapping: str | None = None,
        run: int | None = None,
        limit: int | None = None,
        *,
        now: datetime | None = None,
    ) -> pa.Table:
        """Jobs, newest first (JOBS). `duration` is in seconds, null while running or where the clock went back.

        `status` is derived (engine-behaviour 1.7): no finish time: running, or interrupted when its run is; failed rows: error;
        else success.
        """
        with self._database.reading() as connection:
            if connection is None:
                return JOBS.empty_table()
            of_run = _run_status(connection, now)
            derived: dict[str, Any] = {
                "status": sa.case(
                    (sa.and_(JOB.c.finished.is_(None), of_run == "running"), "running"),
                    (JOB.c.finished.is_(None), "interrupted"),
                    (JOB.c.failed != 0, "error"),
                    else_="success",
                ),
                "duration": sa.null(),
            }
            query = sa.select(*(derived[name] if name in derived else JOB.c[name] for name in JOBS.names))
            query = query.join_from(JOB, RUN, JOB.c.run_id == RUN.c.id).order_by(JOB.c.number.desc())
            query = query.where(JOB.c.mapping == mapping) if mapping is not None else query
            query = query.where(JOB.c.run_id == run) if run is not None else query
            table = fetch_many(self._database, connection, query.limit(limit) if limit is not None else query, JOBS)
        took = pc.subtract(table["finished"], table["started"]).cast(pa.int64())
        seconds = pc.divide(pc.if_else(pc.greater_equal(took, 0), took, None).cast(pa.float64()), 1e6)
        return table.set_column(JOBS.get_field_index("duration"), JOBS.field("duration"), seconds)

    def errors(
        self,
        mapping: str | None = None,
        run: int | None = None,
        job: str | None = None,
        key: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Job errors, newest first (ERRORS); `key` is a key of either side."""
        wanted = [
            column == value
            for column, value in ((JOB_ERROR.c.mapping, mapping), (JOB_ERROR.c.run_id, run), (JOB_ERROR.c.job_id, job))
            if value is not None
        ]
        if key is not None:
            wanted.append(sa.or_(JOB_ERROR.c.local_key == key, JOB_ERROR.c.integration_key == key))
        if not wanted and limit is None:
            return self._all_errors()
        query = sa.select(*((JOB if name == "direction" else JOB_ERROR).c[name] for name in ERRORS.names))
        query = query.join_from(JOB_ERROR, JOB, JOB_ERROR.c.job_id == JOB.c.id).order_by(JOB_ERROR.c.id.desc())
        query = query.where(*wanted)
        return self._table(query.limit(limit) if limit is not None else query, ERRORS)

    def _all_errors(self) -> pa.Table:
        """Every error, the direction of its job looked up here: joined by the jobs' ids, the database takes twice as long."""
        place = ERRORS.get_field_index("direction")
        lines = ERRORS.remove(place)
        errors = self._table(sa.select(*(JOB_ERROR.c[name] for name in lines.names)).order_by(JOB_ERROR.c.id.desc()), lines)
        jobs = self._table(sa.select(JOB.c.id, JOB.c.direction), pa.schema([JOBS.field("id"), JOBS.field("direction")]))
        of_job = pc.index_in(errors["job_id"], value_set=jobs["id"].combine_chunks())
        found = errors.add_column(place, ERRORS.field("direction"), jobs["direction"].take(of_job)).cast(ERRORS)
        return found.filter(pc.is_valid(of_job)) if of_job.null_count else found

    def skipped(self, mapping: str | None = None) -> pa.Table:
        """Skipped couplings, latest failure first, with direction, code, text and time of their error (SKIPPED; S-093). Where both
        directions failed it is the error of the direction to integration (S-106)."""
        to_job, from_job = JOB.alias("to_job"), JOB.alias("from_job")
        by_from = sa.and_(COUPLING.c.from_result == "failure", COUPLING.c.to_result != "failure")
        job_id = sa.case((by_from, COUPLING.c.from_job), else_=COUPLING.c.to_job)
        of_row = sa.and_(JOB_ERROR.c.job_id == job_id, JOB_ERROR.c.mapping == COUPLING.c.mapping)
        at = sa.select(sa.func.max(JOB_ERROR.c.at)).where(of_row, JOB_ERROR.c.local_key == COUPLING.c.local_key).scalar_subquery()
        direction = sa.case((by_from, "from_integration"), (COUPLING.c.to_result == "failure", "to_integration"), else_="")
        query = (
            sa.select(
                COUPLING.c.id,
                COUPLING.c.mapping,
                COUPLING.c.local_key,
                COUPLING.c.integration_key,
                direction.label("direction"),
                sa.literal("").label("code"),
                sa.case((by_from, COUPLING.c.from_error), else_=COUPLING.c.to_error).label("message"),
                job_id.label("job_id"),
                sa.func.coalesce(at, sa.case((by_from, from_job.c.started), else_=to_job.c.started), "").label("at"),
            )
            .outerjoin_from(COUPLING, to_job, to_job.c.id == COUPLING.c.to_job)
            .outerjoin(from_job, from_job.c.id == COUPLING.c.from_job)
            .where(COUPLING.c.skipped)
            .order_by(sa.desc("at"), COUPLING.c.mapping, COUPLING.c.local_key)
        )
        with self._database.reading() as connection:
            if connection is None:
                return SKIPPED.empty_table()
            query = query.where(_walked(connection, mapping)) if mapping is not None else query
            table = fetch_many(self._database, connection, query, SKIPPED)
        errors = [split_error(text) for text in table["message"].to_pylist()]
        for position, name in enumerate(("code", "message")):
            values = pa.array([error[position] for error in errors], pa.string())
            table = table.set_column(SKIPPED.get_field_index(name), SKIPPED.field(name), values)
        return table

    def journal(
        self,
        run: int | None = None,
        mapping: str | None = None,
        key: str | None = None,
        state: str | None = None,
    ) -> pa.Table:
        """Journal lines in the order written (JOURNAL_LINES); `key` is a key of either side; `before` and `after` are JSON."""
        query = sa.select(*(JOURNAL.c[name] for name in JOURNAL_LINES.names)).order_by(JOURNAL.c.id)
        batches = sa.select(JOURNAL_BATCH).order_by(JOURNAL_BATCH.c.id)
        for name, value in (("run_id", run), ("mapping", mapping)):
            if value is not None:
                query, batches = query.where(JOURNAL.c[name] == value), batches.where(JOURNAL_BATCH.c[name] == value)
        query = query.where(JOURNAL.c.state == state) if state is not None else query
        batches = batches.where(JOURNAL_BATCH.c.settled_at.is_(None)) if state == "intent" else batches
        if key is not None:
            query = query.where(sa.or_(JOURNAL.c.local_key == key, JOURNAL.c.integration_key == key))
        with self._database.reading() as connection:
            if connection is None:
                return JOURNAL_LINES.empty_table()
            if key is not None:  # only batches that may hold the key are looked into
                hashed = connection.execute(batches.with_only_columns(JOURNAL_BATCH.c.id, JOURNAL_BATCH.c.key_hashes))
                numbers = [row.id for row in hashed if journal.may_hold(row.key_hashes, key)]
                batches = batches.where(JOURNAL_BATCH.c.id.in_(numbers))
            found = [fetch_many(self._database, connection, query, JOURNAL_LINES)]
            for row in connection.execute(batches):
                table = as_table(journal.lines(dict(row._mapping)), JOURNAL_LINES)
                if key is not None:
                    table = table.filter(pc.or_kleene(pc.equal(table["local_key"], key), pc.equal(table["integration_key"], key)))
                found.append(table if state is None else table.filter(pc.equal(table["state"], state)))
        whole = pa.concat_tables(found)
        return whole.sort_by("id") if len(found) > 1 and found[0].num_rows else whole

    def decisions(self, mapping: str | None = None) -> pa.Table:
        """Decisions that people took, oldest first (DECISIONS)."""
        query = sa.select(*(DECISION.c[name] for name in DECISIONS.names)).order_by(DECISION.c.id)
        return self._table(query.where(DECISION.c.mapping == mapping) if mapping is not None else query, DECISIONS)

    def mapping_names(self) -> list[str]:
        """The mappings that have couplings here."""
        return [row["mapping"] for row in self._rows(sa.select(COUPLING.c.mapping).distinct().order_by(COUPLING.c.mapping))]

    def _meta(self, key: str, default: str) -> str:
        rows = self._rows(sa.select(META.c.value).where(META.c.key == key))
        return str(rows[0]["value"]) if rows else default

    def _rows(self, query: sa.Select) -> list[dict[str, Any]]:
        with self._database.reading() as connection:
            return [] if connection is None else [dict(row._mapping) for row in connection.execute(query)]

    def _table(self, query: sa.Select, schema: pa.Schema) -> pa.Table:
        with self._database.reading() as connection:
            return schema.empty_table() if connection is None else fetch_many(self._database, connection, query, schema)


def _run_status(connection: sa.Connection, now: datetime | None) -> sa.ColumnElement[str]:
    """The status of a run, as booked; but a run whose hold on the ledger is gone is not running any more, it was interrupted."""
    row = row_of(connection.execute(sa.select(LEASE)).one_or_none())
    epoch = row["epoch"] if row and lease.is_held(row, now or datetime.now(UTC)) else -1
    gone = sa.and_(RUN.c.status == "running", sa.func.coalesce(RUN.c.epoch, -2) != epoch)
    return sa.case((gone, "interrupted"), else_=RUN.c.status)
