"""What apply refuses as a whole, before anything is written: another pair of systems, another ledger, changed mappings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.bind import DESTINATION, SIDES, Side, bind
from synckit.planning.plan import Plan
from synckit.planning.planned_mapping import fingerprint
from synckit.planning.review import COUPLE
from synckit.planning.tables import WRITES

if TYPE_CHECKING:
    from synckit.workspace import Workspace


def refuse(ws: Workspace, plan: Plan, accept: Sequence[str], over_limit: Sequence[str] = (), confirm: str = "") -> None:
    """Raise SynckitError where `plan` must not be applied here, naming the reason; nothing has been written then."""
    refuse_others(ws, plan)
    for side in written_sides(plan):
        if ws.systems[side].read_only:
            raise SynckitError(f"{ws.systems[side].title} cannot be written: {ws.systems[side].read_only}")
    beyond = [
        text for name, text in over_limits(ws, plan).items() if name not in {ws.description.mapping(n).name for n in over_limit}
    ]
    if beyond:
        raise SynckitError(
            f"Nothing was applied: the plan does more than the workspace's limits allow. {' '.join(beyond)} Look at the plan; if that is "
            "meant, name the mapping: --over-limit NAME"
        )
    for title in to_confirm(ws, plan):
        if confirm.strip() != title:
            raise SynckitError(
                f'Nothing was applied: {title} is a production system, so applying needs its name: --system "{title}" '
                f"(in Python: ws.apply(plan, confirm={title!r}))."
            )
    missing = [n for n in to_accept(plan) if n not in {ws.description.mapping(a).name for a in accept}]
    if missing:
        named = " ".join(f'--accept "{n}"' if " " in n else f"--accept {n}" for n in missing)
        raise SynckitError(
            f"Both sides of {', '.join(missing)} hold records, so coupling is recommended before creating: a full synchronisation may double "
            f"them. Nothing was applied. Look at the possible duplicates, then exclude these mappings or accept them by name: {named}."
        )


def refuse_others(ws: Workspace, plan: Plan) -> None:
    """Raise SynckitError where `plan` was made for other systems, with another ledger, or with mappings that gave other values."""
    for side in SIDES:
        planned, now = plan.base.sides[side], ws.systems[side]
        if planned.identity != now.identity():
            raise SynckitError(
                f"This plan was made for another {side} system: {planned.title} at {planned.address}; the workspace now names "
                f"{now.title} at {now.address}. Open the workspace of the plan, or plan again."
            )
    if plan.base.ledger_id != ws.ledger.ledger_id:
        raise SynckitError("This plan was made with another ledger, which knows other couplings. Plan again with this workspace.")
    for name in plan.base.order:
        if name not in {m.name for m in ws.description.mappings}:
            raise SynckitError(f"The plan holds mapping {name}, which the workspace no longer has. Plan again.")
        bound = bind(ws.description.mapping(name), ws.description, {s: ws.systems[s].schema for s in SIDES})
        if fingerprint(bound) != plan.base.mappings[name].fingerprint:
            raise SynckitError(
                f"Mapping {name} has been changed since the plan was made and would now give other values. Plan again."
            )


def to_confirm(ws: Workspace, plan: Plan) -> list[str]:
    """Names of the systems marked `production: true` that the plan writes to."""
    sides = written_sides(plan)
    configs = {"local": ws.description.local, "integration": ws.description.integration}
    return [configs[side].name for side in SIDES if side in sides and configs[side].production]


def over_limits(ws: Workspace, plan: Plan) -> dict[str, str]:
    """Mapping -> sentence, where the plan does more to it than the workspace's `limits:` allow."""
    limits = ws.description.limits
    found: dict[str, str] = {}
    by_name = {ws.description.mapping(n).name: limit for n, limit in limits.items() if n != "all"}
    verbs = {
        "creates": ("create", "restore"),
        "updates": ("update", "couple"),
        "deletes": ("delete", "remove coupling", "uncoupling"),
    }
    for name in plan.mappings:
        limit = by_name.get(name, limits.get("all"))
        for verb, dispositions in verbs.items() if limit is not None else ():
            allowed = getattr(limit, verb)
            planned = sum(of.get(d, 0) for (n, _), of in plan.counts.items() if n == name for d in dispositions)
            if allowed is not None and planned > allowed:
                found[name] = f"{found.get(name, '')} {name} would see {planned:,} {verb}, and {allowed:,} are allowed.".strip()
    return found


def to_accept(plan: Plan) -> list[str]:
    """Mappings that a full synchronisation would create in although the recommendation is to couple: each must be accepted by name.

    Day-to-day runs create where "Synch. Only Coupled Records" is off, which is that decision; both sides always hold records then."""
    if plan.base.kind != "full":
        return []
    advised = {r["mapping"] for r in plan.base.review.to_pylist() if r["recommendation"] == COUPLE}
    creating = set(pc.unique(plan.rows.filter(pc.equal(plan.rows.column("disposition"), "create")).column("mapping")).to_pylist())
    return [n for n in plan.base.order if n in advised & creating and not plan.base.mappings[n].matched]


def written_sides(plan: Plan) -> set[Side]:
    """The sides that the plan writes to."""
    sides: set[Side] = set()
    rows = plan.rows.select(["pass", "disposition", "table"]).group_by(["pass", "disposition", "table"]).aggregate([])
    for row in rows.to_pylist():
        if row["disposition"] in WRITES or (row["disposition"] == "uncoupling" and row["table"]):
            named = (row["table"] or "").partition(":")[0]
            sides.add(named if named in SIDES else DESTINATION[row["pass"]])
    return sides
