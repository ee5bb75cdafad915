"""One partner each: the best one-to-one choice over all pairs at once; what is a tie or nearly one is declared, not chosen."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .records import Floats, Ints

#: Two candidates whose log-odds differ by less than this are as good as equal (odds of two to one).
NEARLY = 0.7
#: Cells of one component that are solved exactly; beyond, pairs are taken from the best down.
EXACT = 4_000_000


def one_to_one(row_a: Ints, row_b: Ints, logit: Floats, least: float) -> tuple[Ints, Ints]:
    """(chosen, rival) per pair: chosen 1 couple, 2 ambiguous, 0 not; rival is the pair that makes it ambiguous, else -1.

    Only pairs with `logit` >= `least` take part. A chosen pair is ambiguous when a rival pair of one of its rows is NEARLY as good,
    unless that rival's other row has a partner better by more than that.
    """
    chosen, rival = np.zeros(len(logit), np.int8), np.full(len(logit), -1, np.int64)
    able = np.flatnonzero(logit >= least)
    if not len(able):
        return chosen, rival
    _, a = np.unique(row_a[able], return_inverse=True)
    _, b = np.unique(row_b[able], return_inverse=True)
    value = logit[able] - least + 1e-6
    best_a, best_b = (np.full(x.max() + 1, -np.inf) for x in (a, b))
    np.maximum.at(best_a, a, value)
    np.maximum.at(best_b, b, value)
    picked = _matching(a, b, value)
    in_a, in_b = _by(a), _by(b)
    for at in np.flatnonzero(picked):
        chosen[able[at]] = 1
        for other in (*in_a[a[at]], *in_b[b[at]]):
            settled = value[other] + NEARLY < (best_b[b[other]] if a[other] == a[at] else best_a[a[other]])
            if other != at and value[other] + NEARLY > value[at] and not settled:
                chosen[able[at]], rival[able[at]] = 2, able[other]
                chosen[able[other]], rival[able[other]] = 2, able[at]
                break
    return chosen, rival


def _by(codes: Ints) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(int(codes.max()) + 1)]
    for at, value in enumerate(codes.tolist()):
        found[value].append(at)
    return found


def _matching(a: Ints, b: Ints, value: Floats) -> Ints:
    """Which pairs belong to the one-to-one choice of the highest sum, component by component."""
    size = int(a.max()) + 1
    width = int(b.max()) + 1
    graph = sparse.coo_matrix((np.ones(len(a)), (a, size + b)), shape=(size + width, size + width))
    _, label = connected_components(graph, directed=False)
    picked = np.zeros(len(a), bool)
    order = np.lexsort((b, a, label[a]))
    edges = np.flatnonzero(np.diff(label[a[order]])) + 1
    for part in np.split(order, edges):
        rows, columns = np.unique(a[part]), np.unique(b[part])
        if len(part) == 1:
            picked[part] = True
        elif len(rows) * len(columns) <= EXACT:
            gain = np.zeros((len(rows), len(columns)))
            place = np.searchsorted(rows, a[part]), np.searchsorted(columns, b[part])
            gain[place] = value[part]
            from scipy.optimize import linear_sum_assignment  # takes 27 MB, and most searches do without

            x, y = linear_sum_assignment(gain, maximize=True)
            solved = np.zeros(gain.shape, bool)
            solved[x, y] = True
            picked[part] = solved[place]
        else:
            used_a, used_b = set(), set()
            for at in part[np.argsort(-value[part], kind="stable")]:
                if a[at] not in used_a and b[at] not in used_b:
                    picked[at] = True
                    used_a.add(a[at])
                    used_b.add(b[at])
    return picked
