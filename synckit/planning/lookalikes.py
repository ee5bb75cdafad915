"""Possible duplicates of one mapping's planned creates, by evidence over all of its fields: a score between 0 and 1 and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.model import Pass
from synckit.planning.bind import DESTINATION, SIDES, SOURCE, BoundMapping, Side
from synckit.planning.judging import FAINTEST
from synckit.planning.stage import as_text
from synckit.planning.tables import DUPLICATES

if TYPE_CHECKING:
    from synckit.planning.creates import Creates
    from synckit.planning.duplicates import Duplicates, FieldPair
    from synckit.planning.mapping_plan import MappingPlanner

#: Coupled rows that are compared besides the uncoupled ones: as many again, and at least so many. Of more, those that share an e-mail
#: address, a phone number or a name with an uncoupled row, and a sample that teaches what rows of this table have in common anyway.
COUPLED_ROWS = 10_000
SAMPLE = 4_000
AT_MOST = 5  # existing records listed for one create


def compared_fields(bound: BoundMapping) -> list[FieldPair]:
    """The field pairs of a mapping that are compared: text and dates with a column on both sides. What most records of a table share
    weighs little by itself, because coupled records that are no partners share it, too."""
    from synckit.planning.duplicates import FieldPair

    pairs = []
    for row in bound.mapping.fields:
        if row.local is None or row.integration is None or row.lookup is not None or not row.enabled:
            continue
        local, integration = bound.local.table.column(row.local), bound.integration.table.column(row.integration)
        if {local.kind, integration.kind} <= {"text", "code", "date", "datetime"}:
            pairs.append(FieldPair(local.name, f"l_{local.name}", f"i_{integration.name}", row.meaning))
    return pairs


def search(planner: MappingPlanner) -> Duplicates | None:
    """Likely same pairs among the uncoupled rows inside the filters and the coupled ones: across the sides, and within each. None where
    the search is not made: too many rows (said in the plan's notes), an option mapping, nothing to compare by. An incremental run, which
    has read a few rows only, reads all of them for it."""
    bound, request = planner.bound, planner.planning.request
    if bound.mapping.kind == "option" or any(r.finder for r in bound.rules):
        return None  # a mapping with a finder of its own knows its partners
    from synckit.planning.resemblance import uncoupled_rows

    free = {
        side: planner.column(f"SELECT n.key FROM {uncoupled_rows(planner, side)} AND n.leave_out = '' ORDER BY n.key")
        for side in SIDES
    }
    total = sum(len(k) for k in free.values())
    if not total:
        return None
    if total > request.deep_rows:
        planner.search_notes.append(
            f"{bound.name}: {total:,} uncoupled records, more than the {request.deep_rows:,} that are compared in all their fields; possible "
            "duplicates are those with an equal e-mail address, phone number or name."
        )
        return None
    fields = compared_fields(bound)
    if not fields:
        return None
    from synckit.planning.duplicates import find_duplicates  # loads scipy, which most commands do without

    coupled = _coupled(planner, total)
    _forget_likenesses(planner)
    tables = {}
    for side in SIDES:
        partner = coupled["of_" + side]
        columns = [f.a_column if side == "local" else f.b_column for f in fields]
        rows = _rows(planner, side, [*free[side], *coupled[side]], columns)
        tables[side] = rows.append_column(
            "partner", pa.array([partner.get(k) for k in rows.column("key").to_pylist()], pa.string())
        )
    return find_duplicates(tables["local"], tables["integration"], fields)


def _forget_likenesses(planner: MappingPlanner) -> None:
    """The columns by which coupled rows were chosen: a third of what is held of each row, and not needed any more."""
    for side in SIDES:
        for kind in planner.readers[side].resemblance:
            planner.con.execute(f"ALTER TABLE {planner.whole_table(side)} DROP COLUMN like_{kind}")
    planner.give_back()


def _coupled(planner: MappingPlanner, uncoupled: int) -> dict[str, Any]:
    """The coupled rows that take part: keys of either side, and of_<side>: key -> partner's key."""
    from synckit.planning.resemblance import sharing_keys

    con = planner.con
    both = (
        f"SELECT c.local_key, c.integration_key FROM {planner.all_couplings()} c JOIN {planner.whole_table('local')} l ON l.key = c.local_key "
        f"JOIN {planner.whole_table('integration')} i ON i.key = c.integration_key WHERE l.inf AND i.inf AND NOT c.found"
    )
    coupled = int(con.execute(f"SELECT count(*) FROM ({both})").fetchall()[0][0])
    every = 2 * coupled <= max(COUPLED_ROWS, uncoupled)
    some = f"{both} ORDER BY md5(c.local_key), c.local_key LIMIT {coupled if every else SAMPLE}"
    pairs: list[tuple[str, str]] = con.execute(some).fetchall()
    found: dict[str, Any] = {"local": [p[0] for p in pairs], "integration": [p[1] for p in pairs]}
    found |= {"of_local": dict(pairs), "of_integration": {ik: lk for lk, ik in pairs}}
    if every:
        return found
    for at, side in enumerate(SIDES):
        near = con.execute(
            f"{both} AND c.{side}_key IN (SELECT unnest(CAST(? AS VARCHAR[])))", [sharing_keys(planner, side)]
        ).fetchall()
        found[f"of_{side}"] |= {pair[at]: pair[1 - at] for pair in near}
        found[side] = list(found[f"of_{side}"])
    planner.search_notes.append(
        f"{planner.bound.name}: {2 * coupled:,} coupled records; those with an equal e-mail address, phone number or name, and a sample, "
        "were compared in all their fields."
    )
    return found


def _rows(planner: MappingPlanner, side: Side, keys: list[str], columns: list[str]) -> pa.Table:
    """The rows of `keys` as text, in the order of their keys."""
    bound = planner.bound.side(side)
    names = list(dict.fromkeys([bound.uid.name, *(c[2:] for c in columns)]))
    rows = planner.readers[side].snapshot.read(bound.table, names, keys=keys, key_column=bound.uid.name).read_all()
    rows = rows.append_column("@key", pc.cast(rows.column(bound.uid.name), pa.string())).sort_by("@key")
    made: dict[str, Any] = {"key": rows.column("@key")}
    for column in columns:
        made[column] = as_text(rows.column(column[2:]).combine_chunks(), bound.table.column(column[2:]))
    return pa.table(made)


def scored(planner: MappingPlanner, in_pass: Pass, created: Creates, found: Duplicates) -> pa.Table:
    """The planned creates of one pass that look like existing records of the other side, or like one another, with score and why; their
    evidence goes to the planner."""
    source, destination = SOURCE[in_pass], DESTINATION[in_pass]
    record_of = dict(zip(created.table.column("source_key").to_pylist(), created.table.column("record").to_pylist(), strict=True))
    local_first = source == "local"
    mine, other, taken = ("a_key", "b_key", "b_taken") if local_first else ("b_key", "a_key", "a_taken")
    hits: list[tuple[float, str, str, Side, bool, str | None]] = [(p["score"], p[mine], p[other], destination, bool(p[taken]), None)
            for p in found.pairs.select(["a_key", "b_key", "a_taken", "b_taken", "score"]).to_pylist()]  # fmt: skip
    letter = "a" if local_first else "b"
    for p in found.within.select(["a_key", "b_key", "side", "score"]).to_pylist():
        if p["side"] == letter:
            hits += [
                (p["score"], one, two, source, False, letter) for one, two in ((p["a_key"], p["b_key"]), (p["b_key"], p["a_key"]))
            ]
    lines: list[dict[str, Any]] = []
    listed: dict[str, int] = {}
    for score, key, existing, side, coupled, within in sorted(hits, key=lambda h: (-h[0], h[1], h[3], h[2])):
        if score < FAINTEST or key not in record_of or listed.get(key, 0) >= AT_MOST:
            continue
        listed[key] = listed.get(key, 0) + 1
        why = found.why(*((key, existing) if local_first or within else (existing, key)), within).to_pylist()
        lines.append({"record": record_of[key], "source_key": key, "existing_key": existing, "existing_side": side, "existing_coupled": coupled,
                      "score": score, "why": in_words(why)})  # fmt: skip
        values = ("a_value", "b_value") if local_first or within else ("b_value", "a_value")
        place = {"mapping": planner.bound.name, "source_key": key, "existing_side": side, "existing_key": existing}
        planner.evidence += [{**place, "position": n, "source_value": r[values[0]], "existing_value": r[values[1]],
                              **{c: r[c] for c in ("field", "level", "log_odds", "score_so_far")}} for n, r in enumerate(why)]  # fmt: skip
    names = {side: planner.names(side, [x["existing_key"] for x in lines if x["existing_side"] == side]) for side in SIDES}
    source_names = planner.names(source, [x["source_key"] for x in lines])
    for line in lines:
        line |= {"mapping": planner.bound.name, "pass": in_pass, "source_name": source_names.get(line["source_key"]),
                 "existing_name": names[line["existing_side"]].get(line["existing_key"])}  # fmt: skip
    lines.sort(key=lambda x: (x["record"], -x["score"], x["existing_side"], x["existing_key"]))
    return pa.Table.from_pylist(lines, DUPLICATES)


def in_words(why: list[dict[str, Any]]) -> str:
    """The three strongest pieces of evidence in words: "same E-Mail; Name similar 0.93"."""
    rows = [r for r in why if r["level"] not in ("", "missing", "different") and r["log_odds"] > 0]
    rows.sort(key=lambda r: (-r["log_odds"], r["field"]))
    words = [f"same {r['field']}" if r["level"] == "equal" else f"{r['field']} {r['level']}" for r in rows[:3]]
    return "; ".join(words) or "much the same as a whole"
