"""No scenario of the reference is forgotten: each is carried by a marked test, or listed with its reason in the README beside this file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOM = Path(__file__).parent
SCENARIOS = ROOM.parents[2] / "shared" / "acceptance" / "scenarios.md"
NUMBER = re.compile(r"S-\d{3}")


def test_every_scenario_is_shown_or_listed() -> None:
    if not SCENARIOS.is_file():
        pytest.skip("the list of scenarios does not lie beside this copy of the project")
    wanted = set(re.findall(r"(?m)^\*\*(S-\d{3})", SCENARIOS.read_text(encoding="utf-8")))
    files = "\n".join(path.read_text(encoding="utf-8") for path in ROOM.parent.rglob("test_*.py"))
    shown = {number for marked in re.findall(r"scenario\(([^)]*)\)", files) for number in NUMBER.findall(marked)}
    listed = set(re.findall(r"(?m)^\| (S-\d{3}) \|", (ROOM / "README.md").read_text(encoding="utf-8")))
    assert len(wanted) > 100 and wanted - shown - listed == set()
