"""How a workspace differs from the shipped defaults, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synckit.mapping.loading import standard_mappings
from synckit.mapping.model import FieldMapping, TableMapping, Workspace


def differences_from_standard(workspace: Workspace) -> list[str]:
    """How the workspace differs from the shipped defaults, one sentence each: mappings left out or added, settings, field rows."""
    company = bool(workspace.local.company_id or workspace.integration.company_id)
    standard = {mapping.name: mapping for mapping in standard_mappings(workspace.ownership_model, company)}
    present = {mapping.name for mapping in workspace.mappings}
    left_out = [name for name in standard if name not in present]
    if len(left_out) == len(standard):  # two systems of one's own: nothing to compare with, name by name
        sentences = ["None of the standard mappings takes part."]
    else:
        sentences = [f"The standard mapping {name} is left out." for name in left_out]
    if workspace.semantics == "reference":
        sentences.append("The workspace follows the reference system where synckit is safer (semantics: reference).")
    for mapping in workspace.mappings:
        if mapping.name not in standard:
            sentences.append(f"{mapping.name} is a mapping of its own ({mapping.local.table} with {mapping.integration.table}).")
        else:
            sentences += _mapping_differences(mapping, standard[mapping.name], workspace)
    return sentences


def _mapping_differences(mapping: TableMapping, standard: TableMapping, workspace: Workspace) -> Iterator[str]:
    for key in TableMapping.model_fields:
        value, shipped = getattr(mapping, key), getattr(standard, key)
        if key in ("name", "fields") or value == shipped or (key == "semantics" and value == workspace.semantics):
            continue
        yield f"{mapping.name}: {key} is {_written(value)}, as shipped {_written(shipped)}."
    rows = {(row.local, row.integration): row for row in standard.fields}
    for row in mapping.fields:
        pair = f"{row.local or '(none)'} / {row.integration or '(none)'}"
        shipped_row = rows.pop((row.local, row.integration), None)
        if shipped_row is None:
            yield f"{mapping.name}: the field row {pair} was added."
            continue
        for key in FieldMapping.model_fields:
            value, shipped = getattr(row, key), getattr(shipped_row, key)
            if value != shipped:
                yield f"{mapping.name}: {key} of the field row {pair} is {_written(value)}, as shipped {_written(shipped)}."
    for local, integration in rows:
        yield f"{mapping.name}: the field row {local or '(none)'} / {integration or '(none)'} was removed."


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(_written(item) for item in value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_written(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return "|".join(_written(item) for item in value)
    if hasattr(value, "model_dump"):
        shown = {key: item for key, item in value.model_dump().items() if item not in (None, {}, ())}
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in shown.items()) + "}"
    return "none" if value in (None, "") else str(value)
