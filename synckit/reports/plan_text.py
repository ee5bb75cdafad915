"""A plan for terminals and for JSON: the sentence, the table, examples with their reasons; no value can command the terminal."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from synckit.applying.one_ledger import to_mark
from synckit.planning.plan import KINDS, Plan
from synckit.planning.review import COUPLE
from synckit.planning.tables import CARRIED_OUT, CHANGES, ERRORS, FAILING, ROWS, records_in
from synckit.reports.wording import (
    ACTIONS,
    Action,
    both_ways,
    changed_fields,
    count_of,
    examples,
    left_alone,
    likenesses,
    name_of,
    number,
    safe,
    shown_columns,
    why,
)
from synckit.systems import marks

EXAMPLES = 4


def plan_text(plan: Plan, width: int = 100) -> str:
    """The plan as plain text, at most `width` characters a line (record values in examples may be cut to fit)."""
    return plain(plan_view(plan), width)


def plain(view: RenderableType, width: int = 100) -> str:
    """Anything that rich can draw, as text without colours and without trailing blanks."""
    # a notebook would be given the text as an output of its own
    console = Console(
        file=io.StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
        emoji=False,
    )
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def plan_view(plan: Plan, limit: int = EXAMPLES) -> Group:
    """What a terminal shows of a plan: head, sentence, table, and up to `limit` examples of every action."""
    parts: list[RenderableType] = [
        head(plan),
        Text(),
        Text(plan.sentence(), style="bold"),
        Text(),
    ]
    if plan.counts:
        parts += [_Summary(plan), *remarks(plan)]
    likeness = likenesses(plan)
    for action in ACTIONS:
        rows = examples(plan, action, limit)
        if rows:
            parts += [Text(), _example_block(plan, action, rows, likeness, limit)]
    return Group(*parts)


def head(plan: Plan) -> Text:
    """Which systems, which company or environment, who, when: two plans are told apart by it."""
    base = plan.base
    text = Text()
    text.append(f"Plan {base.id[:8]}", style="bold")
    text.append(f": {KINDS.get(base.kind, base.kind)}, made {base.made_at:%Y-%m-%d %H:%M} UTC by {safe(base.operator)}\n")
    for word, side in (("local", base.sides["local"]), ("integration", base.sides["integration"])):
        text.append(f"  {word:<12} ")
        text.append(safe(side.title), style="bold")
        environment = f" ({safe(side.environment)})" if side.environment and side.environment not in side.title else ""
        text.append(f"{environment}, as of {side.taken_at:%H:%M:%S} UTC{', read-only' if side.read_only else ''}\n")
        text.append(f"  {'':<12} {safe(side.address)}\n", style="dim")
        if not side.consistent:
            text.append(f"  {'':<12} could not be read at one moment: rows may have changed meanwhile\n", style="yellow")
    text.rstrip()
    return text


class _Summary:
    """The table of a plan: where its headings do not fit, signs alone stand above the numbers, for a number is never cut."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = summary_table(self.plan)
        whole = Measurement.get(console, options.update(max_width=1000), table).maximum
        yield table if whole <= options.max_width else summary_table(self.plan, narrow=True)


def summary_table(plan: Plan, narrow: bool = False) -> Table:
    """Mapping and pass by action, in dependency order; the last line adds up."""
    columns = shown_columns(plan)
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, padding=(0, 0, 0, 1), show_edge=False)
    table.add_column("\nmapping", Text("all"), no_wrap=True)
    table.add_column("\npass", "", no_wrap=True)
    for action in columns:
        total = plan.total(*action.dispositions)
        table.add_column(
            Text(f"{action.sign}\n{'' if narrow else action.name}"), _cell(total, action), justify="right", no_wrap=True
        )
    table.add_column("\nequal" if narrow else "\nunchanged", Text(number(plan.total("unchanged"))), justify="right", no_wrap=True)
    others = sum(n for of in plan.counts.values() for d, n in left_alone(of).items() if d != "unchanged")
    table.add_column("\nother", Text(number(others)), justify="right", no_wrap=True)
    last = ""
    for (mapping, in_pass), of in plan.counts.items():
        cells = [_cell(sum(of.get(d, 0) for d in action.dispositions), action) for action in columns]
        rest = left_alone(of)
        quiet = rest.pop("unchanged", 0)
        tail = [Text(number(quiet) if quiet else "-"), Text(number(sum(rest.values())) if rest else "-", style="dim")]
        table.add_row(Text("" if mapping == last else mapping), Text(in_pass), *cells, *tail)
        last = mapping
    return table


def _cell(n: int, action: Action) -> Text:
    return Text(number(n), style=action.colour) if n else Text("-", style="dim")


def remarks(plan: Plan) -> list[Text]:
    """What the table does not say: what a pass is, what "other" is, warnings, where coupling comes first, decisions."""
    sides = plan.base.sides
    lines = [
        Text(
            f"to: {safe(sides['local'].title)} is read, {safe(sides['integration'].title)} is written; from: the other way.",
            style="dim",
        )
    ]
    others: Counter[str] = Counter()
    for of in plan.counts.values():
        others.update({d: n for d, n in left_alone(of).items() if d != "unchanged"})
    if others:
        lines.append(Text(f"other: {', '.join(f'{number(n)} {d}' for d, n in others.most_common())}.", style="dim"))
    if others["held"]:
        lines.append(Text("held: left alone until someone lifts it: synckit lift MAPPING KEY, or MAPPING --all.", style="dim"))
    warned = warning_counts(plan)
    if warned:
        listed = ", ".join(f"{number(n)} {w.replace('_', ' ')}" for w, n in warned.items())
        lines.append(Text(f"Warnings: {listed}.", style="yellow"))
    if both_ways(plan):
        lines.append(Text(both_ways(plan)))
    again = plan.writes - plan.total(*CARRIED_OUT)
    if again > 0:
        lines.append(Text(f"{count_of(again, 'row gets', 'rows get')} a field in a second step, once what it refers to exists."))
    advised = couple_first(plan)
    if advised:
        lines.append(
            Text(
                f"Coupling is recommended before creating: {', '.join(advised)}. Both sides hold records; apply asks for these by name."
            )
        )
    for name, message in ((n, m) for n in plan.mappings for m in plan.base.mappings[n].messages.values()):
        lines.append(Text(f"{name}: {safe(message)}", style="yellow"))
    marked = [safe(sides[side].title) for side in to_mark(plan)]
    if marked:
        lines.append(
            Text(
                f"Marks {' and '.join(marked)} as kept in step by this ledger: one line in a table {marks.NAME} there, by which a second ledger "
                "is refused (`mark: false` at the system in the workspace leaves it out)."
            )
        )
    lines += [Text(safe(note), style="yellow") for note in plan.notes]
    left_out = plan.total("excluded")
    if plan.decisions:
        lines.append(
            Text(
                f"{count_of(len(plan.decisions), 'decision', 'decisions')} on this plan: {count_of(left_out, 'record', 'records')} left out."
            )
        )
    return lines


def couple_first(plan: Plan) -> list[str]:
    """Mappings that would create although the review line recommends to couple."""
    advised = {
        r["mapping"]
        for r in plan.base.review.to_pylist()
        if r["recommendation"] == COUPLE and not plan.base.mappings[r["mapping"]].matched
    }
    return [n for n in plan.mappings if n in advised and any(of.get("create") for (m, _), of in plan.counts.items() if m == n)]


def warning_counts(plan: Plan) -> dict[str, int]:
    """Warning -> number of planned rows that carry it, the most frequent first; what was left out warns of nothing any more."""
    rows = plan.rows.filter(pc.not_equal(plan.rows.column("disposition"), "excluded"))
    flat = pc.list_flatten(rows.column("warnings"))
    counted = pc.value_counts(flat).to_pylist()
    return {c["values"]: c["counts"] for c in sorted(counted, key=lambda c: (-c["counts"], c["values"])) if c["values"]}


def _example_block(
    plan: Plan, action: Action, rows: list[dict[str, Any]], likeness: dict[tuple[str, str, int], str], limit: int
) -> Group:
    total = plan.total(*action.dispositions)
    title = Text(f"{action.sign} {action.name} {number(total)}", style=f"bold {action.colour}")
    if total > len(rows) >= limit:
        title.append(f"   {len(rows)} of {number(total)} shown", style="not bold dim")
    lines: list[RenderableType] = [title]
    fields = changed_fields(plan, rows)
    for row in rows:
        line = Text(f"{action.sign} ", style=action.colour)
        line.append(f"{row['mapping']} ", style="bold default")
        line.append(name_of(row), style="default")
        lines.append(Padding(line, (0, 0, 0, 2), expand=False))
        lines += [Padding(Text(text, style="dim"), (0, 0, 0, 6), expand=False) for text in why(plan, row, likeness, fields)]
    return Group(*lines)


def frame_view(frame: pd.DataFrame, limit: int | None = None) -> Group:
    """Any frame as a table for the terminal: every value safe, numbers with separators, long texts folded; capped and told so."""
    shown = frame if limit is None else frame.head(limit)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), show_edge=False)
    for name in shown.columns:
        heading, is_number = str(name).replace("_", " "), _is_number(shown[name])
        # a heading breaks between words alone; a number never breaks
        widths = [len(word) for word in heading.split()] + ([len(cell_text(v)) for v in shown[name]] if is_number else [])
        whole = name in ("mapping", "pass", "direction", "status", "disposition")
        table.add_column(
            Text(heading),
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=whole,
            min_width=max(widths, default=1),
        )
    for row in shown.itertuples(index=False, name=None):
        table.add_row(*(Text(cell_text(value)) for value in row))
    parts: list[RenderableType] = [table]
    if len(shown) < len(frame):
        parts.append(Text(f"{number(len(shown))} of {count_of(len(frame), 'row', 'rows')} shown.", style="dim"))
    return Group(*parts)


def cell_text(value: Any) -> str:
    """One value of a frame as text: numbers with separators, times to the second, lists with commas, blanks empty."""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "ndarray":
        return ", ".join(safe(v) for v in value)
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if isinstance(value, pd.Timestamp) and value is not pd.NaT:
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) or type(value).__name__ in ("int64", "int8", "int32"):
        return f"{int(value):,}"
    if isinstance(value, float) and value == value:
        return f"{int(value):,}" if value == int(value) else f"{value:,.2f}"
    return safe(value)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def plan_dict(plan: Plan, rows: bool = True) -> dict[str, Any]:
    """The plan as plain values for JSON. Two plans of the same state differ in `made_at` and each side's `taken_at` alone.

    Keys: plan, kind, sentence, made_at, operator, ledger, sides, mappings (in order: recommendation, passes with dispositions and
    counters), writes, look_alike, warnings, notes, decisions; with `rows` also records, changes (creates expanded), errors, duplicates.
    """
    base = plan.base
    review = {r["mapping"]: r for r in base.review.to_pylist()}
    counters = plan.counters()
    mappings = []
    for name in plan.mappings:
        of = base.mappings[name]
        line = {k: v for k, v in review.get(name, {}).items() if k != "mapping"}
        passes = {p: {"dispositions": plan.counts[name, p], "counters": counters[name, p]} for p in of.passes}
        mappings.append({"mapping": name, **line, "only_coupled": of.only_coupled, "passes": passes, "messages": of.messages})
    found: dict[str, Any] = {
        "plan": plan.id,
        "kind": base.kind,
        "sentence": plan.sentence(),
        "made_at": base.made_at.isoformat(),
        "operator": base.operator,
        "ledger": base.ledger_id,
        "sides": {
            side: {
                "name": s.title, "address": s.address, "environment": s.environment, "read_only": s.read_only,
                "consistent": s.consistent, "taken_at": s.taken_at.isoformat(), "mark": s.mark,
            }
            for side, s in base.sides.items()
        },
        "mappings": mappings,
        "writes": plan.writes,
        "look_alike": plan.look_alike(),
        "conflicts": records_in(plan.rows, ("conflict",)),
        "failing": records_in(plan.rows, FAILING),
        "warnings": warning_counts(plan),
        "notes": list(plan.notes),
        "decisions": [
            {"kind": d.kind, "mapping": d.mapping, "records": [list(r) for r in d.records], "note": d.note, "by": d.by,
             "at": d.at, "value": d.value}
            for d in plan.decisions
        ],
    }  # fmt: skip
    if rows:
        found["records"] = plan.rows.select(ROWS.names).to_pylist()
        found["changes"] = lines_of(plan.changes(), CHANGES)
        found["errors"] = base.errors.select(ERRORS.names).to_pylist()
        found["duplicates"] = lines_of(plan.duplicates())
    return found


def lines_of(frame: pd.DataFrame, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
    """The lines of a frame as plain values: null for blanks, whole numbers as such, moments in ISO form. With `schema` its columns."""
    frame = frame if schema is None else frame[schema.names]
    return [{str(k): _plain_value(v) for k, v in line.items()} for line in frame.to_dict("records")]


def _plain_value(value: Any) -> Any:
    if type(value).__name__ == "ndarray":
        return [_plain_value(v) for v in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain_value(v) for v in value]
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
