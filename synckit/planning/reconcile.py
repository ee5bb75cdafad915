"""Reconciling: the decision table as SQL over staged columns.

Everything here is text: plain SQL (CTE, joins, CASE, COALESCE, IS DISTINCT FROM) over the tables that `snapshot` fills. The one
engine function is `hash`, over columns that staging has already brought into one form. Reference: engine-behaviour 3.7 to 3.14.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from synckit.mapping.model import Pass
from synckit.mapping.schema import Column
from synckit.planning.bind import DESTINATION, SOURCE, BoundMapping, FieldPlan, Side
from synckit.planning.request import Request
from synckit.planning.stage import DEFAULT_SCALE, TEXTUAL

SQL_TYPES = {
    "text": "VARCHAR", "code": "VARCHAR", "guid": "VARCHAR", "integer": "BIGINT", "option": "BIGINT", "boolean": "BOOLEAN",
    "date": "DATE", "datetime": "TIMESTAMP", "time": "TIME",
}  # fmt: skip
LETTER: dict[Side, str] = {"local": "l", "integration": "i"}


def sql_type(column: Column) -> str:
    if column.kind == "decimal":
        return f"DECIMAL(38, {DEFAULT_SCALE if column.scale is None else column.scale})"
    return SQL_TYPES[column.kind]


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def canonical(expression: str, plan: FieldPlan) -> str:
    """The expression with its blank made comparable (a blank is a blank, whatever the system stores)."""
    kind = plan.destination.kind
    if kind in TEXTUAL:
        return f"COALESCE({expression}, '')"
    if plan.fold_blank and kind in ("integer", "option", "decimal"):
        return f"COALESCE({expression}, 0)"
    if plan.fold_blank and kind == "boolean":
        return f"COALESCE({expression}, FALSE)"
    return expression


def blank(expression: str, plan: FieldPlan) -> str:
    """SQL that tells whether the value is blank."""
    kind = plan.destination.kind
    if kind in TEXTUAL:
        return f"COALESCE({expression}, '') = ''"
    if plan.fold_blank and kind in ("integer", "option", "decimal"):
        return f"COALESCE({expression}, 0) = 0"
    return f"({expression}) IS NULL"


@dataclass(frozen=True)
class Expressions:
    """The SQL of one field of one pass, over the staged source row `s` (and its lookup `a<n>`)."""

    number: int
    plan: FieldPlan
    in_pass: Pass

    @property
    def alias(self) -> str:
        return f"a{self.number}"

    def source(self) -> str:
        return f"s.{self.plan.value}"

    def join(self) -> str:
        lookup = self.plan.lookup
        if lookup is None:
            return ""
        table = lookup_table(lookup.mapping, self.in_pass)
        if self.in_pass == "to":
            return f" LEFT JOIN {table} {self.alias} ON {self.alias}.code = {self.looked_up()}"
        return f" LEFT JOIN {table} {self.alias} ON {self.alias}.integration_key = {self.looked_up()}"

    def looked_up(self) -> str:
        """What is looked up, as text; '' for a blank."""
        plan = self.plan
        if plan.source is not None and plan.source.kind == "option":
            return f"CASE WHEN COALESCE({self.source()}, 0) IN (0, -1) THEN '' ELSE CAST({self.source()} AS VARCHAR) END"
        if plan.source is not None and plan.source.kind not in TEXTUAL:
            return f"COALESCE(CAST({self.source()} AS VARCHAR), '')"
        return self.source()

    def value(self) -> str:
        """What the source would write, typed as the destination."""
        plan = self.plan
        if plan.constant is not None:
            return f"CAST({constant(plan)} AS {sql_type(plan.destination)})"
        if plan.lookup is None:
            return f"CAST(s.{plan.value} AS {sql_type(plan.destination)})" if plan.rule else f"s.{plan.value}"
        found = f"{self.alias}.integration_key" if self.in_pass == "to" else f"{self.alias}.code"
        return f"TRY_CAST({found} AS {sql_type(plan.destination)})" if plan.destination.kind not in TEXTUAL else found

    def compared(self) -> str:
        """The value as it is compared: a planned record whose key is drawn only when applying is unlike anything that is there."""
        if self.plan.lookup is None or self.plan.destination.kind not in TEXTUAL:
            return self.value()
        planned = f"{self.alias}.state IN ('planned', 'failing') AND {self.value()} IS NULL"
        return f"CASE WHEN {planned} THEN 'planned: ' || {self.alias}.source_key ELSE {self.value()} END"

    def unresolved(self) -> str:
        """True where a reference leads nowhere."""
        lookup = self.plan.lookup
        if lookup is None:
            return "FALSE"
        if lookup.blank_local and self.in_pass == "to":
            return f"{self.alias}.state IS NULL"
        return f"({self.looked_up()} <> '' AND {self.alias}.state IS NULL)"

    def failing(self) -> str:
        """True where the record referred to is one that this plan cannot create."""
        return f"COALESCE({self.alias}.state = 'failing', FALSE)" if self.plan.lookup is not None else "FALSE"

    def planned(self, column: str) -> str:
        """Mapping and source key of the planned record that the value stands for, else NULL."""
        if self.plan.lookup is None:
            return "NULL"
        return f"CASE WHEN {self.alias}.state IN ('planned', 'failing') THEN {self.alias}.{column} END"

    def error(self) -> str:
        """True where transferring this field fails the record (M9)."""
        plan = self.plan
        return f"({self.unresolved()})" if plan.lookup is not None and not plan.clear else "FALSE"

    def differs(self, old: str, against: str) -> str:
        """Whether writing the field would change the destination row `t`."""
        plan, value = self.plan, self.compared()
        different = f"{canonical(value, plan)} IS DISTINCT FROM {canonical(against, plan)}"
        if plan.counts == "when blank":
            return f"({blank(old, plan)} AND NOT {blank(value, plan)})"
        if plan.not_null:
            return f"({different} AND NOT {blank(value, plan)})"
        return f"({different})"


def constant(plan: FieldPlan) -> str:
    """A constant as an SQL literal in the destination's terms: option labels become their number."""
    text = plan.constant or ""
    if plan.destination.kind == "option":
        labels = {o.label.strip().casefold(): o.value for o in plan.destination.options}
        return str(labels.get(text.strip().casefold(), text or "NULL")) if text.strip() else "NULL"
    if plan.destination.kind in TEXTUAL:
        return literal(text)
    return literal(text) if text else "NULL"


def lookup_table(mapping: str, in_pass: Pass) -> str:
    """Name of the table that resolves references to `mapping` in this pass."""
    safe = "".join(c if c.isalnum() else "_" for c in mapping)
    return f'"k_{in_pass}_{safe}"'


def expressions(bound: BoundMapping, in_pass: Pass) -> list[Expressions]:
    return [Expressions(n, plan, in_pass) for n, plan in enumerate(bound.fields.get(in_pass, ()))]


def hashed(fields: list[Expressions]) -> list[Expressions]:
    """The fields whose difference alone makes a row an update and that can be told from one row alone."""
    return [f for f in fields if f.plan.counts == "always" and not f.plan.pairwise]


def paired(fields: list[Expressions]) -> list[Expressions]:
    return [f for f in fields if f.plan.counts in ("always", "when blank") and f.plan.pairwise]


def narrow(bound: BoundMapping, side: Side, extra: list[str]) -> str:
    """SELECT of the narrow table of one side: hashes of what each pass compares, seen as source or as destination."""
    columns = ["s.key", "s.ver" if _ordered(bound, side) else "CAST(hash(s.ver_text) % 9223372036854775807 AS BIGINT) AS ver"]
    columns += ["s.inf", "s.own", "COALESCE(s.r_leave, '') AS leave_out"]
    joins, errors = "", ["s.bad IS NOT NULL", "COALESCE(s.r_error, '') <> ''"]
    soft: list[str] = []  # references that would be cleared now, and may be filled in a second step
    for in_pass in bound.passes:
        fields = expressions(bound, in_pass)
        as_source = SOURCE[in_pass] == side
        if as_source:
            joins = "".join(f.join() for f in fields)
            errors += [f.error() for f in fields if f.plan.lookup is not None]
            errors += [f.failing() for f in fields if f.plan.lookup is not None]
            soft += [f.unresolved() for f in fields if f.plan.second_step]
        parts = [canonical(f.compared() if as_source else f"s.{f.plan.against}", f.plan) for f in hashed(fields)]
        columns.append(f"{'hash(' + ', '.join(parts) + ')' if parts else '0::UBIGINT'} AS h_{in_pass}")
        columns += [f"{f.compared() if as_source else 's.' + f.plan.old} AS p_{in_pass}_{f.number}" for f in paired(fields)]
    columns.append(f"({' OR '.join(e for e in errors if e != 'FALSE')}) AS err")
    columns.append(f"{_any(soft)} AS soft")
    return f"SELECT {', '.join([*columns, *extra])} FROM {{rows}} s{joins}"


def _ordered(bound: BoundMapping, side: Side) -> bool:
    version = bound.side(side).version
    return version is None or version.kind in ("datetime", "integer")


def pairs(bound: BoundMapping, request: Request) -> str:
    """Couplings joined to both narrow tables: who exists, who changed, whose compared values differ."""
    columns = ["c.id AS cid", "c.local_key AS lk", "c.integration_key AS ik", "c.skipped", "c.held", "c.found"]
    for side, letter in LETTER.items():
        columns += [
            f"({letter}.key IS NOT NULL) AS {letter}e",
            f"COALESCE({letter}.inf, FALSE) AS {letter}inf",
            f"COALESCE({letter}.own, FALSE) AS {letter}own",
            f"COALESCE({letter}.leave_out, '') AS {letter}leave",
            f"COALESCE({letter}.err, FALSE) AS {letter}err",
            f"COALESCE({letter}.soft, FALSE) AS {letter}soft",
            f"({_changed(side, letter, request)}) AS {letter}c",
            ("TRUE" if request.whole else f"({letter}.key IN (SELECT key FROM due_{side}))") + f" AS {letter}due",
        ]
    columns.append("(c.local_ver IS NULL AND c.integration_ver IS NULL) AS never")
    for in_pass in ("to", "from"):
        columns.append(f"({_pair_differs(bound, in_pass)}) AS d_{in_pass}")
    return (
        f"CREATE TABLE pairs AS SELECT {', '.join(columns)} FROM couplings c "
        "LEFT JOIN n_local l ON l.key = c.local_key LEFT JOIN n_integration i ON i.key = c.integration_key"
    )


def _changed(side: Side, letter: str, request: Request) -> str:
    """Whether a row counts as changed since its pair was last synchronised; one that failed then counts as changed (3.7)."""
    changed = f"c.{side}_ver IS NULL OR {letter}.ver IS DISTINCT FROM c.{side}_ver"
    if request.asks_changed:
        changed += f" OR c.{'to' if side == 'local' else 'from'}_failed"
    return changed


def _pair_differs(bound: BoundMapping, in_pass: Pass) -> str:
    if in_pass not in bound.passes:
        return "FALSE"
    fields = expressions(bound, in_pass)
    source, destination = LETTER[SOURCE[in_pass]], LETTER[DESTINATION[in_pass]]
    tests = [f"l.h_{in_pass} IS DISTINCT FROM i.h_{in_pass}"]
    for f in paired(fields):
        value, old = f"{source}.p_{in_pass}_{f.number}", f"{destination}.p_{in_pass}_{f.number}"
        if f.plan.counts == "when blank":
            tests.append(f"({blank(old, f.plan)} AND NOT {blank(value, f.plan)})")
        else:
            tests.append(f"(NOT {blank(value, f.plan)} AND {canonical(value, f.plan)} IS DISTINCT FROM {canonical(old, f.plan)})")
    return " OR ".join(tests)


def rewrites_equal(bound: BoundMapping, request: Request) -> bool:
    """Forced runs of the reference write, and count as modified, what is equal, too (section 2; S-066)."""
    return bound.mapping.semantics == "reference" and not request.asks_changed


def quiet(bound: BoundMapping, request: Request) -> str:
    """True for a pair that needs no look: both there, inside the filters, nothing differs, nothing wrong."""
    if rewrites_equal(bound, request) or request.only_creates:
        return "FALSE"
    tests = ["le", "ie", "NOT skipped", "held IS NULL", "NOT found"]
    for in_pass in bound.passes:
        letter = LETTER[SOURCE[in_pass]]
        # equal pairs whose stamps are behind are looked at, too: applying stamps them anew
        tests += ["NOT lc", "NOT ic"] if bound.local.version is not None and bound.integration.version is not None else []
        tests += [f"{letter}inf", f"{letter}leave = ''", f"NOT {letter}err", f"NOT {letter}soft", f"NOT d_{in_pass}"]
    return " AND ".join(tests)


def wide(bound: BoundMapping, in_pass: Pass) -> str:
    """Every field of the pass for the records in `det`: n<i> new, o<i> old, d<i> differs, e<i> fails, b<i> waits in vain for a
    record that cannot be created, u<i> clears a reference, m<i>/k<i> the planned record it stands for."""
    source, destination = LETTER[SOURCE[in_pass]], LETTER[DESTINATION[in_pass]]
    source_table, destination_table = f"d_{SOURCE[in_pass]}", f"d_{DESTINATION[in_pass]}"
    columns, joins = ["d.rec"], ""
    for f in expressions(bound, in_pass):
        n, plan = f.number, f.plan
        columns += [
            f"NULLIF(CAST({f.value()} AS VARCHAR), '') AS n{n}",
            f"NULLIF(CAST(t.{plan.old} AS VARCHAR), '') AS o{n}",
            f"COALESCE({f.differs(f't.{plan.old}', f't.{plan.against}')}, FALSE) AS d{n}",
            f"COALESCE({f.error()}, FALSE) AS e{n}",
            f"{f.failing()} AS b{n}",
            f"COALESCE({f.unresolved()} AND {str(plan.clear).upper()}, FALSE) AS u{n}",
            f"{f.planned('mapping')} AS m{n}",
            f"{f.planned('source_key')} AS k{n}",
            f"{f.looked_up() if plan.lookup else 'NULL'} AS v{n}",
        ]
        joins += f.join()
    extra = "s.bad, NULLIF(s.r_error, '') AS r_error, NULLIF(s.r_parent, '') AS r_parent, NULLIF(s.r_parent_key, '') AS r_parent_key, s.cuts, s.tpl"
    return (
        f"CREATE TABLE w_{in_pass} AS SELECT {', '.join(columns)}, {extra} FROM det d "
        f"JOIN {source_table} s ON s.key = d.{source}k LEFT JOIN {destination_table} t ON t.key = d.{destination}k{joins}"
    )


def decide(bound: BoundMapping, in_pass: Pass, request: Request, only_coupled: bool) -> str:
    """The decision table (3.7, 3.8, 3.13, 3.14, design section 5) as one CASE over `det`, `w_<pass>` and, in the second pass, what
    the first has decided."""
    s, t = LETTER[SOURCE[in_pass]], LETTER[DESTINATION[in_pass]]
    mapping = bound.mapping
    reference = mapping.semantics == "reference"
    fields = expressions(bound, in_pass)
    counting = [f for f in fields if f.plan.counts in ("always", "when blank")]
    two_way = _any(f"w.d{f.number}" for f in counting if f.plan.bidirectional)
    one_way = _any(f"w.d{f.number}" for f in counting if not f.plan.bidirectional)
    carry = carries_both_ways(bound, in_pass, request)
    errors = _any(
        ["w.bad IS NOT NULL", "w.r_error IS NOT NULL"]
        + [f"(w.e{f.number} AND {_carried(f, carry)})" for f in fields if f.plan.lookup]
    )
    insert_errors = _any(
        ["w.bad IS NOT NULL", "w.r_error IS NOT NULL", "x.error IS NOT NULL"] + [f"w.e{f.number}" for f in fields if f.plan.lookup]
    )
    blocked = _any(
        [f"(w.b{f.number} AND {_carried(f, carry)})" for f in fields if f.plan.lookup] + ["COALESCE(x.parent_failing, FALSE)"]
    )
    insert_blocked = _any([f"w.b{f.number}" for f in fields if f.plan.lookup] + ["COALESCE(x.parent_failing, FALSE)"])
    second = in_pass == "from" and "to" in bound.passes
    lines = ["WHEN d.coupled AND NOT d.le AND NOT d.ie THEN 'broken coupling'", "WHEN d.held IS NOT NULL THEN 'held'"]
    only_pass = len(bound.passes) == 1 and request.whole
    lines.append(f"WHEN NOT d.{s}e AND d.coupled THEN {literal('deleted partner' if only_pass else 'not a source')}")
    lines.append(f"WHEN NOT d.{s}e THEN 'not a source'")
    if second and not reference:
        # what the first pass writes inside the filter is seen by the second, and never written back
        inside = f"d.{s}inf AND d.{s}leave = ''"
        lines.append(f"WHEN p.disposition = 'update' AND p.carry AND p.two_way AND {inside} AND NOT {one_way} THEN 'unchanged'")
        lines.append(f"WHEN p.disposition IN ('update', 'couple') AND {inside} AND NOT d.idue THEN 'unchanged'")
    if second:
        lines.append("WHEN p.disposition = 'couple' THEN 'unchanged'")  # no pair is coupled twice; what is left to send stays open
    if not request.whole:
        lines.append(f"WHEN NOT d.{s}due THEN 'not due'")
    if request.only_creates:
        lines.append("WHEN d.coupled AND NOT d.found AND d.le AND d.ie THEN 'skipped'")
    lines.append("WHEN d.coupled AND d.skipped THEN 'skipped'")
    lines.append(f"WHEN NOT d.{s}inf THEN 'outside the filter'")
    lines.append(f"WHEN d.{s}leave <> '' THEN 'left out by rule'")
    if in_pass == "from" and leaves_out_own(bound, request):
        # our own write is no news, but that its partner is gone is (the reference never notices)
        lines.append(f"WHEN d.iown{'' if reference else ' AND (d.le OR NOT d.coupled)'} THEN 'left out by rule'")
    if not request.creates(mapping, only_coupled):
        lines.append(f"WHEN NOT d.coupled THEN {literal('not coupled, chosen' if request.kind == 'records' else 'not coupled')}")
    lines += [f"WHEN NOT d.coupled AND ({insert_errors}) THEN 'will fail'", f"WHEN NOT d.coupled AND ({insert_blocked}) THEN 'blocked'",
              "WHEN NOT d.coupled THEN 'create'"]  # fmt: skip
    policy = "restore_records" if request.kind == "restore" else mapping.deletion_conflict_resolution
    if (reference and request.whole) or policy == "none":
        lines.append(f"WHEN NOT d.{t}e THEN 'deleted partner'")
    elif policy == "remove_coupling":
        lines.append(f"WHEN NOT d.{t}e THEN 'remove coupling'")
    else:
        lines += [f"WHEN NOT d.{t}e AND ({insert_errors}) THEN 'will fail'", f"WHEN NOT d.{t}e AND ({insert_blocked}) THEN 'blocked'",
                  f"WHEN NOT d.{t}e THEN 'restore'"]  # fmt: skip
    if request.asks_changed:
        lines.append(f"WHEN NOT d.{s}c AND NOT d.found THEN 'unchanged'")
    both = clashes(bound, request, two_way)
    lines += _conflict(bound, in_pass, both)
    first_of_run = in_pass == bound.passes[0]
    rewrite = "'update'" if rewrites_equal(bound, request) and first_of_run else "'unchanged'"
    lines += [f"WHEN {errors} THEN 'will fail'", f"WHEN {blocked} THEN 'blocked'", "WHEN d.found THEN 'couple'",
              f"WHEN ({carry} AND {two_way}) OR {one_way} THEN 'update'"]  # fmt: skip
    first = "LEFT JOIN decided_to p ON p.rec = d.rec" if second else ""
    newline = "\n        "
    return f"""
      SELECT d.rec, {carry} AS carry, {two_way} AS two_way, {one_way} AS one_way, {both} AS clash, CASE
        {newline.join(lines)}
        ELSE {rewrite} END AS disposition
      FROM det d LEFT JOIN w_{in_pass} w ON w.rec = d.rec LEFT JOIN x_{in_pass} x ON x.rec = d.rec {first}"""


def clashes(bound: BoundMapping, request: Request, two_way: str) -> str:
    """SQL for: both sides changed, and a field that goes both ways differs (3.13)."""
    mapping = bound.mapping
    if mapping.direction != "bidirectional" or request.force or (mapping.semantics == "reference" and not request.asks_changed):
        return "FALSE"
    return f"(d.coupled AND NOT d.found AND d.lc AND d.ic AND {two_way})"


def _conflict(bound: BoundMapping, in_pass: Pass, both: str) -> list[str]:
    """Where both sides changed the policy speaks, else it is a conflict."""
    policy = bound.mapping.update_conflict_resolution
    if policy == "none":
        return [f"WHEN {both} THEN 'conflict'"]
    loses = (policy == "get_from_integration") == (in_pass == "to")
    return [f"WHEN {both} THEN 'loses to policy'"] if loses else []


def leaves_out_own(bound: BoundMapping, request: Request) -> bool:
    """Recurring runs of a bidirectional mapping leave out integration rows last changed by the integration user, unless an enabled
    field goes from the integration side only (3.5)."""
    mapping = bound.mapping
    one_way = any(f.enabled and f.direction == "from_integration" and f.integration for f in mapping.fields)
    return (
        request.kind == "modified"
        and mapping.direction == "bidirectional"
        and mapping.skip_own_changes_on_integration
        and not one_way
    )


def _carried(f: Expressions, carry: str) -> str:
    return carry if f.plan.bidirectional else "TRUE"


def _any(tests: object) -> str:
    parts = [t for t in tests if t != "FALSE"]  # type: ignore[attr-defined]
    return f"COALESCE(({' OR '.join(parts)}), FALSE)" if parts else "FALSE"


def carries_both_ways(bound: BoundMapping, in_pass: Pass, request: Request) -> str:
    """Whether this pass carries the fields that go both ways.

    Where only changed rows are asked for, the pass of the changed side carries them, and the second pass none that the first has
    carried. In a full synchronisation the local side speaks first, but a pair that only the integration side has changed since it
    was last synchronised is left to the second pass, so that nothing newer is overwritten (the reference writes the older local value
    there: 13.13). A row that is to be made anew gets all fields.
    """
    mapping = bound.mapping
    if mapping.direction != "bidirectional" or len(bound.passes) == 1:
        return "TRUE"
    if request.asks_changed or request.force:
        return "TRUE" if in_pass == "to" else "NOT COALESCE(p.disposition = 'update' AND p.two_way, FALSE)"
    if mapping.semantics == "reference":
        return "TRUE" if in_pass == "to" else "(NOT d.linf)"
    winner = mapping.update_conflict_resolution
    if in_pass == "to":
        lost = " AND NOT (d.lc AND d.ic)" if winner == "get_from_integration" else ""
        return f"(NOT d.ie OR d.found OR NOT (d.ic AND NOT d.lc AND d.iinf AND d.ileave = ''){lost})"
    to_carries = "(d.linf AND d.lleave = '')"
    won = "(d.lc AND d.ic) OR " if winner == "get_from_integration" else ""
    return f"(NOT d.coupled OR NOT d.le OR (NOT d.found AND ({won}(NOT d.lc AND (d.ic OR NOT {to_carries})))))"


def prints(bound: BoundMapping, alias: str, side: Side) -> str:
    """SQL for the fingerprint of a record's two-way fields as `side` holds them: a signature of the fields and their rules, then eight
    hexadecimal digits a field. "local": over the wide rows of the first pass; "integration": over the staged integration row."""
    fields = [f for f in expressions(bound, "to") if f.plan.bidirectional]
    if not fields or "to" not in bound.passes:
        return "NULL::VARCHAR"
    values = [f"{alias}.n{f.number}" if side == "local" else f"CAST({alias}.{f.plan.old} AS VARCHAR)" for f in fields]
    digests = ", ".join(f"substr(md5(COALESCE({v}, '')), 1, 8)" for v in values)
    return f"concat({literal(signature(bound) + ':')}, {digests})"


def signature(bound: BoundMapping) -> str:
    """Names of the two-way fields and their transformation rules in eight digits: prints of other fields say nothing."""
    fields = [(f.plan.name, f.plan.destination.name, f.plan.origin) for f in expressions(bound, "to") if f.plan.bidirectional]
    return hashlib.sha256(repr(fields).encode()).hexdigest()[:8]


def conflicts(bound: BoundMapping, in_pass: Pass) -> str:
    """One row per differing field of the records in conflict, those that a policy settles among them: what this pass would write over
    what, decided or not."""
    parts = [
        f"SELECT w.rec, {f.number} AS field, w.o{f.number} AS old, w.n{f.number} AS new, w.m{f.number} AS ref_mapping, "
        f"w.k{f.number} AS ref_key FROM w_{in_pass} w JOIN decided_{in_pass} q ON q.rec = w.rec "
        f"WHERE (q.disposition IN ('conflict', 'loses to policy') OR (q.clash AND q.disposition IN ('update', 'unchanged'))) AND w.d{f.number}"
        for f in expressions(bound, in_pass)
        if f.plan.counts != "insert"
    ]
    return " UNION ALL ".join(parts) + " ORDER BY 1, 2" if parts else ""


def changes(bound: BoundMapping, in_pass: Pass) -> str:
    """One row per field that an update or a found couple writes."""
    parts = []
    for f in expressions(bound, in_pass):
        if f.plan.counts == "insert":
            continue
        n = f.number
        parts.append(
            f"SELECT w.rec, {n} AS field, w.o{n} AS old, w.n{n} AS new, w.m{n} AS ref_mapping, w.k{n} AS ref_key, w.u{n} AS cleared, "
            f"w.v{n} AS looked_up FROM w_{in_pass} w "
            f"JOIN decided_{in_pass} q ON q.rec = w.rec WHERE q.disposition IN ('update', 'couple') AND w.d{n}"
            + (" AND q.carry" if f.plan.bidirectional else "")
        )
    return " UNION ALL ".join(parts) + " ORDER BY 1, 2" if parts else ""


def errors(bound: BoundMapping, in_pass: Pass) -> str:
    """One row per reference that cannot be resolved, for the records that will fail."""
    parts = [
        f"SELECT w.rec, {f.number} AS field, w.v{f.number} AS value FROM w_{in_pass} w JOIN decided_{in_pass} q ON q.rec = w.rec "
        f"WHERE q.disposition = 'will fail' AND w.e{f.number}" + (" AND q.carry" if f.plan.bidirectional else "")
        for f in expressions(bound, in_pass)
        if f.plan.lookup
    ]
    return " UNION ALL ".join(parts) + " ORDER BY 1, 2" if parts else ""


def blockers(bound: BoundMapping, in_pass: Pass) -> str:
    """One row per planned record that a row waits for (whether it will be created or not)."""
    parts = [
        f"SELECT w.rec, {f.number} AS field, w.m{f.number} AS mapping, w.k{f.number} AS source_key, w.v{f.number} AS value "
        f"FROM w_{in_pass} w JOIN decided_{in_pass} q ON q.rec = w.rec "
        f"WHERE w.m{f.number} IS NOT NULL AND (q.disposition IN ('create', 'restore', 'blocked', 'will fail') OR (q.disposition IN ('update', 'couple') "
        f"AND w.d{f.number}{' AND q.carry' if f.plan.bidirectional else ''}))"
        for f in expressions(bound, in_pass)
        if f.plan.lookup
    ]
    parts.append(
        f"SELECT w.rec, -1 AS field, w.r_parent AS mapping, w.r_parent_key AS source_key, '' AS value FROM w_{in_pass} w JOIN decided_{in_pass} q ON q.rec = w.rec "
        "WHERE w.r_parent IS NOT NULL AND q.disposition IN ('create', 'restore', 'blocked', 'update')"
    )
    return " UNION ALL ".join(parts) + " ORDER BY 1, 2"


def deferred(bound: BoundMapping, in_pass: Pass) -> str:
    """References that cannot be resolved yet and may be filled in a second step, once a later mapping has created their records."""
    parts = [
        f"SELECT w.rec, {f.number} AS field, w.v{f.number} AS value, w.o{f.number} AS old, (w.d{f.number} AND q.disposition <> 'unchanged') "
        f"AS clears FROM w_{in_pass} w JOIN decided_{in_pass} q ON q.rec = w.rec WHERE w.u{f.number} AND w.v{f.number} <> '' AND q.carry "
        "AND q.disposition IN ('create', 'update', 'couple', 'unchanged')"
        for f in expressions(bound, in_pass)
        if f.plan.second_step
    ]
    return " UNION ALL ".join(parts) + " ORDER BY 1, 2" if parts else ""
