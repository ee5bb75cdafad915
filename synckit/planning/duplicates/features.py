"""How alike two values are, by meaning: per field and candidate pair a similarity between 0 and 1, or missing (NaN)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, JaroWinkler
from rapidfuzz.process import cpdist
from scipy import sparse

from .candidates import gram_matrix, numbers_of
from .records import Field, Floats, Ints, Pool

#: Meanings whose values are short strings of signs: one sign more, less, other or swapped is a typing error.
SIGNS = frozenset(["code", "registration", "post code", "phone"])


def similarities(pool: Pool, first: Ints, second: Ints) -> tuple[Floats, Ints]:
    """(fields x pairs) float32 similarity, NaN where either value is missing, 1 where the normal forms are equal, below 1 otherwise;

    and the field of the second row that each field of the first was compared with (its own, or a sister field that agrees better).
    """
    own = np.empty((len(pool.fields), len(first)), np.float32)
    for at, field in enumerate(pool.fields):
        own[at] = compare(field, field, first, second)
    return own, _swap(pool, first, second, own)


def compare(left: Field, right: Field, first: Ints, second: Ints) -> Floats:
    """Similarity of `left` of the first rows to `right` of the second rows; each distinct pair of values is compared once."""
    a, b = left.codes[first], right.codes[second]
    found = np.full(len(a), np.nan, np.float32)
    filled = np.flatnonzero((a >= 0) & (b >= 0))
    if not len(filled):
        return found
    if left is right:
        a, b = np.minimum(a, b), np.maximum(a, b)
    joined, back = np.unique(a[filled] * len(right.forms) + b[filled], return_inverse=True)
    one, two = joined // len(right.forms), joined % len(right.forms)
    values = np.ones(len(joined), np.float32)
    differ = np.flatnonzero(one != two) if left is right else np.arange(len(joined))
    if len(differ):
        values[differ] = _unlike(left, right, one[differ], two[differ])
    found[filled] = values[back]
    return found


def _unlike(left: Field, right: Field, one: Ints, two: Ints) -> Floats:
    texts_a, texts_b = _picked(left.forms, one), _picked(right.forms, two)
    if left is not right:
        return np.minimum(_letters(texts_a, texts_b), 1)
    if left.meaning == "date":
        found = _dates(left, one, two, texts_a, texts_b)
    elif left.meaning == "number":
        found = _numbers(left, one, two)
    elif left.meaning == "phone":
        found = _phones(texts_a, texts_b)
    elif left.meaning in SIGNS:
        found = cpdist(texts_a, texts_b, scorer=OSA.normalized_similarity, dtype=np.float32)
    elif left.meaning == "email":
        found = _emails(texts_a, texts_b)
    elif left.meaning in ("given name", "surname", "person", "city", "country"):
        found = _names(left, one, two, texts_a, texts_b)
    else:
        found = _phrases(left, one, two, texts_a, texts_b)
    return np.minimum(found, 0.99)


def _letters(a: list[str], b: list[str]) -> Floats:
    return cpdist(a, b, scorer=OSA.normalized_similarity, dtype=np.float32)


def _sorted_words(forms: list[str]) -> list[str]:
    return [" ".join(sorted(form.split())) if " " in form else form for form in forms]


def _picked(texts: list[str], which: Ints) -> list[str]:
    return [texts[i] for i in which.tolist()]


def _names(field: Field, one: Ints, two: Ints, a: list[str], b: list[str]) -> Floats:
    """Typing errors, other order of words, a name among several, an initial for a name."""
    in_order = _sorted_words(field.forms)
    alike = np.maximum(_letters(a, b), _letters(_picked(in_order, one), _picked(in_order, two)))
    begin = cpdist(a, b, scorer=JaroWinkler.normalized_similarity, dtype=np.float32) - 0.1
    alike = np.maximum(alike, np.where(begin > 0.75, begin, 0))
    for at in np.flatnonzero(alike < 0.88).tolist():
        if _is_part(a[at], b[at]):
            alike[at] = 0.88
    return alike


def _is_part(a: str, b: str) -> bool:
    """All words of the shorter name are words, beginnings of three letters or more, or initials of words of the longer one."""
    if len(a) > len(b):
        a, b = b, a
    if " " not in b:
        return (len(a) == 1 or len(a) >= 3) and b.startswith(a)
    longer = b.split()
    return all(
        any(word == other or ((len(word) == 1 or len(word) >= 3) and other.startswith(word)) for other in longer)
        for word in a.split()
    )


def _phones(a: list[str], b: list[str]) -> Floats:
    """One number is the ending of the other (country and area code left out): as good as equal; else by signs."""
    alike = _letters(a, b)
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if min(len(x), len(y)) >= 7 and (x.endswith(y.lstrip("0")) or y.endswith(x.lstrip("0")) or x[-9:] == y[-9:]):
            alike[i] = 0.97
    return alike


def _emails(a: list[str], b: list[str]) -> Floats:
    """Signs, or equal before the @ with another domain."""
    local_a, local_b = ([x.split("@", 1)[0] for x in values] for values in (a, b))
    same_person = np.array([0.85 if x == y and len(x) > 3 else 0.0 for x, y in zip(local_a, local_b, strict=True)], np.float32)
    before = _letters(local_a, local_b)
    return np.maximum(0.25 * _letters(a, b) + 0.75 * np.minimum(before, _letters(a, b)), same_person)


def _dates(field: Field, one: Ints, two: Ints, a: list[str], b: list[str]) -> Floats:
    """A slip of the hand, day and month swapped, two of year, month, day equal, or near in time."""
    days = numbers_of(field)
    apart = np.abs(days[one] - days[two])
    slips = cpdist(a, b, scorer=OSA.distance)
    parts = np.array([(x[:4] == y[:4]) + (x[4:6] == y[4:6]) + (x[6:] == y[6:]) for x, y in zip(a, b, strict=True)])
    swapped = np.array([x[:4] == y[:4] and x[4:6] == y[6:] and x[6:] == y[4:6] for x, y in zip(a, b, strict=True)])
    alike = np.select([slips == 1, swapped, parts == 2, slips == 2], [0.93, 0.93, 0.85, 0.75], 0.0)
    alike = np.maximum(alike, 0.85 * cpdist(a, b, scorer=OSA.normalized_similarity))
    nearness = np.select([apart <= 1, apart <= 3, apart <= 7, apart <= 31, apart <= 366], [0.93, 0.88, 0.8, 0.65, 0.4], 0.0)
    return np.maximum(alike, nearness).astype(np.float32)


def _numbers(field: Field, one: Ints, two: Ints) -> Floats:
    values = numbers_of(field)
    x, y = values[one], values[two]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(x - y) / np.maximum(np.maximum(np.abs(x), np.abs(y)), 1e-9)
    return np.nan_to_num(np.interp(ratio, [0, 0.001, 0.01, 0.05, 0.2, 1], [0.97, 0.95, 0.87, 0.7, 0.4, 0.0]), nan=0.0).astype(
        np.float32
    )


def _phrases(field: Field, one: Ints, two: Ints, a: list[str], b: list[str]) -> Floats:
    """Several words: by letters in any order of words, by rare parts shared, by one phrase being part of the other; other numbers count against."""
    in_order = _sorted_words(field.forms)
    ratio = cpdist(_picked(in_order, one), _picked(in_order, two), scorer=fuzz.ratio, dtype=np.float32) / 100
    shared, inside = overlap(gram_matrix([field])[0], one, two)
    alike = np.maximum.reduce([ratio, shared, 0.95 * inside])
    alike = 0.5 * alike + (ratio + shared + inside) / 6
    numbers = [frozenset(word for word in form.split() if word.isdigit()) for form in field.forms]
    code, _ = pd.factorize(pd.Series(numbers, dtype=object))
    for at in np.flatnonzero(code[one] != code[two]).tolist():
        x, y = numbers[one[at]], numbers[two[at]]
        if x and y:
            alike[at] *= 0.93 if x & y else 0.75
    return alike


def overlap(matrix: sparse.csr_matrix, one: Ints, two: Ints) -> tuple[Floats, Floats]:
    """Cosine of two rows of the matrix, and the share of the smaller row's weight found in the other; in bounded slices."""
    cosine, inside = np.empty(len(one), np.float32), np.empty(len(one), np.float32)
    bare = matrix.copy()
    bare.data = np.ones_like(bare.data)
    squared = matrix.copy()
    squared.data = squared.data**2
    for start in range(0, len(one), 100_000):
        x, y = one[start : start + 100_000], two[start : start + 100_000]
        cosine[start : start + 100_000] = np.asarray(matrix[x].multiply(matrix[y]).sum(axis=1)).ravel()
        in_y = np.asarray(squared[x].multiply(bare[y]).sum(axis=1)).ravel()
        in_x = np.asarray(bare[x].multiply(squared[y]).sum(axis=1)).ravel()
        inside[start : start + 100_000] = np.maximum(in_x, in_y)
    return cosine, inside


def _swap(pool: Pool, first: Ints, second: Ints, own: Floats) -> Ints:
    """Where two fields of a family agree better crosswise (given name and surname swapped, address lines moved), compare them crosswise.

    Changes `own` in place; returns for every field and pair the index of the field it was compared with on the second row.
    """
    used = np.tile(np.arange(len(pool.fields), dtype=np.int8)[:, None], len(first))
    for f, one in enumerate(pool.fields):
        for g in range(f + 1, len(pool.fields)):
            other = pool.fields[g]
            if one.family != other.family:
                continue
            straight = np.fmax(np.fmax(own[f], own[g]), 0)  # NaN counts as nothing seen
            doubtful = np.flatnonzero(~((np.fmin(own[f], own[g]) >= 0.8) | (used[f] != f) | (used[g] != g)) & (straight < 1.1))
            if not len(doubtful):
                continue
            there, here = (
                compare(one, other, first[doubtful], second[doubtful]),
                compare(other, one, first[doubtful], second[doubtful]),
            )
            now = _agreement(own[f, doubtful], own[g, doubtful])
            better = (_agreement(there, here) > now + 0.2) & (np.fmax(np.nan_to_num(there), np.nan_to_num(here)) >= 0.8)
            at = doubtful[better]
            own[f, at], own[g, at] = there[better], here[better]
            used[f, at], used[g, at] = g, f
    return used


def _agreement(one: Floats, two: Floats) -> Floats:
    """What two comparisons together say: each counts from half alike upwards, against below; missing says nothing."""
    return np.nan_to_num(one - 0.5) + np.nan_to_num(two - 0.5)
