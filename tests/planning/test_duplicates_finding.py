"""Finding possible duplicates: what is found, how it is explained, and that nothing is chosen silently."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from synckit.errors import SynckitError
from synckit.planning.duplicates import FieldPair, find_duplicates, one_partner_each

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from made_duplicates import made_link, made_list


def listed(result, least=0.5):
    pairs = result.pairs.to_pylist()
    return {(pair["a_key"], pair["b_key"]) for pair in pairs if pair["score"] >= least}


def f1(found, truth):
    return 2 * len(found & truth) / (len(found) + len(truth))


def test_companies_of_two_systems_are_found_without_labels():
    made = made_link(400, seed=5)
    assert f1(listed(find_duplicates(made.a, made.b, made.fields)), made.truth) > 0.98


def test_persons_in_one_list_are_found_and_grouped():
    made = made_list(400, seed=6)
    result = find_duplicates(made.a, None, made.fields)
    assert f1({tuple(sorted(p)) for p in listed(result)}, {tuple(sorted(p)) for p in made.truth}) > 0.97
    groups = {}
    for row in result.clusters().to_pylist():
        groups.setdefault(row["cluster"], []).append(row["key"])
    together = {(x, y) for keys in groups.values() for x in keys for y in keys if x < y}
    assert f1(together, {tuple(sorted(p)) for p in made.truth}) > 0.97


@pytest.mark.parametrize("kind", ["company", "person"])
def test_lists_that_share_nothing_give_next_to_nothing(kind):
    made = made_link(600, seed=7, kind=kind, shared=0.0)
    assert len(listed(find_duplicates(made.a, made.b, made.fields))) <= 3


def test_the_evidence_adds_up_to_the_score():
    made = made_link(200, seed=8)
    pairs = find_duplicates(made.a, made.b, made.fields).pairs
    total = sum(pairs[name].fill_null(0).to_numpy() for name in pairs.column_names if name.startswith("evidence."))
    assert np.allclose(1 / (1 + np.exp(-total)), pairs["score"].to_numpy())


def test_why_shows_each_field_and_tells_missing_from_different():
    made = made_link(200, seed=8)
    result = find_duplicates(made.a, made.b, made.fields)
    best = result.pairs.to_pylist()[0]
    rows = result.why(best["a_key"], best["b_key"]).to_pylist()
    assert [row["field"] for row in rows] == ["base", *[f.name for f in made.fields], "other records", "competition"]
    assert rows[-1]["score_so_far"] == pytest.approx(best["score"])
    levels = {
        row["level"] for pair in result.pairs.to_pylist()[:100] for row in result.why(pair["a_key"], pair["b_key"]).to_pylist()
    }
    assert {"equal", "missing", "different"} <= levels
    assert any(level.startswith("similar 0.") for level in levels)
    for row in rows:
        assert row["level"] != "missing" or row["log_odds"] == 0


def test_why_of_a_pair_that_is_not_listed_says_so():
    made = made_link(50, seed=8)
    with pytest.raises(SynckitError, match="not a listed pair"):
        find_duplicates(made.a, made.b, made.fields).why("A0", "nobody")


def test_same_input_same_bytes():
    made = made_link(300, seed=9, kind="person")
    one, two = (find_duplicates(made.a, made.b, made.fields) for _ in range(2))
    assert one.pairs.equals(two.pairs)
    assert one.within.equals(two.within)


def test_a_repeat_inside_one_side_is_listed_there():
    made = made_link(200, seed=10)
    again = made.b.slice(0, 1).set_column(0, "key", pa.array(["B-again"]))
    result = find_duplicates(made.a, pa.concat_tables([made.b, again]), made.fields)
    repeats = [(row["side"], {row["a_key"], row["b_key"]}) for row in result.within.to_pylist() if row["score"] >= 0.5]
    assert ("b", {"B0", "B-again"}) in repeats


def test_two_equal_candidates_are_ambiguous_not_chosen():
    made = made_link(200, seed=10)
    a_key, b_key = min(made.truth)
    twin = made.b.filter(pa.compute.equal(made.b["key"], b_key)).set_column(0, "key", pa.array(["B-twin"]))
    result = find_duplicates(made.a, pa.concat_tables([made.b, twin]), made.fields)
    outcome = {(row["a_key"], row["b_key"]): row["outcome"] for row in one_partner_each(result.pairs).to_pylist()}
    assert {outcome[a_key, b_key], outcome[a_key, "B-twin"]} == {"ambiguous"}
    couples = {pair for pair, what in outcome.items() if what == "couple"}
    assert couples <= made.truth and len(couples) > 100
    assert len({a for a, _ in couples}) == len({b for _, b in couples}) == len(couples)


def test_taken_rows_warn_but_are_never_chosen():
    made = made_link(200, seed=11)
    b = made.b.append_column("partner", pa.array(["elsewhere"] * 200))
    result = find_duplicates(made.a, b, made.fields)
    assert f1(listed(result), made.truth) > 0.98
    assert set(result.pairs["b_taken"].to_pylist()) == {True}
    assert one_partner_each(result.pairs).num_rows == 0
    both = find_duplicates(made.a.append_column("partner", pa.array(["elsewhere"] * 200)), b, made.fields)
    assert both.pairs.num_rows == 0


def test_coupled_rows_teach_what_not_the_same_looks_like():
    """Nine of ten pairs are coupled; of the rest the free partners are found, and no more."""
    made = made_link(600, seed=4)
    known = dict(sorted(made.truth)[: int(0.9 * len(made.truth))])
    other = {b: a for a, b in known.items()}
    a = made.a.append_column("partner", pa.array([known.get(k) for k in made.a["key"].to_pylist()], pa.string()))
    b = made.b.append_column("partner", pa.array([other.get(k) for k in made.b["key"].to_pylist()], pa.string()))
    result = find_duplicates(a, b, made.fields)
    free = {pair for pair in made.truth if pair[0] not in known}
    assert len(free) > 30 and f1(listed(result), free) > 0.95
    pairs = set(zip(result.pairs["a_key"].to_pylist(), result.pairs["b_key"].to_pylist(), strict=True))
    assert not any(x in known and y in other for x, y in pairs), "pairs of two coupled rows are no news"


def test_a_free_row_meets_the_coupled_record_that_it_would_double():
    made = made_link(300, seed=9)
    a_of = dict(sorted(made.truth))
    twin = sorted(a_of)[0]
    row = made.a.filter(pc.equal(made.a["key"], twin)).to_pylist()[0] | {"key": "AGAIN"}
    a = pa.concat_tables([made.a, pa.Table.from_pylist([row], made.a.schema)])
    a = a.append_column("partner", pa.array([a_of.get(k) for k in a["key"].to_pylist()], pa.string()))
    b_of = {y: x for x, y in a_of.items()}
    b = made.b.append_column("partner", pa.array([b_of.get(k) for k in made.b["key"].to_pylist()], pa.string()))
    found = find_duplicates(a, b, made.fields).pairs.to_pylist()
    best = found[0]
    assert (best["a_key"], best["b_key"], best["b_taken"]) == ("AGAIN", a_of[twin], True) and best["score"] > 0.9
    assert sum(1 for p in found if p["score"] >= 0.5) == 1


def test_bad_input_is_named():
    table = pa.table({"key": ["1"], "name": ["Acme"]})
    with pytest.raises(SynckitError, match="no column 'nme'"):
        find_duplicates(table, None, [FieldPair("name", "nme", "nme")])
    with pytest.raises(SynckitError, match="meaning 'nome' is unknown"):
        find_duplicates(table, None, [FieldPair("name", "name", "name", "nome")])
    with pytest.raises(SynckitError, match="same key twice"):
        find_duplicates(pa.table({"key": ["1", "1"], "name": ["a", "b"]}), None, [FieldPair("name", "name", "name")])
