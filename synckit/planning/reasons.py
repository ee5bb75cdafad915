"""The rows of a plan in words: for every record its disposition, a stable code, a sentence, its warnings, its fields and its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.ledger.transaction import error_text
from synckit.mapping.model import Pass
from synckit.planning import reconcile as sql
from synckit.planning.bind import DESTINATION, SOURCE
from synckit.planning.tables import BOOKED_AS_FAILED, CHANGES, CONFLICTS, DEPENDS, ERRORS, ROWS

if TYPE_CHECKING:
    from synckit.planning.creates import Creates
    from synckit.planning.mapping_plan import MappingPlanner

#: Code -> sentence. {source} and {destination} are the titles of the two systems in the pass.
SENTENCES = {
    "not_coupled": "Not coupled, inside the filter: a new row in {destination}.",
    "created_before": "Not coupled; a row was created for it before and is gone: it would be created again in {destination}.",
    "found_partner": "A record with the same key value exists in {destination}: the two are coupled.",
    "changed": "Changed in {source} since the last synchronisation.",
    "changed_both": "Changed in both systems, in fields of different directions: each direction carries its own.",
    "policy_wins": "Changed in both systems; the policy of this mapping sends this side's values.",
    "newer_there": "Differs; {destination} changed since the last synchronisation and is overwritten.",
    "differs": "Differs although neither side is newer than the last synchronisation.",
    "never_synchronised_update": "Coupled but never synchronised; fields that this direction carries differ.",
    "equal": "Equal in every field that this direction carries.",
    "other_pass": "Only {destination} has changed: there is nothing to bring over from {source}.",
    "newer_here_only": "Differs in fields that go both ways, which this direction leaves alone now: the other one carries them, once it can.",
    "both_changed": "Changed in both systems since the last synchronisation: conflict.",
    "never_synchronised": "Coupled but never synchronised, and the two differ: conflict.",
    "partner_deleted": "Coupled to a record that was deleted.",
    "broken": "Neither record of this coupling exists any more.",
    "skipped": "Skipped, because it failed twice for the same reason; retry it to include it again.",
    "already_coupled": "Coupled already: nothing is created.",
    "outside_filter": "Outside the filter of {source}.",
    "no_source": "No row in {source}: nothing to send from there.",
    "not_changed": "Not changed in {source} since the last synchronisation.",
    "echo": "Written by this run itself, in the other direction.",
    "only_coupled": "Not coupled, and this mapping synchronises coupled records only.",
    "loses": "Changed in both systems; the mapping's policy gives the other side's value.",
    "restored": "Its partner was deleted in {destination} and is restored, as the mapping's policy says.",
    "coupling_removed": "Its partner was deleted; the coupling is removed, as the mapping's policy says.",
    "own_change": "Left out: last changed by the integration user, that is by a synchronisation.",
    "rewritten": "Equal, and rewritten as the reference does.",
    "chosen": "Differs; the chosen direction decides.",
    "blocked": "Waits for a record that cannot be created.",
}


@dataclass
class Described:
    rows: pa.Table
    changes: pa.Table
    errors: pa.Table
    depends: pa.Table
    conflicts: pa.Table
    deferred: list[dict[str, Any]]


def describe(planner: MappingPlanner, in_pass: Pass, created: Creates, alike: set[int]) -> Described:
    """Everything the plan says of the records of one pass that need a look. `alike`: creates that resemble existing records."""
    errors = _errors(planner, in_pass)
    changes = _changes(planner, in_pass)
    depends, blockers, blocked = _depends(planner, in_pass)
    rows = _rows(planner, in_pass)
    waiting = set(rows.filter(pc.equal(rows.column("disposition"), "blocked")).column("record").to_pylist())
    errors = pa.concat_tables([errors, pa.Table.from_pylist([e for e in blocked if e["record"] in waiting], ERRORS)])
    again = SENTENCES["created_before"].format(destination=planner.planning.systems[DESTINATION[in_pass]].title)
    rows = _with_reasons(rows, errors, blockers, created, alike, again)
    if planner.planning.request.asks_changed:
        rows = _failing_again(planner, in_pass, rows)
    query = sql.deferred(planner.bound, in_pass)
    deferred = []
    if query:
        for record, number, value, old, clears in planner.con.execute(query).fetchall():
            plan = planner.bound.fields[in_pass][number]
            deferred.append({"mapping": planner.bound.name, "pass": in_pass, "record": record, "field": plan.name, "value": value,
                             "column": plan.destination.name, "old": old, "clears": clears, "lookup": plan.lookup.mapping if plan.lookup else ""})  # fmt: skip
    return Described(rows, changes, errors, depends, _conflicts(planner, in_pass, rows), deferred)


def _rows(planner: MappingPlanner, in_pass: Pass) -> pa.Table:
    bound = planner.bound
    source, destination = SOURCE[in_pass], DESTINATION[in_pass]
    s, t = sql.LETTER[source], sql.LETTER[destination]
    titles = {"source": planner.planning.systems[source].title, "destination": planner.planning.systems[destination].title}
    request = planner.planning.request
    unchanged = "WHEN p.disposition IN ('update', 'couple') THEN 'echo'" if in_pass == "from" and "to" in bound.passes else ""
    unchanged += f" WHEN NOT d.{s}c THEN 'not_changed'" if request.asks_changed else ""
    skipped = "CASE WHEN d.le AND d.ie THEN 'already_coupled' ELSE 'skipped' END" if request.only_creates else "'skipped'"
    chosen = "WHEN TRUE THEN 'chosen'" if request.force else ""
    first = "LEFT JOIN decided_to p ON p.rec = d.rec" if in_pass == "from" and "to" in bound.passes else ""
    code = f"""CASE q.disposition WHEN 'create' THEN 'not_coupled' WHEN 'couple' THEN 'found_partner'
      WHEN 'update' THEN CASE WHEN NOT (q.one_way OR q.two_way) THEN 'rewritten' {chosen} WHEN d.never THEN 'never_synchronised_update'
        WHEN q.clash THEN 'policy_wins' WHEN d.{s}c AND d.{t}c THEN 'changed_both' WHEN d.{s}c THEN 'changed' WHEN d.{t}c THEN 'newer_there' ELSE 'differs' END
      WHEN 'unchanged' THEN CASE {unchanged} WHEN NOT q.two_way THEN 'equal' WHEN d.{t}c AND NOT d.{s}c THEN 'other_pass'
        ELSE 'newer_here_only' END
      WHEN 'not coupled' THEN 'only_coupled' WHEN 'not coupled, chosen' THEN 'only_coupled' WHEN 'loses to policy' THEN 'loses'
      WHEN 'restore' THEN 'restored' WHEN 'remove coupling' THEN 'coupling_removed'
      WHEN 'conflict' THEN CASE WHEN d.never THEN 'never_synchronised' ELSE 'both_changed' END
      WHEN 'deleted partner' THEN 'partner_deleted' WHEN 'broken coupling' THEN 'broken' WHEN 'skipped' THEN {skipped} WHEN 'held' THEN 'held'
      WHEN 'outside the filter' THEN 'outside_filter' WHEN 'left out by rule' THEN CASE WHEN d.{s}leave = '' THEN 'own_change' ELSE 'left_out' END WHEN 'not a source' THEN 'no_source'
      WHEN 'blocked' THEN 'blocked' ELSE 'error' END"""
    sentence = " ".join(f"WHEN '{c}' THEN {sql.literal(text.format(**titles))}" for c, text in SENTENCES.items())
    may_be_cut = {staged.name for staged in bound.side(source).staged if staged.cut is not None}
    # a text that was cut before, and is equal since, is not cut again by an update of another field
    cut = [f"(contains(w.cuts, ',{f.plan.value},') AND w.d{f.number}{' AND q.carry' if f.plan.bidirectional else ''})"
           for f in sql.expressions(bound, in_pass) if f.plan.value in may_be_cut and f.plan.counts != "insert"]  # fmt: skip
    warnings = [f"CASE WHEN q.disposition = 'update' AND d.{t}c AND NOT d.never THEN 'overwrites_newer_value' END",
                "CASE WHEN q.disposition IN ('create', 'restore') AND w.cuts IS NOT NULL THEN 'value_cut' END",
                *([f"CASE WHEN q.disposition IN ('update', 'couple') AND ({' OR '.join(cut)}) THEN 'value_cut' END"] if cut else [])]  # fmt: skip
    cleared = [f"w.u{f.number} AND w.d{f.number}" for f in sql.expressions(bound, in_pass) if f.plan.lookup and f.plan.clear]
    if cleared:
        warnings.append(
            f"CASE WHEN q.disposition IN ('update', 'couple') AND q.carry AND ({' OR '.join(cleared)}) THEN 'lookup_cleared' END"
        )
    # fingerprints are taken where applying will keep them, or where a conflict asks who changed what
    keep = {
        "to": ("'create', 'restore', 'update', 'couple'", "'unchanged'"),
        "from": ("''", "'create', 'restore', 'update', 'couple', 'unchanged'"),
    }
    local_kept, integration_kept = keep[in_pass]
    asked = "'conflict', 'loses to policy', "
    # apart from the rest: where few records need them, few are worked out, and no wide row is carried through the joins below
    planner.con.execute(
        f"CREATE OR REPLACE TEMP TABLE prints AS SELECT d.rec, {sql.prints(bound, 'v', 'local')} AS local_print FROM det d "
        f"JOIN decided_{in_pass} q ON q.rec = d.rec JOIN w_to v ON v.rec = d.rec WHERE q.disposition IN ({asked}{local_kept}) OR q.clash"
        if "to" in bound.passes
        else "CREATE OR REPLACE TEMP TABLE prints AS SELECT NULL::BIGINT AS rec, NULL::VARCHAR AS local_print LIMIT 0"
    )
    planner.con.execute(
        f"CREATE OR REPLACE TEMP TABLE prints_there AS SELECT d.rec, {sql.prints(bound, 'i', 'integration')} AS integration_print "
        f"FROM det d JOIN decided_{in_pass} q ON q.rec = d.rec JOIN d_integration i ON i.key = d.ik "
        f"WHERE q.disposition IN ({asked}{integration_kept}) OR q.clash"
    )
    query = f"""
      WITH coded AS (SELECT d.rec, {code} AS code FROM det d JOIN decided_{in_pass} q ON q.rec = d.rec {first})
      SELECT {sql.literal(bound.name)} AS mapping, '{in_pass}' AS pass, d.rec AS record, 1::TINYINT AS step, d.lk AS local_key,
        d.ik AS integration_key, l.name AS local_name, i.name AS integration_name, q.disposition, k.code,
        CASE WHEN k.code = 'held' THEN d.held WHEN k.code = 'left_out' THEN 'Left out: ' || d.{s}leave || '.'
          ELSE CASE k.code {sentence} END END AS reason,
        list_filter([{", ".join(warnings)}], lambda x: x IS NOT NULL) AS warnings,
        l.tok AS local_token, i.tok AS integration_token, d.coupled AND NOT d.found AS coupled, NULL::VARCHAR AS "table",
        v.local_print, o.integration_print
      FROM det d JOIN decided_{in_pass} q ON q.rec = d.rec JOIN coded k ON k.rec = d.rec LEFT JOIN w_{in_pass} w ON w.rec = d.rec
      LEFT JOIN d_local l ON l.key = d.lk LEFT JOIN d_integration i ON i.key = d.ik
      LEFT JOIN prints v ON v.rec = d.rec LEFT JOIN prints_there o ON o.rec = d.rec WHERE q.disposition <> 'not due' ORDER BY d.rec"""
    return planner.con.sql(query).to_arrow_table().cast(ROWS)


def _with_reasons(
    rows: pa.Table, errors: pa.Table, blockers: dict[int, str], created: Creates, alike: set[int], again: str
) -> pa.Table:
    """Put in the sentences and warnings that come from other tables."""
    first: dict[int, tuple[str, str]] = {}
    for record, code, message in zip(*(errors.column(c).to_pylist() for c in ("record", "code", "message")), strict=True):
        first.setdefault(record, (code, message))
    extra: dict[int, list[str]] = {}
    for record in alike:
        extra.setdefault(record, []).append("possible_duplicate")
    for record, overridden in zip(created.table.column("record").to_pylist(), created.overridden, strict=True):
        if overridden:
            extra.setdefault(record, []).append("template_overrides_value")
    before = {r for r, yes in zip(created.table.column("record").to_pylist(), created.before, strict=True) if yes}
    if not (first or extra or blockers or before):
        return rows
    record_column = rows.column("record").to_pylist()
    disposition = rows.column("disposition").to_pylist()
    code_column, reasons, warnings = (rows.column(c).to_pylist() for c in ("code", "reason", "warnings"))
    for n, record in enumerate(record_column):
        if disposition[n] == "will fail" and record in first:
            code_column[n], reasons[n] = first[record]
        elif disposition[n] == "blocked" and record in blockers:
            reasons[n] = blockers[record]
        elif disposition[n] == "create":
            warnings[n] = [*(warnings[n] or []), *extra.get(record, ())]
            if record in before:
                code_column[n], reasons[n] = "created_before", again
    for name, values in (("code", code_column), ("reason", reasons), ("warnings", warnings)):
        rows = rows.set_column(rows.schema.get_field_index(name), ROWS.field(name), pa.array(values, ROWS.field(name).type))
    return rows


def _failing_again(planner: MappingPlanner, in_pass: Pass, rows: pa.Table) -> pa.Table:
    """A record that fails as it failed before, in the same direction, becomes a skipped record (3.15); both passes leave it alone then."""
    before = dict(
        planner.con.execute(f"SELECT local_key, {in_pass}_error FROM couplings WHERE {in_pass}_failed AND NOT skipped").fetchall()
    )
    dispositions, codes, reasons = (rows.column(c).to_pylist() for c in ("disposition", "code", "reason"))
    coupled, keys, records = (rows.column(c).to_pylist() for c in ("coupled", "local_key", "record"))
    changed = False
    for n, disposition in enumerate(dispositions):
        again = disposition in BOOKED_AS_FAILED and coupled[n] and before.get(keys[n]) == error_text(codes[n], reasons[n])
        first = in_pass == "from" and records[n] in planner.failing_again and disposition != "not a source"
        if again or first:
            if in_pass == "to":
                planner.failing_again.add(records[n])
            # only what failed itself is booked as failed: the other side has not changed for that
            dispositions[n], codes[n] = "skipped", "fails_again" if again else "skipped"
            reasons[n] = reasons[n] if again else "Skipped: the first pass of this run failed as before."
            changed = True
    if not changed:
        return rows
    for name, values in (("disposition", dispositions), ("code", codes), ("reason", reasons)):
        rows = rows.set_column(rows.schema.get_field_index(name), ROWS.field(name), pa.array(values, pa.string()))
    return rows


def _changes(planner: MappingPlanner, in_pass: Pass) -> pa.Table:
    return _fields(planner, in_pass, sql.changes(planner.bound, in_pass))


def _fields(planner: MappingPlanner, in_pass: Pass, query: str) -> pa.Table:
    """The lines of a query over wide rows (rec, field number, old, new, reference), as CHANGES."""
    if not query:
        return CHANGES.empty_table()
    table = planner.con.sql(query).to_arrow_table()
    plans = planner.bound.fields[in_pass]
    number = table.column("field")
    n = table.num_rows

    def look(values: list[str]) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(values, pa.string())]).take(number)

    return pa.table(
        {
            "mapping": pa.repeat(pa.scalar(planner.bound.name), n),
            "pass": pa.repeat(pa.scalar(in_pass), n),
            "record": table.column("rec"),
            "step": pa.repeat(pa.scalar(1, pa.int8()), n),
            "field": look([p.name for p in plans]),
            "column": look([p.destination.name for p in plans]),
            "old": table.column("old"),
            "new": table.column("new"),
            "origin": look([p.origin for p in plans]),
            "ref_mapping": table.column("ref_mapping"),
            "ref_key": table.column("ref_key"),
        }
    ).cast(CHANGES)


def _conflicts(planner: MappingPlanner, in_pass: Pass, rows: pa.Table) -> pa.Table:
    """What the records in conflict differ in, and which side changed each field since the last synchronisation (fingerprints)."""
    lines = _fields(planner, in_pass, sql.conflicts(planner.bound, in_pass))
    if not lines.num_rows:
        return CONFLICTS.empty_table()
    plans = {p.destination.name: p for p in planner.bound.fields[in_pass]}
    two_way = [f.plan.name for f in sql.expressions(planner.bound, "to") if f.plan.bidirectional]
    present = {r["record"]: r for r in rows.select(["record", "local_key", "local_print", "integration_print"]).to_pylist()}
    who: dict[int, dict[str, str]] = {}
    found = lines.to_pylist()
    for line in found:
        record = line["record"]
        if record not in who:
            who[record] = _changed_by(planner, present[record], two_way)
        line["two_way"] = plans[line["column"]].bidirectional
        line["changed_by"] = who[record].get(line["field"], "unknown")
    return pa.Table.from_pylist(found, CONFLICTS)


def _changed_by(planner: MappingPlanner, row: dict[str, Any], names: list[str]) -> dict[str, str]:
    """Field -> the side that changed it since the last synchronisation, where fingerprints of these very fields were kept."""
    coupling = planner.planning.ledger.coupling(planner.bound.name, local=row["local_key"])
    kept, local, integration = (
        (coupling or {}).get("fingerprints") or "",
        row["local_print"] or "",
        row["integration_print"] or "",
    )
    heads = {text.partition(":")[0] for text in (kept, local, integration)}
    if len(heads) != 1 or "" in heads:
        return {}
    found = {}
    for n, name in enumerate(names):
        before, here, there = (text.partition(":")[2][8 * n : 8 * n + 8] for text in (kept, local, integration))
        sides = [side for side, now in (("local", here), ("integration", there)) if now != before]
        found[name] = "both" if len(sides) == 2 else sides[0] if sides else "unknown"
    return found


def _errors(planner: MappingPlanner, in_pass: Pass) -> pa.Table:
    """Every error of the records that will fail: references, conversions, rules, and what the destination would refuse."""
    bound, con = planner.bound, planner.con
    found: list[dict[str, Any]] = []

    def add(record: int, code: str, field: str, value: str | None, message: str) -> None:
        found.append(
            {
                "mapping": bound.name,
                "pass": in_pass,
                "record": record,
                "code": code,
                "field": field,
                "value": value,
                "message": message,
            }
        )

    query = sql.errors(bound, in_pass)
    for record, number, value in con.execute(query).fetchall() if query else []:
        plan = bound.fields[in_pass][number]
        assert plan.lookup is not None
        referred = plan.lookup.mapping.replace("|", " or ")
        if plan.lookup.kind == "option_coupling" and in_pass == "from":
            add(
                record,
                "missing_option",
                plan.name,
                value,
                f"{plan.name}: option {value} has no coupled record. Couple it in {referred}.",
            )
        elif not value:
            add(record, "local_currency_missing", plan.name, value,
                f"{plan.name} is blank, which stands for the local currency, and that currency is not in the other system.")  # fmt: skip
        else:
            code = "missing_option" if plan.lookup.kind == "option_coupling" else "lookup_not_coupled"
            add(
                record,
                code,
                plan.name,
                value,
                f'{plan.name} "{value}" must be coupled first: {referred} has no coupled record with that key.',
            )
    rows = con.execute(
        f"SELECT w.rec, w.bad, w.r_error, x.error FROM w_{in_pass} w JOIN decided_{in_pass} q ON q.rec = w.rec JOIN x_{in_pass} x ON x.rec = w.rec "
        "WHERE q.disposition = 'will fail' ORDER BY w.rec"
    ).fetchall()
    for record, bad, rule_error, insert_error in rows:
        for line in (bad or "").split("\x1e"):
            if line:
                field, value, message = [*line.split("\x1f"), "", ""][:3]
                add(record, "cannot_convert", field, value, f'{field} "{value}" {message}.')
        if rule_error:
            rule, _, message = rule_error.partition("\x1f\x1f")
            add(record, rule, rule, None, message)
        if insert_error:
            code, field, value = insert_error.split("\x1f")
            message = (
                f'{field} "{value}" exists already in the other system.'
                if code == "key_collision"
                else f"{field} is required and blank."
            )
            add(record, code, field, value, message)
    found.sort(key=lambda e: (e["record"], e["field"], e["code"]))
    return pa.Table.from_pylist(found, ERRORS)


def _depends(planner: MappingPlanner, in_pass: Pass) -> tuple[pa.Table, dict[int, str], list[dict[str, Any]]]:
    """What rows wait for, and for the blocked ones the sentence that names it, and every record that blocks them as an error."""
    bound, con = planner.bound, planner.con
    waits = con.execute(
        f"SELECT b.rec, b.field, b.mapping, b.source_key, b.value, p.pass, p.record, p.state, p.name FROM ({sql.blockers(bound, in_pass)}) b "
        "JOIN planned p ON p.mapping = b.mapping AND p.source_key = b.source_key ORDER BY 1, 2, 3, 4"
    ).fetchall()
    rows: list[dict[str, Any]] = []
    sentences: dict[int, str] = {}
    errors: list[dict[str, Any]] = []
    for record, number, mapping, source_key, value, parent_pass, parent_record, state, name in waits:
        field = bound.fields[in_pass][number].name if number >= 0 else "parent"
        rows.append({"mapping": bound.name, "pass": in_pass, "record": record, "parent_mapping": mapping, "parent_pass": parent_pass,
                     "parent_record": parent_record, "field": field})  # fmt: skip
        if state == "failing":
            said = f"Blocked by {mapping} {name or value or source_key}, which cannot be created ({field})."
            sentences.setdefault(record, said)
            errors.append({"mapping": bound.name, "pass": in_pass, "record": record, "code": "blocked", "field": field, "value": value or None,
                           "message": said})  # fmt: skip
    return pa.Table.from_pylist(rows, DEPENDS), sentences, errors


__all__ = ["SENTENCES", "Described", "describe"]
