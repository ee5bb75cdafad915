"""From files to descriptions: schemas, the standard mappings and workspace files, with all mistakes of a file told at once."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from synckit.errors import SynckitError
from synckit.mapping.model import OwnershipModel, SystemConfig, TableMapping, Workspace
from synckit.mapping.reading import Document, Place, Problems, parse_yaml, read_yaml, shown_place, validated
from synckit.mapping.schema import KINDS, Schema, nearest

_HERE = Path(__file__).parent
SHIPPED_SCHEMAS = ("business_central", "dataverse")
_MEMORY = re.compile(r"\d+(\.\d+)?\s?[KMGT]i?B", re.IGNORECASE)
_SQLITE_URL = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]*)(.*)", re.DOTALL)

# --- schemas --------------------------------------------------------------------------------------------------------------------


def load_schema(source: str | Path | Schema) -> Schema:
    """The shipped schema of that name ("business_central", "dataverse"), the schema file at a path, or a Schema as it is.

    A schema file may leave out what follows from the rest: a column's `column` (the same as its name), a table's `table`,
    `nullable` (blank "empty": not nullable), `primary_key` of a column (the table says it); `options` may be written
    {value: label}, `references` as one text, and columns that every table has stand once under `every_table`.
    Raises SynckitError with every mistake of the file.
    """
    if isinstance(source, Schema):
        return source
    if str(source) in SHIPPED_SCHEMAS:
        return _load_schema_file(_HERE / f"{source}.yaml")
    path = Path(source)
    if not path.suffix and not path.exists():
        raise SynckitError(
            f'There is no schema "{source}".'
            + (
                nearest(str(source), list(SHIPPED_SCHEMAS))
                or f" Write {' or '.join(SHIPPED_SCHEMAS)}, or the path of a schema file."
            )
        )
    return _read_schema(path)


@lru_cache(maxsize=8)
def _load_schema_file(path: Path) -> Schema:
    return _read_schema(path)


def _read_schema(path: Path) -> Schema:
    document = read_yaml(path, "schema file")
    problems = Problems(document.file)
    schema = _schema_from(document.data, document, problems, ())
    problems.raise_if_any()
    assert schema is not None
    return schema


def _schema_from(raw: Any, document: Document, problems: Problems, place: Place) -> Schema | None:
    """A Schema from its written form at `place` of a document; mistakes go to `problems`."""
    raw = copy.deepcopy(raw)
    if isinstance(raw, dict):
        every = raw.pop("every_table", [])
        for table_index, table in enumerate(raw.get("tables") or [] if isinstance(raw.get("tables"), list) else []):
            if isinstance(table, dict):
                _complete_table(table, every, raw.get("blank", "null"), document, problems, (*place, "tables", table_index))
    before = problems.count
    schema = validated(Schema, raw, document, problems, place)
    if schema is not None:
        _check_schema(schema, document, problems, place)
    return schema if problems.count == before else None


def _complete_table(table: dict[str, Any], every: Any, blank: Any, document: Document, problems: Problems, place: Place) -> None:
    table.setdefault("table", table.get("name"))
    for key in ("primary_key",):
        if isinstance(table.get(key), str):
            table[key] = [table[key]]
    columns = table.get("columns")
    if not isinstance(columns, list):
        return
    written = {str(c.get("name")).casefold() for c in columns if isinstance(c, dict)}
    if isinstance(every, list):
        columns += [copy.deepcopy(c) for c in every if isinstance(c, dict) and str(c.get("name")).casefold() not in written]
    keys = table.get("primary_key")
    for index, column in enumerate(columns):
        if not isinstance(column, dict):
            continue
        column.setdefault("column", column.get("name"))
        if isinstance(keys, list) and column.get("name") in keys:
            column.setdefault("primary_key", True)
        if blank == "empty" or column.get("primary_key") is True:
            column.setdefault("nullable", False)
        if isinstance(column.get("references"), str):
            column["references"] = [column["references"]]
        options = column.get("options")
        if isinstance(options, dict):
            here = (*place, "columns", index, "options")
            for key in options:
                if not re.fullmatch(r"-?\d+", key):
                    problems.add(
                        document.line((*here, key)), shown_place(here), f'"{key}" is not a whole number; write value: label.'
                    )
            column["options"] = [{"value": int(k), "label": v} for k, v in options.items() if re.fullmatch(r"-?\d+", k)]


def _check_schema(schema: Schema, document: Document, problems: Problems, place: Place) -> None:
    """What pydantic cannot know: names that must be unique, and columns that must exist."""

    def tell(inner: Place, label: list[str | int], sentence: str) -> None:
        problems.add(document.line((*place, *inner)), [*shown_place(place), *label], sentence)

    seen_tables: set[str] = set()
    for table_index, table in enumerate(schema.tables):
        inner: Place = ("tables", table_index)
        label: list[str | int] = ["tables", table.name]
        if table.name.casefold() in seen_tables:
            tell(inner, label, f'the table "{table.name}" stands here twice; keep one.')
        seen_tables.add(table.name.casefold())
        names = [column.name for column in table.columns]
        for attribute, wanted in (
            *(("primary_key", key) for key in table.primary_key),
            ("uid", table.uid),
            ("modified_on", table.modified_on),
            ("name_column", table.name_column),
        ):
            if wanted is not None and table.find(wanted) is None:
                tell((*inner, attribute), [*label, attribute], f'the table has no column "{wanted}".' + nearest(wanted, names))
        seen: set[str] = set()
        physical: set[str] = set()
        for index, column in enumerate(table.columns):
            here: Place = (*inner, "columns", index)
            column_label = [*label, "columns", column.name]
            if column.name.casefold() in seen:
                tell(here, column_label, "the column stands here twice; keep one.")
            elif column.column.casefold() in physical:
                tell(here, column_label, f'the database column "{column.column}" is already used by another field; name its own.')
            seen.add(column.name.casefold())
            physical.add(column.column.casefold())
            if column.type not in KINDS:
                tell(
                    (*here, "type"),
                    column_label,
                    f'there is no type "{column.type}".'
                    + (nearest(column.type, list(KINDS)) or f" The types are {', '.join(KINDS)}."),
                )
            if column.scale is not None and not 0 <= column.scale <= 20:
                tell((*here, "scale"), column_label, f"{column.scale} decimal places are not possible; write 0 to 20.")
            if column.length is not None and column.length < 1:
                tell(
                    (*here, "length"), column_label, f"a length of {column.length} holds nothing; write 1 or more, or leave it out."
                )
    of = schema.option_table
    if of is not None:
        options = schema.find(of.table)
        if options is None:
            tell(("option_table",), ["option_table"], f'there is no table "{of.table}".' + nearest(of.table, list(seen_tables)))
            return
        for attribute, wanted in (("of_table", of.of_table), ("of_column", of.of_column), ("value", of.value), ("label", of.label)):
            if wanted is not None and options.find(wanted) is None:
                names = [column.name for column in options.columns]
                sentence = f'the table "{of.table}" has no column "{wanted}".' + nearest(wanted, names)
                tell(("option_table", attribute), ["option_table", attribute], sentence)


# --- standard mappings ----------------------------------------------------------------------------------------------------------


def standard_mappings(ownership_model: OwnershipModel, company_registered: bool) -> tuple[TableMapping, ...]:
    """The shipped mappings CURRENCY, SALESPEOPLE (person ownership only), VENDOR, CUSTOMER, CONTACT, PAYMENT TERMS, SHIPMENT
    METHOD, SHIPPING AGENT, for an ownership model; the company filter is there where the company is registered
    (engine-behaviour 11)."""
    return tuple(TableMapping.model_validate(raw) for raw in _standard(ownership_model, company_registered).values())


@lru_cache(maxsize=1)
def _standard_document() -> Document:
    return read_yaml(_HERE / "standard_mappings.yaml", "list of standard mappings")


def standard_names() -> list[str]:
    """Names of all shipped mappings, whatever the ownership model."""
    return [raw["name"] for raw in _standard_document().data["mappings"]]


def _standard(ownership_model: str, company_registered: bool) -> dict[str, dict[str, Any]]:
    """The shipped mappings as written, with `only_if`, `enabled_when` and `when` resolved."""
    facts = {"ownership_model": ownership_model}

    def holds(condition: dict[str, str] | None) -> bool:
        return all(facts[key] == value for key, value in (condition or {}).items())

    result = {}
    for shipped in copy.deepcopy(_standard_document().data["mappings"]):
        if not holds(shipped.pop("enabled_when", None)):
            continue
        shipped["fields"] = [row for row in shipped["fields"] if holds(row.pop("only_if", None))]
        for row in shipped["fields"]:
            row.setdefault("direction", "bidirectional")
        shipped["depends_on"] = [
            parent["mapping"] if isinstance(parent, dict) else parent
            for parent in shipped.get("depends_on", [])
            if not isinstance(parent, dict) or holds(parent.get("only_if"))
        ]
        for side in ("local_filter", "integration_filter"):
            shipped[side] = {
                column: expression["any_of"] if isinstance(expression, dict) else expression
                for column, expression in shipped.get(side, {}).items()
                if not isinstance(expression, dict) or company_registered
            }
        result[shipped["name"]] = shipped
    return result


# --- workspaces -----------------------------------------------------------------------------------------------------------------


def find_workspace(folder: str | Path) -> Path:
    """The workspace file of a folder: workspace.yaml, else the only YAML file that has the keys `local` and `integration`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise SynckitError(f"There is no folder {folder}.")
    for name in ("workspace.yaml", "workspace.yml"):
        if (folder / name).is_file():
            return folder / name
    found = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            data = read_yaml(path, "workspace file").data
        except SynckitError:
            continue
        if {"local", "integration"} <= data.keys():
            found.append(path)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise SynckitError(f"{folder} holds several workspace files ({names}); say which with --workspace.")
    raise SynckitError(f"{folder} holds no workspace file; name one with --workspace, or make one with `synckit init`.")


def load_workspace(path: str | Path, text: str | None = None, rejected: list[tuple[str, str]] | None = None) -> Workspace:
    """The workspace file at `path` (or the one in that folder), complete: every mapping with all its values. With `text`, as if that
    stood in the file. With `rejected`, what is wrong is left out and noted there, (place, sentence), so that the rest can be checked.

    Relative paths (ledger, folder, SQLite files, schema files) become absolute, counted from the file's folder; `${NAME}` is left
    for the systems to resolve, so that no secret is kept. A one-way mapping's field rows follow its direction where they state
    none; option mappings push theirs onto all rows (engine-behaviour 1.1). Raises SynckitError with every mistake of the file.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = find_workspace(path)
    document = read_yaml(path, "workspace file") if text is None else parse_yaml(text, path.name, "workspace file")
    problems = Problems(document.file, rejected=rejected)
    base = path.resolve().parent
    raw = copy.deepcopy(document.data)
    written_mappings = raw.pop("mappings", "standard")
    if "path" in raw:
        problems.add(document.line(("path",)), (), 'there is no key "path"; the file knows where it is. Remove it.')
    for side in ("local", "integration"):
        _inline_schema(raw.get(side), document, problems, side)
    systems = [raw[side] for side in ("local", "integration") if isinstance(raw.get(side), dict)]
    ownership = raw.get("ownership_model")
    mappings, named = _mappings(
        written_mappings,
        "person" if ownership == "person" else "team",
        any(system.get("company_id") for system in systems),
        raw.get("semantics") if raw.get("semantics") == "reference" else None,
        document,
        problems,
    )
    workspace = validated(Workspace, {**raw, "path": str(path.resolve()), "mappings": ()}, document, problems, ())
    if workspace is not None:
        workspace = _placed(workspace, base, document, problems).model_copy(update={"mappings": mappings})
        for name in workspace.limits:
            if name != "all" and name not in named and named:
                sentence = (
                    f'there is no mapping "{name}" to limit.{nearest(name, list(named))} "all" stands for every other mapping.'
                )
                problems.add(document.line(("limits", name)), ("limits", name), sentence)
    problems.raise_if_any(useless=workspace is None)
    assert workspace is not None
    return workspace


def _inline_schema(system: Any, document: Document, problems: Problems, side: str) -> None:
    if isinstance(system, dict) and isinstance(system.get("schema"), dict):
        # A schema that has mistakes is replaced by a shipped name, so that the rest of the file is still looked at.
        system["schema"] = _schema_from(system["schema"], document, problems, (side, "schema")) or SHIPPED_SCHEMAS[0]


def _placed(workspace: Workspace, base: Path, document: Document, problems: Problems) -> Workspace:
    """The workspace with every relative path made absolute, its paths and settings looked at."""
    if not _MEMORY.fullmatch(workspace.memory):
        problems.add(
            document.line(("memory",)), ("memory",), f'"{workspace.memory}" is not a size; write for example 1GB or 500MB.'
        )
    ledger = _located_url(workspace.ledger, base) if "://" in workspace.ledger else _located(workspace.ledger, base)
    sides: dict[str, SystemConfig] = {}
    for side, system in (("local", workspace.local), ("integration", workspace.integration)):
        if (system.url is None) == (system.folder is None):
            state = "both url and folder" if system.url is not None else "neither url nor folder"
            problems.add(document.line((side,)), (side,), f"the system names {state}; write one of them.")
        schema = system.schema_
        if isinstance(schema, str) and schema not in SHIPPED_SCHEMAS:
            schema = _located(schema, base)
            if not Path(schema).is_file():
                hint = nearest(str(system.schema_), list(SHIPPED_SCHEMAS)) or f" Shipped are {' and '.join(SHIPPED_SCHEMAS)}."
                sentence = f'there is no shipped schema and no file "{system.schema_}".{hint}'
                problems.add(document.line((side, "schema")), (side, "schema"), sentence)
        changes = {
            "schema_": schema,
            "url": _located_url(system.url, base) if system.url else system.url,
            "folder": _located(system.folder, base) if system.folder else system.folder,
        }
        sides[side] = system.model_copy(update=changes)
    return workspace.model_copy(update={"ledger": ledger, **sides})


def _located(written: str, base: Path) -> str:
    path = Path(written).expanduser()
    return written if written.startswith("${") else str(path if path.is_absolute() else base / path)


def _located_url(url: str, base: Path) -> str:
    match = _SQLITE_URL.fullmatch(url)
    if match is None or match[2] in ("", ":memory:") or match[2].startswith("${"):
        return url
    file = match[2]
    if file.startswith("file:"):
        inner = file.removeprefix("file:")
        return url if inner in ("", ":memory:") else f"{match[1]}file:{_located(inner, base)}{match[3]}"
    return f"{match[1]}{_located(file, base)}{match[3]}"


# --- the mappings of a workspace ------------------------------------------------------------------------------------------------


@dataclass
class _Item:
    """One mapping as written and merged: where it stands in the file, and which of its field rows the file itself holds."""

    name: str
    raw: dict[str, Any]
    place: Place
    rows: list[int | None]  # merged field row -> row in the file
    standard: bool

    def origin(self, inner: Place) -> Place:
        if len(inner) > 1 and inner[0] == "fields" and isinstance(inner[1], int):
            row = self.rows[inner[1]] if inner[1] < len(self.rows) else None
            return self.place if row is None else (*self.place, "fields", row, *inner[2:])
        return (*self.place, *inner)

    def label(self, place: Place) -> list[str | int]:
        return ["mappings", self.name, *shown_place(place[len(self.place) :])]


def _mappings(
    written: Any, ownership: OwnershipModel, company: bool, semantics: str | None, document: Document, problems: Problems
) -> tuple[tuple[TableMapping, ...], dict[str, str]]:
    """The mappings as written and merged, as far as they have no mistakes; and the names and aliases of all of them."""
    standard = _standard(ownership, company)
    items: list[_Item] = []
    if written == "standard":
        written = ["standard"]
    if not isinstance(written, list) or not written:
        problems.add(
            document.line(("mappings",)), ("mappings",), "write `standard`, or a list: one line beginning with `- ` per mapping."
        )
        return (), {}
    for index, entry in enumerate(written):
        place: Place = ("mappings", index)
        if entry == "standard":
            present = {item.name for item in items}
            items += [_Item(n, raw, place, [None] * len(raw["fields"]), True) for n, raw in standard.items() if n not in present]
        elif isinstance(entry, str):
            _add_standard(entry, {}, place, standard, items, document, problems)
        elif isinstance(entry, dict) and "name" in entry:
            _add_own(entry, place, items, document, problems)
        elif isinstance(entry, dict) and entry:
            for name, changes in entry.items():
                _add_standard(name, {} if changes is None else changes, (*place, name), standard, items, document, problems)
        else:
            sentence = "write a standard mapping's name, {NAME: {changes}}, or a mapping with a `name:`."
            problems.add(document.line(place), shown_place(place), sentence)
    names = _canonical_names(items, document, problems)
    result = []
    for item in items:
        _complete_mapping(item.raw, names, semantics)
        mapping = validated(TableMapping, item.raw, document, problems, item.place, item.origin, item.label)
        if mapping is not None:
            result.append(mapping)
    return tuple(result), names


def _add_own(entry: dict[str, Any], place: Place, items: list[_Item], document: Document, problems: Problems) -> None:
    raw = copy.deepcopy(entry)
    name = str(raw["name"]).strip().upper()
    if not name or raw["name"] is None:
        problems.add(
            document.line((*place, "name")), shown_place(place), "the mapping has no name; write for example `name: ITEM`."
        )
        return
    if any(item.name == name for item in items):
        problems.add(document.line(place), ("mappings", name), f'the mapping "{name}" stands here twice; give one another name.')
        return
    raw["name"] = name
    rows = raw.get("fields")
    items.append(_Item(name, raw, place, list(range(len(rows))) if isinstance(rows, list) else [], False))


def _add_standard(
    written: str,
    changes: Any,
    place: Place,
    standard: dict[str, dict[str, Any]],
    items: list[_Item],
    document: Document,
    problems: Problems,
) -> None:
    name = written.strip().upper()
    name = next((n for n, raw in standard.items() if name in raw.get("aliases", [])), name)
    line = document.line(place)
    if name not in standard:
        if name in standard_names():
            sentence = f'"{name}" takes part under ownership_model: person only; change that, or remove it here.'
        else:
            sentence = (
                f'there is no standard mapping "{written}".'
                + nearest(name, [*standard, "standard"])
                + " A mapping of your own begins with `- name: ...`."
            )
        problems.add(line, ("mappings", written), sentence)
        return
    if not isinstance(changes, dict):
        problems.add(line, ("mappings", name), "write what changes as a mapping, for example `CUSTOMER: {only_coupled: false}`.")
        return
    earlier = next((item for item in items if item.name == name), None)
    if earlier is not None and not (earlier.standard and changes and len(earlier.place) == 2):
        problems.add(line, ("mappings", name), f'the mapping "{name}" stands here twice; keep one.')
        return
    item = _Item(name, standard[name], place, [None] * len(standard[name]["fields"]), True)
    if "name" in changes:
        problems.add(document.line((*place, "name")), ("mappings", name), "a standard mapping keeps its name; remove `name`.")
    _merge(item, changes, document, problems)
    if earlier is not None:
        items[items.index(earlier)] = item
    else:
        items.append(item)


def _merge(item: _Item, changes: dict[str, Any], document: Document, problems: Problems) -> None:
    raw = item.raw = copy.deepcopy(item.raw)
    for key, value in copy.deepcopy(changes).items():
        if key == "fields":
            if isinstance(value, list):
                _merge_rows(item, value, document, problems)
            else:
                line = document.line((*item.place, "fields"))
                problems.add(line, ("mappings", item.name, "fields"), "write a list: one line beginning with `- ` per field row.")
        elif key in ("local", "integration") and isinstance(value, dict):
            raw[key] = {**raw[key], **value}
        elif key != "name":
            raw[key] = value


def _pair(row: dict[str, Any]) -> tuple[str, str]:
    return str(row.get("local") or "").casefold(), str(row.get("integration") or "").casefold()


def _pair_text(row: dict[str, Any]) -> str:
    return f"{row.get('local') or '(none)'} / {row.get('integration') or '(none)'}"


def _merge_rows(item: _Item, changes: list[Any], document: Document, problems: Problems) -> None:
    rows = item.raw["fields"]
    seen: set[tuple[str, str]] = set()
    for index, change in enumerate(changes):
        place: Place = (*item.place, "fields", index)
        if not isinstance(change, dict):
            rows.append(change)
            item.rows.append(index)
            continue
        found = next((n for n, row in enumerate(rows) if isinstance(row, dict) and _pair(row) == _pair(change)), None)
        remove = change.pop("remove", False)
        if _pair(change) in seen:
            problems.add(document.line(place), item.label(place), f"the pair {_pair_text(change)} stands here twice; keep one row.")
        elif remove and found is None:
            pairs = [_pair_text(row) for row in rows if isinstance(row, dict)]
            sentence = f"there is no field row {_pair_text(change)} to remove." + nearest(_pair_text(change), pairs)
            problems.add(document.line(place), item.label(place), sentence)
        elif remove:
            assert found is not None
            del rows[found], item.rows[found]
        elif found is not None:
            rows[found] = {**rows[found], **change}
            item.rows[found] = index
        else:
            rows.append(change)
            item.rows.append(index)
        seen.add(_pair(change))


def _canonical_names(items: list[_Item], document: Document, problems: Problems) -> dict[str, str]:
    """Upper-case name or alias -> the mapping's name."""
    names = {item.name: item.name for item in items}
    for item in items:
        aliases = item.raw.get("aliases")
        for alias in aliases if isinstance(aliases, list) else []:
            folded = str(alias).strip().upper()
            if names.setdefault(folded, item.name) != item.name:
                line = document.line((*item.place, "aliases"))
                problems.add(line, ("mappings", item.name, "aliases"), f'"{folded}" already names the mapping {names[folded]}.')
    return names


def _complete_mapping(raw: dict[str, Any], names: dict[str, str], semantics: str | None) -> None:
    """What a mapping leaves unsaid: names in their one spelling, a row's direction from its mapping, the workspace's semantics."""
    if semantics is not None:
        raw.setdefault("semantics", semantics)
    if isinstance(raw.get("depends_on"), str):
        raw["depends_on"] = [part for part in raw["depends_on"].split("|") if part.strip()]
    for key in ("depends_on", "aliases"):
        if isinstance(raw.get(key), list):
            raw[key] = [_named(part, names if key == "depends_on" else {}) for part in raw[key]]
    direction = raw.get("direction", "bidirectional")
    one_way = direction if direction in ("to_integration", "from_integration") else None
    for row in raw.get("fields") or [] if isinstance(raw.get("fields"), list) else []:
        if not isinstance(row, dict):
            continue
        if one_way and (raw.get("kind") == "option" or "direction" not in row):
            row["direction"] = one_way
        of_row = row.get("direction", "bidirectional")
        if row.get("transformation_rule") and of_row in ("bidirectional", "to_integration", "from_integration"):
            row.setdefault("transformation_direction", "to_integration" if of_row == "bidirectional" else of_row)
        lookup = row.get("lookup")
        if isinstance(lookup, dict) and isinstance(lookup.get("mapping"), str):
            row["lookup"] = {**lookup, "mapping": "|".join(_named(part, names) for part in lookup["mapping"].split("|"))}


def _named(written: Any, names: dict[str, str]) -> Any:
    if not isinstance(written, str):
        return written
    folded = written.strip().upper()
    return names.get(folded, folded)
