"""A record of a plan whole: both sides as they are now, what the plan makes of each field, and who changed it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synckit.planning.bind import SIDES, BoundSide, bind
from synckit.planning.called import names_of
from synckit.planning.looking import Seen, look, plain_text
from synckit.planning.plan import Plan
from synckit.reports.wording import safe, value_called
from synckit.widgets.screen import State, table, text
from synckit.widgets.segments import segments

if TYPE_CHECKING:
    from synckit.systems.protocol import Snapshot, System
    from synckit.workspace import Workspace


def whole_record(ws: Workspace, plan: Plan, row: dict[str, Any]) -> list[State]:
    """Blocks for the record with the keys `local_key` and `integration_key` of `row["mapping"]`. Reads both systems, writes nothing."""
    bound = bind(ws.description.mapping(row["mapping"]), ws.description, {s: ws.systems[s].schema for s in SIDES})
    pairs = [
        (f.local, f.integration, f.lookup is not None) for f in bound.mapping.fields if f.enabled and (f.local or f.integration)
    ]
    now: dict[str, dict[str, Any]] = {}
    blocks: list[State] = []
    for side, names in zip(SIDES, ([p[0] for p in pairs if p[0]], [p[1] for p in pairs if p[1]]), strict=True):
        of, key = bound.side(side), row[f"{side}_key"]
        columns = [of.table.column(n).name for n in dict.fromkeys(names)]
        more = [of.modified_by.name] if of.modified_by is not None else []
        with ws.systems[side].snapshot() as snapshot:
            seen = look(of, snapshot, ws.systems[side], [key] if key else [], [*columns, *more]).get(key)
            called = {} if seen is None else _called(of, ws.systems[side], snapshot, seen)
        title = safe(plan.base.sides[side].title)
        if seen is None:
            blocks.append(text(f"{title}: the record is not there any more.", "fail"))
            continue
        now[side] = {**seen.values, **called}
        who = now[side].get(of.modified_by.name) if of.modified_by is not None else None
        by = f", by {safe(who)}" if who else ""
        blocks.append(text(f"{title}: {safe(seen.called)} · changed {safe(seen.token)}{by}", "quiet"))
    changes = plan.changes(row["mapping"], int(row["record"]))
    written = {(c["pass"], c["column"]): value_called(c, "new") for c in changes.to_dict("records")}
    lines: list[list[Any]] = []
    for local, integration, refers in pairs:
        here = _value(now.get("local"), bound.local.table, local)
        there = _value(now.get("integration"), bound.integration.table, integration)
        left, right = ([(here, True)], [(there, True)]) if refers else segments(here, there)  # a code and a key say the same
        after = []
        for side, in_pass, table_, name in (
            ("integration", "to", bound.integration.table, integration),
            ("local", "from", bound.local.table, local),
        ):
            column = table_.column(name).name if name else ""
            if (in_pass, column) in written:
                new = safe(plain_text(written[in_pass, column]))
                after.append(f"{safe(plan.base.sides[side].title)}: {new or 'blank'}")
        if here or there or after:
            lines.append(
                [
                    safe(local or integration),
                    {"segments": left, "text": ""},
                    {"segments": right, "text": ""},
                    {"text": "; ".join(after), "tone": "update"},
                ]
            )
    titles = [safe(plan.base.sides[s].title) for s in SIDES]
    heads = ["field", f"{titles[0]} now", f"{titles[1]} now", "after"]
    if not any(line[-1]["text"] for line in lines):  # nothing is written, as in an open conflict
        heads, lines = heads[:-1], [line[:-1] for line in lines]
    return [*blocks, table(heads, lines, "The whole record", tall=True, sides=True)]


def _called(of: BoundSide, system: System, snapshot: Snapshot, seen: Seen) -> dict[str, str]:
    """Column -> what its value is called, for options, references and who changed the record: labels and names in place of keys."""
    found: dict[str, str] = {}
    for name, value in seen.values.items():
        key = "" if value is None else str(plain_text(value))
        called = names_of(system, snapshot, of.table, of.table.column(name), [key])
        if key in called:
            found[name] = called[key]
    return found


def _value(values: dict[str, Any] | None, table_: Any, name: str | None) -> str:
    return safe(plain_text(values.get(table_.column(name).name))) if values and name else ""


__all__ = ["whole_record"]
