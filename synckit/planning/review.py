"""The review line of a mapping: what the reference would recommend before a full synchronisation, with the counts behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from synckit.planning.bind import SIDES, Side
from synckit.planning.tables import REVIEW

if TYPE_CHECKING:
    from synckit.planning.mapping_plan import MappingPlanner

FULL, COUPLE, NOTHING, WAITS = "Full Synchronization", "Couple Records", "No Records", "Dependency not satisfied"


def review_line(planner: MappingPlanner, counts: dict[Side, int]) -> pa.Table:
    """The first rule of engine-behaviour 8 that applies. The local test is the whole table without the filter, the remote test the
    rows inside the integration filter; an option mapping is judged by its local rows alone."""
    bound = planner.bound
    mapping = bound.mapping
    inside = int(planner._value("SELECT count(*) FROM n_integration WHERE inf"))
    lone = {side: int(planner._value(f"SELECT count(*) FROM lone WHERE side = '{side}'")) for side in SIDES}
    if planner.planning.request.whole:
        coupled = int(planner._value("SELECT count(*) FROM couplings WHERE NOT found"))
    else:
        coupled = planner.planning.ledger.coupling_count(mapping.name)
    local = counts["local"]
    if mapping.name == "SALESPEOPLE":
        recommendation, reason = FULL, "salespeople are always synchronised in full"
    elif mapping.name == "CURRENCY":
        single = counts["integration"] == 1
        recommendation = FULL if single else COUPLE
        reason = (
            "one currency on the integration side"
            if single
            else f"{counts['integration']} currencies exist on the integration side"
        )
    elif mapping.kind == "option":
        recommendation = COUPLE if local else NOTHING
        reason = "options are coupled by their label" if local else "no local records"
    elif not local and not inside:
        recommendation, reason = NOTHING, "both sides are empty"
    elif local and inside:
        recommendation, reason = COUPLE, "both sides hold records: a full synchronisation may double them"
    else:
        recommendation, reason = FULL, "only one side holds records"
    waits = [n for n in mapping.depends_on if _recommended(planner, n) == WAITS]
    if waits and recommendation == FULL:
        recommendation, reason = WAITS, f"waits for {', '.join(waits)}"
    return pa.Table.from_pylist(
        [
            {
                "mapping": mapping.name,
                "direction": mapping.direction,
                "recommendation": recommendation,
                "reason": reason,
                "local_rows": local,
                "integration_rows": counts["integration"],
                "coupled": coupled,
                "uncoupled_local": lone["local"],
                "uncoupled_integration": lone["integration"],
                "depends_on": "|".join(mapping.depends_on),
            }
        ],
        REVIEW,
    )


def _recommended(planner: MappingPlanner, name: str) -> str:
    """A parent that is not part of this plan and has nothing coupled yet leaves its dependants waiting."""
    known = planner.planning.known.get(name)
    if known is None and name in planner.planning.bound:
        return WAITS if planner.planning.ledger.coupling_count(name) == 0 else FULL
    return FULL
