"""The demo's plans for the tests of the screens: planned once, shared, never applied (tests that apply make a demo of their own)."""

from __future__ import annotations

from pathlib import Path

import pytest

from synckit.demo import make_demo
from synckit.planning.plan import Plan
from synckit.workspace import Workspace, open_workspace


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(make_demo(tmp_path_factory.mktemp("screens") / "demo"))


@pytest.fixture(scope="session")
def full(demo: Workspace) -> Plan:
    return demo.plan_full()


@pytest.fixture
def own_demo(tmp_path: Path) -> Workspace:
    """A demo that a test may write to."""
    return open_workspace(make_demo(tmp_path / "demo"))
