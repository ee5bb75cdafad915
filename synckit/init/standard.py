"""The standard mappings as far as two systems have what they need, and the settings that can be read off their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from synckit.init.looking import Found, FoundColumn, FoundTable
from synckit.mapping.loading import load_schema, standard_mappings
from synckit.mapping.model import OwnershipModel, SystemConfig, TableMapping
from synckit.mapping.rules import known_rules
from synckit.mapping.schema import Column, Schema, Table
from synckit.systems.checking import used_by

SideName = Literal["local", "integration"]
_SIDES: tuple[SideName, SideName] = ("local", "integration")
_NULL = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Change:
    """What a standard mapping must do without here: field rows to disable (local, integration, why), rules to drop (id, why)."""

    rows: tuple[tuple[str | None, str | None, str], ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    rules_kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class StandardProposal:
    """Which standard mappings take part (in shipped order), what changes in them, which do not and why, and settings with the reason
    of each: key -> (value, why)."""

    names: tuple[str, ...]
    changes: dict[str, Change] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    ownership: OwnershipModel = "team"
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)


def propose_standard(
    local: Found, integration: Found, local_tables: Mapping[str, str], integration_tables: Mapping[str, str]
) -> StandardProposal:
    """The standard mappings for a Business Central and a Dataverse as found; `..._tables`: tables of another name here."""
    place = _Place(
        {"local": local, "integration": integration},
        {"local": dict(local_tables), "integration": dict(integration_tables)},
        {"local": load_schema("business_central"), "integration": load_schema("dataverse")},
    )
    settings = _settings(place)
    people = place.table("local", "salesperson_purchaser") and place.table("integration", "systemuser")
    ownership: OwnershipModel = "person" if people else "team"
    shipped = standard_mappings(ownership, "company_id" in settings)
    checks = {mapping.name: _fitted(mapping, place) for mapping in shipped}
    left_out = {name: reason for name, (reason, _) in checks.items() if reason}
    names = tuple(mapping.name for mapping in shipped if mapping.name not in left_out)
    changes = {}
    for mapping in shipped:
        change = checks[mapping.name][1]
        if mapping.name in left_out:
            continue
        for row in mapping.fields:
            gone = [n for n in (row.lookup.mapping.split("|") if row.lookup else []) if n in left_out]
            if gone and row.enabled and not any((row.local, row.integration) == known[:2] for known in change.rows):
                change = Change(
                    (*change.rows, (row.local, row.integration, f"{gone[0]} is left out")), change.rules, change.rules_kept
                )
        if change.rows or change.rules:
            changes[mapping.name] = change
    return StandardProposal(names, changes, left_out, ownership, settings)


@dataclass(frozen=True)
class _Place:
    found: Mapping[str, Found]
    overrides: Mapping[str, Mapping[str, str]]
    schemas: Mapping[str, Schema]

    def table(self, side: SideName, name: str) -> FoundTable | None:
        table = self.schemas[side].find(name)
        if table is None:
            return None
        given = self.overrides[side].get(table.name)
        names = [given] if given else [table.table]
        if self.found[side].is_folder and not given:
            names += [table.name, table.caption]
        return next((hit for n in names if n and (hit := self.found[side].find(n))), None)

    def column(self, side: SideName, table: FoundTable, column: Column) -> FoundColumn | None:
        return table.find(column.column, column.name if self.found[side].is_folder else None)

    def values(self, side: SideName, table: str, column: str) -> tuple[str | None, ...]:
        """The looked-at values of a column, () where it is not there."""
        found, described = self.table(side, table), self.schemas[side].find(table)
        if found is None or described is None or described.find(column) is None:
            return ()
        hit = self.column(side, found, described.column(column))
        return hit.values if hit else ()


def _fitted(mapping: TableMapping, place: _Place) -> tuple[str, Change]:
    """'' and what changes in the mapping, or the reason why it cannot take part."""
    rows: dict[tuple[str | None, str | None], str] = {}
    rules: dict[str, str] = {}
    known = known_rules()
    for side in _SIDES:
        ref = mapping.local if side == "local" else mapping.integration
        found, described = place.table(side, ref.table), place.schemas[side].table(ref.table)
        if found is None:
            return f"the {side} side has no table {described.table}.", Change()
        if ref.option_set and place.column(side, found, described.column(ref.option_set)) is None:
            return f"{found.name} has no column {ref.option_set}.", Change()
        for rule_id in mapping.rules:
            for of_side, table in known[rule_id].tables if rule_id in known else ():
                if of_side == side and place.table(side, table) is None:
                    rules[rule_id] = f"there is no table {table}"
        reason = _missing_columns(mapping, side, place, described, found, rows, rules)
        if reason:
            return reason, Change()
    kept = tuple(rule for rule in mapping.rules if rule not in rules)
    return "", Change(tuple((*pair, why) for pair, why in rows.items()), tuple(rules.items()), kept)


def _missing_columns(
    mapping: TableMapping,
    side: SideName,
    place: _Place,
    described: Table,
    found: FoundTable,
    rows: dict[tuple[str | None, str | None], str],
    rules: dict[str, str],
) -> str:
    """Note the field rows and rules whose columns are not there; the sentence for a column that cannot be done without, or ''."""
    config = SystemConfig(name=side, url="sqlite:///x", schema=place.schemas[side].name)

    def missing(candidate: TableMapping) -> list[tuple[Column, str]]:
        used = used_by(candidate, side, place.schemas[side], config, _NULL)
        return [pair for pair in used.columns.values() if place.column(side, found, pair[0]) is None] if used else []

    gone = {column.name for column, _ in missing(mapping)}
    for row in mapping.fields:
        name = row.local if side == "local" else row.integration
        column = described.find(name) if name else None
        if row.enabled and column is not None and column.name in gone:
            rows.setdefault((row.local, row.integration), f"there is no column {column.column} in {found.name}")
    for rule_id in mapping.rules:
        rule = known_rules().get(rule_id)
        written = () if rule is None else rule.columns_from if side == "local" else rule.columns_to
        for name in (*(rule.reads(side) if rule else ()), *(column.column for column in written)):
            column = described.find(name)
            if column is not None and column.name in gone:
                rules.setdefault(rule_id, f"there is no column {column.column} in {found.name}")
    fields = tuple(row for row in mapping.fields if (row.local, row.integration) not in rows)
    without = mapping.model_copy(update={"fields": fields, "rules": tuple(r for r in mapping.rules if r not in rules)})
    still = missing(without)
    if still:
        return f"{found.name} has no column {still[0][0].column}, which {still[0][1]} needs."
    if not any(row.enabled for row in fields):
        return f"{found.name} has none of its columns."
    return ""


def _settings(place: _Place) -> dict[str, tuple[str, str]]:
    """What the rows of both systems tell about currencies, company and the integration user."""
    settings: dict[str, tuple[str, str]] = {}
    codes = place.values("integration", "transactioncurrency", "isocurrencycode")
    rates = place.values("integration", "transactioncurrency", "exchangerate")
    base = [code for code, rate in zip(codes, rates, strict=False) if code and rate and float(rate) == 1]
    if len(base) == 1:
        settings["base_currency"] = (base[0], "the only currency of Dataverse whose exchange rate is 1")
        if base[0] not in place.values("local", "currency", "Code"):
            settings["local_currency"] = (
                base[0],
                "it has no row in the table Currency, as the local currency has none; please confirm",
            )
    ids, names = (
        place.values("integration", "bcbi_company", "bcbi_companyid"),
        place.values("integration", "bcbi_company", "bcbi_name"),
    )
    used = Counter(value for value in place.values("integration", "account", "bcbi_companyid") if value in ids and value)
    if used:
        most, count = used.most_common(1)[0]
        many = (
            f"{count} accounts name it; {len(ids)} companies are registered"
            if len(ids) > 1
            else "the only company that is registered"
        )
        settings["company_id"] = (most, many)
        title = dict(zip(ids, names, strict=False)).get(most)
        if title:
            settings["company"] = (title, "the name of that row")
    flags = place.values("integration", "systemuser", "isintegrationuser")
    users = [
        key
        for key, flag in zip(place.values("integration", "systemuser", "systemuserid"), flags, strict=False)
        if key and str(flag).casefold() in ("true", "1")
    ]
    accounts = place.table("integration", "account")
    if len(users) == 1 and accounts is not None and accounts.find("modifiedby"):
        settings["integration_user"] = (users[0], "the only user that is marked as integration user")
    return settings
