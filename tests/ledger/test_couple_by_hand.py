"""Coupling by hand: which record gives way, and which coupling is never taken away silently (S-026 to S-029)."""

from __future__ import annotations

import pytest

from synckit.errors import SynckitError


def hand(ledger, local, integration, from_side="local", gone=(), called=None):
    with ledger.transaction() as tx:
        return tx.couple("CUSTOMER", local, integration, from_side, local_exists=lambda key: key not in gone, called=called)


def pairs(ledger):
    table = ledger.couplings("CUSTOMER")
    return set(zip(table["local_key"].to_pylist(), table["integration_key"].to_pylist(), strict=True))


def test_lookup_works_both_ways(ledger):
    """S-026."""
    assert ledger.coupling("CUSTOMER", local="C") is None
    assert hand(ledger, "C", "G1").outcome == "coupled"
    assert ledger.coupling("CUSTOMER", local="C")["integration_key"] == "G1"
    assert ledger.coupling("CUSTOMER", integration="G1")["local_key"] == "C"
    assert hand(ledger, "C", "G1", "integration").outcome == "already coupled"


def test_from_the_integration_side_a_coupled_record_is_refused(ledger):
    """S-027."""
    hand(ledger, "C", "G1")
    names = {"C": "Customer 10000 Adatum", "G1": "Adatum Corp.", "G2": "Noon Ltd."}
    with pytest.raises(SynckitError) as caught:
        hand(ledger, "C", "G2", "integration", called=lambda side, key: names[key])
    assert all(name in str(caught.value) for name in names.values())
    assert pairs(ledger) == {("C", "G1")}


def test_from_the_local_side_the_coupling_is_re_pointed(ledger, run):
    """S-028: the integration side's stamp, result and the skip flag go with the old partner, the local stamp stays."""
    first = hand(ledger, "C", "G1").id
    with ledger.transaction() as tx:
        tx.stamp([{"id": first, "local_stamp": "a", "integration_stamp": "b", "fingerprints": "{}"}], "from", "j1")
        tx.mark_results([{"id": first, "code": "c", "message": "m", "skipped": True}], "to", "j2")
    done = hand(ledger, "C", "G2")
    assert (done.outcome, done.id, [row["integration_key"] for row in done.replaced]) == ("re-pointed", first, ["G1"])
    now = ledger.coupling("CUSTOMER", local="C")
    assert pairs(ledger) == {("C", "G2")}
    assert (now["local_stamp"], now["integration_stamp"], now["fingerprints"]) == ("a", None, None)
    assert (now["from_result"], now["to_result"], now["to_job"], now["to_error"], now["skipped"]) == ("success", "", "", "", False)


def test_taking_over_a_dead_coupling_frees_the_old_partner(ledger):
    """S-029."""
    hand(ledger, "A", "G1")
    hand(ledger, "B", "G2")
    done = hand(ledger, "B", "G1", gone={"A"})
    assert pairs(ledger) == {("B", "G1")}
    assert [row["local_key"] for row in done.replaced] == ["A", "B"]


@pytest.mark.parametrize("from_side", ["local", "integration"])
def test_a_living_coupling_is_never_taken_over(ledger, from_side):
    hand(ledger, "A", "G1")
    with pytest.raises(
        SynckitError, match=r"B cannot be coupled to the integration record G1, because that is coupled to A already"
    ):
        hand(ledger, "B", "G1", from_side)
    assert pairs(ledger) == {("A", "G1")}
