"""Candidate pairs without comparing all with all: rows that share rare words, character triples, values or pairs of values.

Every row becomes a sparse vector over hashed keys; the product of the vectors, cut to keys that few rows share, ranks for each row the
rows worth a closer look. The work is bounded: keys are taken from the rarest up until WORK products a row are spent, so a value that
thousands share costs nothing by itself and still counts together with another value (pairs of values are keys too).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import sparse

from .records import Field, Floats, Ints, Pool

#: Products a row that may be spent on average.
WORK = 1500
AT_ONCE = 400_000  # products of two keys that are held at one time
#: Partners kept for each row in each relation (own side, other side); beyond, up to MOST, those that share ALIKE of what the poorer row says.
FEW, MOST, ALIKE = 10, 40, 0.35
#: Rows that share less than this of what the poorer row says are not looked at.
FAR = 0.1
#: On the own side of a comparison of two tables this many: repeats are looked for there, not partners.
FEW_OWN = 3
#: Neighbours in the order of the whole text, so that equal rows meet even where they are thousands.
WINDOW = 2
_HASH = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Keys:
    """Key occurrences: form index, hashed key, relative weight within its form."""

    form: Ints
    key: Ints


def mix(values: Ints, salt: int) -> Ints:
    """A well spread 64-bit hash of integers, the same on every machine."""
    with np.errstate(over="ignore"):
        x = values.astype(np.uint64) * _HASH + np.uint64(salt * 2 + 1) * np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(31)
        x *= np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(29))


def salt_of(text: str) -> int:
    """A number for a family or field name (hash() differs from run to run)."""
    value = 7
    for char in text:
        value = (value * 131 + ord(char)) % 1_000_003
    return value


def grams(forms: list[str], salt: int) -> _Keys:
    """Character triples (words padded by blanks) and whole words of each form, hashed with the family's salt."""
    text = "".join(f" {form} \n" for form in forms)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if len(points) < 3:
        return _Keys(np.empty(0, np.int64), np.empty(0, np.uint64))
    line = np.cumsum(points == 10) - (points == 10)
    triple = (points[:-2] << np.uint64(42)) ^ (points[1:-1] << np.uint64(21)) ^ points[2:]
    inside = (points[:-2] != 10) & (points[1:-1] != 10) & (points[2:] != 10) & (points[1:-1] != 32)
    # words: blank to blank, hashed as the sum of hashed (character, place) pairs
    blank = (points == 32) | (points == 10)
    start = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    word_no = np.cumsum(np.isin(np.arange(len(points)), start, assume_unique=True)) - 1
    letters = np.flatnonzero(~blank)
    hashed = mix(points[letters] * np.uint64(256) + (letters - start[word_no[letters]]).astype(np.uint64) % np.uint64(256), 3)
    ends = np.searchsorted(letters, start)
    words = np.add.reduceat(hashed, ends) if len(start) else np.empty(0, np.uint64)
    form = np.concatenate([line[:-2][inside], line[start]])
    return _Keys(form.astype(np.int64), np.concatenate([mix(triple[inside], salt), mix(words, salt + 1)]))


def near_keys(field: Field) -> _Keys:
    """For dates: year-month, month-day, year-day and spans of days; for numbers: the number and two overlapping scales of rounding."""
    form = np.arange(len(field.forms))
    numbers = numbers_of(field)
    known = np.isfinite(numbers)
    form, numbers = form[known], numbers[known]
    if field.meaning == "date":
        ymd = np.array([int(field.forms[i]) for i in form], dtype=np.int64)
        parts = [ymd // 100, 10_000_000 + ymd % 10_000, 20_000_000 + ymd // 10_000 * 100 + ymd % 100]
        parts += [30_000_000 + (numbers // 6).astype(np.int64), 40_000_000 + ((numbers + 3) // 6).astype(np.int64)]
    else:
        scale = np.sign(numbers) * np.log1p(np.abs(numbers)) / 0.04
        parts = [np.floor(scale).astype(np.int64) * 2, np.floor(scale + 0.5).astype(np.int64) * 2 + 1]
    return _Keys(np.tile(form, len(parts)), mix(np.concatenate(parts).astype(np.int64), 11))


def numbers_of(field: Field) -> Ints:
    """Per distinct form: days for dates, the value for numbers, NaN where a form is neither."""
    if field.meaning == "date":
        return np.array([_day(form) for form in field.forms], dtype=float)
    return pd.to_numeric(pd.Series(field.forms, dtype=object), errors="coerce").to_numpy(dtype=float)


def _day(form: str) -> float:
    try:
        return float(dt.date(int(form[:4]), int(form[4:6]), int(form[6:])).toordinal()) if len(form) == 8 else np.nan
    except ValueError:
        return np.nan


def gram_matrix(fields: list[Field]) -> list[sparse.csr_matrix]:
    """Per field of one family: distinct forms x keys (shared by the family), rows of length 1, weighted by rarity among the rows."""
    parts = []
    for field in fields:
        keys = grams(field.forms, 0)
        if field.meaning in ("date", "number"):
            near = near_keys(field)
            words = keys if field.meaning == "date" else _Keys(np.arange(len(field.forms)), mix(np.arange(len(field.forms)), 5))
            keys = _Keys(np.concatenate([words.form, near.form]), np.concatenate([words.key, near.key]))
        parts.append(keys)
    _, column = np.unique(np.concatenate([part.key for part in parts]), return_inverse=True)
    width = int(column.max()) + 1 if len(column) else 1
    made, place, often = [], 0, np.zeros(width)
    for field, part in zip(fields, parts, strict=True):
        own = column[place : place + len(part.form)]
        place += len(part.form)
        matrix = sparse.csr_matrix((np.ones(len(own), np.float32), (part.form, own)), shape=(len(field.forms), width))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        often += np.bincount(matrix.indices, weights=np.repeat(field.counts, np.diff(matrix.indptr)), minlength=width)
        made.append(matrix)
    rows = max(1, max(int(field.counts.sum()) for field in fields))
    rarity = np.log1p(rows / np.maximum(often, 1)).astype(np.float32)
    for matrix in made:
        matrix.data = rarity[matrix.indices]
        norms = np.sqrt(np.add.reduceat(np.append(matrix.data**2, 0), matrix.indptr[:-1]) if matrix.shape[0] else np.ones(0))
        matrix.data /= np.repeat(np.maximum(norms, 1e-6), np.diff(matrix.indptr)).astype(np.float32)
    return made


def entropy(field: Field) -> float:
    """Bits that knowing the value tells about which row it is; 0 for a constant or empty field."""
    total = field.counts.sum()
    if not total:
        return 0.0
    share = field.counts / total
    return float(-(share * np.log2(share)).sum())


def row_matrix(pool: Pool) -> tuple[sparse.csr_matrix, Floats]:
    """Rows of the pool x keys that at least two and not too many rows hold; and per row what it shares with a row equal to it."""
    families: dict[str, list[Field]] = {}
    for field in pool.fields:
        if field.forms:
            families.setdefault(field.family, []).append(field)
    blocks: list[sparse.csr_matrix] = []
    for members in families.values():
        total = None
        for field, matrix in zip(members, gram_matrix(members), strict=True):
            rows = _rows_of(field.codes, matrix, pool.size, float(np.sqrt(entropy(field))))
            total = rows if total is None else total + rows
        blocks.append(total)
    blocks += list(_value_pairs(pool))
    if not blocks:
        return sparse.csr_matrix((pool.size, 1), dtype=np.float32), np.zeros(pool.size)
    often = [np.bincount(block.indices, minlength=block.shape[1]) for block in blocks]
    cap = _cap(np.concatenate(often), pool.size)
    own, kept = np.zeros(pool.size), []
    for n in often:
        block = blocks.pop(0)  # so that each is held only once
        shared = block[:, n > 1]
        own += np.asarray(shared.multiply(shared).sum(axis=1)).ravel()
        kept.append(shared[:, n[n > 1] <= cap])
    return sparse.hstack(kept, format="csr", dtype=np.float32), own


def _cap(often: Ints, size: int) -> int:
    """The largest number of rows a key may have so that all products together stay within WORK a row."""
    spent = np.bincount(often).astype(np.float64) * np.arange(often.max() + 1, dtype=np.float64) ** 2 if len(often) else np.zeros(1)
    return max(2, int(np.searchsorted(np.cumsum(spent), WORK * size, side="right")) - 1)


def _rows_of(codes: Ints, forms: sparse.csr_matrix, size: int, weight: float) -> sparse.csr_matrix:
    filled = np.flatnonzero(codes >= 0)
    pick = sparse.csr_matrix((np.full(len(filled), weight, np.float32), (filled, codes[filled])), shape=(size, forms.shape[0]))
    return (pick @ forms).tocsr()


def _value_pairs(pool: Pool) -> list[sparse.csr_matrix]:
    """One block per two of the most telling fields: the two values together as one key."""
    telling = sorted((f for f in pool.fields if entropy(f) > 1), key=lambda f: -entropy(f))[:8]
    coarse = []
    for field in telling:
        codes = field.codes
        if field.meaning in ("date", "number"):
            numbers = numbers_of(field)
            spans = numbers // 6 if field.meaning == "date" else np.floor(np.sign(numbers) * np.log1p(np.abs(numbers)) / 0.02)
            _, bins = np.unique(np.nan_to_num(spans, nan=-9e9), return_inverse=True)
            codes = np.where(codes >= 0, bins[codes], -1) if len(bins) else codes
        coarse.append(codes)
    made = []
    for i, first in enumerate(telling):
        for j in range(i):
            both = np.flatnonzero((coarse[i] >= 0) & (coarse[j] >= 0))
            _, column = np.unique(coarse[i][both] * (int(coarse[j].max(initial=0)) + 1) + coarse[j][both], return_inverse=True)
            weight = np.float32(np.sqrt(0.25 * min(entropy(first), entropy(telling[j]))))
            width = int(column.max()) + 1 if len(column) else 1
            made.append(sparse.csr_matrix((np.full(len(both), weight), (both, column)), shape=(pool.size, width)))
    return made


def candidate_pairs(pool: Pool) -> tuple[Ints, Ints]:
    """Row numbers (first < second) of the pairs worth comparing, sorted, without repeats; both sides and within each side."""
    keys, own = row_matrix(pool)
    turned = keys.T.tocsr()
    effort = np.asarray((keys != 0) @ np.diff(turned.indptr).reshape(-1, 1)).ravel()
    cuts = np.searchsorted(np.cumsum(effort), np.arange(1, effort.sum() // AT_ONCE + 1) * AT_ONCE)
    edges = np.unique(np.concatenate([[0], cuts, [pool.size]]))
    found = [_equal_rows(pool)]
    for start, stop in pairwise(edges.tolist()):
        product = (keys[start:stop] @ turned).tocsr()
        row = np.repeat(np.arange(start, stop, dtype=np.int32), np.diff(product.indptr))
        near = np.flatnonzero(product.data >= FAR * np.minimum(own[row], own[product.indices]))
        row, other, value = row[near].astype(np.int64), product.indices[near].astype(np.int64), product.data[near]
        found.append(_best(pool, row, other, value, own))
    pairs = np.unique(np.concatenate(found))
    return pairs // pool.size, pairs % pool.size


def _best(pool: Pool, row: Ints, other: Ints, value: Ints, own: Ints) -> Ints:
    """Per row and relation the FEW nearest, and up to MOST that are ALIKE; as row * size + other with row < other."""
    apart = row != other
    row, other, value = row[apart], other[apart], value[apart]
    group = row * 2 + (pool.side[row] != pool.side[other])
    order = np.lexsort((other, -value, group))
    group, row, other, value = group[order], row[order], other[order], value[order]
    first = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])) if len(group) else np.empty(0, np.int64)
    sizes = np.diff(np.append(first, len(group)))
    rank = np.arange(len(group)) - np.repeat(first, sizes)
    alike = value >= ALIKE * np.minimum(own[row], own[other])
    few = np.where((group % 2 == 0) & (pool.size_a < pool.size), FEW_OWN, FEW)
    kept = (rank < few) | ((rank < MOST) & alike)
    low, high = np.minimum(row[kept], other[kept]), np.maximum(row[kept], other[kept])
    return low * pool.size + high


def _equal_rows(pool: Pool) -> Ints:
    """Chains of WINDOW neighbours through rows that are equal in every field and not wholly empty."""
    codes = np.array([field.codes for field in pool.fields])
    if not len(codes) or pool.size < 2:
        return np.empty(0, np.int64)
    order = np.lexsort(codes)
    found = []
    for step in range(1, WINDOW + 1):
        one, two = order[:-step], order[step:]
        same = (codes[:, one] == codes[:, two]).all(axis=0) & (codes[:, one] >= 0).any(axis=0)
        found.append(np.minimum(one, two)[same] * pool.size + np.maximum(one, two)[same])
    return np.concatenate(found)
