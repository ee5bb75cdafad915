"""What if a mapping were coupled by these fields: for every field pair, and every two of them, what a match would couple and leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import pandas as pd

from synckit.errors import SynckitError
from synckit.planning.bind import SIDES, Side
from synckit.planning.duplicates.meaning import infer_meaning
from synckit.planning.engine import Planning
from synckit.planning.matching import Criterion, criterion, load_rows, outcomes

COLUMNS = ("criteria", "fields", "couples", "several", "taken", "none", "blank", "unique_local", "unique_integration", "filled_local",
           "filled_integration", "equal_where_coupled", "suggested")  # fmt: skip
PAIRED = 6  # of so many of the most telling fields, every two are tried together
STEPS = 3  # criteria suggested at most, one after the other
UNIQUE = 0.9  # share of values that must stand once on either side for a suggestion
NOT_A_CRITERION = ("boolean", "time")


def what_if(planning: Planning, name: str) -> pd.DataFrame:
    """One line per set of criteria, the suggested ones first, then by how many records they would couple.

    `fields`: the local fields. couples, several (ambiguous), taken, none, blank: uncoupled local records inside the filter, as `plan_coupling`
    would sort them. unique_*, filled_*: share of the rows of either side inside its filter whose value stands once, among the filled ones,
    and that have one. `equal_where_coupled`: share of the coupled pairs, both filled, that agree; NaN where there are none. `suggested`:
    priority in the suggested set, from 0; <NA> else. Nothing is written.
    """
    bound = planning.bound[name]
    criteria = [
        replace(criterion(bound, row), group=0)
        for row in bound.mapping.fields
        if row.enabled and row.local is not None and row.integration is not None and row.constant is None
    ]
    criteria = [c for c in criteria if c.local.kind not in NOT_A_CRITERION]
    if not criteria:
        raise SynckitError(f"Mapping {name} has no field pair that could be compared.")
    load_rows(planning, bound, criteria, "if")
    couplings = planning.ledger.couplings(name)
    coupled = {side: set(couplings.column(f"{side}_key").to_pylist()) for side in SIDES}
    held = {r["key"] for r in planning.ledger.held(name).to_pylist() if r["side"] == "local"}
    planning.con.register("if_coupled", couplings.select(["local_key", "integration_key"]))
    inside = {k for (k,) in planning.con.execute("SELECT key FROM if_local WHERE inside").fetchall()}
    free = inside - coupled["local"] - held
    tried = [_tried(planning, criteria, (n,), free, coupled["integration"]) for n in range(len(criteria))]
    telling = sorted(range(len(criteria)), key=lambda n: -_telling(tried[n]))[:PAIRED]
    tried += [_tried(planning, criteria, pair, free, coupled["integration"]) for pair in combinations(sorted(telling), 2)]
    planning.con.unregister("if_coupled")
    _suggest(tried, {c.name for n, c in enumerate(criteria) if _is_place(planning, n, c)})
    frame = pd.DataFrame(tried)
    frame["suggested"] = frame["suggested"].astype("Int64")
    frame = frame.sort_values(
        ["suggested", "couples", "several", "criteria"], ascending=[True, False, True, True], na_position="last"
    )
    return frame[list(COLUMNS)].reset_index(drop=True)


def _tried(
    planning: Planning, criteria: Sequence[Criterion], numbers: tuple[int, ...], free: set[str], taken: set[str]
) -> dict[str, Any]:
    """One line of the frame; `_coupled` holds the local keys that would be coupled."""
    con = planning.con
    mine = [criteria[n] for n in numbers]
    for side in SIDES:
        values = ", ".join(f"v{n} AS v{i}" for i, n in enumerate(numbers))
        con.execute(f"CREATE OR REPLACE TEMP TABLE iff_{side} AS SELECT key, code, name, tok, inside, {values} FROM if_{side}")
    found = outcomes(planning, mine, free, taken, narrow=False, prefix="iff")
    counted = {
        kind: sum(1 for one in found.values() if one.kind == kind) for kind in ("coupled", "several", "taken", "none", "blank")
    }
    line: dict[str, Any] = {
        "criteria": " + ".join(c.name for c in mine),
        "fields": tuple(c.name for c in mine),
        "couples": counted.pop("coupled"),
        **counted,
    }
    whole = " || chr(31) || ".join(f"lower(v{i})" for i in range(len(mine)))
    filled = " AND ".join(f"v{i} <> ''" for i in range(len(mine)))
    for side in SIDES:
        line |= _standing(planning, side, whole, filled)
    same = con.execute(
        f"SELECT count(*), count(*) FILTER (l.k = i.k) FROM if_coupled c JOIN (SELECT key, {whole} AS k FROM iff_local WHERE {filled}) l "
        f"ON l.key = c.local_key JOIN (SELECT key, {whole} AS k FROM iff_integration WHERE {filled}) i ON i.key = c.integration_key"
    ).fetchall()[0]
    line["equal_where_coupled"] = same[1] / same[0] if same[0] else float("nan")
    return line | {"suggested": None, "_coupled": {k for k, one in found.items() if one.kind == "coupled" and not one.fewer}}


def _standing(planning: Planning, side: Side, whole: str, filled: str) -> dict[str, Any]:
    rows, full, alone = planning.con.execute(
        f"SELECT count(*), COALESCE(sum(n) FILTER (k IS NOT NULL), 0), COALESCE(sum(n) FILTER (k IS NOT NULL AND n = 1), 0) FROM (SELECT k, count(*) AS n "
        f"FROM (SELECT CASE WHEN {filled} THEN {whole} END AS k FROM iff_{side} WHERE inside) GROUP BY k)"
    ).fetchall()[0]
    total = planning.con.execute(f"SELECT count(*) FROM iff_{side} WHERE inside").fetchall()[0][0]
    del rows
    return {f"unique_{side}": float(alone) / float(full) if full else 0.0, f"filled_{side}": float(full) / total if total else 0.0}


def _telling(line: dict[str, Any]) -> float:
    """How much a field by itself tells one record from another, on the poorer side."""
    return min(float(line[f"unique_{s}"]) * float(line[f"filled_{s}"]) for s in SIDES)


def _is_place(planning: Planning, n: int, one: Criterion) -> bool:
    """Whether a field says where a record is: two firms in one building are not the same, however rare their address."""
    values = planning.con.execute(f"SELECT DISTINCT v{n} FROM if_local WHERE v{n} <> '' ORDER BY 1 LIMIT 500").fetchall()
    return infer_meaning(f"{one.local.name} {one.integration.name}", [v for (v,) in values]) in (
        "street",
        "city",
        "post code",
        "country",
    )


def _suggest(tried: list[dict[str, Any]], places: set[str]) -> None:
    """Mark the criteria that tell records apart on both sides and couple the most that those before them leave; never by a place alone.
    Coupled pairs that disagree speak against a field."""
    able = [
        t for t in tried
        if not set(t["fields"]) <= places and all(float(t[f"unique_{s}"]) >= UNIQUE for s in SIDES) and not float(t["equal_where_coupled"]) < 0.5
    ]  # fmt: skip
    done: set[str] = set()
    for step in range(STEPS):
        best = max(able, key=lambda t: (len(t["_coupled"] - done), -int(t["several"]), -len(t["fields"])), default=None)
        if best is None or not best["_coupled"] - done:
            return
        best["suggested"] = step
        done |= best["_coupled"]


def as_yaml(name: str, frame: pd.DataFrame, integration_of: dict[str, str]) -> str:
    """The suggested criteria as lines for the workspace file; '' where nothing is suggested."""
    rows = []
    seen: set[str] = set()
    for line in frame[frame["suggested"].notna()].to_dict("records"):
        for field in line["fields"]:
            if field not in seen:
                seen.add(field)
                priority = f", match_priority: {line['suggested']}" if line["suggested"] else ""
                rows.append(f"      - {{local: {field}, integration: {integration_of[field]}, use_for_match: true{priority}}}")
    return "\n".join([f"  - {name}:", "      fields:", *(f"  {r}" for r in rows)]) if rows else ""


__all__ = ["COLUMNS", "as_yaml", "what_if"]
