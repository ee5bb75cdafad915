"""Explaining one record: every planted case of the demo in words, records that do not exist, and a record's history."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from synckit.demo import data_folder, make_demo, rows_of
from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.workspace import Workspace, open_workspace

GOLDEN = Path(__file__).with_name("explanations.txt")
CASES = list(rows_of(data_folder() / "planted.csv"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with open_workspace(make_demo(tmp_path_factory.mktemp("explain") / "demo")) as ws:
        yield ws


@pytest.fixture(scope="module")
def plans(demo: Workspace) -> list[Plan]:
    return [demo.plan_modified(), demo.plan_full()]


def test_every_planted_case_reads_as_written_down(demo: Workspace, plans: list[Plan]) -> None:
    """UPDATE_GOLDEN=1 writes the file anew; then read it."""
    parts = []
    for case in CASES:
        told = demo.explain(case["mapping"], **{case["side"]: case["key"]}, plan=plans)
        parts.append(f"{'=' * 100}\n{case['case']}: {case['what']}\n\n{told.to_text()}\n")
    text = "\n".join(parts)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_what_it_says_of_a_run_is_what_the_plan_says(demo: Workspace, plans: list[Plan]) -> None:
    full = plans[1].records(all_rows=True)
    for case in CASES:
        told = demo.explain(case["mapping"], **{case["side"]: case["key"]}, plan=plans)
        mine = full[(full["mapping"] == case["mapping"]) & (full[f"{case['side']}_key"] == case["key"])]
        said = {(p["pass"], p["disposition"]) for p in told["full_run"]["passes"] if p["code"] not in ("no_source", "not_due")}
        planned = set(zip(mine["pass"], mine["disposition"], strict=True))
        assert said <= planned, case["what"]
        for in_pass in ("to", "from"):
            if case[in_pass] not in ("", "not a source"):
                assert (in_pass, case[in_pass]) in said, case["what"]


def test_without_plans_the_engine_is_asked_and_waits_for_other_mappings_are_seen(demo: Workspace) -> None:
    told = demo.explain("CUSTOMER", local="12700")
    (line,) = [p for p in told["full_run"]["passes"] if p["pass"] == "to"]
    assert line["disposition"] == "blocked"
    assert [(w["mapping"], w["name"], w["disposition"]) for w in line["waits_for"]] == [("CURRENCY", "TRY", "will fail")]


def test_a_record_that_does_not_exist_is_answered_with_the_nearest(demo: Workspace) -> None:
    told = demo.explain("CUSTOMER", local="1277")
    assert not told.found
    assert told["nearest"][0]["number"] == "12770"
    assert "12770" in told.to_text()
    assert demo.explain("CUSTOMER", key="40770")["elsewhere"] == ["VENDOR"]
    assert demo.explain("CUSTOMER", key="Kranichfeld Großhandel AG", plan=[])["local"]["number"] == "12770"


def test_the_question_must_name_one_record(demo: Workspace) -> None:
    with pytest.raises(SynckitError, match="Name one record"):
        demo.explain("CUSTOMER")
    with pytest.raises(SynckitError, match='Did you mean "CUSTOMER"'):
        demo.explain("CUSTOMERS", local="1")


def test_values_are_never_markup(demo: Workspace, plans: list[Plan]) -> None:
    told = demo.explain("CUSTOMER", local="12880", plan=plans)
    assert "<b>Bold" not in told._repr_html_()
    assert "&lt;b&gt;Bold &amp; Sons" in told._repr_html_()
    json.dumps(told.to_dict())


def test_a_skipped_record_says_what_a_retry_would_do(demo: Workspace) -> None:
    told = demo.explain("CUSTOMER", local="12820", full=False)
    assert told["coupling"]["skipped"]
    assert told["full_run"] is None
    assert [c["field"] for p in told["retry"]["passes"] for c in p["changes"]] == ["Phone No."]


def test_the_history_comes_from_the_ledger(tmp_path: Path) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        plan = ws.plan_full("CURRENCY")
        run = ws.apply(plan, accept=["CURRENCY"])
        dkk = ws.explain("CURRENCY", local="DKK", full=False)
        assert [w["op"] for w in dkk["writes"]] == ["update"]
        assert dkk["writes"][0]["fields"]
        assert dkk["jobs"][0]["run_id"] == run.id
        failed = ws.explain("CURRENCY", local="TRY", full=False)
        assert [e["code"] for e in failed["errors"]] == ["currency.exchange_rate"]
        assert failed["errors"][0]["helps"]
        assert failed["due"]
        assert "Errors" in failed.to_text()
