"""What other records say about a pair: a third record that is the same as both, or as one only, and rivals for one partner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .records import Floats, Ints

#: A triangle of two sames and one not is taken for this much (log) less likely than a consistent one: as support, as contradiction.
SUPPORT, CONTRADICTION = 2.0, 1.0
#: Strongest neighbours a row that are looked through; pairs below FAINT are not worth asking about.
NEIGHBOURS, HINT, FAINT = 12, -1.5, -7.0
_ABSENT = -9.0  # log-odds of a pair that is no candidate
_SURE = 6.0
#: A side of which this share of the matched rows has repeats is taken for one that repeats itself: no competition for its rows.
REPEATS = 0.15
#: Where nearly every row has a partner, one without is taken for at least this likely.
LONELY = 0.02


@dataclass(frozen=True)
class Pairs:
    """Candidate pairs: row numbers first < second, sorted; relation 0 across, 1 within a, 2 within b, 3 across with one row coupled."""

    first: Ints
    second: Ints
    relation: Ints
    size: int


def _triangles(pairs: Pairs, logit: Floats) -> tuple[Ints, Ints, Ints]:
    """(pair, edge from one of its rows to a third row, index of the pair other row - third row or -1), for strong enough edges."""
    strong = np.flatnonzero(logit > HINT)
    node = np.concatenate([pairs.first[strong], pairs.second[strong]])
    other = np.concatenate([pairs.second[strong], pairs.first[strong]])
    edge = np.concatenate([strong, strong])
    order = np.lexsort((other, -logit[edge], node))
    node, other, edge = node[order], other[order], edge[order]
    kept = np.arange(len(node)) - np.searchsorted(node, node) < NEIGHBOURS
    node, other, edge = node[kept], other[kept], edge[kept]
    start = np.searchsorted(node, np.arange(pairs.size))
    count = np.bincount(node, minlength=pairs.size)
    asked = np.flatnonzero(logit > FAINT)
    key = pairs.first * pairs.size + pairs.second
    found: list[tuple[Ints, Ints, Ints]] = []
    for here, there in ((pairs.first, pairs.second), (pairs.second, pairs.first)):
        many = count[here[asked]]
        pair = np.repeat(asked, many)
        at = np.repeat(start[here[asked]] - (np.cumsum(many) - many), many) + np.arange(many.sum())
        apart = other[at] != there[pair]
        pair, third, link = pair[apart], other[at][apart], edge[at][apart]
        sought = np.minimum(there[pair], third) * pairs.size + np.maximum(there[pair], third)
        place = np.minimum(np.searchsorted(key, sought), max(0, len(key) - 1))
        found.append((pair, link, np.where(key[place] == sought, place, -1) if len(key) else place))
    pair, link, closing = (np.concatenate(part) for part in zip(*found, strict=True))
    return pair, link, closing


def third_records(pairs: Pairs, logit: Floats) -> Floats:
    """Log-odds that third records add to each pair: the strongest support plus the strongest contradiction, both bounded."""
    pair, link, closing = _triangles(pairs, logit)
    now = logit
    for _ in range(2):
        sure = np.clip(now, -15, _SURE)
        one, two = np.exp(sure[link]), np.exp(np.where(closing >= 0, sure[np.maximum(closing, 0)], _ABSENT))
        support, against = np.zeros(len(logit)), np.zeros(len(logit))
        np.maximum.at(support, pair, _consistency(one, two, SUPPORT))
        np.minimum.at(against, pair, _consistency(one, two, CONTRADICTION))
        now = logit + support + against
    return now - logit


def _consistency(one: Floats, two: Floats, bound: float) -> Floats:
    """log of the odds that a triangle's third side is 'same', given the odds of the two others; within +-bound."""
    odd = np.exp(-bound)
    return np.log((one * two + 1 + odd * (one + two)) / (one + two + 1 + odd * one * two))


def competition(pairs: Pairs, logit: Floats, size_a: int) -> Floats:
    """Log-odds that one partner each, as far as a side does not repeat itself, gives (no rival, few left alone) or takes (rivals).

    Whether a side repeats itself is tested: the share of its matched rows with a likely repeat on their own side, or of partners with
    several likely rows on it. Competition never deletes a pair: the chance that the side repeats itself after all is left to it.
    """
    gained = np.zeros(len(logit))
    across = np.flatnonzero(pairs.relation == 0)
    rows = pairs.first[across], pairs.second[across] - size_a
    odds, likely = np.exp(np.minimum(logit[across], 30)), logit[across] > 0
    alone = odds / (1 + odds)
    lowest = np.ones(len(across))
    for rival_side in (0, 1):  # rows of this side compete for a row of the other one
        rival, partner = rows[rival_side], rows[1 - rival_side]
        within = np.flatnonzero((pairs.relation == rival_side + 1) & (logit > 0))
        repeated = np.unique(np.concatenate([pairs.first[within], pairs.second[within]])) - size_a * rival_side
        matched = np.unique(rival[likely])
        several = np.bincount(partner[likely])
        share = max(_share(np.isin(matched, repeated).sum(), len(matched)), _share((several > 1).sum(), (several > 0).sum()))
        doubt = min(1.0, share / REPEATS)
        partners = pairs.size - size_a if rival_side == 0 else size_a
        without = max(_share(partners - (several > 0).sum(), partners), LONELY)
        others = np.maximum(np.bincount(partner, weights=odds)[partner] - odds, 0) if len(partner) else odds
        lowest = np.minimum(lowest, (1 - doubt) * odds / (without + odds + others) + doubt * alone)
    gained[across] = np.log(lowest / np.maximum(1 - lowest, 1e-13)) - np.log(alone / np.maximum(1 - alone, 1e-13))
    return gained


def _share(some: int, of: int) -> float:
    """A share that few rows cannot make small: one more is assumed on the side of doubt."""
    return (float(some) + 1) / (float(of) + 2)
