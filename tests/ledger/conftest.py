"""A ledger in a folder of its own, and a run in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from synckit.ledger.lease import Holder
from synckit.ledger.ledger import Ledger

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger #1 ä.db"  # a name that no URL may stumble over


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger.open(str(path), identity="BC / Dataverse")


@pytest.fixture
def run(ledger: Ledger) -> int:
    epoch = ledger.lease.acquire(Holder("anna"), datetime.now(UTC))
    with ledger.transaction(NOON) as tx:
        return tx.start_run("plan-1", "full", "anna", "pc", 1, epoch)
