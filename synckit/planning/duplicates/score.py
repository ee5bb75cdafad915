"""From similarities to log-odds, without labels: a mixture of same and not same is fitted to the candidate pairs of these very tables.

Each field says, by its level of agreement, log P(level | same) / P(level | not same). Equal values have levels by rarity. Pairs that are
not the same may still share a place (two firms in one building, a household) or a name (namesakes, branches) the way the same do;
how often is fitted too, and what such a group of fields can say together saturates there: agreeing phone, street and city are not
three independent proofs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .features import compare
from .records import Field, Floats, Ints, Pool

#: Lower edges of the levels of similarity above "different"; the last level below equal ends at 1.
EDGES = np.array([0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.94, 0.999])
#: Levels of equal values by bits of rarity: log2(rows / other rows with that value).
RARITY = np.array([2.0, 4.0, 6.0, 8.0, 10.0])
EQUAL = len(EDGES)
#: Where on the scale of similarity the weight of each level below equal stands; in between it is interpolated, so that no step decides.
_MIDDLES = np.array([0.2, 0.375, 0.525, 0.65, 0.75, 0.835, 0.905, 0.97])
ELSEWHERE = EQUAL + len(RARITY) + 1
LEVELS = ELSEWHERE + 1
#: What one expects of records that are the same before having seen any: shares of the levels, "equal" spread as observed.
_SAME = np.array([0.01, 0.01, 0.02, 0.02, 0.03, 0.04, 0.06, 0.11, *[0.70 / 6] * 6, 0.01])
#: How often the same thing is on record with quite another value, by meaning: what changes, what is put in words, what one has several of.
_CHANGES = {
    "email": 0.1,
    "phone": 0.15,
    "web": 0.1,
    "street": 0.1,
    "city": 0.05,
    "code": 0.05,
    "number": 0.3,
    "text": 0.3,
    "category": 0.3,
}
_OTHER_VALUE = np.array([0.4, 0.25, 0.2, 0.15, *[0.0] * (LEVELS - 4)])
#: Pairs that this expectation, and the overall frequencies as that for "not same", weigh as much as.
_TRUST = 10.0
#: Names are what makes things the same: their expectation counts besides as this share of the pairs found.
_NAME_TRUST = 0.3
#: The more of the pairs are known not to be the same, the fewer of the others need be: then the expectation counts up to this many times
#: the pairs found, lest "the same" drifts to whatever else those pairs have in common.
_ANCHOR = 10.0
_RARELY = 100
_UNNOTICED = 3  # pairs of coupled records that are the same all the same, in a small table
_LIMIT = 8.0  # no field says more than this
RELATIONS = 4
_ROUNDS, _RANDOM_ROUNDS = 30, 10
_COLLAPSED = 0.2  # of the sames that the first part of the fit found, so few left mean that the second part went astray
_FITTED_PAIRS = 100_000
_RANDOM_PAIRS = 20_000
_PLACE = frozenset(["street", "city", "post code", "country", "phone", "web"])
_NAME = frozenset(["given name", "surname", "person", "company"])
#: Expected share of not-same candidates that share a whole group, and the pairs that expectation weighs as much as.
_SHARED, _SHARED_TRUST = 0.002, 20.0


def group_of(field: Field) -> int:
    """1 for fields that say where a record is, 2 for those that say what it is called, 0 for the rest."""
    return 1 if field.meaning in _PLACE else 2 if field.meaning in _NAME else 0


def levels_of(pool: Pool, alike: Floats, used: Ints, first: Ints) -> Ints:
    """(fields x pairs) level of agreement: -1 missing, 0 different ... EQUAL - 1 very similar, then equal from common to rare, ELSEWHERE."""
    levels = np.empty(alike.shape, np.int8)
    for at, field in enumerate(pool.fields):
        known = np.nan_to_num(alike[at])
        level = np.digitize(known, EDGES)
        equal = np.flatnonzero((known >= EDGES[-1]) & (used[at] == at))
        bits = np.log2(max(1, field.counts.sum()) / np.maximum(field.counts - 1, 1))
        level[equal] = EQUAL + np.digitize(bits[field.codes[first[equal]]], RARITY)
        level[(used[at] != at) & (known >= 0.85)] = ELSEWHERE
        levels[at] = np.where(np.isnan(alike[at]), -1, level)
    return levels


@dataclass(frozen=True)
class Model:
    """Log-odds by field and level, base log-odds by relation (across, within a, within b), and the saturation share of each group."""

    weights: Floats
    base: Floats
    shared: Floats
    groups: Ints

    def said(self, levels: Ints) -> Floats:
        """(fields x pairs) log-odds of each field by itself; 0 where missing."""
        return np.array([np.append(w, 0.0)[level] for w, level in zip(self.weights, levels, strict=True)]).reshape(levels.shape)

    def posterior(self, levels: Ints, relation: Ints) -> tuple[Floats, Floats, Floats]:
        """Per pair: probability of the same; (3 x pairs) that a pair which is not shares the whole group; log-odds without the base."""
        said, logit, only = self.said(levels), np.zeros(levels.shape[1]), np.zeros((3, levels.shape[1]))
        for group in (0, 1, 2):
            total = said[self.groups == group].sum(axis=0)
            lifted = np.exp(np.minimum(total, 50)) * self.shared[group]
            only[group] = lifted / (1 - self.shared[group] + lifted)
            logit = logit + total - np.log(1 - self.shared[group] + lifted)
        return 1 / (1 + np.exp(-np.clip(self.base[relation] + logit, -30, 30))), only, logit

    def evidence(self, levels: Ints, alike: Floats) -> Floats:
        """(fields x pairs) log-odds, interpolated between levels, after saturation; 0 where missing. A saturated group shrinks alike."""
        said = self.said(levels)
        for at, (weights, level) in enumerate(zip(self.weights, levels, strict=True)):
            unlike = (level >= 0) & (level < EQUAL)
            said[at, unlike] = np.interp(alike[at, unlike], _MIDDLES, weights[:EQUAL])
        for group in (1, 2):
            members = np.flatnonzero(self.groups == group)
            if len(members):
                part = said[members]
                total, praise = part.sum(axis=0), np.maximum(part, 0).sum(axis=0)
                too_much = np.maximum(np.log1p(self.shared[group] * np.expm1(np.minimum(total, 50))), 0)
                said[members] = np.where(part > 0, part * (1 - too_much / np.maximum(praise, 1e-9)), part)
        return said


def _rising(values: Floats, weights: Floats) -> Floats:
    """The nearest non-decreasing sequence (pooling neighbours that fall): more agreement never counts less."""
    pooled: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        pooled.append([value, weight, 1])
        while len(pooled) > 1 and pooled[-2][0] > pooled[-1][0]:
            last = pooled.pop()
            before = pooled[-1]
            total = before[1] + last[1]
            pooled[-1] = [(before[0] * before[1] + last[0] * last[1]) / total, total, before[2] + last[2]]
    return np.repeat([p[0] for p in pooled], [int(p[2]) for p in pooled])


def _counted(levels: Ints, weights: Floats | None = None) -> Floats:
    return np.bincount(levels.astype(np.int64) + 1, weights=weights, minlength=LEVELS + 1)[1:].astype(float)


def _expected(total: Floats, meaning: str) -> Floats:
    """_SAME and _CHANGES mixed, the share of equal values spread over the levels of rarity as they occur."""
    changes = _CHANGES.get(meaning, 0.0)
    same = (1 - changes) * _SAME + changes * _OTHER_VALUE
    seen = total[EQUAL:ELSEWHERE] + 0.1
    same[EQUAL:ELSEWHERE] = same[EQUAL:ELSEWHERE].sum() * seen / seen.sum()
    return same


def _weigh(same: Floats, other: Floats, total: Floats, low: float = -_LIMIT) -> Floats:
    weights = np.log(same / other)
    weights[:ELSEWHERE] = _rising(weights[:ELSEWHERE], total[:ELSEWHERE] + 1)
    return np.clip(weights, low, _LIMIT)


def _random_shares(pool: Pool, totals: Floats) -> Floats:
    """(fields x levels) what pairs of rows drawn at random look like; levels too rare for the draw get a trace of their share here."""
    draw = np.random.default_rng(7)
    one, two = draw.integers(0, max(1, pool.size), (2, _RANDOM_PAIRS if pool.size > 1 else 0))
    one, two = np.minimum(one, two)[one != two], np.maximum(one, two)[one != two]
    shares = np.zeros((len(pool.fields), LEVELS))
    for at, field in enumerate(pool.fields):
        alike = compare(field, field, one, two)[None, :]
        alone = Pool(pool.keys, pool.size_a, [field])
        other = _counted(levels_of(alone, alike, np.zeros(alike.shape, np.int8), one)[0])
        other = other + 0.5 * (totals[at] + 0.1) / (totals[at].sum() + 1.5)
        shares[at] = other / other.sum()
    return shares


def fit(pool: Pool, levels: Ints, relation: Ints, settled: Ints) -> Model:
    """The Model of these candidate pairs. `relation` per pair: 0 across, 1 within a, 2 within b, 3 across with one row coupled already.
    `settled`: the pair is known not to be the same. Same input, same output.

    First what sames look like is learned against pairs drawn at random, then both against the candidates that are not the same: they are
    more alike than random ones. Of two tables the pairs across alone teach; how common repeats are within a side is found with that.
    """
    across = (relation == 0) | (relation == 3)
    main = np.flatnonzero(across) if across.any() else np.arange(len(relation))
    step = max(1, -(-len(main) // _FITTED_PAIRS))
    seen, kind, known = levels[:, main[::step]], relation[main[::step]], settled[main[::step]]
    totals = np.array([_counted(level) for level in seen]).reshape(len(pool.fields), LEVELS)
    random = _random_shares(pool, totals)
    weights = np.array([_weigh(_expected(t, f.meaning), r, t, -5.0) for t, f, r in zip(totals, pool.fields, random, strict=True)])
    groups = np.array([group_of(field) for field in pool.fields], dtype=np.int64)
    base = np.full(RELATIONS, -np.log(max(2, pool.size) / 2))
    model = Model(weights.reshape(totals.shape), base, np.array([0.0, _SHARED, _SHARED]), groups)
    all_pairs = (pool.size_a * (pool.size - pool.size_a) or pool.size_a * (pool.size_a - 1) / 2) / step
    for round_ in range(_ROUNDS):
        against = (random, all_pairs) if round_ < _RANDOM_ROUNDS else None
        if round_ == _RANDOM_ROUNDS:
            first = model
        model = _refit(model, seen, kind, known, totals, pool.fields, against)
    found, before = (m.posterior(seen, kind)[0][~known].sum() for m in (model, first))
    if (
        found < _COLLAPSED * before
    ):  # too few, or too varied, sames to tell them from like candidates: what was learned first stands
        model = first
    for side in (1, 2):
        inside = np.flatnonzero((relation == side) & ~settled)
        inside = inside[:: max(1, -(-len(inside) // _FITTED_PAIRS))]
        if len(inside) and across.any():
            model.base[side] = _base_of(model.posterior(levels[:, inside], relation[inside])[2], float(base[0]))
    return model


def tempered(model: Model, evidence: Floats, relation: Ints, settled: Ints, usual: float) -> tuple[Model, Floats]:
    """Model and evidence whose strength fits pairs that are known not to be the same. Of those, at most one in k may look k times more
    like the same than not; where more do, the fields of this table depend on one another (names go with places, places with one
    another), and all evidence shrinks until they do not. `usual`: the divisor that evidence gets anyway."""
    said = np.sort(evidence[:, settled].sum(axis=0))[::-1]
    place = np.arange(1, len(said) + 1)
    # the very first are left out: two coupled records may be the same after all; and what is not rare, decides nothing
    least = max(_UNNOTICED, len(said) // 1000)
    tail = (place > least) & (place <= max(least + 1, len(said) // _RARELY)) & (place < len(said)) & (said > 1)
    if tail.any():
        evidence = evidence * min(1.0, usual / float((said[tail] / np.log(len(said) / place[tail])).max()))
    base, logit = model.base.copy(), evidence.sum(axis=0) / usual
    for kind in range(RELATIONS):
        open_ = np.flatnonzero((relation == kind) & ~settled)
        apart = np.flatnonzero((relation == kind % 3) & settled)  # with one row coupled or none: the null is the same
        if not len(apart):
            apart = np.flatnonzero(settled)
        if len(open_):
            base[kind] = usual * _base_of(logit[open_], float(base[kind] / usual), logit[apart])
    return replace(model, base=base), evidence


def _base_of(logit: Floats, start: float, apart: Floats | None = None) -> float:
    """The base log-odds of pairs whose fields are weighed already. `apart`: log-odds of pairs that are known not to be the same; as many
    of them as would be found to be the same are expected among the others by chance, and do not count as found."""
    base = start
    for _ in range(_ROUNDS):
        found = (1 / (1 + np.exp(-np.clip(base + logit, -30, 30)))).sum()
        if apart is not None:
            found = max(0.0, found - (1 / (1 + np.exp(-np.clip(base + apart, -30, 30)))).mean() * len(logit))
        found += 0.5
        base = float(np.log(found / (len(logit) + 10 - found)))
    return base


def _refit(
    model: Model,
    levels: Ints,
    relation: Ints,
    known: Ints,
    totals: Floats,
    fields: list[Field],
    against: tuple[Floats, float] | None,
) -> Model:
    """One round: how likely each pair is the same under `model`, and the model that these likelihoods make.

    `against`: shares of the levels among random pairs and the number of all pairs, where these and not the candidates are "not the same".
    """
    same, only_group, _ = model.posterior(levels, relation)
    same[known] = 0.0
    weights = np.empty_like(model.weights)
    anchored = known.sum() / max(1, len(known))
    for at, (group, field) in enumerate(zip(model.groups, fields, strict=True)):
        found, total = _counted(levels[at], same), totals[at]
        trust = _TRUST + (_NAME_TRUST * found.sum() if group == 2 else 0) + _ANCHOR * anchored * found.sum()
        as_same = (found + trust * _expected(total, field.meaning)) / (found.sum() + trust)
        if against:
            weights[at] = _weigh(as_same, against[0][at], total)
            continue
        rest = _counted(levels[at], (1 - same) * (1 - only_group[group]))
        usual = total / max(total.sum(), 1) + 1e-3
        weights[at] = _weigh(as_same, (rest + _TRUST * usual) / (rest.sum() + _TRUST * usual.sum()), total)
    if against:
        share = np.full(RELATIONS, min(0.5, (same.sum() + 0.5) / max(10.0, against[1])))
        return Model(weights, np.log(share / (1 - share)), model.shared, model.groups)
    open_ = relation[~known]
    share = (np.bincount(open_, weights=same[~known], minlength=RELATIONS) + 0.5) / (np.bincount(open_, minlength=RELATIONS) + 10)
    shared = ((1 - same) * only_group).sum(axis=1) + _SHARED * _SHARED_TRUST
    shared = shared / ((1 - same).sum() + _SHARED_TRUST) * (np.arange(3) > 0)
    return Model(weights, np.log(share / (1 - share)), shared, model.groups)
