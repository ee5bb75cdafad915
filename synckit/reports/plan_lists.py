"""Records and fields of a plan for people: few columns, words instead of codes; programs get every column with --json."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.text import Text

from synckit.planning.plan import ORDER, Plan
from synckit.reports.wording import ACTION_OF, ACTIONS, change_of, changed_fields, likenesses, name_of, safe, why

SHORT_KEY = 20  # a key that people know, "10000"; a GUID says nothing and takes the room of the reasons
NAME_BESIDE_KEYS = 24  # so that two GUIDs stand whole in a line of 120


def dispositions_of(word: str) -> list[str]:
    """The dispositions that a word stands for: one of them, or the heading of a column of the summary ("fail", "other")."""
    meant = word.strip().casefold()
    for action in ACTIONS:
        if meant == action.name:
            return list(action.dispositions)
    if meant == "other":
        return [d for d in ORDER if d not in ACTION_OF and d != "unchanged"]
    return [meant]


def records_list(plan: Plan, records: pd.DataFrame, keys: bool = False) -> pd.DataFrame:
    """One line per record of `records` (as `Plan.records` gives them; second steps belong to the first): what it is called, what
    becomes of it and why; with `keys` the keys of both sides instead of the reasons."""
    lines = records[records["step"].fillna(1) == 1].astype(object)
    rows: list[dict[str, Any]] = lines.where(lines.notna(), None).to_dict("records")  # type: ignore[assignment]
    likeness = likenesses(plan)
    fields = changed_fields(plan, [r for r in rows if r["disposition"] == "update"])
    sides = ("local_key", "integration_key")
    short = all(len(str(r[side] or "")) <= SHORT_KEY for r in rows for side in sides)
    shown: list[dict[str, Any]] = []
    for row in rows:
        line = {"mapping": row["mapping"], "pass": row["pass"], "disposition": row["disposition"], "record": name_of(row)}
        if keys:
            name = Text(line["record"])
            name.truncate(NAME_BESIDE_KEYS, overflow="ellipsis")
            line |= {"record": name.plain, **{side: safe(row[side]) for side in sides}}
        else:
            line |= {"key": safe(row["local_key"] or row["integration_key"])} if short else {}
            line["why"] = "; ".join([*why(plan, row, likeness, fields), *_warned(row)])
        shown.append(line)
    list_ = pd.DataFrame(shown)
    # two keys and a name fill a line: what is the same in every line gives way
    return list_.drop(columns=["disposition"]) if keys and len({r["disposition"] for r in rows}) == 1 else list_


def _warned(row: dict[str, Any]) -> list[str]:
    """The warnings of a row that its reason does not tell."""
    return [str(w).replace("_", " ") for w in (row["warnings"] if row["warnings"] is not None else []) if w != "possible_duplicate"]


def changes_list(changes: pd.DataFrame) -> pd.DataFrame:
    """One line per field of `changes` (as `Plan.changes` gives them): the record by its name, old and new."""
    if changes.empty:
        return changes
    lines = changes.astype(object)
    rows: list[dict[str, Any]] = lines.where(lines.notna(), None).to_dict("records")  # type: ignore[assignment]
    said = [change_of(row) for row in rows]
    return changes[["mapping", "pass", "disposition"]].assign(
        record=[name_of(row) for row in rows], field=[s[0] for s in said], old=[s[1] for s in said], new=[s[2] for s in said]
    )
