"""The demo is planned alike on SQLite, on PostgreSQL and over its exports: the same rows, fields, errors and creates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from synckit.demo import make_demo
from synckit.planning.plan import Plan
from synckit.workspace import open_workspace

NOW = datetime(2026, 3, 5, 12)
FRAMES = ("rows", "changes", "errors", "depends", "review", "duplicates", "quiet")
TOKENS = ("local_token", "integration_token")
LEDGER_ID = "00000000-0000-4000-8000-000000000001"


def planned(folder: Path, **how: Any) -> Plan:
    """The plan of a fresh demo; its ledger gets a fixed id, from which the keys of new records follow."""
    workspace = make_demo(folder, **how)
    engine = sa.create_engine(f"sqlite:///{folder / 'ledger.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE meta SET value = :id WHERE key = 'ledger_id'"), {"id": LEDGER_ID})
    engine.dispose()
    with open_workspace(workspace) as ws:
        ws.clock = lambda: NOW
        return ws.plan_full()


def frames_of(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name in FRAMES:
        table = getattr(plan.base, name)
        table = table.drop_columns([c for c in TOKENS if c in table.column_names])
        found[name] = table.to_pylist()
    found["quiet"].sort(key=lambda r: [r[k] or "" for k in ("mapping", "pass", "disposition", "local_key", "integration_key")])
    return found | {f"creates {place}": table.to_pylist() for place, table in plan.base.creates.items()}


def assert_same(one: Plan, other: Plan) -> None:
    left, right = frames_of(one), frames_of(other)
    assert left.keys() == right.keys()
    for name, rows in left.items():
        assert len(rows) == len(right[name]), name
        differing = [(a, b) for a, b in zip(rows, right[name], strict=True) if a != b]
        assert not differing, f"{name}: {len(differing)} lines differ, the first: {differing[0]}"
    assert one.counters() == other.counters()
    assert one.sentence() == other.sentence()


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(tmp_path_factory.mktemp("same") / "sqlite")


@pytest.fixture
def other_postgres_url(postgres_url: str) -> Iterator[str]:
    """A second database beside the fixture's: both systems have a table called contact."""
    url = sa.make_url(postgres_url)
    name = f"{url.database}_other"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        engine.dispose()


def test_the_exports_of_the_demo_are_planned_like_its_databases(on_sqlite: Plan, tmp_path: Path) -> None:
    assert_same(on_sqlite, planned(tmp_path / "exports", kind="exports"))


def test_postgresql_is_planned_like_sqlite(
    on_sqlite: Plan, postgres_url: str, other_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = []
    for side, url in (("LOCAL", postgres_url), ("INTEGRATION", other_postgres_url)):
        password = sa.make_url(url).password
        monkeypatch.setitem(os.environ, f"SYNCKIT_TEST_{side}_PASSWORD", str(password or ""))
        made = sa.make_url(url).set(password=None).render_as_string()
        urls.append(made if password is None else made.replace("@", f":${{SYNCKIT_TEST_{side}_PASSWORD}}@", 1))
    assert_same(on_sqlite, planned(tmp_path / "postgresql", url_local=urls[0], url_integration=urls[1]))
