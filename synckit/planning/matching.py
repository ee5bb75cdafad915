"""Coupling by match: for every uncoupled local record the one integration record that agrees in the fields marked for it, as a plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.model import FieldMapping, Pass
from synckit.mapping.schema import Column
from synckit.planning.bind import SIDES, BoundMapping, Side
from synckit.planning.engine import QUIET, Planning
from synckit.planning.looking import Seen
from synckit.planning.manual import _joined, assembled, mapping_part, row_line
from synckit.planning.mapping_plan import plan_mapping
from synckit.planning.overlay import OverlaidLedger, Overlay
from synckit.planning.plan import Plan
from synckit.planning.planned_mapping import MappingPlan
from synckit.planning.request import Request
from synckit.planning.review import COUPLE
from synckit.planning.snapshot import option_rows
from synckit.planning.stage import TEXTUAL, as_text, canonical
from synckit.planning.tables import REVIEW
from synckit.systems.protocol import VERSION_TOKEN

NEVER_CREATES = "SALESPEOPLE"
PASS_OF_POLICY: dict[str, Pass] = {"send_to_integration": "to", "get_from_integration": "from"}
NAMED = 3  # of several candidates so many are named in the reason
LISTED = 20  # and so many are kept with the row


@dataclass(frozen=True)
class Criterion:
    """A field pair that a match compares. `group`: its priority; lower ones are tried first."""

    name: str
    local: Column
    integration: Column
    group: int
    case_sensitive: bool
    lookup: str | None = None

    @property
    def text(self) -> bool:
        return self.local.kind in TEXTUAL and self.local.kind != "guid"


@dataclass
class Outcome:
    """What became of one local record: "coupled", "none", "several", "taken" or "blank"; `keys` are the integration records that it
    came down to, `group` the criteria that decided, `fewer` those of them that were blank and so not asked for."""

    kind: str
    keys: tuple[str, ...] = ()
    count: int = 0
    group: tuple[Criterion, ...] = ()
    fewer: tuple[Criterion, ...] = ()
    rivals: list[str] = field(default_factory=list)
    tried: str = ""


def criteria_of(bound: BoundMapping) -> list[Criterion]:
    """The criteria of a mapping by priority, then in the order of its fields. SynckitError where it has none (M22)."""
    found = [criterion(bound, row) for row in bound.mapping.fields if row.use_for_match and row.enabled]
    if not found:
        raise SynckitError(
            f"Mapping {bound.name} says of no field that it is used for coupling by match. Write use_for_match: true on one or more of its "
            f"fields, or name the pairs to couple. `synckit duplicates --what-if --mapping {bound.name}` tells what each field would couple."
        )
    return sorted(found, key=lambda c: c.group)


def criterion(bound: BoundMapping, row: FieldMapping) -> Criterion:
    assert row.local is not None and row.integration is not None  # a constant is refused by `check`, and never bound
    integration = bound.integration.table.find("label") if bound.integration.option_set else None
    return Criterion(
        row.local, bound.local.table.column(row.local), integration or bound.integration.table.column(row.integration),
        row.match_priority, row.case_sensitive_match, row.lookup.mapping if row.lookup else None,
    )  # fmt: skip


# -- reading -----------------------------------------------------------------------------------------------------------------------


def load_rows(planning: Planning, bound: BoundMapping, criteria: Sequence[Criterion], prefix: str = "match") -> None:
    """Fill the tables <prefix>_local and <prefix>_integration: key, code, name, tok, inside, and v0..vn, the values of `criteria` as
    text, a lookup's as the key of the record that it leads to ('': blank)."""
    for side in SIDES:
        of, snapshot = bound.side(side), planning.snapshots[side]
        table = f"{prefix}_{side}"
        values = ", ".join(f"v{n} VARCHAR" for n in range(len(criteria)))
        planning.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} (key VARCHAR, code VARCHAR, name VARCHAR, tok VARCHAR, inside BOOLEAN, {values})"
        )
        if of.option_set is not None:
            rows = [
                (str(v), str(v), label, None, True, *[label] * len(criteria))
                for v, label in option_rows(of, snapshot, planning.systems[side])
            ]
            if rows:
                planning.con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * (5 + len(criteria)))})", rows)
            continue
        columns = [c.local if side == "local" else c.integration for c in criteria]
        known = [c.name for c in (of.uid, of.key, of.name) if c is not None]
        names = list(dict.fromkeys([*known, *(of.table.column(n).name for n in of.filter.columns), *(c.name for c in columns)]))
        token = [VERSION_TOKEN] if of.version is not None else []
        for batch in snapshot.read(of.table, [*names, *token]):
            n = batch.num_rows
            uid = pc.cast(batch.column(of.uid.name), pa.string())
            inside = pa.repeat(pa.scalar(True), n) if of.filter.is_empty else pc.fill_null(of.filter.mask(batch), False)
            made = {
                "key": canonical(uid, of.uid) if of.uid.kind == "guid" else uid,
                "code": _shown(batch, of.key), "name": _shown(batch, of.name),
                "tok": batch.column(VERSION_TOKEN) if token else pa.nulls(n, pa.string()), "inside": inside,
                **{f"v{i}": _value(batch.column(c.name), c) for i, c in enumerate(columns)},
            }  # fmt: skip
            planning.con.register("match_batch", pa.table(made))
            planning.con.execute(f"INSERT INTO {table} SELECT * FROM match_batch")
            planning.con.unregister("match_batch")
    for n, one in enumerate(criteria):
        if one.lookup is not None:
            _look_up(planning, f"{prefix}_local", n, one.lookup)


def _shown(batch: pa.RecordBatch, column: Column | None) -> pa.Array:
    return pa.nulls(batch.num_rows, pa.string()) if column is None else as_text(batch.column(column.name), column)


def _value(array: pa.Array, column: Column) -> pa.Array:
    """The value as text; what stands for a blank number or a no is blank on every system."""
    text = as_text(canonical(array, column), column)
    if column.kind in ("integer", "decimal", "boolean", "option"):
        text = pc.if_else(pc.is_in(text, value_set=pa.array(["0", "false"])), "", text)
    return text


def _look_up(planning: Planning, table: str, n: int, reference: str) -> None:
    """A code stands for the record that its mapping couples it to; one that leads nowhere equals nothing."""
    whole = pa.concat_tables([planning.coupled(name) for name in reference.split("|")])
    planning.con.register("match_known", whole)
    planning.con.execute(
        f"UPDATE {table} SET v{n} = COALESCE((SELECT min(integration_key) FROM match_known k WHERE k.code = {table}.v{n}), "
        f"'not coupled: ' || v{n}) WHERE v{n} <> ''"
    )
    planning.con.unregister("match_known")


# -- matching ----------------------------------------------------------------------------------------------------------------------


def outcomes(
    planning: Planning,
    criteria: Sequence[Criterion],
    locals_: Collection[str],
    taken: Collection[str],
    narrow: bool,
    prefix: str = "match",
) -> dict[str, Outcome]:
    """Local key -> its outcome, for the local records `locals_`, in the order in which they are taken: by number.

    `taken`: integration records that are coupled already. Groups of equal priority are tried one after the other until one couples; with
    `narrow` (semantics: reference) each later group asks for all that the earlier ones asked for as well (engine-behaviour 5, 13.6).
    A local record that comes after another one which took the only match finds it taken.
    """
    con = planning.con
    con.register("match_wanted", pa.table({"key": pa.array(sorted(locals_), pa.string())}))
    order = [
        r[0]
        for r in con.execute(
            f"SELECT key FROM {prefix}_local WHERE key IN (SELECT key FROM match_wanted) ORDER BY code, key"
        ).fetchall()
    ]
    groups = [list(group) for _, group in groupby(range(len(criteria)), key=lambda n: criteria[n].group)]
    asked = [[n for earlier in groups[: at + 1] for n in earlier] if narrow else group for at, group in enumerate(groups)]
    found = [_group(planning, criteria, numbers, prefix) for numbers in asked]
    con.unregister("match_wanted")
    in_groups = [[criteria[n] for n in group] for group in groups]
    gone, holder = set(taken), {}
    results: dict[str, Outcome] = {}
    for key in order:
        best: Outcome | None = None
        for numbers, hits in zip(asked, found, strict=True):
            usable, count, keys = hits.get(key, (0, 0, ()))
            fewer = tuple(criteria[n] for at, n in enumerate(numbers) if not usable >> at & 1)
            group = tuple(criteria[n] for n in numbers)
            kind = (
                "blank"
                if not usable
                else "none"
                if not count
                else "several"
                if count > 1
                else "taken"
                if keys[0] in gone
                else "coupled"
            )
            one = Outcome(kind, keys, count, group, fewer)
            if kind == "coupled":
                gone.add(keys[0])
                holder[keys[0]] = key
                best = one
                break
            if (
                best is None
                or (best.kind in ("none", "blank") and kind not in ("none", "blank"))
                or (best.kind == "blank" and kind == "none")
            ):
                best = one
        assert best is not None
        if best.kind == "none":
            best.tried = " nor ".join(" and ".join(c.name for c in group) for group in in_groups)
        if best.kind == "taken" and best.keys[0] in holder:
            results[holder[best.keys[0]]].rivals.append(key)
        results[key] = best
    return results


def _group(
    planning: Planning, criteria: Sequence[Criterion], numbers: list[int], prefix: str
) -> dict[str, tuple[int, int, tuple[str, ...]]]:
    """Local key -> (bits of the criteria that could be asked for, matching integration records, some of their keys) for one group.
    Criteria whose local text is blank are not asked for; every other kind of value is, blank or not."""
    con = planning.con
    exact = {n: criteria[n].case_sensitive or not criteria[n].text for n in numbers}

    def values(side: str, which: list[int]) -> str:
        return ", ".join((f"{side}.v{n}" if exact[n] else f"lower({side}.v{n})") + f" AS v{n}" for n in which)

    bits = " + ".join(
        f"CASE WHEN l.v{n} <> '' THEN {1 << at} ELSE 0 END" if criteria[n].text else str(1 << at) for at, n in enumerate(numbers)
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE match_asked AS SELECT l.key, {bits} AS bits, {values('l', numbers)} "
        f"FROM {prefix}_local l WHERE l.key IN (SELECT key FROM match_wanted)"
    )
    found: dict[str, tuple[int, int, tuple[str, ...]]] = {}
    for (usable,) in con.execute("SELECT DISTINCT bits FROM match_asked ORDER BY bits").fetchall():
        mine = [n for at, n in enumerate(numbers) if usable >> at & 1]
        if not mine:
            found |= {k: (0, 0, ()) for (k,) in con.execute("SELECT key FROM match_asked WHERE bits = 0").fetchall()}
            continue
        same = " AND ".join(f"a.v{n} = g.v{n}" for n in mine)
        by = ", ".join(f"v{n}" for n in mine)
        rows = con.execute(
            f"SELECT a.key, COALESCE(g.n, 0), COALESCE(g.keys, []) FROM match_asked a LEFT JOIN (SELECT {by}, count(*) AS n, "
            f"list_slice(list(key ORDER BY key), 1, {LISTED}) AS keys FROM (SELECT i.key, {values('i', mine)} FROM {prefix}_integration i WHERE i.inside) "
            f"GROUP BY {by}) g ON {same} WHERE a.bits = {usable}"
        ).fetchall()
        found |= {key: (usable, count, tuple(keys)) for key, count, keys in rows}
    return found


# -- the plan ----------------------------------------------------------------------------------------------------------------------


def match(planning: Planning, name: str, operator: str, chosen: Collection[str] | None = None) -> Plan:
    """The plan that couples the uncoupled records of a mapping by match (`chosen`: local keys; None: all)."""
    with ThreadPoolExecutor(2) as executor:
        part = matched_part(planning, name, executor, chosen)
    return assembled(planning, [part], "coupling", operator)


def matched_part(planning: Planning, name: str, executor: ThreadPoolExecutor, chosen: Collection[str] | None = None) -> MappingPlan:
    """A mapping's share of a plan that couples it by match, with what follows as the mapping says: the first synchronisation of what was
    coupled, and new records for those without any match. Mappings after it see its couplings."""
    bound = planning.bound[name]
    mapping, con = bound.mapping, planning.con
    criteria = criteria_of(bound)
    load_rows(planning, bound, criteria)
    couplings = planning.ledger.couplings(name).to_pylist()
    coupled: dict[Side, set[str]] = {side: {c[f"{side}_key"] for c in couplings} for side in SIDES}
    held = {r["key"]: r["reason"] for r in planning.ledger.held(name).to_pylist() if r["side"] == "local"}
    lone = [Seen(k, c, n, t, i) for k, c, n, t, i in con.execute("SELECT key, code, name, tok, inside FROM match_local ORDER BY code, key").fetchall()
            if k not in coupled["local"] and (chosen is None or k in chosen)]  # fmt: skip
    reference = mapping.semantics == "reference"
    results = outcomes(
        planning, criteria, {s.key for s in lone if s.inside and s.key not in held}, coupled["integration"], narrow=reference
    )
    wanted = sorted({k for one in results.values() for k in one.keys})
    con.register("match_named", pa.table({"key": pa.array(wanted, pa.string())}))
    there = {
        k: Seen(k, c, n, t, i)
        for k, c, n, t, i in con.execute(
            "SELECT key, code, name, tok, inside FROM match_integration WHERE key IN (SELECT key FROM match_named)"
        ).fetchall()
    }
    con.unregister("match_named")
    here = {s.key: s for s in lone}
    in_pass = mapping.passes()[0]
    creates = mapping.create_new_if_no_match and "to" in mapping.passes() and name != NEVER_CREATES
    rows: list[dict[str, Any]] = []
    pairs: list[tuple[str, str]] = []
    new: list[str] = []
    for key, one in results.items():
        partner = there[one.keys[0]] if one.kind == "coupled" else None
        row = row_line(name, in_pass, len(rows), here[key], partner)
        if one.kind == "coupled":
            pairs.append((key, one.keys[0]))
        elif creates and (one.kind == "none" or reference):
            new.append(key)
            continue
        rows.append({**row, **_said(planning, one, here, there)})
    rows += [{**row_line(name, in_pass, len(rows) + n, s, None), "disposition": "held", "code": "held", "reason": held[s.key]}
             for n, s in enumerate(s for s in lone if s.inside and s.key in held)]  # fmt: skip
    outside = [s.key for s in lone if not s.inside]
    looked: dict[Side, int] = {"local": len(lone), "integration": 0}
    part = mapping_part(planning, bound, rows, [], [], (in_pass,), looked)
    part.head = replace(part.head, matched=True, recommendation=COUPLE)
    n = len(outside)
    text = {c: pa.repeat(pa.scalar(v), n) for c, v in (("mapping", name), ("pass", in_pass), ("disposition", "outside the filter"))}
    part.quiet = (
        pa.table({**text, "local_key": pa.array(outside, pa.string()), "integration_key": pa.nulls(n, pa.string())})
        .select(QUIET.names)
        .cast(QUIET)
    )
    if pairs:
        planning.ledger = overlaid(planning.ledger, name, pairs)
    if new or (pairs and mapping.synch_after_match_coupling):
        part = _followed(planning, bound, part, pairs if mapping.synch_after_match_coupling else [], new, executor)
    part.review = _review(bound, part, coupled, con)
    return part


def _followed(planning: Planning, bound: BoundMapping, part: MappingPlan, pairs: list[tuple[str, str]], new: list[str], executor: ThreadPoolExecutor) -> MappingPlan:  # fmt: skip
    """`part` with the first synchronisation of `pairs` and the creates of `new`. The conflict policy says the direction; without one, a
    pair whose fields differ is a conflict (semantics: reference: the local side speaks first)."""
    mapping = bound.mapping
    policy = PASS_OF_POLICY.get(mapping.update_conflict_resolution) if mapping.direction == "bidirectional" else None
    direction = None if new and policy == "from" else policy  # creates go to the integration side
    force = direction is not None or mapping.direction != "bidirectional" or (mapping.semantics == "reference" and policy is None)
    chosen: dict[Side, frozenset[str]] = {
        "local": frozenset([*new, *(p[0] for p in pairs)]),
        "integration": frozenset(p[1] for p in pairs),
    }
    before = planning.request
    planning.request = Request(
        "records", direction=direction, force=force, create=True, deletions=False, chosen={bound.name: chosen}
    )
    try:
        first = plan_mapping(planning, replace(bound, passes=planning.request.passes(mapping)), executor)
    finally:
        planning.request = before
    in_pass = part.head.passes[0]
    waiting = dict(first.head.not_due)
    # records without a partner were looked at, though the synchronisation that follows leaves them alone
    if in_pass in waiting:
        waiting[in_pass] -= sum(1 for r in part.rows.to_pylist() if r["disposition"] != "coupling") + part.quiet.num_rows
    passes = tuple(p for p in mapping.passes() if p in (in_pass, *first.head.passes))
    quiet = pa.concat_tables([part.quiet, first.quiet.cast(QUIET)])
    columns = {p: first.head.columns.get(p, ()) for p in passes}
    joined = _joined(part, first)
    joined.head = replace(first.head, matched=True, recommendation=COUPLE, passes=passes, not_due=waiting, columns=columns)
    joined.quiet = quiet
    return joined


def overlaid(ledger: Any, name: str, pairs: Sequence[tuple[str, str]]) -> OverlaidLedger:
    """`ledger` with `pairs` coupled, beside what is laid over it already."""
    before = ledger.overlay if isinstance(ledger, OverlaidLedger) else Overlay()
    return OverlaidLedger(ledger, replace(before, pairs={**before.pairs, name: [*before.pairs.get(name, ()), *pairs]}))


def _said(planning: Planning, one: Outcome, here: dict[str, Seen], there: dict[str, Seen]) -> dict[str, Any]:
    """Disposition, code, reason and warnings of one outcome."""
    fields = " and ".join(c.name for c in one.group if c not in one.fewer) or " and ".join(c.name for c in one.group)
    title = planning.systems["integration"].title
    called = [there[k].called for k in one.keys]
    if one.kind == "coupled":
        reason = f"The only record of {title} with the same {fields}."
        if one.fewer:
            reason += f" {' and '.join(c.name for c in one.fewer)} could not be compared: blank."
        if one.rivals:
            also = ", ".join(here[k].called for k in one.rivals[:NAMED])
            reason += f" {also} {'matches' if len(one.rivals) == 1 else 'match'} it, too."
        warnings = [*(["matched_on_fewer_fields"] if one.fewer else []), *(["match_has_rivals"] if one.rivals else [])]
        return {"disposition": "coupling", "code": "matched", "reason": reason, "warnings": warnings}
    more = f" and {one.count - NAMED} more" if one.count > NAMED else ""
    code, reason = {
        "none": ("no_match", f"No record of {title} has the same {one.tried}."),
        "blank": ("blank_criteria", f"{fields} {'is' if len(one.group) == 1 else 'are'} blank, so there is nothing to match by."),
        "several": (
            "several_matches",
            f"{one.count} records of {title} have the same {fields}: {', '.join(called[:NAMED])}{more}.",
        ),
        "taken": ("match_taken", f"The only record of {title} with the same {fields} is coupled already: {', '.join(called[:1])}."),
    }[one.kind]
    return {"disposition": "will fail", "code": code, "reason": reason,
            "warnings": ["ambiguous_match"] if one.kind == "several" else []}  # fmt: skip


def _review(bound: BoundMapping, part: MappingPlan, coupled: dict[Side, set[str]], con: Any) -> pa.Table:
    counts = part.head.counts
    return pa.Table.from_pylist(
        [{"mapping": bound.name, "direction": bound.mapping.direction, "recommendation": COUPLE, "reason": "coupled by match",
          "local_rows": counts["local"], "integration_rows": counts["integration"], "coupled": len(coupled["local"]),
          "uncoupled_local": counts["local"] - len(coupled["local"]), "uncoupled_integration": counts["integration"] - len(coupled["integration"]),
          "depends_on": "|".join(bound.mapping.depends_on)}],
        REVIEW,
    )  # fmt: skip


__all__ = ["Criterion", "Outcome", "criteria_of", "criterion", "load_rows", "match", "matched_part", "outcomes", "overlaid"]
