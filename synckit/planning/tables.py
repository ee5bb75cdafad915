"""The frames a plan is made of: their columns, the closed list of dispositions, and the eight counters derived from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: Disposition -> the job counter it counts under (design section 2); None: counted in no counter.
COUNTER_OF: dict[str, str | None] = {
    "create": "inserted",
    "restore": "inserted",
    "update": "modified",
    "couple": "modified",  # a special finder supplied the partner (S-041)
    "unchanged": "unchanged",
    "remove coupling": "unchanged",
    "delete": "deleted",
    "coupling": "coupled",  # a coupling job
    "uncoupling": "uncoupled",
    "conflict": "failed",
    "will fail": "failed",
    "blocked": "failed",
    "deleted partner": "failed",
    "skipped": "skipped",
    "loses to policy": "skipped",
    "not coupled, chosen": "skipped",  # S-052
    "not coupled": None,
    "outside the filter": None,
    "left out by rule": None,
    "not due": None,
    "not a source": None,  # a row of the destination side alone: the other pass looks at it, or the mapping is one-way
    "excluded": None,
    "held": None,
    "broken coupling": None,  # neither side exists any more
}
COUNTERS = ("inserted", "modified", "deleted", "unchanged", "skipped", "failed", "coupled", "uncoupled")

#: Codes of the records that coupling by match left without a partner; their disposition is "will fail".
UNMATCHED = ("no_match", "several_matches", "match_taken", "blank_criteria")

#: What a planned row may warn of; the catalogue says what each means.
WARNINGS = ("overwrites_newer_value", "possible_duplicate", "value_cut", "lookup_cleared", "template_overrides_value", "ambiguous_match",
            "matched_on_fewer_fields", "match_has_rivals", "recoupled")  # fmt: skip

#: Dispositions that write to a system.
WRITES = ("create", "restore", "update", "couple", "delete")
#: Dispositions that change what the ledger knows of couplings (an uncoupling may write to a system, too: its row then names a table).
COUPLES = ("coupling", "uncoupling")
#: Dispositions that apply carries out.
CARRIED_OUT = (*WRITES, *COUPLES)
#: Dispositions that apply books as failed, with their error, without sending anything.
FAILING = ("will fail", "blocked", "deleted partner")
BOOKED_AS_FAILED = ("conflict", *FAILING)


def in_coupling_job(row: dict[str, Any]) -> bool:
    """Whether a row of a mapping that is coupled by match belongs to its coupling job, not to the synchronisation that follows."""
    return row["disposition"] == "coupling" or (row["disposition"] == "will fail" and row["code"] in UNMATCHED)


#: One row per record and pass. `record` numbers the records of a mapping from 0 in the plan's order (coupled pair, or a row of one
#: side); keys and versions are None where that side has no row. `step` 2: written after the mapping's own rows (a reference that
#: closes a cycle, a rule's follow-up); `table` is then the schema table written, else None.
ROWS = pa.schema(
    [
        ("mapping", pa.string()),
        ("pass", pa.string()),  # "to" | "from"
        ("record", pa.int64()),
        ("step", pa.int8()),
        ("local_key", pa.string()),
        ("integration_key", pa.string()),
        ("local_name", pa.string()),
        ("integration_name", pa.string()),
        ("disposition", pa.string()),
        ("code", pa.string()),  # stable code of the reason, e.g. "lookup_not_coupled"
        ("reason", pa.string()),  # a sentence
        ("warnings", pa.list_(pa.string())),
        ("local_token", pa.string()),  # version seen at planning; None for the side that has no row
        ("integration_token", pa.string()),
        ("coupled", pa.bool_()),
        ("table", pa.string()),
        ("local_print", pa.string()),  # fingerprints of the fields that go both ways, as each side holds them now
        ("integration_print", pa.string()),
    ]
)

#: One row per field that an update, a couple or a step-2 row writes. Values are canonical text (see `text_of`); NULL = blank.
#: `ref_mapping`/`ref_key`: the value is the key of a record that this plan itself creates: its planned row's source key.
CHANGES = pa.schema(
    [
        ("mapping", pa.string()),
        ("pass", pa.string()),
        ("record", pa.int64()),
        ("step", pa.int8()),
        ("field", pa.string()),  # name of the source field as the mapping calls it ("E-Mail"); for a rule the rule's id
        ("column", pa.string()),  # name of the destination column
        ("old", pa.string()),
        ("new", pa.string()),
        ("origin", pa.string()),  # "field" | "constant" | "lookup" | "template" | "rule <id>" | "transformation <rule>" | "company"
        ("ref_mapping", pa.string()),
        ("ref_key", pa.string()),
    ]
)

#: One row per field in which a conflicting record differs, for each pass: what that pass would write over what. `changed_by`:
#: "local", "integration", "both", or "unknown" where no fingerprint of the last synchronisation is kept.
CONFLICTS = pa.schema([*CHANGES, ("two_way", pa.bool_()), ("changed_by", pa.string())])

#: What a value of a written column is called, where it is the number of an option or the key of another record.
CALLED = pa.schema([(name, pa.string()) for name in ("mapping", "pass", "column", "value", "name")])

#: One row per error of a record (a record may have several); the first also stands in ROWS.reason.
ERRORS = pa.schema(
    [
        ("mapping", pa.string()),
        ("pass", pa.string()),
        ("record", pa.int64()),
        ("code", pa.string()),
        ("field", pa.string()),
        ("value", pa.string()),
        ("message", pa.string()),
    ]
)

#: What a row waits for: a planned row of another (or the same) mapping.
DEPENDS = pa.schema(
    [
        ("mapping", pa.string()),
        ("pass", pa.string()),
        ("record", pa.int64()),
        ("parent_mapping", pa.string()),
        ("parent_pass", pa.string()),
        ("parent_record", pa.int64()),
        ("field", pa.string()),
    ]
)

#: Review lines: one per mapping, with the recommendation and the counts behind it (engine-behaviour 8).
REVIEW = pa.schema(
    [
        ("mapping", pa.string()),
        ("direction", pa.string()),
        ("recommendation", pa.string()),  # Full Synchronization | Couple Records | No Records | Dependency not satisfied
        ("reason", pa.string()),
        ("local_rows", pa.int64()),
        ("integration_rows", pa.int64()),
        ("coupled", pa.int64()),
        ("uncoupled_local", pa.int64()),
        ("uncoupled_integration", pa.int64()),
        ("depends_on", pa.string()),
    ]
)

#: Planned creates that look like records that already exist.
DUPLICATES = pa.schema(
    [
        ("mapping", pa.string()),
        ("pass", pa.string()),
        ("record", pa.int64()),  # the planned create
        ("source_key", pa.string()),
        ("source_name", pa.string()),
        ("existing_side", pa.string()),  # "local" | "integration"
        ("existing_key", pa.string()),
        ("existing_name", pa.string()),
        ("existing_coupled", pa.bool_()),  # "taken": this create would double a coupled record
        ("score", pa.float64()),
        ("why", pa.string()),  # "same e-mail; same name"
        ("source_print", pa.string()),  # of the values that say who each record is: a judgement stands while they are the same
        ("existing_print", pa.string()),
    ]
)

#: Why two records look alike: one line per piece of evidence of each line of DUPLICATES, in the order in which it adds up.
EVIDENCE = pa.schema(
    [
        ("mapping", pa.string()),
        ("source_key", pa.string()),
        ("existing_side", pa.string()),
        ("existing_key", pa.string()),
        ("field", pa.string()),  # as the mapping calls it; base, other records, competition: what no single field says
        ("source_value", pa.string()),  # as compared; None: missing
        ("existing_value", pa.string()),
        ("level", pa.string()),  # equal | similar 0.82 | different | missing | ""
        ("log_odds", pa.float64()),
        ("score_so_far", pa.float64()),  # the last one is the score of the pair
    ]
)

#: Pairs of uncoupled records that may be the same, as planning saw them: what coupling them later needs to know.
PAIRS = pa.schema(
    [
        ("mapping", pa.string()),
        ("local_key", pa.string()),
        ("integration_key", pa.string()),
        ("local_code", pa.string()),
        ("local_name", pa.string()),
        ("integration_name", pa.string()),
        ("local_token", pa.string()),
        ("integration_token", pa.string()),
        ("fails", pa.bool_()),  # its first synchronisation would fail
    ]
)

#: What the first synchronisation of such a pair would write in each pass, were it coupled.
PAIR_CHANGES = pa.schema([*(f for f in CHANGES if f.name not in ("record", "step")), ("local_key", pa.string()),
                          ("integration_key", pa.string()), ("two_way", pa.bool_())])  # fmt: skip


def records_in(rows: pa.Table, dispositions: Iterable[str]) -> int:
    """How many records have a row (of ROWS) of these dispositions: a pair that stops in both passes is one record."""
    of = rows.filter(pc.is_in(rows.column("disposition"), pa.array(list(dispositions), pa.string())))
    return of.select(["mapping", "local_key", "integration_key"]).group_by(["mapping", "local_key", "integration_key"]).aggregate([]).num_rows  # fmt: skip
