"""In which order mappings run: dependencies first, a documented order breaks ties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synckit.errors import SynckitError
from synckit.mapping.model import TableMapping

#: The run order that the documentation gives; it breaks ties.
DOCUMENTED_ORDER = ("CURRENCY", "SALESPEOPLE", "VENDOR", "CUSTOMER", "CONTACT")
#: The run orders that the reference carries out, without and with the sales mappings (S-007).
REFERENCE_ORDER = ("SALESPEOPLE", "CURRENCY", "CUSTOMER", "VENDOR", "CONTACT")
REFERENCE_SALES_ORDER = ("SALESPEOPLE", "CURRENCY", "UNIT OF MEASURE", "CUSTOMER", "CONTACT", "ITEM-PRODUCT", "RESOURCE-PRODUCT")


def dependency_order(mappings: Sequence[TableMapping], semantics: Literal["synckit", "reference"] = "synckit") -> list[str]:
    """Names of `mappings` in the order they run: dependencies first, the documented order (then the name) breaks ties.

    Edges come from `depends_on` and from the lookups of enabled field rows; a lookup that may be cleared and filled later
    (clear_on_failed_sync) does not bind. `semantics` "reference" gives the order of S-007: the reference's own list, and lookups
    alone bind, because it heeds depends_on in full synchronisations only. Raises SynckitError naming the mappings of a cycle.
    """
    by_name = {mapping.name: mapping for mapping in mappings}
    names = {alias: mapping.name for mapping in mappings for alias in mapping.aliases} | {name: name for name in by_name}
    listed: tuple[str, ...] = DOCUMENTED_ORDER
    if semantics == "reference":
        listed = REFERENCE_SALES_ORDER if "UNIT OF MEASURE" in by_name else REFERENCE_ORDER

    def rank(name: str) -> tuple[int, str]:
        return (listed.index(name) if name in listed else len(listed), name)

    def parents(mapping: TableMapping) -> list[str]:
        wanted = [] if semantics == "reference" else [names[parent] for parent in mapping.depends_on if parent in names]
        for row in mapping.fields:
            if row.enabled and row.lookup is not None and not row.clear_on_failed_sync:
                # A record may refer to another of its own mapping (a parent account); that orders rows, not mappings.
                wanted += [names[p] for p in row.lookup.mapping.split("|") if p in names and names[p] != mapping.name]
        return sorted(set(wanted), key=rank)

    order: list[str] = []
    trail: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in trail:
            cycle = " -> ".join([*trail[trail.index(name) :], name])
            raise SynckitError(
                f"The mappings depend on each other in a circle: {cycle}. Remove one depends_on or lookup, or give the lookup's "
                "field row clear_on_failed_sync: true, so that it is filled in a second step."
            )
        trail.append(name)
        for parent in parents(by_name[name]):
            visit(parent)
        trail.pop()
        order.append(name)

    for name in sorted(by_name, key=rank):
        visit(name)
    return order
