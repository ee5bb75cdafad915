"""The tables of the ledger: what synckit remembers, as SQLAlchemy Core metadata (SQLite by default, PostgreSQL alike).

Moments (`at`, `started`, `heartbeat` ...) are text, UTC, always with microseconds, so that their order as text is their order in
time. Keys, stamps and tokens are text exactly as the systems gave them. A result is '' (never tried), 'success' or 'failure'.
"""

from __future__ import annotations

import sqlalchemy as sa

from synckit.planning.tables import COUNTERS

SCHEMA_VERSION = 2

RESULTS = ("", "success", "failure")
RUN_STATUSES = ("running", "finished", "interrupted", "cancelled", "failed")
JOB_TYPES = ("synchronization", "coupling", "uncoupling")
OPERATIONS = ("insert", "update", "delete", "couple", "uncouple")
JOURNAL_STATES = ("intent", "done", "stale", "failed")

METADATA = sa.MetaData()

#: SQLite only counts INTEGER PRIMARY KEY by itself; elsewhere the wide type is wanted.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _number(**options: object) -> sa.Column:
    return sa.Column("id", _ID, primary_key=True, autoincrement=True, **options)  # type: ignore[arg-type]


def _text(name: str, **options: object) -> sa.Column:
    """A text that is always there ('' where nothing is to say)."""
    return sa.Column(name, sa.Text, nullable=False, server_default="", **options)  # type: ignore[arg-type]


def _one_of(name: str, allowed: tuple[str, ...], **options: object) -> sa.Column:
    choices = " OR ".join(f"{name} = '{value}'" for value in allowed)  # as IN (...), SQLite would build a list for every row
    check = sa.CheckConstraint(choices)
    return sa.Column(name, sa.Text, check, nullable=False, **options)  # type: ignore[arg-type]


def _key(name: str) -> sa.Column:
    return sa.Column(name, sa.Text, primary_key=True, nullable=False)


META = sa.Table("meta", METADATA, _key("key"), _text("value"))

COUPLING = sa.Table(
    "coupling",
    METADATA,
    _number(),
    sa.Column("mapping", sa.Text, nullable=False),
    sa.Column("local_key", sa.Text, nullable=False),
    sa.Column("integration_key", sa.Text, nullable=False),
    sa.Column("local_stamp", sa.Text),
    sa.Column("integration_stamp", sa.Text),
    sa.Column("fingerprints", sa.Text),
    _one_of("to_result", RESULTS, server_default=""),
    _text("to_job"),
    _one_of("from_result", RESULTS, server_default=""),
    _text("from_job"),
    _text("to_error"),
    _text("from_error"),
    sa.Column("skipped", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("held", sa.Text),
    _text("coupled_at"),
    sa.Column("coupled_by_run", sa.Integer),
    sa.UniqueConstraint("mapping", "local_key"),
    sa.UniqueConstraint("mapping", "integration_key"),
    sqlite_autoincrement=True,
)
sa.Index("coupling_skipped", COUPLING.c.mapping, sqlite_where=COUPLING.c.skipped, postgresql_where=COUPLING.c.skipped)

WATERMARK = sa.Table("watermark", METADATA, _key("mapping"), _key("side"), sa.Column("value", sa.Text, nullable=False))

DUE = sa.Table("due", METADATA, _key("mapping"), _key("side"), _key("key"), _text("reason"), sa.Column("run_id", sa.Integer))

HELD = sa.Table(
    "held",
    METADATA,
    _key("mapping"),
    _key("side"),
    _key("key"),
    _text("reason"),
    sa.Column("run_id", sa.Integer),
    _text("since"),
)

RUN = sa.Table(
    "run",
    METADATA,
    _number(),
    sa.Column("plan_id", sa.Text, nullable=False, unique=True),
    _text("kind"),
    _one_of("status", RUN_STATUSES),
    _text("started"),
    sa.Column("finished", sa.Text),
    _text("operator"),
    _text("host"),
    sa.Column("pid", sa.Integer),
    sa.Column("epoch", sa.Integer),
    _text("message"),
    _text("closing_answer"),
    sqlite_autoincrement=True,
)

#: `number` counts the jobs of a ledger, so that "newest first" is a total order.
JOB = sa.Table(
    "job",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("number", _ID, nullable=False, unique=True),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False, index=True),
    sa.Column("mapping", sa.Text, nullable=False, index=True),
    _text("direction"),
    _one_of("type", JOB_TYPES),
    _text("started"),
    sa.Column("finished", sa.Text),
    _text("message"),
    *(sa.Column(counter, sa.Integer, nullable=False, server_default="0") for counter in COUNTERS),
    *(sa.Column(f"planned_{counter}", sa.Integer, nullable=False, server_default="0") for counter in COUNTERS),
)

JOB_ERROR = sa.Table(
    "job_error",
    METADATA,
    _number(),
    sa.Column("job_id", sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("run_id", sa.Integer, nullable=False, index=True),
    sa.Column("mapping", sa.Text, nullable=False),
    sa.Column("local_key", sa.Text),
    sa.Column("integration_key", sa.Text),
    _text("code"),
    _text("field"),
    _text("value"),
    _text("message"),
    _text("at"),
    sa.Index("job_error_local", "mapping", "local_key"),
    sa.Index("job_error_integration", "mapping", "integration_key"),
    sqlite_autoincrement=True,
)

#: One line per write: the intent before it is sent, what became of it after. Numbered by the ledger itself, not by the database,
#: so that the numbers of a batch are known without asking back.
JOURNAL = sa.Table(
    "journal",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False),
    _text("job_id"),
    sa.Column("mapping", sa.Text, nullable=False),
    _text("direction"),
    sa.Column("step", sa.Integer, nullable=False, server_default="1"),
    sa.Column("seq", sa.Integer, nullable=False, server_default="0"),
    _text("side"),
    _text("table_name"),
    _one_of("op", OPERATIONS),
    sa.Column("source_key", sa.Text),
    sa.Column("local_key", sa.Text),
    sa.Column("integration_key", sa.Text),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
    sa.Column("source_token", sa.Text),
    sa.Column("token_before", sa.Text),
    sa.Column("token_after", sa.Text),
    _one_of("state", JOURNAL_STATES),
    _text("error"),
    _text("at"),
    sa.Index("journal_run", "run_id", "state"),
    sa.Index("journal_local", "mapping", "local_key"),
    sa.Index("journal_integration", "mapping", "integration_key"),
)

#: Many lines of the journal in one row (see synckit.ledger.journal): `id` is the number of the first, `lines` how many they are.
#: `key_hashes`: of the keys of both sides; `settled_at`: when the last outcome became known, NULL while one is missing.
JOURNAL_BATCH = sa.Table(
    "journal_batch",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False, index=True),
    _text("job_id"),
    sa.Column("mapping", sa.Text, nullable=False, index=True),
    _text("direction"),
    sa.Column("step", sa.Integer, nullable=False, server_default="1"),
    _text("side"),
    _text("table_name"),
    _one_of("op", OPERATIONS),
    _text("at"),
    sa.Column("settled_at", sa.Text),
    sa.Column("key_hashes", sa.LargeBinary, nullable=False),
    sa.Column("outcomes", sa.LargeBinary),
    sa.Column("intents", sa.LargeBinary, nullable=False),
)

#: The plan of a run that is not finished, so that resume can carry out what is left of it. Dropped when the run ends.
RUN_PLAN = sa.Table(
    "run_plan",
    METADATA,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

#: A source row of which a run is creating the partner. Two runs can never create it twice.
CLAIM = sa.Table(
    "claim",
    METADATA,
    _key("mapping"),
    _key("side"),
    _key("source_key"),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False, index=True),
)

#: How often a record has lost a partner that synckit may have created for it: part of the next planned key, so that a key is never
#: used twice (design section 3). Counted when a coupling goes, which is rare, rather than when it comes.
CREATED = sa.Table(
    "created", METADATA, _key("mapping"), _key("side"), _key("source_key"), sa.Column("times", sa.Integer, nullable=False)
)

SETTING = sa.Table("setting", METADATA, _key("key"), _text("value"), _text("origin"), _text("at"))

#: One row at most: who is applying, since when, and when it last gave a sign of life. A higher epoch fences off a lower one.
LEASE = sa.Table(
    "lease",
    METADATA,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    _text("holder"),
    sa.Column("run_id", sa.Integer),
    sa.Column("epoch", sa.Integer, nullable=False),
    _text("acquired"),
    _text("heartbeat"),
)

DECISION = sa.Table(
    "decision",
    METADATA,
    _number(),
    _text("at"),
    _text("operator"),
    sa.Column("mapping", sa.Text, nullable=False, index=True),
    _text("kind"),
    sa.Column("local_key", sa.Text),
    sa.Column("integration_key", sa.Text),
    _text("value"),
    sqlite_autoincrement=True,
)
