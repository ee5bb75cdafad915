"""Looking through both systems: can they be read, and do their tables hold what the mappings, filters and rules ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.checking import Finding
from synckit.mapping.filters import parse_filter
from synckit.mapping.model import SystemConfig, TableMapping, Workspace
from synckit.mapping.rules import known_rules
from synckit.mapping.schema import Column, Schema, Table, nearest
from synckit.systems.canonical import scale_of
from synckit.systems.protocol import Snapshot, System
from synckit.systems.sql_values import physical

SideName = Literal["local", "integration"]

#: Rows looked at per table: enough to say what is wrong with keys and versions, bounded for very large tables.
ROWS_LOOKED_AT = 500_000

#: What a column of each kind may be in a database without anything to say about it ("any": no declared type).
_FITTING: dict[str, frozenset[str]] = {
    "guid": frozenset({"uuid", "text", "binary"}),
    "integer": frozenset({"integer", "decimal"}),
    "option": frozenset({"integer", "decimal"}),
    "decimal": frozenset({"decimal", "integer", "text", "float"}),  # a float has a finding of its own
    "boolean": frozenset({"boolean", "integer"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"datetime", "datetime tz"}),
    "time": frozenset({"time"}),
}
_ARROW_NATURES = (
    ("string", "text"), ("large_string", "text"), ("dictionary", "text"), ("double", "float"), ("float", "float"), ("halffloat", "float"),
    ("decimal", "decimal"), ("bool", "boolean"), ("date", "date"), ("timestamp", "datetime"), ("time", "time"), ("int", "integer"),
    ("uint", "integer"),
)  # fmt: skip


@dataclass
class UsedTable:
    """A table that mappings use. `columns`: each used column with the first place that asks for it, in the order asked for."""

    table: Table
    mapping: str
    uid: Column | None = None
    version: Column | None = None
    columns: dict[str, tuple[Column, str]] = field(default_factory=dict)

    def use(self, name: str | None, place: str) -> None:
        """Note a column; a name that the schema does not have is the mapping check's to tell."""
        column = self.table.find(name) if name else None
        if column is not None:
            self.columns.setdefault(column.name, (column, place))


def check_systems(
    description: Workspace, schemas: Mapping[SideName, Schema], open_side: Callable[[SideName], System]
) -> list[Finding]:
    """Everything that can be said about both systems: whether they open, and whether each table and column that is used is really
    there, of a fitting type, with a key that is unique and a version that is never empty.

    Costs a look at the catalogue and, per mapped table, one pass over key and version of at most ROWS_LOOKED_AT rows. What cannot be
    reached is a finding, never an exception.
    """
    sides: tuple[SideName, SideName] = ("local", "integration")
    findings: list[Finding] = []
    for side in sides:
        findings += _SideCheck(description, side, schemas[side]).findings(open_side)
    return findings


def used_tables(description: Workspace, side: SideName, schema: Schema) -> list[UsedTable]:
    """The tables of one side that a synchronisation reads or writes, with the columns asked for, in the order of the mappings."""
    config = description.local if side == "local" else description.integration
    found: dict[str, UsedTable] = {}
    for mapping in description.mappings:
        used = used_by(mapping, side, schema, config, description.integration.company_id or description.local.company_id)
        if used is None:
            continue
        known = found.setdefault(used.table.name, used)
        for name, asked_for in used.columns.items():
            known.columns.setdefault(name, asked_for)
        known.uid, known.version = known.uid or used.uid, known.version or used.version
    return list(found.values())


def used_by(
    mapping: TableMapping, side: SideName, schema: Schema, config: SystemConfig, company_id: str | None
) -> UsedTable | None:
    """One mapping's table on a side with every column that planning reads; None where it stands for an option set, or is unknown."""
    ref = mapping.local if side == "local" else mapping.integration
    table = schema.find(ref.table)
    if table is None or ref.option_set:
        return None
    used = UsedTable(table, mapping.name)
    used.uid = table.find(ref.uid or table.uid)
    used.use(ref.uid or table.uid, f"{mapping.name} (key)")
    if table.primary_key:
        used.use(table.primary_key[0], f"{mapping.name} (primary key)")
    own = config.version.column if config.version.column and table.find(config.version.column) else None
    used.version = table.find(own or ref.modified_on or table.modified_on or "")
    used.use(used.version.name if used.version else None, f"{mapping.name} (modified-on column)")
    used.use(config.modified_by if config.integration_user else None, f"{side} > modified_by")
    used.use(ref.name_field or table.name_column, f"{mapping.name} (name)")
    for row in mapping.fields:
        if any(row.takes_part(in_pass) for in_pass in mapping.passes()):
            used.use(
                row.local if side == "local" else row.integration,
                f"{mapping.name} > fields > {row.local or '(none)'} / {row.integration or '(none)'}",
            )
    own_filter = mapping.local_filter if side == "local" else mapping.integration_filter
    templates = mapping.integration_templates if side == "local" else mapping.local_templates
    filters = [(own_filter, f"{mapping.name} > {side}_filter")]
    filters += [(template.filter, f"{mapping.name} > template {template.code}") for template in templates]
    for text, place in filters:
        with suppress(SynckitError):  # a filter that does not parse is the mapping check's to tell
            for name in parse_filter(text, table, {"company_id": company_id}).columns:
                used.use(name, place)
    for template in mapping.local_templates if side == "local" else mapping.integration_templates:
        for name in template.sets:
            used.use(name, f"{mapping.name} > template {template.code}")
    known = known_rules()
    for rule in (known[name] for name in mapping.rules if name in known):
        written = rule.columns_from if side == "local" else rule.columns_to
        for name in (*rule.reads(side), *(column.column for column in written)):
            used.use(name, f"{mapping.name} > rule {rule.id}")
    return used


def missing_rule_tables(mapping: TableMapping, side: str, schema: Schema, system: System) -> Iterator[tuple[str, str]]:
    """(rule, table) for each lookup table of a mapping's business rules that the system does not have."""
    known = known_rules()
    for rule in (known[name] for name in mapping.rules if name in known):
        for of_side, name in rule.tables:
            table = schema.find(name) if of_side == side else None
            if of_side == side and (table is None or not system.physical_columns(table)):
                yield rule.id, table.table if table else name


class _SideCheck:
    def __init__(self, description: Workspace, side: SideName, schema: Schema) -> None:
        self.description, self.side, self.schema = description, side, schema
        self.config = description.local if side == "local" else description.integration
        self.found: list[Finding] = []

    def say(self, severity: Literal["error", "warning", "note"], place: str, message: str, remedy: str = "") -> None:
        self.found.append(Finding(severity, place, message, remedy))

    def findings(self, open_side: Callable[[SideName], System]) -> list[Finding]:
        try:
            system = open_side(self.side)
        except SynckitError as error:
            self.say("error", self.side, error.message)
            return self.found
        try:
            reason = system.read_only
            if reason:
                self.say("note", self.side, reason)
            with system.snapshot() as snapshot:
                for used in used_tables(self.description, self.side, self.schema):
                    self.check_table(system, snapshot, used)
            self.check_rule_tables(system)
            self.check_options(system)
        except SynckitError as error:
            self.say("error", self.side, error.message)
        finally:
            system.close()
        return self.found

    # tables and columns

    def check_table(self, system: System, snapshot: Snapshot, used: UsedTable) -> None:
        table = used.table
        place = f"{self.side} > table {table.caption or table.name}"
        try:
            stored = system.physical_columns(table)
            if stored is None:
                snapshot.count(table)  # says which table is missing, and the nearest there is
                return
            here = {name.casefold(): (name, declared) for name, declared in stored.items()}
            for column, asked_by in used.columns.values():
                present = here.get(column.column.casefold())
                if present is None:
                    self.say_missing(place, used, column, asked_by, list(stored))
                else:
                    self.check_type(system, place, column, *present)
            self.check_rows(snapshot, place, used, set(here))
        except SynckitError as error:
            self.say("error", place, error.message)

    def say_missing(self, place: str, used: UsedTable, column: Column, asked_by: str, stored: list[str]) -> None:
        named = f'"{column.column}"' + (f" ({column.name})" if column.name != column.column else "")
        message = f"The table {used.table.table} has no column {named}, which {asked_by} uses."
        hint = nearest(column.column, stored).strip()
        if column is used.version and self.config.version.kept_by == "synckit":
            remedy = f"Add the column (synckit keeps it), or name another as `modified_on`. {hint}".strip()
            message = f"The table {used.table.table} has no column {named}, in which synckit would keep the versions of its rows."
        else:
            remedy = hint or "Name another column in the schema, or disable what uses it."
        self.say("error", f"{place} > {column.name}", message, remedy)

    def check_type(self, system: System, place: str, column: Column, name: str, declared: str) -> None:
        dialect = str(getattr(system, "dialect", ""))
        nature = physical(dialect, name, declared).nature if dialect else _arrow_nature(declared)
        place = f"{place} > {column.name}"
        typed = f'The column "{name}" is {declared or "of no type"}'
        fraction = nature == "float" or (
            dialect == "sqlite" and nature == "any" and declared != "" and "BLOB" not in declared.upper()
        )
        if column.kind == "decimal" and fraction:
            self.say(
                "warning",
                place,
                f"{typed}, which keeps binary fractions; its values are rounded to {scale_of(column)} decimals when they are read.",
                "Keep money as NUMERIC (PostgreSQL, MariaDB) or TEXT (SQLite), or declare the right `scale` in the schema.",
            )
            return
        if column.kind in ("text", "code"):
            self.check_length(dialect, place, typed, column, declared, nature)
            return
        fitting = _FITTING[column.kind]
        if dialect in ("", "sqlite") and column.kind in ("date", "datetime", "time", "boolean"):
            fitting = fitting | {"text"}  # SQLite has no such types, and a CSV or Excel export none at all
        if not dialect:
            fitting = fitting | {"text"}
        if nature != "any" and nature not in fitting:
            self.say(
                "warning",
                place,
                f"{typed}, the schema says {column.type}: a value that does not convert stops the reading of the table.",
                "Correct the `type` in the schema, unless every value converts.",
            )

    def check_length(self, dialect: str, place: str, typed: str, column: Column, declared: str, nature: str) -> None:
        if nature not in ("text", "any") and column.kind == "text":
            self.say("warning", place, f"{typed}, the schema says {column.type}.", "Correct the `type` in the schema.")
        inner = declared.partition("(")[2].rstrip(")") if nature == "text" else ""
        if inner.isdigit() and column.length is not None and int(inner) < column.length:
            refuses = "does not enforce it, others that read the file may" if dialect == "sqlite" else "refuses longer values"
            self.say(
                "note" if dialect == "sqlite" else "warning",
                place,
                f"{typed} and holds {inner} characters, the schema says {column.length}: the database {refuses}.",
                f"Write `length: {inner}` in the schema.",
            )

    # keys and versions

    def check_rows(self, snapshot: Snapshot, place: str, used: UsedTable, stored: set[str]) -> None:
        wanted = {c.name: c for c in (used.uid, used.version) if c is not None and c.column.casefold() in stored}
        if not wanted:
            return
        columns: dict[str, list[pa.ChunkedArray]] = {name: [] for name in wanted}
        rows = 0
        reader = snapshot.read(used.table, list(wanted))
        for batch in reader:
            rows += batch.num_rows
            for name in wanted:
                columns[name].append(batch.column(name))
            if rows >= ROWS_LOOKED_AT:
                break
        reader.close()
        whole = {
            n: pa.chunked_array(parts) if parts else pa.chunked_array([pa.array([], pa.string())]) for n, parts in columns.items()
        }
        of = f"the {rows} rows looked at" if rows >= ROWS_LOOKED_AT else f"{rows} rows"
        if used.uid is not None and used.uid.name in whole:
            self.check_key(place, used, whole[used.uid.name], of)
        version = used.version
        if version is not None and version.name in whole and (empty := whole[version.name].null_count):
            state = "all" if empty == rows else str(empty)
            self.say(
                "error",
                f"{place} > {version.name}",
                f'The modified-on column "{version.column}" of the table {used.table.table} is empty in {state} of {of}: '
                "without it synckit cannot tell which rows have changed, nor guard them against lost updates.",
                "Fill the column, or name another as `modified_on` in the mapping or the schema.",
            )

    def check_key(self, place: str, used: UsedTable, keys: pa.ChunkedArray, of: str) -> None:
        assert used.uid is not None
        distinct = pc.count_distinct(keys, mode="only_valid").as_py()
        twice = len(keys) - keys.null_count - distinct
        for count, what in ((keys.null_count, "is empty"), (twice, "repeats an earlier value")):
            if count:
                self.say(
                    "warning",
                    f"{place} > {used.uid.name}",
                    f'The key column "{used.uid.column}" of the table {used.table.table} {what} in {count} of {of}; '
                    "couplings need a key that names one row.",
                    "Correct the rows, or name a unique column as `uid`.",
                )

    # what rules and options look up

    def check_rule_tables(self, system: System) -> None:
        for mapping in self.description.mappings:
            for rule, table in missing_rule_tables(mapping, self.side, self.schema, system):
                self.say(
                    "error",
                    f"{mapping.name} > rules > {rule}",
                    f'The business rule {rule} reads the table "{table}", which {self.config.name} does not have.',
                    f"Provide the table, name it under `tables:` of the {self.side} system, or remove the rule from `rules`.",
                )

    def check_options(self, system: System) -> None:
        keeper = self.schema.option_table
        if keeper is None or not self._uses_options():
            return
        table = self.schema.find(keeper.table)
        stored = system.physical_columns(table) if table is not None else None
        place = f"{self.side} > option table {keeper.table}"
        if not stored or table is None:
            message = (
                f'There is no table "{keeper.table}" that says which option values exist; the options of the schema hold instead.'
            )
            self.say("warning", place, message, "Provide the table where the environment has options of its own.")
            return
        here = {name.casefold() for name in stored}
        for name in (keeper.of_table, keeper.of_column, keeper.value, keeper.label):
            column = table.find(name) if name else None
            if column is not None and column.column.casefold() not in here:
                hint = nearest(column.column, list(stored)).strip()
                self.say("error", place, f'The option table {table.table} has no column "{column.column}".', hint)

    def _uses_options(self) -> bool:
        return any((m.local if self.side == "local" else m.integration).option_set for m in self.description.mappings)


def _arrow_nature(declared: str) -> str:
    return next((nature for start, nature in _ARROW_NATURES if declared.startswith(start)), "any")


__all__ = ["ROWS_LOOKED_AT", "UsedTable", "check_systems", "missing_rule_tables", "used_by", "used_tables"]
