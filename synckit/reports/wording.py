"""How a plan is worded wherever it is shown: the sign and colour of an action, numbers, values that are safe to print, examples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.planning.called import with_names
from synckit.planning.judging import likely
from synckit.planning.plan import Plan
from synckit.planning.tables import FAILING, records_in

PASS_WORDS = {"to": "local to integration", "from": "integration to local"}

#: In the place of a message that neither the ledger nor a log has.
UNKNOWN_ERROR = "No error of it is known here."


@dataclass(frozen=True)
class Action:
    """What a plan does with some of its records: the dispositions it stands for, its sign, colours for terminal and notebook."""

    name: str
    sign: str
    dispositions: tuple[str, ...]
    colour: str
    variable: str


#: In the order of the screens. `variable` is a colour of JupyterLab's theme, readable in light and dark.
ACTIONS = (
    Action("create", "+", ("create", "restore"), "green", "var(--jp-success-color1, #388e3c)"),
    Action("update", "~", ("update",), "cyan", "var(--jp-info-color1, #0097a7)"),
    Action("couple", "=", ("couple", "coupling"), "blue", "var(--jp-brand-color1, #1976d2)"),
    Action("uncouple", "/", ("uncoupling",), "blue", "var(--jp-brand-color1, #1976d2)"),
    Action("delete", "-", ("delete",), "red", "var(--jp-error-color2, #b71c1c)"),
    Action("conflict", "!", ("conflict",), "yellow", "var(--jp-warn-color1, #f57c00)"),
    Action("fail", "x", FAILING, "red", "var(--jp-error-color1, #d32f2f)"),
)
ACTION_OF = {disposition: action for action in ACTIONS for disposition in action.dispositions}

#: Control characters, and those that reorder what is displayed: a name must not be able to speak to the terminal.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(value: Any) -> str:
    """`value` as one line of text that cannot command a terminal: control characters appear as \\x1b or \\u202e; blank is ''."""
    if value is None or (isinstance(value, float) and value != value) or value is pd.NaT or value is pd.NA:
        return ""
    return _UNSAFE.sub(lambda m: repr(m.group())[1:-1], str(value))


def number(n: int) -> str:
    return f"{n:,}"


def count_of(n: int, one: str, many: str) -> str:
    """ "1 row", "1,204 rows"."""
    return f"{n:,} {one if n == 1 else many}"


def quoted(value: Any) -> str:
    """A field's value as shown beside another: in quotation marks, or the word blank."""
    text = safe(value)
    return f'"{text}"' if text else "blank"


def name_of(row: dict[str, Any]) -> str:
    """What a planned row is called: its name on the side it is read from, else its key."""
    sides = ("local", "integration") if row["pass"] == "to" else ("integration", "local")
    for part in ("name", "key"):
        for side in sides:
            text = safe(row.get(f"{side}_{part}"))
            if text:
                return text
    return ""


def field_change(field: Any, old: Any, new: Any) -> tuple[str, Any, Any]:
    """A field with its old and new value, as people call them; what a business rule writes is called by what it is about."""
    rule = re.fullmatch(r"[a-z_]+\.([a-z_]+)", safe(field))
    if not rule:
        return safe(field), old, new
    old, new = (re.sub(r"(\.\d*?)0+$", r"\1", v).removesuffix(".") if isinstance(v, str) else v for v in (old, new))
    return f"{rule[1].replace('_', ' ').capitalize()} (by a business rule)", old, new


def change_of(line: Mapping[Any, Any]) -> tuple[str, Any, Any]:
    """Field, old and new of a line of `Plan.changes` as people call them: options by their labels, referenced records by their names."""
    return field_change(line["field"] or line["column"], value_called(line, "old"), value_called(line, "new"))


def value_called(line: Mapping[Any, Any], which: str) -> Any:
    """The "old" or "new" value of a line of changes or conflicts: what it is called, where it does not speak for itself."""
    name = line.get(f"{which}_name")
    return name if isinstance(name, str) and name else line[which]


def shown_columns(plan: Plan) -> list[Action]:
    """The actions that a summary shows: the three that write, conflicts and failures always, others where there are any."""
    return [a for a in ACTIONS if a.name not in ("uncouple", "delete") or plan.total(*a.dispositions)]


def both_ways(plan: Plan) -> str:
    """What to say where a record stops in both directions: one record in the sentence, a row of each direction in tables."""
    twice = sum(plan.total(*of) - records_in(plan.rows, of) for of in (("conflict",), FAILING))
    if not twice:
        return ""
    stops = "record stops" if twice == 1 else "records stop"
    return f"{number(twice)} {stops} in both directions: the sentence counts each once, the table once per direction."


def left_alone(counts: dict[str, int]) -> dict[str, int]:
    """Of one mapping and pass: the dispositions that neither write nor fail, with their numbers."""
    return {d: n for d, n in counts.items() if d not in ACTION_OF and n}


def examples(plan: Plan, action: Action, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` planned rows of an action, from as many mappings as possible; those with a warning first."""
    rows = plan.rows.filter(pc.is_in(plan.rows.column("disposition"), pa.array(action.dispositions)))
    rows = rows.filter(pc.equal(rows.column("step"), 1))
    by_mapping: dict[str, list[dict[str, Any]]] = {}
    for mapping in plan.mappings:
        mine = rows.filter(pc.equal(rows.column("mapping"), mapping))
        if mine.num_rows:
            warned = pc.greater(pc.fill_null(pc.list_value_length(mine.column("warnings")), 0), 0)
            order = pc.sort_indices(pa.table({"w": pc.invert(warned), "i": pa.array(range(mine.num_rows))}),
                                    sort_keys=[("w", "ascending"), ("i", "ascending")])  # fmt: skip
            by_mapping[mapping] = mine.take(order.slice(0, 2 * limit)).to_pylist()
    found: list[dict[str, Any]] = []
    seen: set[tuple[str, int]] = set()  # a record may stop in both passes; once is enough
    # the large mappings say most: they come first, each gives one row before any gives a second
    turns = sorted(by_mapping, key=lambda m: -pc.sum(pc.equal(rows.column("mapping"), m)).as_py())
    while len(found) < limit and any(by_mapping.values()):
        for mapping in turns:
            if by_mapping[mapping] and len(found) < limit:
                row = by_mapping[mapping].pop(0)
                if (mapping, row["record"]) not in seen:
                    seen.add((mapping, row["record"]))
                    found.append(row)
    return found


def why(
    plan: Plan, row: dict[str, Any], likeness: dict[tuple[str, str, int], str], fields: dict[tuple[str, str, int], list[str]]
) -> list[str]:
    """The lines below an example: which fields change, what it looks like, or the reason."""
    place = (row["mapping"], row["pass"], row["record"])
    if row["disposition"] == "update" and place in fields:
        return fields[place]
    if row["disposition"] == "create":
        side = plan.base.sides["integration" if row["pass"] == "to" else "local"]
        return [likeness.get(place) or f"new in {safe(side.title)}"]
    return [safe(row["reason"])]


def likenesses(plan: Plan) -> dict[tuple[str, str, int], str]:
    """Planned create -> "looks like X (same e-mail)": the best match of each."""
    found: dict[tuple[str, str, int], str] = {}
    for row in likely(plan.base, plan.decisions).sort_by([("score", "descending")]).to_pylist():
        taken = ", which is coupled already" if row["existing_coupled"] else ""
        name = safe(row["existing_name"] or row["existing_key"])
        found.setdefault((row["mapping"], row["pass"], row["record"]), f'looks like "{name}" ({safe(row["why"])}){taken}')
    return found


def changed_fields(plan: Plan, rows: list[dict[str, Any]], limit: int = 3) -> dict[tuple[str, str, int], list[str]]:
    """Planned update -> ['City: "Koln" -> "Köln"', 'and 2 more fields'], for the given rows only."""
    wanted = {(r["mapping"], r["pass"], r["record"]) for r in rows}
    lines: dict[tuple[str, str, int], list[str]] = {}
    changes = plan.fields
    for mapping, in_pass in {(m, p) for m, p, _ in wanted}:
        mask = pc.and_(pc.equal(changes.column("mapping"), mapping), pc.equal(changes.column("pass"), in_pass))
        records = pa.array([r for m, p, r in wanted if (m, p) == (mapping, in_pass)], pa.int64())
        mine = changes.filter(pc.and_(mask, pc.is_in(changes.column("record"), records)))
        for c in with_names(plan.base, mine, plan.rows).to_pylist():
            field, old, new = change_of(c)
            lines.setdefault((mapping, in_pass, c["record"]), []).append(f"{field}: {quoted(old)} -> {quoted(new)}")
    for texts in lines.values():
        more = len(texts) - limit
        texts[limit:] = [f"and {count_of(more, 'more field', 'more fields')}"] if more > 0 else []
    return lines


def is_pending(plan: Plan) -> bool:
    """True where the plan holds something to write or to decide; False: both systems are in step."""
    return bool(plan.writes or plan.total(*ACTION_OF))
