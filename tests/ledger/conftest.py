"""A ledger in a folder of its own, and a run in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from synckit.ledger.lease import Holder
from synckit.ledger.ledger import Ledger
from synckit.ledger.tables import METADATA

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger #1 ä.db"  # a name that no URL may stumble over


@pytest.fixture
def ledger(path: Path, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A SQLite ledger; or, to try another database, tables in the empty database at the URL $SYNCKIT_TEST_LEDGER."""
    url = os.environ.get("SYNCKIT_TEST_LEDGER")
    if url and request.node.path.name == "test_ledger_opening.py":
        pytest.skip("is about files")
    ledger = Ledger.open(url or str(path), identity="BC / Dataverse")
    yield ledger
    ledger.close()
    if url:
        engine = sa.create_engine(url)
        METADATA.drop_all(engine)
        engine.dispose()


@pytest.fixture
def run(ledger: Ledger) -> int:
    epoch = ledger.lease.acquire(Holder("anna"), datetime.now(UTC))
    with ledger.transaction(NOON) as tx:
        return tx.start_run("plan-1", "full", "anna", "pc", 1, epoch)
