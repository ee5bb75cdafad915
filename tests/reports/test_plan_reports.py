"""A plan as text, JSON, HTML and a figure: what it says, and that no record's value can do harm."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from synckit.demo import make_demo
from synckit.planning.plan import Plan
from synckit.reports.frame_html import show
from synckit.reports.plan_text import cell_text, frame_view, plain, plan_dict, plan_text
from synckit.reports.wording import is_pending, safe
from synckit.workspace import open_workspace

HOSTILE = "<script>alert(1)</script>\x1b[31m[bold]red\u202e \u0000"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    with open_workspace(make_demo(tmp_path_factory.mktemp("demo"))) as ws:
        return ws.plan_full(["CURRENCY", "SALESPEOPLE", "CUSTOMER"])


@pytest.fixture(scope="module")
def hostile(plan: Plan) -> Plan:
    """The same plan with every name, reason and new value replaced by one that attacks."""
    rows, changes, duplicates = plan.base.rows, plan.base.changes, plan.base.duplicates
    for name in ("local_name", "integration_name", "reason"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array([HOSTILE] * rows.num_rows, pa.string()))
    for name in ("old", "new"):
        changes = changes.set_column(
            changes.schema.get_field_index(name), name, pa.array([HOSTILE] * changes.num_rows, pa.string())
        )
    for name in ("source_name", "existing_name", "why"):
        at = duplicates.schema.get_field_index(name)
        duplicates = duplicates.set_column(at, name, pa.array([HOSTILE] * duplicates.num_rows, pa.string()))
    return Plan(dataclasses.replace(plan.base, rows=rows, changes=changes, duplicates=duplicates, operator=HOSTILE))


# -- text --------------------------------------------------------------------------------------------------------------------------


def test_the_text_names_systems_and_time_and_shows_sentence_table_and_examples(plan: Plan) -> None:
    text = plan_text(plan)
    assert "Business Central (Nordwind Trading)" in text and "Dataverse (demo)" in text
    assert f"{plan.base.made_at:%Y-%m-%d %H:%M} UTC by" in text
    assert "Nothing has been written." in text
    assert re.search(r"^CUSTOMER +to +\d+", text, re.M)
    assert re.search(r"^\+ create \d+", text, re.M) and re.search(r"^! conflict \d+", text, re.M)
    assert "->" in text, "updates show old and new"


def test_a_record_that_stops_in_both_directions_is_one_in_the_sentence_and_two_in_the_table(plan: Plan) -> None:
    assert plan.total("conflict") == 4 and "stop at 2 conflicts" in plan.sentence()
    assert "2 records stop in both directions" in plan_text(plan)
    told = plan_dict(plan, rows=False)
    assert told["conflicts"] == 2 and told["failing"] == plan.total("will fail", "blocked", "deleted partner")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(plan: Plan, width: int) -> None:
    from rich.cells import cell_len

    assert max(cell_len(line) for line in plan_text(plan, width).splitlines()) <= width


@pytest.mark.parametrize("width", [55, 60, 80, 100])
def test_every_number_of_the_table_is_whole(plan: Plan, width: int) -> None:
    def numbers(width: int) -> list[list[str]]:
        lines = plan_text(plan, width).splitlines()
        first = next(n for n, line in enumerate(lines) if line.startswith("───"))
        last = next(n for n, line in enumerate(lines) if line.startswith("all"))
        return [line.split() for line in lines[first + 1 : last + 1]]

    assert numbers(width) == numbers(120), "the headings alone are shorter where there is no room"


def test_a_hostile_value_cannot_command_the_terminal(hostile: Plan) -> None:
    text = plan_text(hostile)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "\\x1b[31m[bold]red" in text, "shown as it is, neither obeyed nor taken for markup"


def test_safe_shows_control_characters_and_keeps_every_script() -> None:
    assert safe("a\tb\x9bc\u2028d\ud800") == "a\\tb\\x9bc\\u2028d\\ud800"
    assert safe("Jäger 株式会社 גל") == "Jäger 株式会社 גל"
    assert safe(None) == safe(float("nan")) == ""


# -- JSON --------------------------------------------------------------------------------------------------------------------------


def test_two_plans_of_one_state_differ_in_their_times_alone(plan: Plan) -> None:
    later = timedelta(hours=1)
    sides = {k: dataclasses.replace(s, taken_at=s.taken_at + later) for k, s in plan.base.sides.items()}
    again = Plan(dataclasses.replace(plan.base, made_at=plan.base.made_at + later, sides=sides))
    one, two = plan_dict(plan), plan_dict(again)
    assert one != two
    for found in (one, two):
        del found["made_at"]
        for side in found["sides"].values():
            del side["taken_at"]
    assert json.dumps(one) == json.dumps(two)


def test_the_json_adds_up_and_holds_no_nan(plan: Plan) -> None:
    found = json.loads(json.dumps(plan_dict(plan), allow_nan=False))
    created = sum(p["dispositions"].get("create", 0) for m in found["mappings"] for p in m["passes"].values())
    assert created == plan.total("create") == sum(r["disposition"] == "create" for r in found["records"])
    assert len(found["changes"]) == len(plan.changes())
    assert "records" not in plan_dict(plan, rows=False)


# -- HTML --------------------------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects the tags and checks that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("which", ["plan", "hostile"])
def test_html_is_whole_and_holds_no_script(which: str, request: pytest.FixtureRequest) -> None:
    tags = Tags(request.getfixturevalue(which)._repr_html_())
    assert tags.open == [] and not tags.seen & {"script", "img", "iframe", "link"}


def test_html_follows_the_theme(plan: Plan) -> None:
    bare = re.sub(r"var\(--jp[^()]*\)", "", plan._repr_html_())
    assert not re.search(r"(?:color|background)\s*:\s*#|:\s*(?:black|white)\b", bare), "no fixed colour that goes dim in one theme"


def test_a_long_frame_is_capped_and_says_so() -> None:
    shown = show(pd.DataFrame({"name": ["<b>x</b>"] * 312, "n": range(312)}), "Names")
    assert "20 of 312 shown" in shown._repr_html_() and "<b>x" not in shown._repr_html_()
    assert "20 of 312 rows shown" in repr(shown)


def test_an_empty_frame_says_so() -> None:
    assert "Nothing to show" in show(pd.DataFrame({"name": []}))._repr_html_()


def test_values_are_worded_for_people() -> None:
    values = [1234567, 1234.5, True, pd.Timestamp("2026-03-02 08:15:30.12"), None, ["a", "b"], float("nan"), 3.0]
    assert [cell_text(v) for v in values] == ["1,234,567", "1,234.50", "yes", "2026-03-02 08:15:30", "", "a, b", "", "3"]


def test_a_frame_for_the_terminal_has_no_markup() -> None:
    assert "[red]x" in plain(frame_view(pd.DataFrame({"a": ["[red]x"]})))


# -- figure ------------------------------------------------------------------------------------------------------------------------


def test_the_figure_is_transparent_labelled_and_leaves_pyplot_alone(plan: Plan, tmp_path: Path) -> None:
    import sys

    pyplot_before = "matplotlib.pyplot" in sys.modules
    figure = plan.figure()
    assert figure.patch.get_alpha() == 0
    texts = {t.get_text() for t in figure.axes[0].texts}
    of = [sum(c.get("create", 0) for (m, _), c in plan.counts.items() if m == "CUSTOMER")]
    assert f"{of[0]:,}" in texts
    data, size = figure._repr_png_()
    assert data.startswith(b"\x89PNG") and size["width"] > 500
    assert ("matplotlib.pyplot" in sys.modules) == pyplot_before


def test_a_plan_without_anything_to_do_can_be_shown(plan: Plan) -> None:
    base = dataclasses.replace(
        plan.base,
        rows=plan.base.rows.slice(0, 0),
        changes=plan.base.changes.slice(0, 0),
        duplicates=plan.base.duplicates.slice(0, 0),
        creates={},
    )
    empty = Plan(base)
    assert not is_pending(empty) and is_pending(plan)
    assert plan_text(empty) and empty._repr_html_() and empty.figure() and plan_dict(empty)
