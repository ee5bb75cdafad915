"""The Plan: everything a synchronisation would do, as immutable frames, and the decisions people have taken on it.

A plan never changes: `exclude` and its like give a new plan with one decision more. What decisions block or exclude is computed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from synckit.errors import SynckitError
from synckit.mapping.schema import nearest
from synckit.planning.called import with_names
from synckit.planning.creates import NEXT_NUMBER, VALUE, created_field
from synckit.planning.decisions import carried_out, check_resolution, children_of, conflicting_rows, merging
from synckit.planning.judging import Judging, created_rows, likely
from synckit.planning.planned_mapping import MappingHead
from synckit.planning.tables import CARRIED_OUT, CHANGES, COUNTER_OF, COUNTERS, FAILING, WARNINGS, in_coupling_job, records_in

ORDER = tuple(COUNTER_OF)


@dataclass(frozen=True)
class Side:
    """A system as the plan saw it. `identity` names its data; secrets are in none of these. `mark`: "new" where the ledger marks it when
    it is first written to, "ours" where it has, "" where it does not."""

    title: str
    address: str
    identity: str
    read_only: str
    taken_at: datetime
    consistent: bool
    environment: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Decision:
    """One decision: `kind` "exclude", "include" (takes an exclusion back), "resolve" (a conflict), or on a possible duplicate "couple",
    "create" or "not_the_same"; for whole mappings (`records` empty) or for records, each a (pass or "", local key or "", integration key
    or ""). `value` of a resolve: "local", "integration", "merge", or the side per field as JSON; of a couple whose values win ("local",
    "integration", "neither"); of a not_the_same "across", or the one side on which both keys stand."""

    kind: str
    mapping: str
    records: tuple[tuple[str, str, str], ...] = ()
    note: str = ""
    by: str = ""
    at: str = ""
    value: str = ""


@dataclass(frozen=True)
class PlanBase:
    """What planning found; written once, never changed."""

    kind: str
    made_at: datetime
    operator: str
    ledger_id: str
    run_counter: int
    order: tuple[str, ...]
    whole: bool
    sides: dict[str, Side]
    mappings: dict[str, MappingHead]
    rows: pa.Table
    changes: pa.Table
    errors: pa.Table
    depends: pa.Table
    review: pa.Table
    duplicates: pa.Table
    creates: dict[tuple[str, str], pa.Table]
    quiet: pa.Table
    conflicts: pa.Table
    evidence: pa.Table
    pairs: pa.Table
    pair_changes: pa.Table
    called: pa.Table
    notes: tuple[str, ...] = ()
    given_id: str = ""  # a plan read from a file keeps the id it was written with

    @cached_property
    def children(self) -> dict[int, list[tuple[int, str]]]:
        """What waits for what, as the decisions need it."""
        return children_of(self)

    @cached_property
    def conflicting(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that `resolve` can decide, by mapping."""
        return conflicting_rows(self)

    @cached_property
    def id(self) -> str:
        """The same content has the same id, whenever it was planned; once applied, the ledger refuses it a second time."""
        if self.given_id:
            return self.given_id
        digest = hashlib.sha256(f"{self.kind}|{self.ledger_id}|{self.run_counter}|{self.order}".encode())
        digest.update("|".join(f"{s.identity}" for s in self.sides.values()).encode())
        digest.update("|".join(m.fingerprint for m in self.mappings.values()).encode())
        for table in (self.rows, self.changes, self.errors, self.depends, self.conflicts, *self.creates.values()):
            digest.update(_bytes(table))
        return digest.hexdigest()[:24]


def _bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    whole = table.combine_chunks()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return sink.getvalue()


class Plan(Judging):
    """What a synchronisation would do. Nothing has been written; `Workspace.apply` carries out exactly these rows."""

    def __init__(self, base: PlanBase, decisions: tuple[Decision, ...] = ()) -> None:
        self.base = base
        self.decisions = decisions

    # -- what it says --------------------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.base.id

    @property
    def mappings(self) -> tuple[str, ...]:
        """Names of the planned mappings, in the order in which they are carried out."""
        return self.base.order

    @property
    def rows(self) -> pa.Table:
        """ROWS with the decisions carried out: what was excluded, and what that blocks."""
        return self._effect[0]

    @property
    def fields(self) -> pa.Table:
        """CHANGES with the decisions carried out: what resolved conflicts write is among them (creates are not expanded)."""
        return self._effect[1]

    @cached_property
    def _effect(self) -> tuple[pa.Table, pa.Table]:
        return carried_out(self.base, self.decisions) if self.decisions else (self.base.rows, self.base.changes)

    @cached_property
    def counts(self) -> dict[tuple[str, str], dict[str, int]]:
        """(mapping, pass) -> disposition -> number of records, every record of both sides counted once."""
        counts: dict[tuple[str, str], dict[str, int]] = {(n, p): {} for n in self.base.order for p in self.base.mappings[n].passes}
        first = self.rows.filter(pc.equal(self.rows.column("step"), 1))
        for table in (first, self.base.quiet):
            grouped = (
                table.select(["mapping", "pass", "disposition"])
                .group_by(["mapping", "pass", "disposition"])
                .aggregate([([], "count_all")])
            )
            for row in grouped.to_pylist():
                of = counts[row["mapping"], row["pass"]]
                of[row["disposition"]] = of.get(row["disposition"], 0) + row["count_all"]
        for (name, in_pass), of in counts.items():
            waiting = self.base.mappings[name].not_due.get(in_pass, 0)  # type: ignore[call-overload]
            if waiting:
                of["not due"] = of.get("not due", 0) + waiting
        # grouping runs in threads: the same plan is told in the same order
        return {place: {d: of[d] for d in ORDER if d in of} for place, of in counts.items()}

    def counters(self) -> dict[tuple[str, str], dict[str, int]]:
        """(mapping, pass) -> the eight planned job counters, derived from the dispositions by one table."""
        found = {}
        for place, of in self.counts.items():
            found[place] = dict.fromkeys(COUNTERS, 0)
            for disposition, n in of.items():
                counter = COUNTER_OF[disposition]
                if counter is not None:
                    found[place][counter] += n
        for place, n in self.unmarked().items():
            found[place]["modified"] += n
        return found

    def coupling_counters(self, mapping: str) -> dict[str, int]:
        """The planned counters of the coupling job that comes before a mapping's passes; they are part of `counters`, too. All 0 where
        the mapping is not coupled by match."""
        found = dict.fromkeys(COUNTERS, 0)
        if self.base.mappings[mapping].matched:
            mine = self.rows.filter(pc.equal(self.rows.column("mapping"), mapping)).select(["disposition", "code"]).to_pylist()
            found["coupled"] = sum(1 for r in mine if r["disposition"] == "coupling")
            found["failed"] = sum(1 for r in mine if in_coupling_job(r) and r["disposition"] != "coupling")
        return found

    def unmarked(self) -> dict[tuple[str, str], int]:
        """(mapping, pass) -> uncouplings that also write a row; the job counts it as modified beside uncoupled (engine-behaviour 6)."""
        r = self.rows
        writing = r.filter(pc.and_(pc.equal(r.column("disposition"), "uncoupling"), pc.is_valid(r.column("table"))))
        grouped = writing.select(["mapping", "pass"]).group_by(["mapping", "pass"]).aggregate([([], "count_all")]).to_pylist()
        return {(line["mapping"], line["pass"]): line["count_all"] for line in grouped}

    def total(self, *dispositions: str) -> int:
        """How many records have one of these dispositions, all mappings and passes together."""
        return sum(of.get(d, 0) for of in self.counts.values() for d in dispositions)

    @property
    def writes(self) -> int:
        """How many rows would be written, coupled or uncoupled, second steps included."""
        return int(pc.sum(pc.is_in(self.rows.column("disposition"), pa.array(CARRIED_OUT))).as_py() or 0)

    def look_alike(self) -> int:
        """How many planned creates look like records that already exist, and were not decided yet."""
        wanted = (
            likely(self.base, self.decisions)
            .select(["mapping", "pass", "record"])
            .group_by(["mapping", "pass", "record"])
            .aggregate([])
        )
        if not wanted.num_rows:
            return 0
        creates = self.rows.filter(pc.equal(self.rows.column("disposition"), "create")).select(["mapping", "pass", "record"])
        return wanted.join(creates, ["mapping", "pass", "record"], join_type="inner").num_rows

    def sentence(self) -> str:
        """The plan in one sentence, zeros left out except for the three that matter."""
        parts = [
            f"create {self.total('create', 'restore'):,}",
            f"couple {self.total('couple', 'coupling'):,}",
            f"update {self.total('update'):,}",
        ]
        parts += [f"{verb} {n:,}" for verb, n in (("uncouple", self.total("uncoupling")), ("delete", self.total("delete"))) if n]
        if self.base.kind in BY_HAND:
            parts = [part for part in parts if not part.endswith(" 0")] or ["change nothing"]
        conflicts, failing = records_in(self.rows, ("conflict",)), records_in(self.rows, FAILING)
        kind = KINDS.get(self.base.kind, self.base.kind)
        undoes = next((head.undoes for head in self.base.mappings.values()), 0)
        kind += f" of run {undoes}" if undoes else ""
        text = f"Nothing has been written. {'An' if kind[0] in 'aeiou' and not kind.startswith('uni') else 'A'} {kind} would {', '.join(parts)}"
        if conflicts or self.base.kind not in BY_HAND:
            text += f", stop at {conflicts:,} {'conflict' if conflicts == 1 else 'conflicts'}"
        text += f" and fail for {failing:,} {'record' if failing == 1 else 'records'}" if failing else ""
        left_out = self.total("left out by rule") if self.base.kind == "undo" else 0
        text += f"; {left_out:,} {'is' if left_out == 1 else 'are'} left out" if left_out else ""
        doubted = int(pc.sum(pc.equal(self.rows.column("code"), "side_suspicious")).as_py() or 0)
        text += f"; {doubted:,} are held because too many records are missing at once" if doubted else ""
        alike = self.look_alike()
        if alike:
            text += f"; {alike:,} of those creates {'looks like a record that already exists' if alike == 1 else 'look like records that already exist'}"
        return text + "."

    # -- frames --------------------------------------------------------------------------------------------------------------------

    def summary(self) -> pd.DataFrame:
        """One line per mapping and pass in dependency order: recommendation and the number of records of each disposition."""
        recommended = dict(
            zip(self.base.review.column("mapping").to_pylist(), self.base.review.column("recommendation").to_pylist(), strict=True)
        )
        present = [d for d in ORDER if any(of.get(d) for of in self.counts.values())]
        lines = [
            {"mapping": n, "pass": p, "recommendation": recommended.get(n, ""), **{d: of.get(d, 0) for d in present}}
            for (n, p), of in self.counts.items()
        ]
        return pd.DataFrame(lines, columns=["mapping", "pass", "recommendation", *present])

    def review(self) -> pd.DataFrame:
        """The review lines: recommendation per mapping and the counts behind it."""
        return self.base.review.to_pandas()

    def records(
        self,
        mapping: str | None = None,
        disposition: str | Sequence[str] | None = None,
        in_pass: str | None = None,
        *,
        warning: str | None = None,
        local: str | Iterable[str] | None = None,
        integration: str | Iterable[str] | None = None,
        limit: int | None = None,
        all_rows: bool = False,
    ) -> pd.DataFrame:
        """One line per record, pass and step (columns of ROWS), of the named keys of either side where there are any. Rows that need
        no look (equal, not a source ...) are there when asked for by disposition or with `all_rows`; they have keys only."""
        rows = self.rows
        wanted = [disposition] if isinstance(disposition, str) else list(disposition or [])
        for one in wanted:
            if one not in COUNTER_OF:
                raise SynckitError(f'There is no disposition "{one}".' + nearest(one, list(ORDER)))
        if all_rows or set(wanted) & set(pc.unique(self.base.quiet.column("disposition")).to_pylist()):
            order = ["mapping", "pass", "local_key", "integration_key", "disposition"]
            quiet = self.base.quiet.sort_by([(k, "ascending") for k in order])
            rows = pa.concat_tables([rows, quiet], promote_options="default")
        rows = self._of(rows, mapping)
        if wanted:
            rows = rows.filter(pc.is_in(rows.column("disposition"), pa.array(wanted)))
        if local is not None or integration is not None:
            keys = {"local_key": _list(local), "integration_key": _list(integration)}
            masks = [pc.is_in(rows.column(c), pa.array(k, pa.string())) for c, k in keys.items()]
            rows = rows.filter(pc.or_(*masks))
        if in_pass is not None:
            rows = rows.filter(pc.equal(rows.column("pass"), in_pass))
        if warning is not None:
            if warning not in WARNINGS:
                raise SynckitError(f'There is no warning "{warning}".' + nearest(warning, list(WARNINGS)))
            rows = rows.filter(pa.array([warning in (w or []) for w in rows.column("warnings").to_pylist()], pa.bool_()))
        rows = rows.drop_columns([c for c in ("local_print", "integration_print") if c in rows.column_names])
        return (rows if limit is None else rows.slice(0, limit)).to_pandas()

    def changes(
        self, mapping: str | None = None, record: int | None = None, in_pass: str | None = None, *, limit: int | None = None
    ) -> pd.DataFrame:
        """One line per field that is written: old, new, origin, and the records' keys and names (creates are expanded here). `table`
        names side and table ("integration:account") where a second step writes another row than the mapping's own. `old_name` and
        `new_name`: what option or referenced record the values stand for, where they do not speak for themselves."""
        fields = self._of(self.fields, mapping)
        rows = self._of(self.rows, mapping)
        for column, value in (("record", record), ("pass", in_pass)):
            if value is not None:
                fields = fields.filter(pc.equal(fields.column(column), value))
                rows = rows.filter(pc.equal(rows.column(column), value))
        places = [(n, p) for n, p in self.base.creates if (mapping is None or n == self._name(mapping)) and in_pass in (None, p)]
        fields = pa.concat_tables([fields] + [self._expanded(n, p, record) for n, p in places])
        rows = _numbered(rows)
        rows = rows.filter(pc.is_in(rows.column("disposition"), pa.array([d for d in CARRIED_OUT if d != "coupling"])))
        keys = ["mapping", "pass", "record", "step", "nth"]
        rows = rows.select([*keys, "disposition", "local_key", "integration_key", "local_name", "integration_name", "table"])
        joined = _numbered(fields).join(rows, keys, join_type="inner").drop_columns(["nth"])
        rank = {n: i for i, n in enumerate(self.base.order)}
        joined = joined.append_column("rank", pa.array([rank[m] for m in joined.column("mapping").to_pylist()], pa.int64()))
        joined = joined.sort_by(
            [("rank", "ascending"), ("pass", "descending"), ("record", "ascending"), ("step", "ascending"), ("column", "ascending")]
        )
        joined = joined if limit is None else joined.slice(0, limit)
        return with_names(self.base, joined.drop_columns(["rank"]), self.rows).to_pandas()

    def _expanded(self, mapping: str, in_pass: str, record: int | None = None) -> pa.Table:
        """The creates of one pass (or one of them), one line per field that is not blank."""
        table, head = created_rows(self.base, mapping, in_pass, self.decisions), self.base.mappings[mapping]
        if record is not None:
            table = table.filter(pc.equal(table.column("record"), record))
        tables = []
        for written in head.columns[in_pass]:  # type: ignore[index]
            values = table.column(VALUE + written.column)
            tables.append(created_field(mapping, in_pass, table, written.field, written.column, values, written.origin))
        drawn = head.drawn.get(in_pass)  # type: ignore[call-overload]
        if drawn:
            values = pa.chunked_array([pa.repeat(pa.scalar(NEXT_NUMBER), table.num_rows)])
            tables.append(created_field(mapping, in_pass, table, drawn, drawn, values, "number series"))
        return pa.concat_tables([CHANGES.empty_table(), *tables])

    def uncoupled(self, mapping: str | None = None) -> pd.DataFrame:
        """Uncoupled records of both sides (mapping, side, key, name, what the plan does with them and why), of one mapping or of all."""
        rows = self._of(self.rows, mapping)
        rows = rows.filter(pc.and_(pc.invert(pc.fill_null(rows.column("coupled"), False)), pc.equal(rows.column("step"), 1)))
        frames = []
        for in_pass, side in (("to", "local"), ("from", "integration")):
            mine = rows.filter(pc.and_(pc.equal(rows.column("pass"), in_pass), pc.is_valid(rows.column(f"{side}_key"))))
            mine = mine.filter(pc.not_equal(mine.column("disposition"), "not a source"))
            frame = mine.select(["mapping", f"{side}_key", f"{side}_name", "disposition", "reason", "warnings"]).to_pandas()
            frame.columns = ["mapping", "key", "name", "disposition", "reason", "warnings"]
            frame.insert(1, "side", side)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def conflicts(self, mapping: str | None = None) -> pd.DataFrame:
        """One line per field in which a conflicting record differs: both sides' values and who changed it since the last
        synchronisation ("local", "integration", "both", "unknown")."""
        c = self._of(self.base.conflicts, mapping)
        lines = c.filter(pc.equal(c.column("pass"), "to")).to_pandas()
        names = self.records(mapping, ["conflict", "loses to policy", "update", "unchanged"], in_pass="to")
        joined = lines.merge(
            names[["mapping", "record", "local_key", "integration_key", "local_name", "disposition"]], on=["mapping", "record"]
        )
        joined = joined.rename(columns={"new": "local_value", "old": "integration_value"})
        columns = [
            "mapping",
            "local_key",
            "integration_key",
            "local_name",
            "field",
            "local_value",
            "integration_value",
            "changed_by",
            "two_way",
            "disposition",
        ]
        return joined[columns]

    def errors(self, mapping: str | None = None) -> pd.DataFrame:
        """Every error that will happen, one line per record and field."""
        return self._of(self.base.errors, mapping).to_pandas()

    def _of(self, table: pa.Table, mapping: str | None) -> pa.Table:
        return table if mapping is None else table.filter(pc.equal(table.column("mapping"), self._name(mapping)))

    def _name(self, mapping: str) -> str:
        wanted = mapping.strip().upper()
        wanted = "CONTACT" if wanted == "CONTACTS" and "CONTACT" in self.base.mappings else wanted
        if wanted not in self.base.mappings:
            raise SynckitError(f'The plan holds no mapping "{mapping}".' + nearest(wanted, list(self.base.order)))
        return wanted

    # -- decisions -----------------------------------------------------------------------------------------------------------------

    def exclude(
        self,
        mapping: str | None = None,
        *,
        local: str | Iterable[str] | None = None,
        integration: str | Iterable[str] | None = None,
        disposition: str | None = None,
        warning: str | None = None,
        records: pd.DataFrame | None = None,
        note: str = "",
        by: str = "",
    ) -> Plan:
        """A new plan without some of the writes: one or several records by key, all with a disposition or a warning, the lines of a
        frame from `records()`, or a whole mapping. Rows that needed an excluded one show as blocked by it."""
        return self._decide("exclude", mapping, local, integration, disposition, warning, records, note, by)

    def include(self, mapping: str | None = None, **which: Any) -> Plan:
        """A new plan in which an exclusion is taken back (same ways to name the records as `exclude`)."""
        which = {
            "local": None,
            "integration": None,
            "disposition": None,
            "warning": None,
            "records": None,
            "note": "",
            "by": "",
            **which,
        }
        return self._decide("include", mapping, **which)

    def _decide(
        self,
        kind: str,
        mapping: str | None,
        local: str | Iterable[str] | None,
        integration: str | Iterable[str] | None,
        disposition: str | None,
        warning: str | None,
        records: pd.DataFrame | None,
        note: str,
        by: str,
    ) -> Plan:
        named = {m: [] for m in self.base.order} if mapping is None else {self._name(mapping): []}  # type: dict[str, list[tuple[str, str, str]]]
        wholly = local is None and integration is None and disposition is None and warning is None and records is None
        if wholly:
            if mapping is None:
                raise SynckitError(
                    "Say what to exclude: a mapping, keys (local=, integration=), a disposition, a warning or records=."
                )
            return Plan(self.base, (*self.decisions, Decision(kind, self._name(mapping), (), note, by)))
        if records is None:
            local, integration = (None if k is None else _list(k) for k in (local, integration))
            records = self.records(mapping, disposition, warning=warning, local=local, integration=integration)
        placed = records[["mapping", "pass", "local_key", "integration_key"]].astype(object)
        lines = placed.where(placed.notna(), None).to_dict("records")  # a side without a row is NaN in a frame, which is true
        known = {(r["mapping"], side, r[f"{side}_key"]) for r in lines for side in ("local", "integration") if r[f"{side}_key"]}
        for side, keys in (("local", local), ("integration", integration)):
            for key in _list(keys):
                hits = [m for m in named if (m, side, key) in known]
                if not hits:
                    raise SynckitError(f'The plan has no row of {mapping or "any mapping"} with the {side} key "{key}" to {kind}.')
                for name in hits:
                    named[name].append(("", key if side == "local" else "", key if side == "integration" else ""))
        if local is None and integration is None:
            for row in lines:
                named[row["mapping"]].append((row["pass"], row["local_key"] or "", row["integration_key"] or ""))
        added = tuple(Decision(kind, m, tuple(r), note, by) for m, r in named.items() if r)
        return Plan(self.base, (*self.decisions, *added))

    def resolve(
        self,
        mapping: str,
        local: str | None = None,
        integration: str | None = None,
        *,
        use: str | dict[str, str] = "merge",
        note: str = "",
        by: str = "",
    ) -> Plan:
        """A new plan in which a conflict is decided: `use` "local" or "integration" takes that side's values, "merge" takes each field
        from the side that changed it, a dict says the side per field. Raises SynckitError where there is no such conflict, or where
        "merge" meets a field that both sides changed."""
        name = self._name(mapping)
        value = use if isinstance(use, str) else json.dumps(use, sort_keys=True)
        decision = Decision("resolve", name, (("", local or "", integration or ""),), note, by, value=value)
        check_resolution(self.base, decision)
        return Plan(self.base, (*self.decisions, decision))

    def merged(self) -> Plan:
        """A new plan in which every conflict is merged in which no field was changed on both sides."""
        return self._replaced((*self.decisions, *merging(self.base, self.rows)))

    def with_decisions(self, decisions: str | Iterable[Decision]) -> Plan:
        """A new plan with these decisions, or with those made in an Excel workbook that `to_excel` wrote."""
        if isinstance(decisions, str):
            from synckit.planning.excel import read_decisions

            decisions = read_decisions(self, decisions)
        return Plan(self.base, (*self.decisions, *decisions))

    def _with(self, decision: Decision) -> Plan:
        return Plan(self.base, (*self.decisions, decision))

    def _replaced(self, decisions: tuple[Decision, ...]) -> Plan:
        return Plan(self.base, decisions)

    def undecided(self) -> Plan:
        """The plan as it was made, without any decision."""
        return replace_decisions(self, ())

    # -- files and renderings ------------------------------------------------------------------------------------------------------

    def save(self, path: str) -> None:
        """Write the plan with its decisions into one file (never over another kind of file)."""
        from synckit.planning.planfile import save_plan

        save_plan(self, path)

    def to_excel(self, path: str) -> None:
        """Write an Excel workbook for a colleague; what she puts in its decision column comes back with `with_decisions`."""
        from synckit.planning.excel import write_plan

        write_plan(self, path)

    def to_dict(self, rows: bool = True) -> dict[str, Any]:
        """The plan as plain values for JSON; two plans of the same state differ in `made_at` and `taken_at` alone."""
        from synckit.reports.plan_text import plan_dict

        return plan_dict(self, rows=rows)

    def to_text(self) -> str:
        """The plan for a terminal: the sentence, the table, what needs attention."""
        from synckit.reports.plan_text import plan_text

        return plan_text(self)

    def figure(self) -> Any:
        """A matplotlib figure: planned actions per mapping, in dependency order."""
        from synckit.reports.plan_figure import plan_figure

        return plan_figure(self)

    def _repr_html_(self) -> str:
        from synckit.reports.plan_html import plan_html

        return plan_html(self)

    def __repr__(self) -> str:
        return f"<Plan {self.id}: {self.sentence()}>"


#: Kinds of plan that speak of what was named alone: their zeros say nothing.
BY_HAND = ("coupling", "uncoupling", "restore", "delete", "retry", "undo")
KINDS = {
    "full": "full synchronisation",
    "modified": "synchronisation of modified records",
    "unconditional": "unconditional synchronisation",
    "records": "synchronisation of the chosen records",
    "retry": "retry",
    "restore": "restoration of deleted records",
    "coupling": "coupling",
    "uncoupling": "uncoupling",
    "delete": "deletion",
    "undo": "undo",
}


def replace_decisions(plan: Plan, decisions: tuple[Decision, ...]) -> Plan:
    return Plan(plan.base, decisions)


def _list(given: str | Iterable[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or [])


def _numbered(table: pa.Table) -> pa.Table:
    """With a column `nth`: the number of a line among the second-step lines of its record (each writes one field of one row), else 0."""
    nth = np.zeros(table.num_rows, dtype=np.int64)
    second = np.flatnonzero(table.column("step").to_numpy() == 2)
    seen: dict[tuple[Any, ...], int] = {}
    places = table.select(["mapping", "pass", "record"]).take(pa.array(second)).to_pylist()
    for index, place in zip(second, (tuple(p.values()) for p in places), strict=True):
        nth[index] = seen.get(place, 0)
        seen[place] = nth[index] + 1
    return table.append_column("nth", pa.array(nth))


__all__ = ["Decision", "Plan", "PlanBase", "Side", "replace_decisions"]
