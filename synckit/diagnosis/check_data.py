"""Looking through the data before a run: whole columns of both sides, read once, in batches; what would fail, be cut, or be left behind."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.diagnosis.catalogue import cause_of
from synckit.errors import SynckitError
from synckit.mapping.model import Pass
from synckit.mapping.schema import Column
from synckit.planning import reconcile as sql
from synckit.planning.bind import SIDES, SOURCE, BoundMapping, FieldPlan, Side
from synckit.planning.due import since_watermark, watermark
from synckit.planning.engine import Planning, planning_run
from synckit.planning.looking import look, present_keys
from synckit.planning.mapping_plan import MappingPlanner
from synckit.planning.request import Request
from synckit.planning.stage import TEXTUAL, Staging, as_text, canonical, needs_cut
from synckit.reports.wording import count_of, number, safe

if TYPE_CHECKING:
    from synckit.planning.engine import Progress
    from synckit.workspace import Workspace

#: One line per finding, worst first. `count` of the `rows` that were looked at; `keys` and `examples`: some of the records, `side` theirs.
FINDINGS = ("severity", "mapping", "code", "title", "side", "field", "count", "rows", "what", "examples", "keys", "remedy")
EXAMPLES = 5
SEVERITY = {
    "duplicate_key": "error",
    "dangling_lookup": "error",
    "required_empty": "error",
    "cannot_convert": "error",
    "orphan_coupling": "note",
}
RANK = {"error": 0, "warning": 1, "note": 2}


@dataclass
class Tally:
    """How often something was found, and the keys of the first of them."""

    count: int = 0
    keys: list[str] = field(default_factory=list)
    example: str = ""

    def add(self, mask: pa.Array, keys: pa.Array, values: pa.Array | None = None) -> None:
        n = pc.sum(mask).as_py() or 0
        if not n:
            return
        self.count += n
        if len(self.keys) < EXAMPLES:
            rows = pc.indices_nonzero(mask).slice(0, EXAMPLES - len(self.keys))
            self.keys += keys.take(rows).to_pylist()
            if values is not None and not self.example:
                self.example = str(values[rows[0].as_py()].as_py())


class Watch:
    """Looks at every batch of one side while it is staged, and stages it. Only rows inside the filter are judged."""

    def __init__(self, planning: Planning, bound: BoundMapping, side: Side, stage: Staging) -> None:
        self.planning, self.bound, self.side, self.stage = planning, bound, side, stage
        self.found: dict[tuple[str, str], Tally] = {}  # (code, field)
        self.rows = self.inside = 0
        self.plans: list[tuple[Pass, FieldPlan]] = [(p, f) for p in bound.passes if SOURCE[p] == side for f in bound.fields[p]]
        self.lookups = [(p, f, Known.of(planning, f, p)) for p, f in self.plans if f.lookup and f.source]
        match = (
            [f for f in bound.mapping.fields if f.use_for_match and f.enabled and getattr(f, side)]
            if bound.mapping.kind != "option"
            else []
        )
        groups = sorted({f.match_priority for f in match})
        self.groups = [
            [(bound.side(side).table.column(getattr(f, side)), f.case_sensitive_match) for f in match if f.match_priority == g]
            for g in groups
        ]
        self.match: list[pa.RecordBatch] = []

    def __call__(self, batch: pa.RecordBatch, extra: dict[str, pa.Array]) -> pa.RecordBatch:
        staged = self.stage(batch, extra)
        if batch.num_rows:
            self._look(batch, staged)
        return staged

    def tally(self, code: str, name: str) -> Tally:
        return self.found.setdefault((code, name), Tally())

    def _look(self, batch: pa.RecordBatch, staged: pa.RecordBatch) -> None:
        inside = staged.column("inf")
        self.rows += batch.num_rows
        self.inside += pc.sum(inside).as_py() or 0
        if self.inside == 0:
            return
        keys = staged.column("key")
        for in_pass, f in self.plans:
            if f.source is None or f.source.name not in batch.schema.names:
                continue
            values = canonical(batch.column(f.source.name), f.source)
            to = f.destination
            textual = f.source.kind in ("text", "code") and to.kind in ("text", "code")
            if textual and to.length and not f.rule and not f.lookup and needs_cut(values, to.length):
                self.tally("value_too_long", f.name).add(
                    pc.and_(inside, pc.greater(pc.utf8_length(values), to.length)), keys, values
                )
            if f.source.kind == "option" and f.source.options and not f.lookup:
                known = pa.array([o.value for o in f.source.options], values.type)
                odd = pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=known)))
                self.tally("unknown_option", f.name).add(pc.and_(inside, odd), keys, values)
            required = (
                not to.nullable
                and self.bound.destination(in_pass).schema.blank == "null"
                and to != self.bound.destination(in_pass).uid
            )
            if required and not f.rule and not f.lookup:
                self.tally("required_empty", f.name).add(pc.and_(inside, _blank(values, f.source)), keys)
        for _, f, known in self.lookups:
            if f.source is not None and f.source.name in batch.schema.names:
                self._references(batch.column(f.source.name), f, known, inside, keys)
        bad = pc.fill_null(staged.column("bad"), "")
        self.tally("cannot_convert", "").add(pc.and_(inside, pc.not_equal(bad, "")), keys, pc.replace_substring(bad, "\x1f", " "))
        if "r_error" in staged.schema.names:
            errors = pc.fill_null(staged.column("r_error"), "")
            for text in pc.unique(errors).to_pylist():
                if text:
                    rule, _, message = text.partition("\x1f\x1f")
                    self.tally(rule, message).add(pc.and_(inside, pc.equal(errors, text)), keys)
        if self.groups and all(c.name in batch.schema.names for g in self.groups for c, _ in g):
            columns = {"key": keys}
            for g, group in enumerate(self.groups):
                for n, (column, exact) in enumerate(group):
                    text = as_text(canonical(batch.column(column.name), column), column)
                    columns[f"m{g}_{n}"] = text if exact else pc.utf8_lower(text)
            self.match.append(pa.RecordBatch.from_pydict(columns).filter(inside))

    def _references(self, raw: pa.Array, f: FieldPlan, known: Known, inside: pa.Array, keys: pa.Array) -> None:
        assert f.source is not None
        values = canonical(raw, f.source)
        text = values if f.source.kind in TEXTUAL else pc.fill_null(pc.cast(values, pa.string()), "")
        blank = pc.equal(text, "") if f.source.kind != "option" else pc.is_in(text, value_set=pa.array(["", "0", "-1"]))
        waiting = pc.and_(pc.and_(inside, pc.invert(blank)), pc.invert(pc.is_in(text, value_set=known.coupled)))
        if pc.any(waiting).as_py():
            there = pc.is_in(text, value_set=known.existing)
            self.tally("unresolved_lookup", f.name).add(pc.and_(waiting, there), keys, text)
            self.tally("dangling_lookup", f.name).add(pc.and_(waiting, pc.invert(there)), keys, text)


@dataclass(frozen=True)
class Known:
    """The keys that a reference may hold: those of coupled records, and all that exist."""

    coupled: pa.Array
    existing: pa.Array

    @classmethod
    def of(cls, planning: Planning, plan: FieldPlan, in_pass: Pass) -> Known:
        assert plan.lookup is not None
        by = "code" if in_pass == "to" else "integration_key"
        coupled, existing = [], []
        for name in plan.lookup.mapping.split("|"):
            if name not in planning.bound:
                continue
            coupled.append(pc.drop_null(planning.coupled(name).column(by)).cast(pa.string()))
            of = planning.bound[name].side(SOURCE[in_pass])
            snapshot, system = planning.snapshots[of.side], planning.systems[of.side]
            if in_pass == "to" and of.key is not None:
                existing.append(snapshot.read(of.table, [of.key.name]).read_all().column(0).cast(pa.string()))
            else:
                existing.append(pa.chunked_array([pa.array(sorted(present_keys(of, snapshot, system)), pa.string())]))
        both = [
            pa.chunked_array([c for part in parts for c in part.chunks], pa.string()).combine_chunks()
            for parts in (coupled, existing)
        ]
        return cls(*both)


def _blank(values: pa.Array, column: Column) -> pa.Array:
    return pc.equal(values, "") if column.kind in TEXTUAL else pc.is_null(values)


# -- over all mappings -------------------------------------------------------------------------------------------------------------


def check_data(
    ws: Workspace, mapping: str | Sequence[str] | None = None, *, progress: Progress = lambda what, rows: None
) -> pd.DataFrame:
    """Look through the whole data of all mappings (or some) and return what was found (FINDINGS), worst first. Writes nothing.

    Every table is read once, in batches; what stays in memory is a key, a version and hashes per row. Raises SynckitError where a
    system cannot be read.
    """
    wanted = [mapping] if isinstance(mapping, str) else list(mapping or [])
    names = {ws.description.mapping(m).name for m in wanted} or set(ws.order)
    lines: list[tuple[Any, ...]] = []
    with (
        planning_run(ws.description, ws.systems, ws.ledger, Request("full"), ws.clock(), ws.rulebook) as planning,
        ThreadPoolExecutor(2) as executor,
    ):
        for name in (n for n in ws.order if n in names):
            lines += _mapping(ws, planning, planning.bound[name], executor)
            progress(name, 0)
    frame = pd.DataFrame(lines, columns=list(FINDINGS))
    order = frame.assign(rank=frame["severity"].map(RANK), place=frame["mapping"].map({n: i for i, n in enumerate(ws.order)}))
    return order.sort_values(["rank", "place", "code", "side", "field"], kind="stable")[list(FINDINGS)].reset_index(drop=True)


def _mapping(ws: Workspace, planning: Planning, bound: BoundMapping, executor: ThreadPoolExecutor) -> list[tuple[Any, ...]]:
    planner = MappingPlanner(planning, bound, executor)
    watches: dict[Side, Watch] = {}
    for side in SIDES:
        reader = planner.readers[side]
        reader.with_code = True
        reader.resemblance = {}
        watches[side] = Watch(planning, bound, side, reader.stage)
        reader.stage = watches[side]  # type: ignore[assignment]
    findings: list[tuple[Any, ...]] = []

    def add(code: str, side: Side | str, name: str, n: int, rows: int, what: str, keys: Sequence[str]) -> None:
        if n:
            findings.append((SEVERITY.get(code, "error" if "." in code else "warning"), bound.name, code, cause_of(code).title, side, name, n, rows, what,
                             _called(planning, bound, side, keys), list(keys), cause_of(code).remedy))  # fmt: skip

    try:
        planner.read()
    except SynckitError as problem:  # what hinders a plan is a finding here
        findings.append(
            (
                "error",
                bound.name,
                "unknown",
                "Cannot be planned",
                "",
                "",
                1,
                0,
                problem.message,
                "",
                [],
                "Mend what the message names.",
            )
        )
        return findings
    planner.con.execute(sql.pairs(bound, planning.request))
    for side, watch in watches.items():
        title = planning.systems[side].title
        for (code, name), t in watch.found.items():
            what = name if "." in code else f"{name}: {t.example}" if t.example else name
            add(code, side, "" if "." in code else name or t.example.partition(" ")[0], t.count, watch.inside, what, t.keys)
        if watch.rows and not watch.inside and any(SOURCE[p] == side for p in bound.passes):
            add(
                "filter_excludes_all",
                side,
                "",
                watch.rows,
                watch.rows,
                f"None of {count_of(watch.rows, 'row', 'rows')} in {title} passes: {bound.side(side).filter}",
                [],
            )
        _duplicates(planner, watch, side, add)
        _never_visited(planner, side, watch, add)
    _pairs(planner, add)
    _skipped(ws, bound, add)
    return findings


def _keys(planner: MappingPlanner, query: str) -> tuple[int, list[str]]:
    """How many rows a query of keys gives, and the first of them."""
    rows = planner.con.execute(f"SELECT count(*) OVER (), k FROM ({query}) q(k) ORDER BY k LIMIT {EXAMPLES}").fetchall()
    return (rows[0][0], [r[1] for r in rows]) if rows else (0, [])


def _duplicates(planner: MappingPlanner, watch: Watch, side: Side, add: Any) -> None:
    bound, table = planner.bound, planner.bound.side(side).table
    of = bound.side(side)
    alone = of.key is not None and len(table.primary_key) == 1 and of.key != of.uid
    for column, name in [("key", of.uid.name)] + ([("code", of.key.name)] if alone and of.key is not None else []):
        twice = f"SELECT {column} FROM n_{side} WHERE COALESCE({column}, '') <> '' GROUP BY {column} HAVING count(*) > 1"
        n, keys = _keys(planner, f"SELECT key FROM n_{side} WHERE {column} IN ({twice})")
        add("duplicate_key", side, name, n, watch.rows, f"{count_of(n, 'row shares', 'rows share')} a {name} with another.", keys)
    if not watch.match:
        return
    planner.con.register("match_rows", pa.Table.from_batches(watch.match))
    for g, group in enumerate(watch.groups):
        columns = [f"m{g}_{n}" for n in range(len(group))]
        filled = " AND ".join(c + " <> ''" for c in columns)
        free = f"FROM match_rows WHERE {filled} AND key NOT IN (SELECT {side}_key FROM couplings)"
        n, keys = _keys(planner, f"SELECT key {free} QUALIFY count(*) OVER (PARTITION BY {', '.join(columns)}) > 1")
        names = " and ".join(c.name for c, _ in group)
        add(
            "duplicate_match",
            side,
            names,
            n,
            watch.inside,
            f"{count_of(n, 'uncoupled row shares', 'uncoupled rows share')} {names} with another.",
            keys,
        )
    planner.con.unregister("match_rows")


def _never_visited(planner: MappingPlanner, side: Side, watch: Watch, add: Any) -> None:
    """Rows at or before the watermark that are not coupled, not due and not held."""
    in_pass = next((p for p in planner.bound.passes if SOURCE[p] == side), None)
    asked = MappingPlanner(_as_modified(planner.planning), planner.bound, planner.executor)
    mark = watermark(asked, side)
    condition = since_watermark(asked, side)
    if in_pass is None or mark is None or not condition or planner.only_coupled:
        return
    value = condition[0].value
    bound = str(value) if isinstance(value, int) else f"epoch_us(TIMESTAMP '{value.isoformat(sep=' ')}')"
    waiting = {
        r["key"]
        for name in ("due", "held")
        for r in getattr(planner.planning.ledger, name)(planner.bound.name).to_pylist()
        if r["side"] == side
    }
    planner.con.register("waiting_rows", pa.table({"k": pa.array(sorted(waiting), pa.string())}))
    operator = "<=" if condition[0].op == ">" else "<"
    n, keys = _keys(planner, f"SELECT key FROM n_{side} WHERE inf AND leave_out = '' AND ver {operator} {bound} AND key NOT IN (SELECT {side}_key FROM couplings) "
                             "AND key NOT IN (SELECT k FROM waiting_rows)")  # fmt: skip
    planner.con.unregister("waiting_rows")
    add("never_visited", side, "", n, watch.inside, f"Not coupled, and not newer than the watermark {mark}.", keys)


def _as_modified(planning: Planning) -> Planning:
    from dataclasses import replace

    return replace(planning, request=Request("modified"))


def _pairs(planner: MappingPlanner, add: Any) -> None:
    whole = planner._value("SELECT count(*) FROM pairs")
    source = (
        " OR ".join(f"(d_{p} AND {sql.LETTER[SOURCE[p]]}inf AND {sql.LETTER[SOURCE[p]]}leave = '')" for p in planner.bound.passes)
        or "FALSE"
    )
    versions = planner.bound.local.version is not None and planner.bound.integration.version is not None
    n, keys = (
        _keys(
            planner,
            f"SELECT lk FROM pairs WHERE le AND ie AND NOT skipped AND held IS NULL AND NOT never AND NOT lc AND NOT ic AND ({source})",
        )
        if versions
        else (0, [])
    )
    add("drift", "local", "", n, whole, "Neither side is newer than at the last synchronisation, yet a field differs.", keys)
    if "from" in planner.bound.passes and sql.leaves_out_own(planner.bound, Request("modified")):
        n, keys = _keys(planner, "SELECT ik FROM pairs WHERE le AND ie AND NOT skipped AND iown AND ic AND iinf AND d_from")
        add(
            "own_edit_differs",
            "integration",
            "",
            n,
            whole,
            "Changed since the last synchronisation by the integration user, so runs leave the change out.",
            keys,
        )
    n, keys = _keys(planner, "SELECT lk FROM pairs WHERE NOT le AND NOT ie")
    add("orphan_coupling", "local", "", n, whole, "Neither record of the coupling exists.", keys)
    for side, other in (("local", "integration"), ("integration", "local")):
        here, gone = sql.LETTER[side], sql.LETTER[other]  # type: ignore[index]
        n, keys = _keys(planner, f"SELECT {here}k FROM pairs WHERE {here}e AND NOT {gone}e")
        add("deleted_side", side, "", n, whole, f"Its partner in {planner.planning.systems[other].title} was deleted.", keys)  # type: ignore[index]


def _skipped(ws: Workspace, bound: BoundMapping, add: Any) -> None:
    rows = ws.ledger.skipped(bound.name).to_pylist()
    if not rows:
        return
    now = pd.Timestamp(ws.clock(), tz="UTC")
    days = [max((now - m).days, 0) for r in rows if (m := pd.to_datetime(r["at"], utc=True, errors="coerce")) is not pd.NaT]
    groups = [
        (label, sum(1 for d in days if low <= d < high))
        for label, low, high in (("up to a week", 0, 8), ("up to a month", 8, 31), ("older", 31, 10**9))
    ]
    told = ", ".join(f"{label} {number(n)}" for label, n in groups if n) + (
        f", age unknown {number(len(rows) - len(days))}" if len(days) < len(rows) else ""
    )
    add(
        "skipped_backlog",
        "local",
        "",
        len(rows),
        len(rows),
        f"By age: {told.lstrip(', ')}.",
        [r["local_key"] for r in rows[:EXAMPLES]],
    )


def _called(planning: Planning, bound: BoundMapping, side: str, keys: Sequence[str]) -> str:
    """Number and name of some records, as people know them."""
    if side not in SIDES or not keys:
        return ""
    place: Side = "local" if side == "local" else "integration"
    seen = look(bound.side(place), planning.snapshots[place], planning.systems[place], [k for k in keys if k])
    return ", ".join(
        (f"{s.code} {s.name or ''}".strip() if s.code and s.code != s.key else s.called) if (s := seen.get(k)) else k for k in keys
    )


def findings_text(frame: pd.DataFrame) -> str:
    """Findings as paragraphs for a terminal."""
    parts = []
    for row in frame.to_dict("records"):
        more = (
            f" ({number(len(row['keys']))} of {number(row['count'])} shown)"
            if len(row["keys"]) < row["count"] and row["keys"]
            else ""
        )
        where = ", ".join(t for t in (row["side"], row["field"]) if t)
        parts.append("\n".join(t for t in [
            f"{row['severity']:<8} {row['mapping']}: {safe(row['title'])}" + (f" ({safe(where)})" if where else "") + f": {number(row['count'])} of {number(row['rows'])}",
            f"    {safe(row['what'])}", f"    {safe(row['examples'])}{more}" if row["examples"] else "", f"    What helps: {safe(row['remedy'])}"] if t))  # fmt: skip
    counts = {s: int((frame["severity"] == s).sum()) for s in RANK}
    return "\n\n".join([*parts, f"In the data: {count_of(counts['error'], 'error', 'errors')}, {count_of(counts['warning'], 'warning', 'warnings')}, "
                                f"{count_of(counts['note'], 'note', 'notes')}."])  # fmt: skip


__all__ = ["FINDINGS", "check_data", "findings_text"]
