"""The workspace file that `synckit init` writes: complete, and commented with the reason of every choice and what to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from synckit.init.looking import quoted
from synckit.init.pairing import FieldPair, Known, TablePair, rows, version_of
from synckit.init.standard import Change, StandardProposal
from synckit.mapping.schema import Column
from synckit.systems.sql_values import shape_of

if TYPE_CHECKING:
    from synckit.init.proposing import Side

_OWNERSHIP = {
    "person": "Both sides have salespeople and users, so rows are owned by the user coupled with the salesperson",
    "team": "There is no pair of salespeople and users, so rows are owned by the team of the company",
}


def workspace_text(local: Side, integration: Side, why: str, standard: StandardProposal | None, pairs: Sequence[TablePair]) -> str:
    """The whole file."""
    lines = [
        "# A workspace proposed by `synckit init`: which two systems are synchronised, and how. Everything can be edited; each proposal",
        "# says why it was made. Look through it, then run `synckit check`, then `synckit plan full`: neither writes to any system.",
        "",
        "# Where synckit keeps what it remembers: couplings, watermarks, jobs, the journal of every write. Made when first needed.",
        "ledger: ledger.db",
        "",
    ]
    settings = standard.settings if standard else {}
    if standard is not None:
        lines += [f"# {_OWNERSHIP[standard.ownership]}.", f"ownership_model: {standard.ownership}", ""]
        for key in ("local_currency", "base_currency"):
            if key in settings:
                value, reason = settings[key]
                lines += [f"{key}: {quoted(value)}  # {reason}", ""]
            else:
                lines += [f"# {key}: EUR  # could not be told from the rows; write it, the exchange rates need it", ""]
    lines += [f"# The local side ({why})."]
    lines += _system("local", local, {key: settings[key] for key in ("company", "company_id") if key in settings})
    lines += ["", "# The integration side."]
    lines += _system("integration", integration, {key: settings[key] for key in ("integration_user",) if key in settings})
    lines += [""]
    lines += _standard(standard) if standard is not None else _own(pairs)
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """A text of the systems inside a comment: on one line, with nothing that could end it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


# --- a side ---------------------------------------------------------------------------------------------------------------------


def _system(key: str, side: Side, settings: dict[str, tuple[str, str]]) -> Iterator[str]:
    yield f"{key}:"
    yield f"  name: {quoted(side.title)}  # how screens and messages call it"
    for name in side.found.secrets:
        yield f"  # The password is not written down: set the environment variable {name} before you start synckit."
    yield f"  {side.found.written}"
    if side.found.is_folder:
        yield "  # Exports are read-only: plans and diagnosis work, nothing can be written to them."
    yield from _version(side)
    for name, (value, reason) in settings.items():
        yield f"  {name}: {quoted(value)}  # {_comment(reason)}"
        if name == "integration_user":
            yield "  modified_by: modifiedby  # says who changed a row last, so that synckit's own changes are not read back"
    if side.overrides:
        yield "  # Tables that have another name here than in the schema."
        yield "  tables:"
        yield from (f"    {name}: {quoted(there)}" for name, there in side.overrides.items())
    for remark in side.remarks:
        yield f"  # {_comment(remark)}"
    if side.schema:
        yield f"  schema: {side.schema}  # its tables and columns are those of {side.title}"
    else:
        yield from _schema(key, side)


def _version(side: Side) -> Iterator[str]:
    if side.found.is_folder:
        return
    triggers = [known.found.name for known in side.known if known.found.triggers]
    coarse = []
    for known in side.known:
        column, _ = version_of(known.found)
        if column is not None and column.type == "datetime":
            shown = [value for value in column.values if value]
            coarse += [known.found.name] if shown and not any(shape_of(value)[1] for value in shown[:200]) else []
    yield "  version:"
    if triggers:
        yield f"    # {_comment(', '.join(triggers[:3]))} has triggers: the database seems to keep the modified-on columns itself."
        yield "    # Write `synckit` where it does not."
        yield "    kept_by: server"
    else:
        yield "    # No trigger keeps the modified-on columns, so synckit moves them with each row it writes. Write `server` where the"
        yield "    # application or the database does that for every writer."
        yield "    kept_by: synckit"
    if coarse:
        yield f"    resolution: 1  # seconds: the moments in {_comment(', '.join(coarse[:3]))} have no fractions"


def _schema(key: str, side: Side) -> Iterator[str]:
    spelled = "lower"
    for known in side.known:
        for column in known.found.columns:
            example = next((v for v in column.values if v), "") if column.type == "guid" else ""
            if example.startswith("{"):
                spelled = "braces"
            elif example != example.lower() and spelled == "lower":
                spelled = "upper"
    yield "  # What is there, as found: a column's type may be corrected, and `column:` given where people should see another name."
    yield "  schema:"
    yield f"    name: {quoted(key + '_tables')}"
    yield '    blank: "null"'
    if spelled != "lower":
        yield f"    guid: {spelled}  # how GUIDs are spelled in the database"
    yield "    tables:"
    for known in side.known:
        yield from _table(known, side.notes.get(known.table.name, ""))


def _table(known: Known, note: str) -> Iterator[str]:
    table = known.table
    yield f"      # {_comment(known.found.name)}: {rows(known.found.rows)}. {_comment(note)}".rstrip()
    yield f"      - name: {quoted(table.name)}"
    yield f"        primary_key: [{', '.join(quoted(name) for name in table.primary_key)}]"
    yield f"        uid: {quoted(table.uid)}"
    if table.modified_on:
        yield f"        modified_on: {quoted(table.modified_on)}"
    if table.name_column:
        yield f"        name_column: {quoted(table.name_column)}"
    yield "        columns:"
    for column in table.columns:
        rounded = "  # stored as a binary fraction: values are rounded to this scale" if known.stored(column).fraction else ""
        yield f"          - {{{_column(column)}}}{rounded}"


def _column(column: Column) -> str:
    parts = [f"name: {quoted(column.name)}", f"type: {column.type}"]
    parts += [f"length: {column.length}"] if column.length else []
    parts += [f"scale: {column.scale}"] if column.scale is not None else []
    parts += ["nullable: false"] if not column.nullable else []
    return ", ".join(parts)


# --- mappings -------------------------------------------------------------------------------------------------------------------


def _standard(standard: StandardProposal) -> Iterator[str]:
    yield "# What is synchronised with what: the standard mappings, because both sides have their tables. `synckit mappings` shows them."
    if not standard.changes and not standard.left_out:
        yield "# To change one, write a list:"
        yield "#   - standard"
        yield "#   - CUSTOMER: {only_coupled: false}"
        yield "mappings: standard"
        return
    for name, reason in standard.left_out.items():
        yield f"# {name} is left out: {_comment(reason)}"
    yield "mappings:"
    for name in standard.names:
        change = standard.changes.get(name)
        if change is None:
            yield f"  - {name}"
        else:
            yield from _changed(name, change)


def _changed(name: str, change: Change) -> Iterator[str]:
    yield f"  - {name}:"
    if change.rows:
        yield "      fields:"
    for local, integration, why in change.rows:
        sides = [f"{side}: {quoted(value)}" for side, value in (("local", local), ("integration", integration)) if value]
        yield f"        - {{{', '.join([*sides, 'enabled: false'])}}}  # {_comment(why)}"
    for rule, why in change.rules:
        yield f"      # without the rule {rule}: {_comment(why)}"
    if change.rules:
        yield f"      rules: [{', '.join(change.rules_kept)}]"


def _own(pairs: Sequence[TablePair]) -> Iterator[str]:
    yield "# What is synchronised with what. Each pair says why it was proposed; correct what does not belong together."
    yield "mappings:"
    for pair in pairs:
        yield f"  # {_comment(pair.why)}"
        for left in pair.left:
            yield f"  # Left out, {_comment(left)}."
        yield f"  - name: {quoted(pair.name)}"
        for side, known in (("local", pair.local), ("integration", pair.integration)):
            yield f"    {side}: {{table: {quoted(known.table.name)}}}"
        yield "    direction: bidirectional  # or to_integration, from_integration"
        yield "    only_coupled: true  # a run leaves uncoupled records alone; a full synchronisation still shows them as creates"
        yield "    fields:"
        yield from (_field(field) for field in pair.fields)


def _field(field: FieldPair) -> str:
    parts = [f"local: {quoted(field.local.name)}", f"integration: {quoted(field.integration.name)}"]
    parts += [f"direction: {field.direction}"] if field.direction != "bidirectional" else []
    parts += ["use_for_match: true"] if field.match else []
    parts += [f"lookup: {{mapping: {quoted(field.lookup)}}}"] if field.lookup else []
    why = field.why + ("; tells records apart best, so it couples records by match" if field.match else "")
    return f"      - {{{', '.join(parts)}}}  # {_comment(why)}"
