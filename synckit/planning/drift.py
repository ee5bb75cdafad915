"""How far a plan has aged: which of its rows were changed, deleted, coupled or uncoupled since it was made; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from synckit.ledger.ledger import Ledger
from synckit.planning.bind import SIDES, BoundMapping, Side
from synckit.planning.looking import look
from synckit.planning.plan import Plan
from synckit.systems.protocol import Snapshot, System

COLUMNS = ("mapping", "side", "key", "name", "disposition", "what")


@dataclass(frozen=True)
class Drift:
    """`frame`: one line per row that is not as planned (mapping, side, key, name, disposition, what: "changed", "deleted", "appeared",
    "coupled", "uncoupled", "coupled otherwise"). `looked`: records of the plan that were looked at. `age`: since its snapshots."""

    frame: pd.DataFrame
    looked: int
    age: timedelta
    applied_by: int | None = None

    @property
    def records(self) -> int:
        """How many records are not as planned."""
        return int(self.frame.attrs.get("records", 0))

    def sentence(self) -> str:
        hours, rest = divmod(int(self.age.total_seconds()), 3600)
        old = f"{hours // 24} days" if hours >= 48 else f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min"
        have = "has" if self.records == 1 else "have"
        text = f"The plan is {old} old. {self.records:,} of {self.looked:,} rows {have} changed since; apply refuses those by name and carries out the rest."  # fmt: skip
        if not self.records:
            text = f"The plan is {old} old. None of its {self.looked:,} rows has changed since."
        text += " Rows that were found equal do not count: nothing is written to them."
        return text + (f" It was already applied by run {self.applied_by}." if self.applied_by is not None else "")

    def __repr__(self) -> str:
        return f"<Drift {self.sentence()}>"


def drift_of(
    plan: Plan,
    bound: Mapping[str, BoundMapping],
    snapshots: Mapping[Side, Snapshot],
    systems: Mapping[Side, System],
    ledger: Ledger,
    now: datetime,
) -> Drift:
    """Hold the plan's rows (those that need a look; rows found equal have no version in a plan) against the systems as they are now."""
    found: list[dict[str, Any]] = []
    drifted: set[tuple[str, int]] = set()
    looked = 0
    first = plan.rows.filter(pc.equal(plan.rows.column("step"), 1))
    for name in plan.mappings:
        lines: dict[int, dict[str, Any]] = {}
        for row in first.filter(pc.equal(first.column("mapping"), name)).to_pylist():
            lines.setdefault(row["record"], row)
        looked += len(lines)
        couplings = ledger.couplings(name)
        partner = dict(zip(couplings.column("local_key").to_pylist(), couplings.column("integration_key").to_pylist(), strict=True))
        holder = {i: local for local, i in partner.items()}
        for side in SIDES:
            mine = {r[f"{side}_key"]: r for r in lines.values() if r[f"{side}_key"] and (r["table"] or side).startswith(side)}
            seen = look(bound[name].side(side), snapshots[side], systems[side], mine)
            for key, row in mine.items():
                was, is_now = row[f"{side}_token"], seen.get(key)
                # a row that the plan only knows from its coupling has no version: it was gone when the plan was made
                known = was is not None or (row[f"{side}_name"] is not None)
                what = (
                    "deleted"
                    if known and is_now is None
                    else "appeared"
                    if not known and is_now is not None and is_now.token is not None
                    else ""
                )
                what = "changed" if known and is_now is not None and is_now.token != was else what
                if what:
                    drifted.add((name, row["record"]))
                    found.append({"mapping": name, "side": side, "key": key, "name": row[f"{side}_name"], "disposition": row["disposition"], "what": what})  # fmt: skip
        for row in lines.values():
            local, integration = row["local_key"], row["integration_key"]
            has = partner.get(local) if local else holder.get(integration)
            what = ""
            if row["coupled"] and (partner.get(local) != integration):
                what = "uncoupled" if has is None else "coupled otherwise"
            elif not row["coupled"] and has is not None and row["disposition"] not in ("coupling", "skipped"):
                what = "coupled"
            if what:
                side = "local" if local else "integration"
                drifted.add((name, row["record"]))
                found.append({"mapping": name, "side": side, "key": local or integration, "name": row[f"{side}_name"], "disposition": row["disposition"], "what": what})  # fmt: skip
    frame = pd.DataFrame(found, columns=list(COLUMNS))
    frame.attrs["records"] = len(drifted)
    taken = min((s.taken_at.replace(tzinfo=None) for s in plan.base.sides.values()), default=now)
    applied = next((r["id"] for r in ledger.runs().to_pylist() if r["plan_id"] == plan.id), None)
    return Drift(frame, looked, max(now - taken, timedelta(0)), applied)


__all__ = ["COLUMNS", "Drift", "drift_of"]
