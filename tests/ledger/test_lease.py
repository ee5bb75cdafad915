"""One apply per ledger: who holds it is named, who died gives way, who lost it writes nothing more."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from synckit.errors import SynckitError
from synckit.ledger.lease import SILENCE, Holder

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ANNA = Holder("anna", "office", 11)
BERT = Holder("bert@home", "cellar", 12)
SECOND = timedelta(seconds=1)


def test_a_living_holder_is_named_and_not_disturbed(ledger):
    assert ledger.lease.acquire(ANNA, NOON) == 1
    with pytest.raises(SynckitError, match=r"anna is applying .* since 2026-03-02T12:00:00 UTC \(process 11 on office\)"):
        ledger.lease.acquire(BERT, NOON + SILENCE)
    assert ledger.lease.holder(NOON) == ANNA
    ledger.lease.check(1)


def test_a_heartbeat_keeps_the_lease_and_silence_loses_it(ledger):
    ledger.lease.acquire(ANNA, NOON)
    ledger.lease.heartbeat(1, NOON + SILENCE)
    with pytest.raises(SynckitError):
        ledger.lease.acquire(BERT, NOON + SILENCE + SECOND)
    assert ledger.lease.acquire(BERT, NOON + 2 * SILENCE + SECOND) == 2
    for use in (ledger.lease.check, ledger.lease.heartbeat, lambda epoch: ledger.transaction(epoch=epoch).__enter__()):
        with pytest.raises(SynckitError, match=r"lost its hold on the ledger \(bert@home has taken over\)"):
            use(1)


def test_releasing_gives_way_at_once_and_only_the_own_lease(ledger):
    ledger.lease.acquire(ANNA, NOON)
    ledger.lease.release(1)
    assert ledger.lease.holder(NOON) is None
    with pytest.raises(SynckitError, match="given back"):
        ledger.lease.check(1)
    assert ledger.lease.acquire(BERT, NOON) == 2
    ledger.lease.release(1)  # late, by the one who lost it
    ledger.lease.check(2)


def test_a_process_of_this_machine_that_is_gone_gives_way_at_once(ledger):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    ledger.lease.acquire(Holder("anna", socket.gethostname(), done.pid), NOON)
    assert ledger.lease.acquire(BERT, NOON + SECOND) == 2


def test_nothing_is_written_under_a_lost_lease(ledger):
    epoch = ledger.lease.acquire(ANNA, NOON)
    ledger.lease.acquire(BERT, NOON + timedelta(hours=1))
    with pytest.raises(SynckitError), ledger.transaction(epoch=epoch) as tx:
        tx.put_setting("a", "b")
    assert ledger.settings() == {}


def test_holders_survive_being_stored(ledger):
    for holder in (ANNA, BERT, Holder("a:b", "c", 1)):
        assert Holder.parse(str(holder)) == holder
