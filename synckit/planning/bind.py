"""Binding a mapping to the two schemas: which columns are read, what each field writes in each pass, and how it is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from synckit.errors import SynckitError
from synckit.mapping.filters import Filter, parse_filter
from synckit.mapping.model import PASS_DIRECTION, FieldMapping, Lookup, Pass, TableMapping, TableRef, Workspace
from synckit.mapping.rules import BoundRule, RuleColumn, rules_of
from synckit.mapping.schema import Column, Schema, Table

Side = Literal["local", "integration"]
SIDES: tuple[Side, Side] = ("local", "integration")
SOURCE: dict[Pass, Side] = {"to": "local", "from": "integration"}
DESTINATION: dict[Pass, Side] = {"to": "integration", "from": "local"}

#: Name of the columns of the table that stands for an option set (an option mapping's integration side).
OPTION_VALUE, OPTION_LABEL = "value", "label"


@dataclass(frozen=True)
class StagedColumn:
    """A column as staged for comparing: `source` read from the side's table, then put into the form of `target`
    (converted, transformed by `rule`, cut to `cut` characters, folded like a code)."""

    name: str
    source: Column
    target: Column
    rule: str = ""
    cut: int | None = None
    code: bool = False

    @property
    def plain(self) -> bool:
        return not self.rule and self.cut is None and not self.code and self.source.kind == self.target.kind


@dataclass(frozen=True)
class FieldPlan:
    """One field of one pass. `value` is the staged column of the source side that would be written; `compare` and `against` are
    the staged columns that are compared (3.10); `old` is the destination's present value. `counts` says when a difference alone
    makes the row an update: "always", "when blank" (only where the destination is blank), "never" (it only travels along with
    another change), "insert" (new rows only)."""

    name: str
    source: Column | None
    destination: Column
    value: str
    compare: str
    against: str
    old: str
    bidirectional: bool = False
    constant: str | None = None
    lookup: Lookup | None = None
    not_null: bool = False
    clear: bool = False
    fold_blank: bool = True
    counts: Literal["always", "when blank", "never", "insert"] = "always"
    origin: str = "field"
    rule: str = ""
    insertable: bool = True
    second_step: bool = False

    @property
    def pairwise(self) -> bool:
        """Whether this field differs can only be told with both rows in view (a blank source leaves the destination alone)."""
        return self.not_null or self.counts == "when blank"


@dataclass(frozen=True)
class BoundSide:
    """One side of a bound mapping: what is read from it, and how its rows are known."""

    side: Side
    schema: Schema
    table: Table
    uid: Column
    key: Column | None  # first column of the primary key, where lookups point to
    version: Column | None
    modified_by: Column | None
    name: Column | None
    filter: Filter
    columns: tuple[Column, ...]  # everything read for comparing, in table order
    staged: tuple[StagedColumn, ...]
    option_set: Column | None = None

    def staged_for(self, name: str) -> StagedColumn:
        return next(s for s in self.staged if s.name == name)


@dataclass(frozen=True)
class BoundMapping:
    mapping: TableMapping
    local: BoundSide
    integration: BoundSide
    passes: tuple[Pass, ...]
    fields: dict[Pass, tuple[FieldPlan, ...]]
    rules: tuple[BoundRule, ...]
    identical_sides: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.mapping.name

    def side(self, side: Side) -> BoundSide:
        return self.local if side == "local" else self.integration

    def source(self, in_pass: Pass) -> BoundSide:
        return self.side(SOURCE[in_pass])

    def destination(self, in_pass: Pass) -> BoundSide:
        return self.side(DESTINATION[in_pass])

    def lookups(self) -> tuple[str, ...]:
        """Names of the mappings whose couplings this one's fields travel through, in field order, each once."""
        names = [n for p in self.passes for f in self.fields[p] if f.lookup for n in f.lookup.mapping.split("|")]
        return tuple(dict.fromkeys(names))


def carries_alone(bound: BoundMapping, in_pass: Pass) -> bool:
    """Whether `in_pass` carries anything that the opposite pass does not settle, too: fields of one direction, or other values."""
    one_way = any(not f.bidirectional for f in bound.fields.get(in_pass, ()))
    return one_way or (len(bound.fields) > 1 and any(f.origin.startswith("transformation") for f in chain(*bound.fields.values())))


@dataclass
class _Staging:
    """Collects the staged columns of one side, each distinct form once."""

    staged: list[StagedColumn] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)

    def add(self, source: Column, target: Column, rule: str = "", cut: int | None = None, code: bool = False) -> str:
        self.columns.setdefault(source.name, source)
        kind_target = source if source.kind == target.kind else target
        if source.kind == target.kind == "decimal" and source.scale != target.scale:
            kind_target = target
        wanted = StagedColumn("", source, kind_target, rule, cut, code)
        for known in self.staged:
            if replace(known, name="") == wanted:
                return known.name
        name = f"c{len(self.staged)}"
        self.staged.append(replace(wanted, name=name))
        return name


def bind(mapping: TableMapping, workspace: Workspace, schemas: Mapping[Side, Schema]) -> BoundMapping:
    """Bind `mapping` to both schemas.

    Raises SynckitError naming mapping and field where a table or column does not exist, where the mapping has no field rows at all
    (S-001, M2), or where a filter does not parse (S-011, S-012).
    """
    if not mapping.fields:
        raise SynckitError(
            f"Mapping {mapping.name} has no field mapping rows, so there is nothing to synchronise. Add rows under fields:."
        )
    passes: tuple[Pass, ...] = tuple(p for p in mapping.passes() if any(f.takes_part(p) for f in mapping.fields))
    tables = {side: _table_of(mapping, side, schemas[side]) for side in SIDES}
    rules = rules_of(mapping, workspace)
    staging = {side: _Staging() for side in SIDES}
    fields: dict[Pass, tuple[FieldPlan, ...]] = {}
    for in_pass in mapping.passes():
        plans = [] if mapping.kind == "option" else _field_plans(mapping, in_pass, tables, schemas, staging)
        computed = [p for r in rules for p in _rule_plans(r, in_pass, tables, schemas, staging)]
        # a rule that always fills a column speaks for the field mapped to it
        spoken = {p.destination.name for p in computed if p.counts == "always" and not p.not_null}
        plans = [p for p in plans if p.destination.name not in spoken] + computed
        fields[in_pass] = tuple(plans)
    if mapping.kind == "option":
        fields["to"] = (_option_plan(mapping, tables, staging),) if "to" in mapping.passes() else ()
        passes = mapping.passes()
    sides = {side: _bound_side(mapping, side, workspace, schemas[side], tables[side], staging[side], rules) for side in SIDES}
    return BoundMapping(mapping, sides["local"], sides["integration"], passes, fields, rules)


def _table_of(mapping: TableMapping, side: Side, schema: Schema) -> Table:
    ref: TableRef = getattr(mapping, side)
    try:
        table = schema.table(ref.table)
        if ref.option_set:
            return option_set_table(table, table.column(ref.option_set))
        if ref.modified_on:  # the system reads its version tokens from the same column
            return table.model_copy(update={"modified_on": table.column(ref.modified_on).name})
        return table
    except SynckitError as error:
        raise SynckitError(f"Mapping {mapping.name}, {side} table: {error.message}") from None


def option_set_table(table: Table, column: Column) -> Table:
    """The option set of a column seen as a table with one row per option: its value is the key, its label the name (section 4)."""
    return Table(
        name=f"{table.name}.{column.name}",
        table=table.table,
        caption=f"{table.caption or table.name} {column.name}",
        primary_key=(OPTION_VALUE,),
        uid=OPTION_VALUE,
        name_column=OPTION_LABEL,
        columns=(
            Column(name=OPTION_VALUE, column=OPTION_VALUE, type="integer", primary_key=True, nullable=False),
            Column(name=OPTION_LABEL, column=OPTION_LABEL, type="text", length=255),
        ),
    )


def _column(mapping: TableMapping, side: Side, table: Table, name: str) -> Column:
    try:
        return table.column(name)
    except SynckitError as error:
        raise SynckitError(f"Mapping {mapping.name}, {side} side: {error.message}") from None


def _field_plans(
    mapping: TableMapping,
    in_pass: Pass,
    tables: Mapping[Side, Table],
    schemas: Mapping[Side, Schema],
    staging: Mapping[Side, _Staging],
) -> list[FieldPlan]:
    source_side, destination_side = SOURCE[in_pass], DESTINATION[in_pass]
    plans = []
    for row in mapping.fields:
        if not row.takes_part(in_pass):
            continue
        source_name, destination_name = getattr(row, source_side), getattr(row, destination_side)
        if destination_name is None:
            continue
        destination = _column(mapping, destination_side, tables[destination_side], destination_name)
        source = None if source_name is None else _column(mapping, source_side, tables[source_side], source_name)
        plans.append(_field_plan(row, in_pass, source, destination, schemas, staging))
    return plans


def _field_plan(
    row: FieldMapping,
    in_pass: Pass,
    source: Column | None,
    destination: Column,
    schemas: Mapping[Side, Schema],
    staging: Mapping[Side, _Staging],
) -> FieldPlan:
    from_side, to_side = staging[SOURCE[in_pass]], staging[DESTINATION[in_pass]]
    old = to_side.add(destination, destination)
    common: dict[str, Any] = {
        "bidirectional": row.direction == "bidirectional",
        "not_null": row.not_null,
        "clear": row.clear_on_failed_sync,
        "fold_blank": "empty" in (schemas["local"].blank, schemas["integration"].blank),
        "insertable": destination.access != "modify",
        "counts": "insert" if destination.access == "insert" else "always",
    }
    name = row.local or row.integration or ""
    if source is None:
        return FieldPlan(name, None, destination, "", "", old, old, constant=row.constant or "", origin="constant", **common)
    if row.lookup:
        value = from_side.add(source, source)
        # A reference in both directions between two mappings is broken where the field may be cleared and filled later.
        return FieldPlan(
            name, source, destination, value, value, old, old, lookup=row.lookup, origin="lookup",
            second_step=row.clear_on_failed_sync, **common,
        )  # fmt: skip
    rule = (
        row.transformation_rule
        if (row.transformation_direction or row.direction) in (PASS_DIRECTION[in_pass], "bidirectional")
        else ""
    )
    textual = {"text", "code"} >= {source.kind, destination.kind}
    source_length = None if rule else source.length
    cut = destination.length if textual and _longer(source_length, destination.length) else None
    code = destination.kind == "code"
    value = from_side.add(source, destination, rule, cut, code and source.kind != "code")
    against = old
    if textual and not rule and (_longer(destination.length, source_length) or (source.kind == "code" and not code)):
        # cutting and folding never flow back: what a code field could not hold of the other side's text is no difference
        shorter = source_length if _longer(destination.length, source_length) else None
        against = to_side.add(destination, destination, cut=shorter, code=source.kind == "code" and not code)
    origin = f"transformation {rule}" if rule else "field"
    return FieldPlan(name, source, destination, value, value, against, old, origin=origin, **common)


def _longer(length: int | None, than: int | None) -> bool:
    return than is not None and (length is None or length > than)


def _rule_plans(
    rule: BoundRule, in_pass: Pass, tables: Mapping[Side, Table], schemas: Mapping[Side, Schema], staging: Mapping[Side, _Staging]
) -> list[FieldPlan]:
    plans = []
    for index, target in enumerate(rule.columns(in_pass)):
        destination = tables[DESTINATION[in_pass]].find(target.column)
        if destination is None:
            continue
        old = staging[DESTINATION[in_pass]].add(destination, destination)
        plans.append(_rule_plan(rule, index, target, destination, old, schemas))
    return plans


def _rule_plan(
    rule: BoundRule, index: int, target: RuleColumn, destination: Column, old: str, schemas: Mapping[Side, Schema]
) -> FieldPlan:
    name = rule_column(rule, index)
    return FieldPlan(
        rule.id, None, destination, name, name, old, old, origin=f"rule {rule.id}", rule=rule.id, counts=target.counts,
        not_null=target.skip_blank, fold_blank="empty" in (schemas["local"].blank, schemas["integration"].blank),
        insertable=destination.access != "modify",
    )  # fmt: skip


def rule_column(rule: BoundRule, index: int) -> str:
    """Name of the staged column that holds the values a rule computes."""
    return f"r_{rule.id.replace('.', '_')}_{index}"


def _option_plan(mapping: TableMapping, tables: Mapping[Side, Table], staging: Mapping[Side, _Staging]) -> FieldPlan:
    """An option mapping carries one thing: the local code becomes the option's label (section 4)."""
    row = next((f for f in mapping.fields if f.enabled and f.local), None)
    if row is None:
        raise SynckitError(f"Mapping {mapping.name} has no enabled field row with a local field; an option mapping needs one.")
    source = _column(mapping, "local", tables["local"], row.local or "")
    destination = tables["integration"].column(OPTION_LABEL)
    value = staging["local"].add(source, source)
    old = staging["integration"].add(destination, destination)
    return FieldPlan(row.local or "", source, destination, value, value, old, old)


def _bound_side(
    mapping: TableMapping,
    side: Side,
    workspace: Workspace,
    schema: Schema,
    table: Table,
    staging: _Staging,
    rules: tuple[BoundRule, ...],
) -> BoundSide:
    ref: TableRef = getattr(mapping, side)
    config = workspace.local if side == "local" else workspace.integration
    variables = {"company_id": workspace.integration.company_id or workspace.local.company_id}
    text = mapping.local_filter if side == "local" else mapping.integration_filter
    parsed = parse_filter(text, table, variables, where=f"mapping {mapping.name}, {side} filter")
    option = schema.table(ref.table).column(ref.option_set) if ref.option_set else None
    uid = table.column(table.uid if option else ref.uid or table.uid)
    version_name = config.version.column if table.find(config.version.column or "") else (ref.modified_on or table.modified_on)
    wanted = dict(staging.columns)
    templates = mapping.integration_templates if side == "local" else mapping.local_templates
    of_templates = [
        c for t in templates for c in parse_filter(t.filter, table, where=f"mapping {mapping.name}, template {t.code}").columns
    ]
    for name in (*parsed.columns, *of_templates, *(c for r in rules for c in r.reads(side))):
        wanted.setdefault(name, _column(mapping, side, table, name))
    name_field = ref.name_field or table.name_column
    return BoundSide(
        side=side,
        schema=schema,
        table=table,
        uid=uid,
        key=table.find(table.primary_key[0]) if table.primary_key else None,
        version=table.column(version_name) if version_name and not option else None,
        modified_by=table.find(config.modified_by) if config.modified_by and not option else None,
        name=table.find(name_field) if name_field else None,
        filter=parsed,
        columns=tuple(c for c in table.columns if c.name in wanted),
        staged=tuple(staging.staged),
        option_set=option,
    )
