"""Looking through mappings without any database: what cannot work, and what would surprise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from synckit.errors import SynckitError
from synckit.mapping.differences import differences_from_standard
from synckit.mapping.fitting import constant_problem, one_of, with_article
from synckit.mapping.loading import standard_names
from synckit.mapping.model import PASS_DIRECTION, Direction, FieldMapping, FilterText, Pass, TableMapping, TableRef, Workspace
from synckit.mapping.order import dependency_order
from synckit.mapping.schema import Column, Kind, Schema, Table, nearest

__all__ = ["Finding", "add_fields", "check_mappings", "dependency_order", "differences_from_standard", "is_active"]

#: Kinds whose values turn into each other without loss or doubt.
_ALIKE: tuple[frozenset[Kind], ...] = (frozenset({"text", "code"}),)
#: Kinds whose values turn into each other where the value allows it.
_CONVERTIBLE: tuple[frozenset[Kind], ...] = (frozenset({"integer", "decimal", "option"}), frozenset({"date", "datetime"}))
_SIDE_OF_PASS: dict[Pass, tuple[str, str]] = {"to": ("local", "integration"), "from": ("integration", "local")}


@dataclass(frozen=True)
class Finding:
    """One thing that `check` has to say. `place` is "CUSTOMER > fields > Name / name"; `remedy` says what to write instead."""

    severity: Literal["error", "warning", "note"]
    place: str
    message: str
    remedy: str = ""


# --- activity and new rows ------------------------------------------------------------------------------------------------------


def is_active(mapping: TableMapping, direction: Direction, row: FieldMapping | None = None) -> bool:
    """Whether a mapping (or one of its field rows) moves anything in `direction`: the mapping allows it, and an enabled field row
    has that direction or is bidirectional (engine-behaviour 1.1; S-023, S-024)."""
    if mapping.direction not in ("bidirectional", direction):
        return False
    rows = mapping.fields if row is None else (row,)
    return any(field.enabled and field.direction in ("bidirectional", direction) for field in rows)


def add_fields(
    mapping: TableMapping, local_table: Table, integration_table: Table, pairs: Sequence[tuple[str, str]]
) -> tuple[TableMapping, list[str]]:
    """`mapping` with a new field row per (local, integration) pair, and a sentence per pair that was not added.

    New rows start disabled and follow a one-way mapping's direction; a pair that names an unknown column, or that is there
    already, is reported and left out (S-008).
    """
    rows = list(mapping.fields)
    failed: list[str] = []
    for local, integration in pairs:
        found = (local_table.find(local), integration_table.find(integration))
        if found[0] is None or found[1] is None:
            for column, table, name in ((found[0], local_table, local), (found[1], integration_table, integration)):
                if column is None:
                    hint = nearest(name, [c.name for c in table.columns])
                    failed.append(
                        f'{local} / {integration} was not added: table "{table.caption or table.name}" has no field "{name}".{hint}'
                    )
            continue
        names = (found[0].name, found[1].name)
        if any((row.local, row.integration) == names for row in rows):
            failed.append(f"{local} / {integration} was not added: the mapping {mapping.name} has this field row already.")
            continue
        rows.append(FieldMapping(local=names[0], integration=names[1], direction=mapping.direction, enabled=False))
    return mapping.model_copy(update={"fields": tuple(rows)}), failed


# --- checking -------------------------------------------------------------------------------------------------------------------


def check_mappings(
    workspace: Workspace,
    local_schema: Schema,
    integration_schema: Schema,
    known_rules: Set[str],
    parse_filter: Callable[..., Any],
    rule_codes: Set[str],
    unstable_rules: Set[str] = frozenset(),
) -> list[Finding]:
    """Everything that can be said about a workspace's mappings without looking at data, in the order of the mappings.

    `known_rules` are the ids of business rules, `rule_codes` the codes of transformation rules, `unstable_rules` those codes whose
    rule changes its own output; `parse_filter(text, table, variables, where)` raises SynckitError for a filter that does not parse.
    """
    findings = [*_workspace_findings(workspace), *_system_findings(workspace, local_schema, integration_schema)]
    context = _Context(
        workspace, {"local": local_schema, "integration": integration_schema}, known_rules, parse_filter, rule_codes, unstable_rules
    )
    for mapping in workspace.mappings:
        findings += _MappingCheck(context, mapping).findings()
    try:
        dependency_order(workspace.mappings)
    except SynckitError as error:
        sentence, _, remedy = error.message.partition(". ")
        findings.append(Finding("error", "mappings", sentence + ".", remedy))
    return findings


def _workspace_findings(workspace: Workspace) -> Iterator[Finding]:
    for side, system in (("local", workspace.local), ("integration", workspace.integration)):
        if system.company_id and not system.company_id.startswith("${"):
            try:
                UUID(system.company_id)
            except ValueError:
                yield Finding(
                    "error", f"{side} > company_id", "The company id is not a GUID.", "Write the id of the bcbi_company row."
                )
        password = re.match(r"[^:/]+://[^:/@]*:([^@]+)@", system.url or "")
        if password and not password[1].startswith(("${", "keyring:")):
            yield Finding(
                "warning",
                f"{side} > url",
                "The password stands in the file in clear.",
                "Write ${NAME} or keyring:SERVICE/USER in its place.",
            )


def _system_findings(workspace: Workspace, local_schema: Schema, integration_schema: Schema) -> Iterator[Finding]:
    for side, system, schema in (
        ("local", workspace.local, local_schema),
        ("integration", workspace.integration, integration_schema),
    ):
        for name in system.tables:
            if schema.find(name) is None:
                hint = nearest(name, [table.name for table in schema.tables]).strip()
                yield Finding("error", f"{side} > tables", f'The schema "{schema.name}" has no table "{name}".', hint)
        for key, column in (("version > column", system.version.column), ("modified_by", system.modified_by)):
            if column and not any(table.find(column) for table in schema.tables):
                names = sorted({c.name for table in schema.tables for c in table.columns})
                hint = nearest(column, names).strip()
                yield Finding("error", f"{side} > {key}", f'No table of the schema "{schema.name}" has a field "{column}".', hint)


@dataclass(frozen=True)
class _Context:
    workspace: Workspace
    schemas: dict[str, Schema]
    known_rules: Set[str]
    parse_filter: Callable[..., Any]
    rule_codes: Set[str]
    unstable_rules: Set[str]


class _MappingCheck:
    """The checks of one mapping. `table` holds the schema table per side, where there is one."""

    def __init__(self, context: _Context, mapping: TableMapping) -> None:
        self.context = context
        self.mapping = mapping
        self.table: dict[str, Table | None] = {
            side: context.schemas[side].find(self.ref(side).table) for side in ("local", "integration")
        }
        self.found: list[Finding] = []
        self.cut: dict[str, list[str]] = {}  # side written to -> fields that hold less than what they are filled from

    def ref(self, side: str) -> TableRef:
        return self.mapping.local if side == "local" else self.mapping.integration

    def say(self, severity: Literal["error", "warning", "note"], place: str, message: str, remedy: str = "") -> None:
        self.found.append(Finding(severity, f"{self.mapping.name} > {place}" if place else self.mapping.name, message, remedy))

    def findings(self) -> list[Finding]:
        for side in ("local", "integration"):
            self.check_table(side)
        self.check_kind()
        self.check_directions()
        self.check_policies()
        self.check_references()
        self.check_filters()
        for row in self.mapping.fields:
            self.check_row(row)
        for side, fields in self.cut.items():
            into = f"{fields[0]}" if len(fields) == 1 else f"{len(fields)} fields: {', '.join(fields)}"
            self.say("note", "fields", f"Longer values are cut on the {side} side in {into}.")
        self.check_written_twice()
        return self.found

    # tables and keys

    def check_table(self, side: str) -> None:
        ref, table, schema = self.ref(side), self.table[side], self.context.schemas[side]
        if table is None:
            names = [t.name for t in schema.tables]
            self.say(
                "error",
                side,
                f'The schema "{schema.name}" has no table "{ref.table}".',
                nearest(ref.table, names).strip() or one_of(names),
            )
            return
        columns = [c.name for c in table.columns]
        for key, name in (
            ("uid", ref.uid),
            ("modified_on", ref.modified_on),
            ("name_field", ref.name_field),
            ("option_set", ref.option_set),
        ):
            if name is not None and table.find(name) is None:
                self.say(
                    "error",
                    f"{side} > {key}",
                    f'Table "{table.caption or table.name}" has no field "{name}".',
                    nearest(name, columns).strip(),
                )
        if ref.option_set is not None:
            column = table.find(ref.option_set)
            if column is not None and column.kind != "option":
                self.say(
                    "error",
                    f"{side} > option_set",
                    f'"{column.name}" is no option set but a {column.type} column.',
                    "Name an option column.",
                )
            return
        version = (self.context.workspace.local if side == "local" else self.context.workspace.integration).version.column
        if not (version and table.find(version)) and not (ref.modified_on or table.modified_on):
            self.say(
                "warning",
                side,
                f'Table "{table.caption or table.name}" has no modified-on column, so changes of its rows are not noticed.',
                "Write `modified_on: ...` here or in the schema, or `version: {column: ...}` at the system.",
            )

    def check_kind(self) -> None:
        mapping = self.mapping
        if mapping.kind == "option":
            if mapping.direction == "bidirectional":
                self.say(
                    "error", "direction", "An option mapping cannot be bidirectional.", "Write to_integration or from_integration."
                )
            if (mapping.integration.option_set is None) == (mapping.local.option_set is None):
                self.say(
                    "error",
                    "",
                    "An option mapping pairs a table with one option set.",
                    "Name it: `integration: {table: ..., option_set: ...}`.",
                )
        elif mapping.integration.option_set or mapping.local.option_set:
            self.say("error", "kind", "An option set stands in for a table in option mappings only.", "Write `kind: option`.")

    # directions

    def check_directions(self) -> None:
        mapping = self.mapping
        if not mapping.fields:
            self.say(
                "error", "fields", "The mapping has no field rows, so there is nothing to synchronise.", "Add rows under `fields:`."
            )
            return
        enabled = [row for row in mapping.fields if row.enabled]
        if not enabled:
            self.say(
                "error", "fields", "No field row is enabled, so there is nothing to synchronise.", "Enable one: `enabled: true`."
            )
            return
        if mapping.direction == "bidirectional":
            for in_pass in mapping.passes():
                if not any(row.takes_part(in_pass) for row in enabled):
                    wanted = PASS_DIRECTION[in_pass]
                    self.say(
                        "warning",
                        "direction",
                        f"No enabled field row goes {wanted}, so this pass is left out.",
                        f"Write `direction: {_other(wanted)}`.",
                    )
        elif not is_active(mapping, mapping.direction):
            self.say(
                "error",
                "direction",
                f"The mapping goes {mapping.direction}, but no enabled field row has that direction, so nothing can move.",
                f"Give at least one field row `direction: {mapping.direction}`.",
            )
        elif not any(row.direction == mapping.direction for row in enabled):
            self.say(
                "warning",
                "direction",
                f"The mapping goes {mapping.direction}, but all enabled rows are bidirectional; Business Central refuses that.",
                f"Give at least one field row `direction: {mapping.direction}`.",
            )

    # policies

    def check_policies(self) -> None:
        mapping = self.mapping
        if not mapping.only_coupled and mapping.deletion_conflict_resolution == "remove_coupling":
            self.say(
                "warning",
                "deletion_conflict_resolution",
                "With only_coupled: false, a record whose coupling was removed is created and coupled again by the next run.",
                "Write `only_coupled: true`, or another deletion policy.",
            )
        if mapping.kind == "option" and mapping.deletion_conflict_resolution != "none":
            self.say("note", "deletion_conflict_resolution", "A deletion policy has no effect on an option mapping.")
        if mapping.direction != "bidirectional" and mapping.update_conflict_resolution != "none":
            self.say(
                "note", "update_conflict_resolution", "Only a bidirectional mapping has update conflicts; the policy has no effect."
            )
        if mapping.create_new_if_no_match and mapping.direction == "from_integration":
            self.say(
                "warning",
                "create_new_if_no_match",
                "Match-based coupling creates rows on the integration side only, and this mapping writes to the local side.",
                "Write `create_new_if_no_match: false`.",
            )

    # names of other things

    def check_references(self) -> None:
        names = [name for m in self.context.workspace.mappings for name in (m.name, *m.aliases)]
        for parent in self.mapping.depends_on:
            if parent not in names:
                left_out = parent in standard_names()
                self.say(
                    "warning" if left_out else "error",
                    "depends_on",
                    f'It depends on "{parent}", which is no mapping of this workspace.',
                    nearest(parent, names).strip() or f'Add the mapping "{parent}", or remove it from `depends_on`.',
                )
        for rule in self.mapping.rules:
            if rule not in self.context.known_rules:
                hint = nearest(rule, sorted(self.context.known_rules)).strip()
                self.say(
                    "error", "rules", f'There is no business rule "{rule}".', hint or "Register it, or remove it from `rules`."
                )

    def check_filters(self) -> None:
        mapping = self.mapping
        self.check_filter("local_filter", mapping.local_filter, self.table["local"])
        self.check_filter("integration_filter", mapping.integration_filter, self.table["integration"])
        for side, source, templates in (
            ("local", "integration", mapping.local_templates),
            ("integration", "local", mapping.integration_templates),
        ):
            seen: set[str] = set()
            for template in templates:
                place = f"{side}_templates > {template.code}"
                if template.code in seen:
                    self.say("error", place, "The template stands here twice.", "Keep one, or give the other its own code.")
                seen.add(template.code)
                self.check_filter(f"{place} > filter", template.filter, self.table[source])
                table = self.table[side]
                for name in template.sets if table else ():
                    assert table is not None
                    column = table.find(name)
                    if column is None:
                        hint = nearest(name, [c.name for c in table.columns]).strip()
                        self.say("error", f"{place} > sets", f'Table "{table.caption or table.name}" has no field "{name}".', hint)
                    elif not column.writable:
                        self.say("error", f"{place} > sets", f'"{column.name}" cannot be written.', "Remove it from the template.")

    def check_filter(self, place: str, text: FilterText, table: Table | None) -> None:
        if not text or table is None:
            return
        workspace = self.context.workspace
        variables = {"company_id": workspace.integration.company_id or workspace.local.company_id}
        try:
            self.context.parse_filter(text, table, variables, "")
        except SynckitError as error:
            before = len(self.found)
            if isinstance(text, dict) and len(text) > 1:  # each field's part by itself: one mistake does not hide the next
                for field, part in text.items():
                    self.check_filter(place, {field: part}, table)
            if len(self.found) == before:
                self.say("error", place, error.message[:1].upper() + error.message[1:])

    # field rows

    def check_row(self, row: FieldMapping) -> None:
        place = f"fields > {row.local or '(none)'} / {row.integration or '(none)'}"
        columns: dict[str, Column | None] = {}
        for side, name in (("local", row.local), ("integration", row.integration)):
            table = self.table[side]
            columns[side] = table.find(name) if table is not None and name is not None else None
            if table is not None and name is not None and columns[side] is None:
                hint = nearest(name, [c.name for c in table.columns]).strip()
                self.say(
                    "error",
                    place,
                    f'Table "{table.caption or table.name}" has no field "{name}".',
                    hint or "Name a field of the table.",
                )
        self.check_constant(row, place, columns)
        self.check_flags(row, place, columns["integration"])
        self.check_rule(row, place)
        self.check_lookup(row, place, columns)
        if not row.enabled:
            return
        for in_pass in self.mapping.passes():
            target = columns[_SIDE_OF_PASS[in_pass][1]]
            if target is not None and row.takes_part(in_pass):
                self.check_writable(place, target, in_pass)
        local, integration = columns["local"], columns["integration"]
        # The column of an option mapping is compared by label, so neither its type nor its length is that of the values carried.
        if local is not None and integration is not None and row.lookup is None and self.mapping.kind == "table":
            self.check_kinds(row, place, local, integration)

    def check_constant(self, row: FieldMapping, place: str, columns: dict[str, Column | None]) -> None:
        empty = [side for side, name in (("local", row.local), ("integration", row.integration)) if name is None]
        if len(empty) == 2:
            self.say("error", place, "The field row names neither side.", "Write `local: ...` and `integration: ...`.")
        elif not empty and row.constant is not None:
            self.say(
                "error",
                place,
                "A constant fills in for an empty side, but both sides name a field.",
                "Remove `constant`, or the source side's field.",
            )
        elif empty and row.constant is None:
            self.say(
                "error",
                place,
                f"The {empty[0]} side is empty and there is no constant.",
                f"Write `{empty[0]}: ...`, or `constant: ...`.",
            )
        elif empty:
            wanted: Direction = "to_integration" if empty[0] == "local" else "from_integration"
            if row.direction != wanted:
                self.say(
                    "error",
                    place,
                    f"The constant goes to the side that has a field, but the row is {row.direction}.",
                    f"Write `direction: {wanted}`.",
                )
            if row.use_for_match:
                self.say("error", place, "A constant cannot be a match criterion.", "Remove `use_for_match`.")
            column = columns["integration" if empty[0] == "local" else "local"]
            problem = constant_problem(str(row.constant), column) if column is not None else ""
            if problem:
                self.say("error", place, problem[0], problem[1])

    def check_flags(self, row: FieldMapping, place: str, integration: Column | None) -> None:
        if row.not_null and row.clear_on_failed_sync:
            self.say(
                "error",
                place,
                "not_null and clear_on_failed_sync exclude each other.",
                "Keep one: not_null leaves the old value, the other clears it.",
            )
        if row.not_null and integration is not None and integration.kind != "guid":
            self.say(
                "error",
                place,
                f'not_null applies to GUID columns only, and "{integration.name}" is {with_article(integration.type)}.',
                "Remove `not_null`.",
            )
        if row.validate_integration:
            self.say(
                "note",
                place,
                "validate_integration has no effect: values are written as they are, no system's own validation runs.",
            )
        if row.clear_on_failed_sync and row.lookup is None:
            self.say("note", place, "clear_on_failed_sync has no effect on a field row without a lookup.")

    def check_rule(self, row: FieldMapping, place: str) -> None:
        code = row.transformation_rule
        if not code:
            return
        if code not in self.context.rule_codes:
            hint = nearest(code, sorted(self.context.rule_codes)).strip()
            self.say(
                "error", place, f'There is no transformation rule "{code}".', hint or "Define it, or remove `transformation_rule`."
            )
        if row.direction != "bidirectional":
            if row.transformation_direction not in (None, row.direction):
                self.say(
                    "error",
                    place,
                    f"The rule goes {row.transformation_direction}, the field row {row.direction}.",
                    "Remove `transformation_direction`.",
                )
        elif code in self.context.unstable_rules:
            self.say(
                "error",
                place,
                f"The rule {code} changes its own output, so each run in both directions would change the value again.",
                "Make the field row one-way.",
            )
        elif self.mapping.direction == "bidirectional":
            back = _other(row.transformation_direction or "to_integration")
            self.say(
                "warning",
                place,
                f"The rule {code} works one way only; its result comes back as it is ({back}).",
                "Make the field row one-way, if not meant.",
            )

    def check_lookup(self, row: FieldMapping, place: str, columns: dict[str, Column | None]) -> None:
        lookup = row.lookup
        if lookup is None:
            return
        known = {name: m for m in self.context.workspace.mappings for name in (m.name, *m.aliases)}
        for name in lookup.mapping.split("|"):
            if name not in known:
                severity: Literal["error", "note", "warning"] = (
                    "note" if not row.enabled else "warning" if row.clear_on_failed_sync else "error"
                )
                effect = "is always cleared" if row.clear_on_failed_sync else "cannot be carried"
                hint = nearest(name, list(known)).strip() or f'Add the mapping "{name}", or disable the field row.'
                self.say(
                    severity, place, f'The lookup names "{name}", which is no mapping of this workspace; its value {effect}.', hint
                )
            elif (known[name].kind == "option") != (lookup.kind == "option_coupling"):
                wanted = "option_coupling" if known[name].kind == "option" else "coupling"
                message = f'"{name}" is {with_article(known[name].kind)} mapping.'
                self.say("error", place, message, f"Write `kind: {wanted}` in the lookup.")
        column = columns["integration"]
        if column is not None:
            fitting = ("option", "integer") if lookup.kind == "option_coupling" else ("guid", "integer", "text", "code")
            if column.kind not in fitting:
                self.say(
                    "error",
                    place,
                    f'"{column.name}" is {with_article(column.type)}, which cannot hold a reference.',
                    "Name another column.",
                )

    def check_writable(self, place: str, target: Column, in_pass: Pass) -> None:
        side = _SIDE_OF_PASS[in_pass][1]
        if not target.writable:
            why = "is calculated" if target.flowfield else "is read-only"
            self.say(
                "error",
                place,
                f'"{target.name}" {why} and cannot be written on the {side} side.',
                f"Write `direction: {_other(PASS_DIRECTION[in_pass])}`.",
            )
        elif target.access == "insert":
            self.say("note", place, f'"{target.name}" is written when a row is created, and not changed later.')
        elif target.access == "modify":
            self.say("note", place, f'"{target.name}" is left out when a row is created, and written later.')

    def check_kinds(self, row: FieldMapping, place: str, local: Column, integration: Column) -> None:
        pair = {local.kind, integration.kind}
        textual = bool(pair & {"text", "code"})
        if len(pair) > 1 and not any(pair <= group for group in _ALIKE):
            message = f'"{local.name}" is {with_article(local.type)}, "{integration.name}" {with_article(integration.type)}; '
            remedy = "Map like to like" + (", or add a `lookup`." if "guid" in pair else ".")
            if textual or any(pair <= group for group in _CONVERTIBLE):
                message += "a value that does not convert fails its record."
                self.say("warning" if "guid" in pair else "note", place, message, remedy)
            else:
                self.say("error", place, message + "neither becomes the other.", remedy)
            return
        for in_pass in self.mapping.passes() if textual else ():
            source, target = (local, integration) if in_pass == "to" else (integration, local)
            if not row.takes_part(in_pass) or target.length is None or (source.length or target.length + 1) <= target.length:
                continue
            room = "any length" if source.length is None else f"{source.length}"
            self.cut.setdefault(_SIDE_OF_PASS[in_pass][1], []).append(f'"{target.name}" ({target.length}, from {room})')

    def check_written_twice(self) -> None:
        for in_pass in self.mapping.passes():
            side = _SIDE_OF_PASS[in_pass][1]
            written: dict[str, int] = {}
            for row in self.mapping.fields:
                name = row.integration if in_pass == "to" else row.local
                if name is not None and row.takes_part(in_pass):
                    written[name.casefold()] = written.get(name.casefold(), 0) + 1
                    if written[name.casefold()] == 2:
                        self.say(
                            "warning",
                            "fields",
                            f'Several enabled field rows write "{name}" on the {side} side; the last one wins.',
                            "Keep one of them.",
                        )


def _other(direction: str) -> Direction:
    return "from_integration" if direction == "to_integration" else "to_integration"
