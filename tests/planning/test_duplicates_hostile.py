"""Hostile tables: no crash, nothing that grows with the square of a frequent value."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from synckit.planning.duplicates import FieldPair, find_duplicates, one_partner_each

FIELDS = [FieldPair(name, name, name) for name in ("name", "email", "born")]


def table(*rows):
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    filled = {field.name: pa.array(list(column), pa.string()) for field, column in zip(FIELDS, columns, strict=True)}
    return pa.table({"key": pa.array([str(i) for i in range(len(rows))], pa.string()), **filled})


ACME = ("Acme Ltd", "a@acme.com", "2020-01-01")
LONG = [("x" * 4096, None, "9999-99-99"), ("x" * 4095 + "y", "", "0000-00-00"), ("ab " * 1365, "@", "31.02.2020")] * 30
ODD = [
    ("🍕 Pizza 🍕", "😀@😀.com", "٢٠٢٠-٠١-٠١"),
    ("<b>", "=cmd|", "1e999"),
    ("\u202eabc\x00", "a@", "-"),
    ("'\"", " ", "201-12-10"),
] * 30
CASES = {
    "empty": [],
    "one row": [ACME],
    "all equal": [ACME] * 10_000,
    "all missing": [(None, "", " ")] * 1000,
    "4 kB names": LONG,
    "emoji and control signs": ODD,
    "impossible dates": [("n", None, f"0{i:03d}-12-10") for i in range(300)],
}


@pytest.mark.parametrize("name", CASES)
def test_one_list(name):
    result = find_duplicates(table(*CASES[name]), None, FIELDS)
    result.clusters()
    assert result.candidates <= 50 * len(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_against_another_list(name):
    other = table(ACME, ("Beta", None, "1999-05-05"))
    result = find_duplicates(table(*CASES[name]), other, FIELDS)
    result.clusters()
    one_partner_each(result.pairs)
    assert result.meanings.keys() == {"name", "email", "born"}


def test_no_fields_at_all():
    assert find_duplicates(table(ACME, ACME), None, []).pairs.num_rows == 0


def test_ten_thousand_rows_with_the_same_email():
    rows = [(f"Company {chr(97 + i % 26)}{i * 7919 % 10007}", "info@example.com", None) for i in range(10_000)]
    begun = time.process_time()
    result = find_duplicates(table(*rows), None, FIELDS)
    assert result.candidates < 500_000
    assert time.process_time() - begun < 30
