"""Values that are numbers of options or keys of records are shown by what they are called, wherever a person reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import openpyxl
import pytest

from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan
from synckit.reports.plan_lists import changes_list
from synckit.widgets import DiffView, PlanGrid
from synckit.workspace import Workspace

KEY = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def names(plan: Plan, field: str) -> set[str]:
    changes = plan.changes()
    return set(changes[changes["field"] == field]["new_name"].dropna())


def test_options_have_their_labels_and_references_the_names_of_records(full: Plan) -> None:
    changes = full.changes("VENDOR")
    terms = changes[(changes["field"] == "Payment Terms Code") & (changes["new"] == "5")]
    assert set(terms["new_name"]) == {"14 DAYS"}, "the option's label as the system keeps it"
    assert "Euro" in names(full, "Currency Code") and "Fiona MacAllisterly" in names(full, "vendor.owner")
    texts = changes[changes["field"] == "Phone No."]
    assert len(texts) and texts["new_name"].isna().all(), "what speaks for itself has no other name"


def test_the_old_value_is_called_as_well(demo: Workspace) -> None:
    changes = demo.plan_modified().changes("CUSTOMER")
    moved = changes[(changes["field"] == "Payment Terms Code") & changes["old_name"].notna()]
    assert ("30 DAYS", "14 DAYS") in set(zip(moved["old_name"], moved["new_name"], strict=True))


def test_a_reference_to_a_record_that_is_yet_to_be_created_is_called_like_that_record(full: Plan) -> None:
    changes = full.changes("CONTACT")
    waiting = changes[changes["new"].isna() & changes["ref_key"].notna()]
    created = {n for c in ("local_name", "integration_name") for n in full.records("CONTACT", disposition="create")[c].dropna()}
    assert len(waiting) and set(waiting["new_name"]) <= created


def test_a_saved_plan_keeps_the_names(full: Plan, tmp_path: Path) -> None:
    full.save(str(tmp_path / "a.plan"))
    again = load_plan(str(tmp_path / "a.plan"))
    assert again.base.called.equals(full.base.called) and names(again, "Payment Terms Code") == names(full, "Payment Terms Code")


def test_no_key_is_shown_where_a_name_is_known(full: Plan, demo: Workspace, tmp_path: Path) -> None:
    lines = changes_list(full.changes())
    assert len(lines) and not lines["new"].astype(str).str.contains(KEY).any()
    full.to_excel(str(tmp_path / "a.xlsx"))
    heads, *rows = openpyxl.load_workbook(tmp_path / "a.xlsx")["Changes"].iter_rows(values_only=True)
    at = {str(h): i for i, h in enumerate(heads)}
    assert {"14 DAYS"} <= {r[at["new"]] for r in rows if r[at["field"]] == "Payment Terms Code"}
    grid = PlanGrid(full).show(mapping="VENDOR", disposition="create")
    grid.receive({"do": "open"})
    (fields,) = [b for b in grid.state()["detail"] if b.get("columns") == ["field", "old", "new", "comes from"]]
    assert not KEY.search(json.dumps([row[2] for row in fields["rows"]]))
    diff = DiffView(demo.plan_modified(), ws=demo).show(field="Payment Terms Code")
    assert diff.lines.lines([diff.cursor])[0]["new"] == "14 DAYS"
    diff.receive({"do": "open"})
    (whole,) = [b for b in diff.state()["detail"] if b.get("caption") == "The whole record"]
    assert not KEY.search(json.dumps(whole["rows"])), "both sides are called by name"


def test_a_table_that_may_not_be_read_costs_the_names_and_not_the_plan(demo: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> dict[str, str]:
        raise SynckitError("permission denied for table systemuser")

    monkeypatch.setattr("synckit.planning.called.names_of", refused)
    plan = demo.plan_modified()
    assert plan.total("update") and plan.base.called.num_rows == 0


@pytest.mark.parametrize(("raw", "shown"), [("158.1000000000", "158.1"), ("4.0000", "4"), ("0.0500", "0.05"), ("100", "100")])
def test_numbers_of_business_rules_have_no_noughts_at_the_end(full: Plan, raw: str, shown: str) -> None:
    import pyarrow as pa

    from synckit.widgets.diff_view import _as_people_say

    fields = pa.chunked_array([["currency.exchange_rate", "Post Code"]])
    said = _as_people_say({"field": fields, "old": pa.array([raw, raw]), "new": pa.array([raw, raw])})
    assert said["old"].to_pylist() == [shown, raw] and said["field"][0].as_py().startswith("Exchange rate")
