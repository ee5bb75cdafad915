"""Plan files, workbooks, couplings and filters from outside, mutilated: one clear sentence, never a traceback, and nothing half-read."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import World, mapping

from synckit.errors import SynckitError
from synckit.mapping.filters import parse_filter
from synckit.mapping.loading import load_workspace
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan, read_plan

SHORT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "=cmd|'/c calc'!A1",
        "'; DROP TABLE customer; --",
        "<script>",
        "\x1b]0;x\x07",
        "../../etc/passwd",
        "!!python/object:os.system",
        "\u202e",
        "",
        "..",
        "\x00",
    ]
)


@pytest.fixture(scope="module")
def w() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), {"customer": "no code20 key, name text50"}, {"account": "name text100"}, [mapping("CUSTOMER", "customer > account", "name <> name")])  # fmt: skip
        for n in "ABC":
            world.local.add("customer", n, no=n, name=n)
        world.ws.plan_full().save(str(world.folder / "a.plan"))
        yield world
        world.close()


def told(verb: Any, *arguments: Any) -> Any:
    """What `verb` gives, or None where it refused with a sentence; any other exception fails the test."""
    try:
        return verb(*arguments)
    except SynckitError as error:
        assert str(error) and "Traceback" not in str(error)
        return None


@SHORT
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_plan_files_with_other_bytes(w: World, at: int, other: bytes, cut: bool) -> None:
    content = (w.folder / "a.plan").read_bytes()
    at %= len(content)
    bad = content[:at] if cut else content[:at] + other + content[at + len(other) :]
    plan = told(read_plan, bad, "a.plan")
    assert plan is None or isinstance(plan, Plan)


@SHORT
@given(st.sampled_from(["manifest.json", "decisions.json"]), st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXTS, x, max_size=3), max_leaves=6), st.integers(0, 20))  # fmt: skip
def test_plan_files_with_another_manifest(w: World, part: str, value: Any, which: int) -> None:
    path = w.folder / "b.plan"
    with zipfile.ZipFile(w.folder / "a.plan") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == part:
                told_before = json.loads(content)
                if isinstance(told_before, dict):
                    told_before[sorted(told_before)[which % len(told_before)]] = value
                content = json.dumps(told_before if isinstance(told_before, dict) else value).encode()
            target.writestr(name, content)
    before = w.everything()
    plan = told(load_plan, str(path))
    if plan is not None:
        told(w.ws.drift, plan)
        told(lambda: plan.to_text())
    assert w.everything() == before


@SHORT
@given(TEXTS, TEXTS, TEXTS)
def test_couplings_from_outside(w: World, mapping_name: str, local: str, integration: str) -> None:
    path = w.folder / "c.csv"
    path.write_text(f"mapping,local_key,integration_key\n{mapping_name},{local},{integration}\nCUSTOMER,{local}", encoding="utf-8")
    told(w.ws.import_couplings, path)


@SHORT
@given(TEXTS | st.text("()|&<>=.*@?' \"A9", max_size=15))
def test_filters(w: World, text: str) -> None:
    table = w.ws.schemas["local"].table("customer")
    told(lambda: parse_filter({"name": text}, table, {}, where="here"))
    told(lambda: parse_filter(text, table, {}, where="here"))


@SHORT
@given(
    TEXTS,
    st.sampled_from(["ledger", "semantics", "memory", "limits", "local", "mappings", "local_currency", "nothing"]),
    st.booleans(),
)
def test_workspace_files(w: World, text: str, key: str, raw: bool) -> None:
    path = w.folder / "other.yaml"
    described = json.loads(w.path.read_text(encoding="utf-8"))
    described[key] = text
    path.write_text(f"{key}: {text}\n{json.dumps(described)[1:-1] if raw else json.dumps(described)}", encoding="utf-8")
    told(load_workspace, path)
    path.write_text(json.dumps(described), encoding="utf-8")
    told(load_workspace, path)
