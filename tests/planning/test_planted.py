"""Every planted case of the demo shows up in the plan as data/planted.csv says, on the right record and in the right pass."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from synckit.demo import data_folder, make_demo, rows_of
from synckit.planning.plan import Plan
from synckit.workspace import open_workspace

CASES = list(rows_of(data_folder() / "planted.csv"))
UNCOUPLED_OUTSIDE = "outside the filter"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    with open_workspace(make_demo(tmp_path_factory.mktemp("planted") / "demo")) as ws:
        yield ws.plan_full()


@pytest.fixture(scope="module")
def records(plan: Plan) -> pd.DataFrame:
    frame = plan.records(all_rows=True)
    return frame[frame["step"].fillna(1) == 1]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['case']}-{c['mapping']}-{c['label'][:12]}")
def test_a_planted_case_has_the_disposition_that_it_should_have(case: dict[str, str], records: pd.DataFrame) -> None:
    mine = records[(records["mapping"] == case["mapping"]) & (records[f"{case['side']}_key"] == case["key"])]
    for in_pass in ("to", "from"):
        if case[in_pass]:
            found = mine[mine["pass"] == in_pass]["disposition"].tolist()
            assert case[in_pass] in found, case["what"]
            assert set(found) <= {case[in_pass], "unchanged"}, "a row that this plan creates is seen by the second pass, no more"


def test_every_disposition_of_a_full_synchronisation_is_planted() -> None:
    planted = {case[p] for case in CASES for p in ("to", "from")} - {""}
    assert planted >= {"create", "update", "couple", "unchanged", "conflict", "will fail", "blocked", "deleted partner", "broken coupling",
                       "skipped", "outside the filter", "left out by rule", "not a source"}  # fmt: skip


def test_every_row_that_is_not_written_or_equal_says_why(plan: Plan) -> None:
    said = plan.records()
    silent = said[(said["reason"].fillna("") == "") | (said["code"].fillna("") == "")]
    assert silent.empty


def test_every_text_that_is_cut_warns_and_no_other(plan: Plan) -> None:
    cut = {(r["mapping"], r["integration_key"]) for r in plan.records(warning="value_cut").to_dict("records")}
    assert cut == {(c["mapping"], c["key"]) for c in CASES if c["case"] in ("P21", "P22", "P24", "P25")}, (
        "P23 is cut and equal since"
    )
    assert "Warnings: 36 possible duplicate, 4 value cut." in plan.to_text()


def test_pairs_planted_as_the_same_are_named_as_possible_duplicates(plan: Plan) -> None:
    alike = plan.duplicates()
    named = set(zip(alike["mapping"], alike["source_key"], alike["existing_key"], strict=True))
    pairs: dict[str, dict[str, dict[str, str]]] = {}
    for case in CASES:
        if "the same" in case["what"] and "uncoupled on both sides" in case["what"]:
            pairs.setdefault(case["case"], {})[case["side"]] = case
    assert len(pairs) > 10
    for name, sides in pairs.items():
        local, integration = sides["local"], sides["integration"]
        both = {(local["mapping"], local["key"], integration["key"]), (local["mapping"], integration["key"], local["key"])}
        assert both <= named, f"{name}: {local['what']}"


def test_planted_look_alikes_are_shown_at_most_and_never_coupled(plan: Plan) -> None:
    """A plan couples nothing by likeness: it shows the pair, and a person decides."""
    apart = {case["key"] for case in CASES if "look-alikes that are NOT the same" in case["what"]}
    assert len(apart) >= 8
    rows = plan.records("CUSTOMER")
    mine = rows[rows["local_key"].isin(apart) | rows["integration_key"].isin(apart)]
    assert set(mine["disposition"]) <= {"create", "not a source", "unchanged"} and plan.total("create") > 100


def test_what_coupled_records_share_anyway_is_no_reason_to_think_of_a_duplicate(plan: Plan) -> None:
    """Colleagues share building, switchboard and web address, and hundreds of the demo's contacts a surname and a town."""
    named = plan.duplicates("CONTACT")[["pass", "record"]].drop_duplicates()
    creates = plan.records("CONTACT", "create")
    assert 2 <= len(named) <= 0.1 * len(creates)
    taken = plan.duplicates("CUSTOMER").query("existing_coupled")
    assert taken["existing_name"].tolist() == ["Sonnenhof Biomarkt GmbH"], "the one create that would double a coupled record"


def test_the_evidence_of_every_listed_pair_adds_up_to_its_score(plan: Plan) -> None:
    for r in plan.duplicates(threshold=0).itertuples():
        why = plan.why(r.mapping, r.source_key, r.existing_key)
        assert 1 / (1 + 2.718281828459045 ** -why["log_odds"].sum()) == pytest.approx(r.score, abs=1e-9)


def test_a_higher_threshold_shows_fewer_creates(plan: Plan) -> None:
    counts = plan.thresholds()
    assert counts["creates"].is_monotonic_decreasing and counts["creates"].iloc[0] > counts["creates"].iloc[-1] > 10
    assert plan.look_alike() == counts.set_index("threshold")["creates"][0.5]
