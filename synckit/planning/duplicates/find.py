"""The one call of this package: tables in, possible duplicates with their evidence out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError

from .assignment import one_to_one
from .candidates import candidate_pairs
from .clusters import group
from .context import Pairs, competition, third_records
from .features import similarities
from .records import Field, FieldPair, Floats, Ints, Pool, pool_of
from .score import EDGES, fit, levels_of, tempered

#: Pairs with a lower score are not listed.
FAINTEST = 0.02
#: Fields depend on one another in ways the model does not know, so all evidence is divided by this: one constant for all lists, set to a
#: half after looking at the calibration of the benchmark.
OVERCONFIDENCE = 1.5
#: What a row is coupled to: nothing, or a row that is not among the compared ones. And the log-odds of two coupled rows that are no partners.
FREE, ELSEWHERE, NOT_THE_SAME = -1, -2, -9.0


@dataclass(frozen=True)
class Duplicates:
    """Pairs that may be the same thing. All tables are in a total order; the same input gives the same bytes.

    `pairs`: a_key, b_key, score (0..1), a_taken and b_taken (already coupled; false where the table has no column `partner`), and in
    log-odds `evidence.base` (how common sames are among such pairs), `evidence.<field>` (null: missing on a side),
    `evidence.other records` (a third record is the same as both, or as one only), `evidence.competition` (one partner each: rivals take, none gives). The evidence adds up to log(score / (1 - score)). Pairs of which both rows are coupled are left out, and those of a free and a coupled row of one side.
    `within`: the same columns plus `side` ("a" | "b") for repeats inside one side; a_key and b_key are then of that side. With one
    table, `pairs` and `within` are the same pairs.
    `meanings`: field name -> meaning used. `candidates`: number of pairs that were compared.
    """

    pairs: pa.Table
    within: pa.Table
    meanings: dict[str, str]
    candidates: int
    _pool: Pool
    _found: _Found

    def why(self, a_key: str, b_key: str, side: str | None = None) -> pa.Table:
        """The waterfall of one listed pair, `side` "a" or "b" for a repeat inside that side: one row per piece of evidence.

        Columns: field, a_value, b_value (as compared, None if missing), level ("equal", "similar 0.82", "different", "missing", for the
        last two of base, other records, competition: ""), log_odds, score_so_far. SynckitError where the pair is not listed.
        """
        pool, found = self._pool, self._found
        one_table = pool.size_a == pool.size
        relation = 1 if one_table or side == "a" else 2 if side == "b" else 0
        at = found.place(pool, a_key, b_key, relation)
        if at is None:
            raise SynckitError(
                f"{a_key!r} and {b_key!r} are not a listed pair; the score of a pair that is not listed is below {FAINTEST}."
            )
        rows: list[tuple[str, str | None, str | None, str, float]] = [("base", None, None, "", float(found.base[at]))]
        for number, field in enumerate(pool.fields):
            other = pool.fields[found.used[number, at]]
            values = [_value(field, found.pairs.first[at]), _value(other, found.pairs.second[at])]
            level = _level(float(found.alike[number, at]))
            if other is not field and level != "missing":
                level += f" to {other.name}"
            if pool.keys[found.pairs.first[at]] != a_key:
                values.reverse()
            rows.append((field.name, values[0], values[1], level, float(found.evidence[number, at])))
        rows += [("other records", None, None, "", float(found.third[at])), ("competition", None, None, "", float(found.rival[at]))]
        so_far = 1 / (1 + np.exp(-np.cumsum([row[4] for row in rows])))
        names = ("field", "a_value", "b_value", "level", "log_odds")
        text = pa.string()
        columns = [pa.array([row[i] for row in rows], pa.float64() if i == 4 else text) for i in range(5)]
        return pa.table([*columns, pa.array(so_far)], names=[*names, "score_so_far"])

    def clusters(self, threshold: float = 0.5) -> pa.Table:
        """Groups of two and more records of either side that are the same: cluster (0..), side, key; within and across, average linkage."""
        found, pool = self._found, self._pool
        pairs = found.pairs
        equal = (
            np.flatnonzero(np.nan_to_num(found.alike, nan=1.0).min(axis=0, initial=1.0) >= 1)
            if len(pool.fields)
            else np.empty(0, np.int64)
        )
        certain = equal[found.score[equal] >= threshold]
        chain = list(zip(pairs.first[certain].tolist(), pairs.second[certain].tolist(), strict=True))
        label = group(pool.size, pairs.first, pairs.second, found.score, threshold, chain)
        _, number, count = np.unique(label, return_inverse=True, return_counts=True)
        member = np.flatnonzero(count[number] > 1)
        _, cluster = np.unique(label[member], return_inverse=True)
        order = np.argsort(cluster, kind="stable")
        member, cluster = member[order], cluster[order]
        side = ["a" if row < pool.size_a else "b" for row in member]
        return pa.table(
            {
                "cluster": pa.array(cluster, pa.int64()),
                "side": pa.array(side, pa.string()),
                "key": pa.array([pool.keys[r] for r in member], pa.string()),
            }
        )


@dataclass(frozen=True)
class _Found:
    """All listed pairs, across and within, as arrays."""

    pairs: Pairs
    alike: Floats
    used: Ints
    base: Floats
    evidence: Floats
    third: Floats
    rival: Floats
    score: Floats

    def place(self, pool: Pool, a_key: str, b_key: str, relation: int) -> int | None:
        """Where the pair stands among the listed ones; within one side in either order of its keys."""
        rows = []
        for key, side in ((a_key, 1 if relation == 2 else 0), (b_key, 0 if relation == 1 else 1)):
            if (side, key) not in pool.row_of:
                return None
            rows.append(pool.row_of[side, key])
        low, high = sorted(rows)
        found = np.flatnonzero((self.pairs.first == low) & (self.pairs.second == high))
        return int(found[0]) if len(found) else None


def _value(field: Field, row: int) -> str | None:
    code = int(field.codes[row])
    return None if code < 0 else field.forms[code]


def _level(alike: float) -> str:
    if np.isnan(alike):
        return "missing"
    return "equal" if alike >= 1 else "different" if alike < EDGES[1] else f"similar {alike:.2f}"


def find_duplicates(a: pa.Table, b: pa.Table | None, fields: Sequence[FieldPair], key: str = "key") -> Duplicates:
    """Pairs of rows of `a` and `b` (or of `a` alone) that are likely the same thing, compared over `fields`.

    Both tables need the column `key` (text, unique, filled) and may have a column `partner`: the key of the row on the other side that the
    row is coupled to (any text where that row is not here), null where it is free. Coupled rows take part as what a free row may double
    (across the sides), and because two of them that are not partners are known not to be the same: what such pairs share (a building,
    a switchboard, a name) is learned to mean little. They are not listed. No labels, no options: what the fields mean, how much they say and whether a side repeats itself is found out.
    Time and memory grow with the rows, not with how often a value occurs. SynckitError names a missing column, key or unknown meaning.
    """
    pool = pool_of(a, b, fields, key)
    first, second = candidate_pairs(pool)
    partner = _partners(pool, a, b)
    coupled = partner != FREE
    one = coupled[first] != coupled[second]
    # the two rows of a coupling are equal because they were synchronised: they teach nothing; and what looks like one looks like both,
    # so that a free row meets a coupled one across the sides only, where it can be told which one would be doubled
    asked = (partner[first] != second) & ~(one & (pool.side[first] == pool.side[second]) & (b is not None))
    first, second, one = first[asked], second[asked], one[asked]
    relation = np.where(pool.side[first] != pool.side[second], np.where(one, 3, 0), 1 + pool.side[first]).astype(np.int64)
    settled = coupled[first] & coupled[second]
    alike, used = similarities(pool, first, second)
    levels = levels_of(pool, alike, used, first)
    model = fit(pool, levels, relation, settled)
    evidence = model.evidence(levels, alike)
    if settled.any():
        model, evidence = tempered(model, evidence, relation, settled, OVERCONFIDENCE)
    pairs = Pairs(first, second, relation, pool.size)
    logit = np.where(settled, NOT_THE_SAME, model.base[relation] + evidence.sum(axis=0))
    third = third_records(pairs, logit)
    rival = competition(pairs, logit + third, pool.size_a) if b is not None else np.zeros(len(logit))
    score = 1 / (1 + np.exp(-(logit + third + rival) / OVERCONFIDENCE))
    taken = coupled
    kept = np.flatnonzero((score >= FAINTEST) & ~settled)
    less = 1 / OVERCONFIDENCE
    found = _Found(
        Pairs(first[kept], second[kept], relation[kept], pool.size), alike[:, kept], used[:, kept], model.base[relation[kept]] * less,
        evidence[:, kept] * less, third[kept] * less, rival[kept] * less, score[kept],
    )  # fmt: skip
    inside = np.flatnonzero((found.pairs.relation == 1) | (found.pairs.relation == 2))
    across = np.setdiff1d(np.arange(len(kept)), inside)
    meanings = {field.name: field.meaning for field in pool.fields}
    within = _listed(pool, found, inside, taken, side=True)
    listed = _listed(pool, found, inside if b is None else across, taken)
    return Duplicates(listed, within, meanings, len(first), pool, found)


def _partners(pool: Pool, a: pa.Table, b: pa.Table | None) -> Ints:
    """Per row of the pool: FREE, ELSEWHERE (coupled to a row that is not here), or the row that it is coupled to."""
    found = np.full(pool.size, FREE, np.int64)
    tables = [(a, 0)] if b is None else [(a, 0), (b, pool.size_a)]
    places = [{key: at for at, key in enumerate(pool.keys[: pool.size_a])}]
    places.insert(0, {key: at + pool.size_a for at, key in enumerate(pool.keys[pool.size_a :])})
    for (table, start), other in zip(tables, places if b is not None else [places[1]], strict=True):
        if "partner" in table.column_names:
            keys = table.column("partner").to_pylist()
            found[start : start + len(keys)] = [FREE if k is None else other.get(k, ELSEWHERE) for k in keys]
    return found


def _listed(pool: Pool, found: _Found, which: Ints, taken: Ints, side: bool = False) -> pa.Table:
    """The table of these pairs, best first, then by row."""
    order = which[np.lexsort((found.pairs.second[which], found.pairs.first[which], -found.score[which]))]
    first, second = found.pairs.first[order], found.pairs.second[order]
    keys = np.array(pool.keys, dtype=object)
    columns: dict[str, pa.Array] = {"a_key": pa.array(keys[first], pa.string()), "b_key": pa.array(keys[second], pa.string())}
    if side:
        columns["side"] = pa.array(np.where(found.pairs.relation[order] == 1, "a", "b").astype(object), pa.string())
    columns |= {"score": pa.array(found.score[order]), "a_taken": pa.array(taken[first]), "b_taken": pa.array(taken[second])}
    columns["evidence.base"] = pa.array(found.base[order])
    for number, field in enumerate(pool.fields):
        columns[f"evidence.{field.name}"] = pa.array(found.evidence[number, order], mask=np.isnan(found.alike[number, order]))
    columns["evidence.other records"] = pa.array(found.third[order])
    columns["evidence.competition"] = pa.array(found.rival[order])
    return pa.table(columns)


def one_partner_each(pairs: pa.Table, threshold: float = 0.5) -> pa.Table:
    """The one-to-one choice over `Duplicates.pairs`: a_key, b_key, score, outcome ("couple" | "ambiguous"), rival_a_key, rival_b_key.

    Maximises the evidence over all pairs at once. What rivals took is left out (the assignment itself settles who gets whom), so two equally
    good candidates are shown as ambiguous, each naming the other, rather than lost. Taken rows are never chosen.
    """
    free = pairs.filter(pc.invert(pc.or_(pairs["a_taken"], pairs["b_taken"])))
    score = np.clip(free["score"].to_numpy(), 1e-12, 1 - 1e-12)
    logit = np.log(score / (1 - score)) - np.minimum(free["evidence.competition"].to_numpy(), 0)
    a_keys, b_keys = (np.array(free[name].to_pylist(), dtype=object) for name in ("a_key", "b_key"))
    _, row_a = np.unique(a_keys.astype(str), return_inverse=True)
    _, row_b = np.unique(b_keys.astype(str), return_inverse=True)
    chosen, rival = one_to_one(row_a, row_b, logit, float(np.log(threshold / (1 - threshold))))
    listed = np.flatnonzero(chosen > 0)
    against = rival[listed]
    names = [(None, None) if r < 0 else (a_keys[r], b_keys[r]) for r in against]
    return pa.table(
        {
            "a_key": pa.array(a_keys[listed], pa.string()),
            "b_key": pa.array(b_keys[listed], pa.string()),
            "score": pa.array(score[listed]),
            "outcome": pa.array(["couple" if chosen[at] == 1 else "ambiguous" for at in listed], pa.string()),
            "rival_a_key": pa.array([name[0] for name in names], pa.string()),
            "rival_b_key": pa.array([name[1] for name in names], pa.string()),
        }
    )
