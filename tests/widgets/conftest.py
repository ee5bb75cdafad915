"""The demo's plans for the tests of the screens: planned once, shared, never applied (tests that apply make a demo of their own)."""

from __future__ import annotations

import shutil
from datetime import datetime
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


@pytest.fixture(scope="session")
def with_errors(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A demo whose modified records were synchronised twice, at a fixed moment: two causes of errors stand open."""
    ws = open_workspace(make_demo(tmp_path_factory.mktemp("errors") / "demo"))
    ws.clock = lambda: datetime(2026, 6, 1, 8, 0)
    ws.apply(ws.plan_modified())
    return ws


@pytest.fixture(scope="session")
def failed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo whose modified records were synchronised once; tests take copies of it."""
    folder = tmp_path_factory.mktemp("failed") / "demo"
    with open_workspace(make_demo(folder)) as ws:
        ws.apply(ws.plan_modified())
    return folder


@pytest.fixture
def failed(failed_once: Path, tmp_path: Path) -> Workspace:
    """A demo of its own with errors, for tests that mend them."""
    return open_workspace(shutil.copytree(failed_once, tmp_path / "demo") / "workspace.yaml")
