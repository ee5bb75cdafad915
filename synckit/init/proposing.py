"""Proposing a workspace: which side is which, which schema and mappings fit, and the commented file that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from synckit.errors import SynckitError
from synckit.init import writing
from synckit.init.looking import Found, FoundTable, candidates, look
from synckit.init.names import singular
from synckit.init.pairing import Known, TablePair, doubtful_key, own_table, pair_tables
from synckit.init.standard import StandardProposal, propose_standard
from synckit.mapping.loading import SHIPPED_SCHEMAS, load_schema
from synckit.mapping.schema import Schema, Table

WORKSPACE = "workspace.yaml"
LEDGER = "ledger.db"
_LOCAL_WORDS = ("business central", "bc", "nav", "navision", "erp", "local")
_INTEGRATION_WORDS = ("dataverse", "crm", "dynamics", "salesforce", "cds", "integration")
_TITLES = {"business_central": "Business Central", "dataverse": "Dataverse"}
#: More tables than this are not written out; those that take part always are.
_TABLES_WRITTEN = 40


@dataclass(frozen=True)
class Proposal:
    """A workspace that could be written: its text, the sentences to say about it, and the names of its mappings."""

    folder: Path
    text: str
    notes: tuple[str, ...]
    mappings: tuple[str, ...]
    local: str
    integration: str


@dataclass(frozen=True)
class Side:
    """One side of the proposal. `schema` is a shipped schema's name, or '' where the tables are described in the file; `known` are
    the tables that can take part, `overrides` the shipped tables that have another name here."""

    found: Found
    title: str
    schema: str = ""
    known: tuple[Known, ...] = ()
    overrides: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


def propose_workspace(folder: str | Path, local: str | None = None, integration: str | None = None) -> Proposal:
    """Look at two systems and propose a workspace for them; nothing is written.

    `folder` holds two SQLite files or two sub-folders of CSV, Excel or Parquet exports (or one of each); `local` and `integration`
    name a side instead: a URL, an SQLite file or a folder (relative paths count from `folder`, else from here). Raises SynckitError
    where there are not two systems to choose, where one cannot be read, or where no table of one fits a table of the other.
    """
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        raise SynckitError(
            f"There is no folder {folder}; name the folder that holds the two databases or the two folders of exports."
        )
    names, why = _chosen(folder, local, integration)
    found = [
        look(name, folder, f"the {side} system", f"{side.upper()}_PASSWORD")
        for name, side in zip(names, ("local", "integration"), strict=True)
    ]
    recognised = [_recognise(one) for one in found]
    if not why:
        found, recognised, why = _in_order(found, recognised)
    sides = [_side(one, schema) for one, schema in zip(found, recognised, strict=True)]
    if sides[0].title == sides[1].title:
        sides = [
            Side(s.found, f"{s.title} ({word})", s.schema, s.known, s.overrides, s.remarks, s.notes)
            for s, word in zip(sides, ("local", "integration"), strict=True)
        ]
    standard: StandardProposal | None = None
    pairs: list[TablePair] = []
    if (sides[0].schema, sides[1].schema) == SHIPPED_SCHEMAS:
        standard = propose_standard(sides[0].found, sides[1].found, sides[0].overrides, sides[1].overrides)
    if standard is None or not standard.names:
        standard = None
        pairs = pair_tables(sides[0].known, sides[1].known)
    if standard is None and not pairs:
        raise SynckitError(
            f"No table of {sides[0].title} ({_some(sides[0].found)}) can be paired with a table of {sides[1].title} "
            f"({_some(sides[1].found)}) by names or values. Write the mappings yourself; the workspace of `synckit demo` is an example.",
            tuple(f"{side.title}: {remark}" for side in sides for remark in side.remarks),
        )
    shown = [_limited(side, pairs, which) for side, which in zip(sides, ("local", "integration"), strict=True)]
    text = writing.workspace_text(shown[0], shown[1], why, standard, pairs)
    mappings = standard.names if standard else tuple(pair.name for pair in pairs)
    return Proposal(folder, text, _notes(folder, shown, why, standard, mappings), mappings, sides[0].title, sides[1].title)


def write_workspace(proposal: Proposal, path: str | Path | None = None) -> Path:
    """Write the proposal as a workspace file (`workspace.yaml` of its folder where `path` is left out) and return its path.

    Never replaces a file: raises SynckitError where there is one. Paths in the proposal count from its folder, so the file belongs
    there.
    """
    target = proposal.folder / WORKSPACE if path is None else Path(path).expanduser().resolve()
    if target.is_dir():
        target = target / WORKSPACE
    if target.parent != proposal.folder:
        raise SynckitError(f"Write the workspace into {proposal.folder}: the paths in it count from there.")
    try:
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(proposal.text)
    except FileExistsError:
        raise SynckitError(f"{target} is there already and is not replaced; move it away, or write to another file.") from None
    except OSError as error:
        raise SynckitError(f"The workspace could not be written to {target}: {error.strerror or error}.") from None
    return target


# --- which side is which --------------------------------------------------------------------------------------------------------


def _chosen(folder: Path, local: str | None, integration: str | None) -> tuple[list[str], str]:
    """What stands on either side, and why; no reason yet where both are the folder's own."""
    if local and integration:
        return [local, integration], "as you said"
    given = local or integration
    named = {(folder / given).resolve(), Path(given).expanduser().resolve()} if given and "://" not in given else set()
    there = [path for path in candidates(folder) if path not in named]
    wanted = 1 if given else 2
    if len(there) != wanted:
        what = ", ".join(path.name for path in there) or "none"
        raise SynckitError(
            f"{folder} should hold {'one more system' if given else 'two systems'} (SQLite files, or sub-folders with CSV, Excel or "
            f"Parquet exports), and holds {len(there)}: {what}. Say which with --local and --integration (a file, a folder or a url)."
        )
    if local:
        return [local, there[0].name], "as you said"
    if integration:
        return [there[0].name, integration], "as you said"
    return [path.name for path in there], ""


def _in_order(found: list[Found], recognised: list[str]) -> tuple[list[Found], list[str], str]:
    turned = found[::-1], recognised[::-1]
    if recognised[0] != recognised[1]:
        turn = recognised[1] == "business_central" or recognised[0] == "dataverse"
        kept = turned if turn else (found, recognised)
        if kept[1][0]:
            return *kept, f"its tables are those of {_TITLES[kept[1][0]]}"
        return *kept, f"the tables of the other side are those of {_TITLES[kept[1][1]]}"
    words = [f" {one.title.casefold()} " for one in found]
    if any(f" {word} " in words[1] for word in _LOCAL_WORDS) or any(f" {word} " in words[0] for word in _INTEGRATION_WORDS):
        return *turned, "by its name"
    if any(f" {word} " in words[0] for word in _LOCAL_WORDS) or any(f" {word} " in words[1] for word in _INTEGRATION_WORDS):
        return found, recognised, "by its name"
    return found, recognised, "by order of names only; swap the two sections if it is the other way round"


def _recognise(found: Found) -> str:
    """The shipped schema whose tables most of these are, or ''."""
    counts = {name: len(shipped_tables(found, load_schema(name))) for name in SHIPPED_SCHEMAS}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else ""


def shipped_tables(found: Found, schema: Schema) -> dict[str, FoundTable]:
    """The schema's tables that are there: name in the schema -> as found. A table counts where its name fits and it has the key, the
    modified-on column, and no more strange columns than known ones."""
    result: dict[str, FoundTable] = {}
    for one in found.tables:
        table = schema.find(one.name) or schema.find(one.name.rpartition("$")[2])
        if table is None or table.name in result:
            continue
        here = [column for column in table.columns if _is_there(column.name, column.column, one, found.is_folder)]
        names = {column.name for column in here}
        if table.uid in names and (table.modified_on in names or not table.modified_on) and 2 * len(here) >= len(one.columns):
            result[table.name] = one
    return result


def _is_there(name: str, column: str, table: FoundTable, is_folder: bool) -> bool:
    return table.find(column, name if is_folder else None) is not None


# --- what a side looks like -----------------------------------------------------------------------------------------------------


def _side(found: Found, schema: str) -> Side:
    if schema:
        described = load_schema(schema)
        tables = shipped_tables(found, described)
        known = tuple(Known(_restricted(described.table(name), one, found.is_folder), one) for name, one in tables.items())
        fits = {name: one.name for name, one in tables.items()}
        overrides = {
            name: there
            for name, there in fits.items()
            if there.casefold()
            not in {described.table(name).table.casefold(), *_folder_names(described.table(name), found.is_folder)}
        }
        strange = sorted(one.name for one in found.tables if one.name not in fits.values() and described.find(one.name) is None)
        remarks = (f"Not described by the schema, and left alone: {', '.join(strange[:12])}.",) if strange else ()
        return Side(found, _TITLES[schema], schema, known, overrides, remarks)
    known_tables, remarks_found, notes = [], [], {}
    for one in found.tables:
        table, said = own_table(one)
        if table is None:
            remarks_found.append(said)
        else:
            known_tables.append(Known(table, one))
            notes[table.name] = said
    return Side(found, found.title, "", tuple(known_tables), {}, tuple(remarks_found), notes)


def _folder_names(table: Table, is_folder: bool) -> set[str]:
    return {table.name.casefold(), table.caption.casefold()} if is_folder else set()


def _restricted(table: Table, found: FoundTable, is_folder: bool) -> Table:
    return table.model_copy(update={"columns": tuple(c for c in table.columns if _is_there(c.name, c.column, found, is_folder))})


def _limited(side: Side, pairs: list[TablePair], which: str) -> Side:
    """A side whose tables are written out holds those that take part, and the others where there are few."""
    if side.schema or len(side.known) <= _TABLES_WRITTEN:
        return side
    used = {(pair.local if which == "local" else pair.integration).table.name for pair in pairs}
    left = len(side.known) - len(used)
    known = tuple(one for one in side.known if one.table.name in used)
    remarks = (*side.remarks, f"{left} more tables are there and are not described here.")
    return Side(side.found, side.title, "", known, side.overrides, remarks, side.notes)


def _some(found: Found) -> str:
    names = [singular(table.name) and table.name for table in found.tables]
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "no tables"


def _notes(
    folder: Path, sides: list[Side], why: str, standard: StandardProposal | None, mappings: tuple[str, ...]
) -> tuple[str, ...]:
    notes = [f"Local side: {sides[0].title} ({why}). Integration side: {sides[1].title}."]
    if standard is not None:
        notes.append(f"The standard mappings fit: {', '.join(mappings)}.")
        notes += [f"{name} is left out: {reason}" for name, reason in standard.left_out.items()]
    else:
        notes.append(f"Tables that belong together by names and values: {', '.join(mappings)}. Look at each pair of fields.")
    for side in sides:
        notes += [f"{side.title}: {remark}" for remark in side.remarks]
        for known in side.known if standard is None else ():
            near = doubtful_key(known.found, known.table.uid)
            notes += (
                [f"{side.title}: {known.table.name}: its rows are told apart by {known.table.uid}, because {near}."] if near else []
            )
        notes += [f"Set the environment variable {name}; the password does not stand in the file." for name in side.found.secrets]
    if (folder / LEDGER).exists():
        return (*notes, f"{LEDGER} is there already; it is used where it belongs to these two systems.")
    return (*notes, "Nothing is coupled yet: import existing couplings, or couple by match, before creating records.")


__all__ = ["WORKSPACE", "Proposal", "Side", "propose_workspace", "shipped_tables", "write_workspace"]
