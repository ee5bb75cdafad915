"""The Integration Table Mappings page, and the list of the business rules that the mappings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from synckit.ledger.ledger import Ledger
from synckit.mapping.filter_tree import written_field
from synckit.mapping.loading import standard_mappings
from synckit.mapping.model import FilterText, TableMapping, TableRef, Template, Workspace
from synckit.mapping.order import DOCUMENTED_ORDER, dependency_order
from synckit.mapping.rules import Rule, known_rules
from synckit.mapping.schema import Schema

#: Columns of the page, in their order.
COLUMNS = (
    "mapping", "local_table", "integration_table", "direction", "local_filter", "integration_filter", "only_coupled",
    "only_coupled_from", "update_conflicts", "deletion_conflicts", "fields", "fields_total", "depends_on", "rank", "order_reason",
    "local_watermark", "integration_watermark", "coupled", "failed", "skipped", "held", "local_templates", "integration_templates",
    "semantics",
)  # fmt: skip
RULE_COLUMNS = ("rule", "mapping", "effect", "carried_out_by")


def mappings_page(
    description: Workspace, schemas: Mapping[Literal["local", "integration"], Schema], ledger: Ledger
) -> pd.DataFrame:
    """One line per mapping in the order of a run, with the columns COLUMNS (the Integration Table Mappings page).

    `only_coupled` is what holds now; `only_coupled_from` says who says so: "standard", "file", or the ledger setting that overrides
    both. `fields` counts enabled field rows of `fields_total`; `rank` counts from 1; watermarks are texts as stored ('' where a
    side has none); `failed`, `skipped` and `held` count couplings, `held` also rows without one. Raises SynckitError for a cycle.
    """
    settings = ledger.settings()
    counts = {row["mapping"]: row for row in ledger.coupling_counts().to_pylist()}
    company = bool(description.local.company_id or description.integration.company_id)
    standard = {m.name: m for m in standard_mappings(description.ownership_model, company)}
    lines = []
    for rank, name in enumerate(dependency_order(description.mappings), 1):
        mapping = description.mapping(name)
        count = counts.get(name, {"coupled": 0, "failed": 0, "skipped": 0, "held": 0})
        watermarks = ledger.watermarks(name)
        only_coupled, origin = _only_coupled(mapping, standard.get(name), settings.get(f"only_coupled:{name}"))
        line = {
            "mapping": name,
            "local_table": _caption(schemas["local"], mapping.local),
            "integration_table": mapping.integration.table + _of_option(mapping.integration),
            "direction": mapping.direction,
            "local_filter": written_filter(mapping.local_filter),
            "integration_filter": written_filter(mapping.integration_filter),
            "only_coupled": only_coupled,
            "only_coupled_from": origin,
            "update_conflicts": mapping.update_conflict_resolution,
            "deletion_conflicts": mapping.deletion_conflict_resolution,
            "fields": sum(row.enabled for row in mapping.fields),
            "fields_total": len(mapping.fields),
            "depends_on": ", ".join(mapping.depends_on),
            "rank": rank,
            "order_reason": _order_reason(mapping, description),
            "local_watermark": watermarks.get("local", ""),
            "integration_watermark": watermarks.get("integration", ""),
            "coupled": count["coupled"],
            "failed": count["failed"],
            "skipped": count["skipped"],
            "held": count["held"] + ledger.held(name).num_rows,
            "local_templates": _templates(mapping.local_templates),
            "integration_templates": _templates(mapping.integration_templates),
            "semantics": mapping.semantics,
        }
        lines.append(line)
    return pd.DataFrame(lines, columns=list(COLUMNS))


def rules_page(description: Workspace) -> pd.DataFrame:
    """One line per business rule that a mapping names, in the order of the mappings: id, mapping, what it does, who carries it out
    (RULE_COLUMNS). A rule that synckit does not have stands there, too, and says so."""
    known = known_rules()
    lines = []
    for mapping in description.mappings:
        for name in mapping.rules:
            rule = known.get(name)
            effect = rule.effect if rule else "synckit does not have this rule; register it, or remove it from `rules`."
            lines.append((name, mapping.name, effect, _carried_out_by(rule) if rule else ""))
    return pd.DataFrame(lines, columns=list(RULE_COLUMNS))


def written_filter(text: FilterText) -> str:
    """A filter as people write it: one text, the fields joined by semicolons."""
    if isinstance(text, str):
        return text
    parts = []
    for field, expression in text.items():
        values = expression if isinstance(expression, list) else [expression]
        parts.append(f"{written_field(field)}: " + "|".join("''" if value is None else _plain(value) for value in values))
    return "; ".join(parts)


def _plain(value: object) -> str:
    return ("Yes" if value else "No") if isinstance(value, bool) else str(value)


def _caption(schema: Schema, ref: TableRef) -> str:
    table = schema.find(ref.table)
    return (table.caption or table.name if table else ref.table) + _of_option(ref)


def _of_option(ref: TableRef) -> str:
    return f" ({ref.option_set})" if ref.option_set else ""


def _only_coupled(mapping: TableMapping, standard: TableMapping | None, setting: Mapping[str, str] | None) -> tuple[bool, str]:
    if setting is not None:
        return setting["value"].casefold() == "true", f"ledger: {setting['origin']}" if setting["origin"] else "ledger"
    from_file = standard is None or mapping.only_coupled != standard.only_coupled
    return mapping.only_coupled, "file" if from_file else "standard"


def _order_reason(mapping: TableMapping, description: Workspace) -> str:
    names = {alias: m.name for m in description.mappings for alias in (m.name, *m.aliases)}
    after: dict[str, str] = {names[parent]: "depends on it" for parent in mapping.depends_on if parent in names}
    for row in mapping.fields:
        if row.enabled and row.lookup is not None and not row.clear_on_failed_sync:
            for parent in row.lookup.mapping.split("|"):
                if parent in names and names[parent] != mapping.name:
                    after.setdefault(names[parent], f"{row.local or row.integration} refers to it")
    if after:
        by_reason: dict[str, list[str]] = {}
        for parent, why in after.items():
            by_reason.setdefault(why, []).append(parent)
        return "after " + ", ".join(f"{', '.join(parents)} ({why})" for why, parents in by_reason.items())
    return "documented order" if mapping.name in DOCUMENTED_ORDER else "by name"


def _templates(templates: tuple[Template, ...]) -> str:
    """The template's code where there is one, else how many (as the page of the reference does)."""
    if len(templates) == 1:
        return templates[0].code
    return str(len(templates)) if templates else ""


def _carried_out_by(rule: Rule) -> str:
    works = (
        (rule.function, "values while planning"),
        (rule.finder, "partners found while planning"),
        (rule.follow_up, "further writes"),
    )
    own = ", ".join(text for part, text in works if part is not None)
    return rule.done_by or own


__all__ = ["COLUMNS", "RULE_COLUMNS", "mappings_page", "rules_page", "written_filter"]
