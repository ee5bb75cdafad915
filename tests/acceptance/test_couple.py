"""Coupling by hand: S-026 to S-030; both sides of a pair beside one another: S-132."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from world import MakeWorld, World, guid, mapping, on_both, scenario

from synckit.errors import SynckitError
from synckit.ledger.couplings import Coupled


def customers(make_world: MakeWorld, direction: str = "bidirectional") -> World:
    arrow = "<>" if direction == "bidirectional" else ">"
    described = mapping("CUSTOMER", "customer > account", f"name {arrow} name", direction=direction)
    return make_world({"customer": "no code20 key, name text100"}, {"account": "name text160"}, [described])


def by_hand(w: World) -> Callable[[str, str, str], Coupled]:
    def couple(local: str, integration: str, start: str = "local") -> Coupled:
        keys = {row["system_id"] for row in w.local.rows("customer")}
        with w.ws.ledger.transaction() as tx:
            return tx.couple("CUSTOMER", guid(local), guid(integration), start, local_exists=keys.__contains__)  # type: ignore[arg-type]

    return couple


@scenario("S-026")
def test_lookup_works_both_ways(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C")
    w.integration.add("account", "G1")
    assert w.partner("CUSTOMER", local="C") is None
    by_hand(w)("C", "G1")
    assert (w.partner("CUSTOMER", integration="G1"), w.partner("CUSTOMER", local="C")) == ("C", "G1")


@scenario("S-027")
def test_integration_first_onto_a_coupled_record(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C")
    by_hand(w)("C", "G1")
    with pytest.raises(SynckitError, match=r"is coupled to .* already"):
        by_hand(w)("C", "G2", "integration")
    assert w.partner("CUSTOMER", "C") == guid("G1")


@scenario("S-028")
def test_record_first_re_points(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "C", no="C")
    by_hand(w)("C", "G1")
    by_hand(w)("C", "G2", "local")
    assert w.partner("CUSTOMER", "C") == guid("G2")
    assert w.ws.ledger.coupling_count("CUSTOMER") == 1


@scenario("S-029")
def test_taking_over_a_dead_coupling_frees_the_old_partner(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "A", no="A")
    w.local.add("customer", "B", no="B")
    by_hand(w)("A", "G1")
    by_hand(w)("B", "G2")
    w.local.delete("customer", "A")
    by_hand(w)("B", "G1")
    assert w.partner("CUSTOMER", "B") == guid("G1")
    assert w.ws.ledger.coupling_count("CUSTOMER") == 1


@scenario("S-030")
@on_both
def test_couple_and_push_to_integration(make_world: MakeWorld) -> None:
    w = customers(make_world, "to_integration")
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Beta")
    by_hand(w)("C", "G")
    w.full()
    assert w.partner("CUSTOMER", "C") == "G"
    assert w.integration.row("account", "G")["name"] == "Acme"


@scenario("S-132")
def test_a_coupled_pair_side_by_side(make_world: MakeWorld) -> None:
    names = [f"f{n}" for n in range(1, 16)]
    columns = ", ".join(f"{n} text30" for n in [*names, "off1", "off2"])
    fields = ", ".join([*(f"{n} <> {n}" for n in names), "off1 <> off1 off", "off2 <> off2 off"])
    w = make_world(
        {"customer": f"no code20 key, {columns}"}, {"account": columns}, [mapping("CUSTOMER", "customer > account", fields)]
    )
    w.local.add("customer", "C1", no="C1", off1="-", **{n: f"{n} here" for n in names})
    w.integration.add("account", "A1", off1="-", **{n: f"{n} there" for n in names})
    w.couple("CUSTOMER", "C1", "A1")
    shown = w.ws.explain("CUSTOMER", local="C1")["fields"]
    assert [(f["field"], f["local"], f["integration"]) for f in shown] == [(n, f"{n} here", f"{n} there") for n in names]
