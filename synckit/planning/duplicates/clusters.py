"""Groups of records that are the same thing: joined while the average score between two groups stays high, never by chains alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .records import Floats, Ints


def group(size: int, first: Ints, second: Ints, score: Floats, threshold: float, equal: Sequence[tuple[int, int]] = ()) -> Ints:
    """A group number per row (the smallest row number in it). Pairs are taken from the highest score down; two groups join when the
    pairs between them, absent pairs counted as 0, average at least `threshold`. Rows in `equal` are one row from the start.
    """
    leader = list(range(size))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    weight = [1] * size  # distinct rows; equal ones count once
    for one, two in equal:
        x, y = sorted((find(one), find(two)))
        leader[y] = x
    between: dict[int, dict[int, float]] = {}
    likely = np.flatnonzero(score >= threshold)
    order = likely[np.lexsort((second[likely], first[likely], -score[likely]))]
    for at in order:
        x, y = find(int(first[at])), find(int(second[at]))
        if x != y:
            known = max(between.get(x, {}).get(y, 0.0), float(score[at]))
            between.setdefault(x, {})[y] = known
            between.setdefault(y, {})[x] = known
    for at in order:
        x, y = find(int(first[at])), find(int(second[at]))
        if x == y or between.get(x, {}).get(y, 0.0) < threshold * weight[x] * weight[y]:
            continue
        x, y = (x, y) if len(between[x]) >= len(between[y]) else (y, x)
        leader[y] = x
        weight[x] += weight[y]
        for other, link in between.pop(y).items():
            del between[other][y]
            if other != x:
                between[x][other] = between[x].get(other, 0.0) + link
                between[other][x] = between[x][other]
    found = np.array([find(row) for row in range(size)], dtype=np.int64)
    smallest = np.full(size, size, dtype=np.int64)
    np.minimum.at(smallest, found, np.arange(size))
    return smallest[found]
