"""One object that ties systems, mappings and ledger together; every verb of the toolkit hangs off it."""

from __future__ import annotations

import getpass
import html
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from synckit.by_hand import ByHand
from synckit.diagnosing import Diagnosing
from synckit.errors import SynckitError
from synckit.ledger.exchange import ImportReport, export_couplings, import_couplings
from synckit.ledger.ledger import Ledger
from synckit.mapping.checking import Finding, check_mappings
from synckit.mapping.filters import parse_filter
from synckit.mapping.loading import find_workspace, load_schema, load_workspace
from synckit.mapping.model import FilterText
from synckit.mapping.model import Workspace as Description
from synckit.mapping.order import dependency_order
from synckit.mapping.rules import known_rules
from synckit.mapping.schema import nearest
from synckit.mapping.transformation import RuleBook
from synckit.on_duplicates import OnDuplicates
from synckit.planning.bind import SIDES, Side, bind
from synckit.planning.engine import plan_run
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan
from synckit.planning.request import Request
from synckit.planning.tables import CARRIED_OUT
from synckit.reports.wording import count_of, safe
from synckit.systems.canonical import parse_datetime, version_column
from synckit.systems.opening import open_system
from synckit.systems.protocol import System
from synckit.systems.secrets import resolve
from synckit.systems.sql_connect import with_driver
from synckit.waiting import waiting

if TYPE_CHECKING:
    from synckit.applying.progress import Progress as Applied

#: A moment in UTC as databases spell it: planning reads these as they are.
_UTC_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00(:00)?)?")


class Workspace(ByHand, Diagnosing, OnDuplicates):
    """An open workspace: two systems, their mappings, and the ledger. Opening it writes nothing."""

    def __init__(
        self,
        description: Description,
        clock: Callable[[], datetime] | None = None,
        rejected: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.description = description
        self.rejected = tuple(rejected)  # mistakes of the file, left out: there are any only where it was opened to be checked
        self.clock = clock or (lambda: datetime.now(UTC).replace(tzinfo=None))
        self.rulebook = RuleBook(description.transformation_rules, semantics=description.semantics)
        self._systems: dict[Side, System] = {}

    @property
    def path(self) -> str:
        return self.description.path

    @cached_property
    def schemas(self) -> dict[Side, Any]:
        return {side: load_schema(getattr(self.description, side).schema_) for side in SIDES}

    @property
    def systems(self) -> dict[Side, System]:
        """Both sides, opened when first needed."""
        for side in SIDES:
            if side not in self._systems:
                self._systems[side] = open_system(getattr(self.description, side), self.schemas[side], side)
        return self._systems

    @property
    def local(self) -> System:
        return self.systems["local"]

    @property
    def integration(self) -> System:
        return self.systems["integration"]

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger.open(self.description.ledger, identity="\n".join(self.systems[side].identity() for side in SIDES))

    def close(self) -> None:
        """Close connections; the workspace can be used again afterwards."""
        for system in self._systems.values():
            system.close()
        self._systems = {}
        if "ledger" in self.__dict__:
            self.ledger.close()

    def reload(self) -> None:
        """Read the workspace file again, after a change of it. Raises SynckitError, with nothing changed, where it has mistakes."""
        description = load_workspace(self.path)
        self.close()
        for made in ("schemas", "ledger"):
            self.__dict__.pop(made, None)
        self.description = description
        self.rulebook = RuleBook(description.transformation_rules, semantics=description.semantics)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        d = self.description
        return f"<Workspace {Path(d.path).name}: {d.local.name} and {d.integration.name}, {len(d.mappings)} mappings>"

    def _repr_html_(self) -> str:
        d = self.description
        sides = " and ".join(f"<b>{html.escape(safe(side.name))}</b>" for side in (d.local, d.integration))
        return f"<p>{sides} · {count_of(len(d.mappings), 'mapping', 'mappings')} · <code>{html.escape(safe(d.path))}</code></p>"

    # -- looking -------------------------------------------------------------------------------------------------------------------

    def mappings(self) -> pd.DataFrame:
        """The Integration Table Mappings page: one line per mapping in the order of a run."""
        from synckit.reports.mappings_page import mappings_page

        return mappings_page(self.description, self.schemas, self.ledger)

    def check(self, *, connect: bool = True) -> list[Finding]:
        """Every problem of the workspace and its systems, errors first; an empty list is a clean bill."""
        from synckit.systems.checking import check_systems

        findings = [Finding("error", place, sentence) for place, sentence in self.rejected]
        codes = set(self.rulebook.codes)
        unstable = {code for code in codes if self.rulebook.changes_its_own_output(code)}
        try:
            local, integration = self.schemas["local"], self.schemas["integration"]
        except SynckitError as problem:  # without the schemas, nothing more can be said of the mappings
            return [*findings, *(Finding("error", "schema", text) for text in problem.findings or (problem.message,))]
        findings += check_mappings(self.description, local, integration, set(known_rules()), parse_filter, codes, unstable)
        placed = all((of.url is None) != (of.folder is None) for of in (self.description.local, self.description.integration))
        if connect and placed:
            findings += check_systems(
                self.description, self.schemas, lambda side: open_system(getattr(self.description, side), self.schemas[side], side)
            )
        rank = {"error": 0, "warning": 1, "note": 2}
        return sorted(findings, key=lambda f: rank[f.severity])

    @property
    def order(self) -> list[str]:
        """Names of the mappings in the order of a run."""
        return dependency_order(self.description.mappings)

    def rules(self) -> pd.DataFrame:
        """The business rules that the mappings name: rule, mapping, effect, carried_out_by."""
        from synckit.reports.mappings_page import rules_page

        return rules_page(self.description)

    # -- couplings from outside ----------------------------------------------------------------------------------------------------

    def import_couplings(self, path: str | Path, table: str | None = None) -> ImportReport:
        """Take couplings in from a CSV or Excel file (`table`: the sheet), or from the table `table` of a SQL URL; all or none.

        Stamps are respelled where planning would not read them. Raises SynckitError naming every refused row; a coupling that is
        there already stays as it is.
        """
        source = str(path)
        if "://" in source:
            url = with_driver(resolve(source, "the couplings"), "the couplings")
            source = url.render_as_string(hide_password=False)
        names = [mapping.name for mapping in self.description.mappings]
        with waiting("Importing couplings"):
            report = import_couplings(
                self.ledger, source, names, self._table_ids(), table=table, stamp=self._stamp, at=self.clock()
            )
        if report.refused:
            raise SynckitError(str(report).partition("\n")[0], report.refused)
        return report

    def export_couplings(self, path: str | Path) -> int:
        """Write all couplings to a CSV that `import_couplings` reads; returns how many. An existing file is replaced."""
        with waiting("Exporting couplings"):
            return export_couplings(self.ledger, Path(path).expanduser())

    def _table_ids(self) -> dict[int, str]:
        """Table id of a local table -> the mapping it belongs to; an id that two mappings share names none of them."""
        found: dict[int, list[str]] = {}
        for mapping in self.description.mappings:
            table = self.schemas["local"].find(mapping.local.table)
            if table is not None and table.table_id is not None:
                found.setdefault(table.table_id, []).append(mapping.name)
        return {number: names[0] for number, names in found.items() if len(names) == 1}

    def _stamp(self, mapping: str, side: str, text: str) -> str:
        """A stamp as planning reads it: where versions are moments, one that is not in UTC is turned into UTC, a plain one kept."""
        schema, described = self.schemas["local" if side == "local" else "integration"], self.description.mapping(mapping)
        reference = described.local if side == "local" else described.integration
        version = version_column(getattr(self.description, side), schema.table(reference.table))
        if version is None or version.kind != "datetime":
            return text
        try:
            moment = parse_datetime(text)
        except ValueError:
            raise SynckitError(
                f'The {side} stamp "{text}" of a coupling of {mapping} is no date and time; write it like 2026-01-31T08:30:00Z.'
            ) from None
        return text if _UTC_STAMP.fullmatch(text) else f"{moment.isoformat()}Z"

    # -- planning ------------------------------------------------------------------------------------------------------------------

    def plan_full(
        self,
        mappings: Sequence[str] | str | None = None,
        *,
        by_match: Sequence[str] | str = (),
        believe: Sequence[str] | str = (),
        deep_rows: int = 20_000,
    ) -> Plan:
        """Plan a full synchronisation (dry run) of all mappings or of the named ones. Writes nothing anywhere.

        `by_match`: mappings among them that are coupled by match instead, as a review line that recommends coupling asks for.
        `believe`: mappings of which many coupled rows are missing at once, and really are gone (else what follows from that is held).
        `deep_rows`: up to so many uncoupled records of a mapping (both sides together) are held against one another, and against the
        coupled ones, in all their fields; of more, possible duplicates are found by equal e-mail, phone or name alone (`plan.notes`).
        """
        named = _keys(by_match)
        matched = frozenset(self.description.mapping(n).name for n in named)
        return self._plan(mappings, Request("full", by_match=matched, believed=self._believed(believe), deep_rows=deep_rows))

    def plan_modified(
        self,
        mappings: Sequence[str] | str | None = None,
        *,
        from_start: bool = False,
        unconditional: bool = False,
        direction: str | None = None,
        deletions: bool = True,
        believe: Sequence[str] | str = (),
    ) -> Plan:
        """Plan a synchronisation of modified records: rows newer than the watermarks, and those that are due.

        `from_start` looks at all rows but transfers changed ones only; `unconditional` compares every coupled row. `direction` ("to",
        "from") limits the run to one pass; `deletions=False` leaves out the search for deleted partners;
        `believe` names mappings of which many rows are missing at once, and really are gone.
        """
        kind: Any = "unconditional" if unconditional else "modified"
        return self._plan(mappings, Request(kind, from_start, _direction(direction), deletions=deletions, believed=self._believed(believe)))  # fmt: skip

    def _believed(self, names: Sequence[str] | str) -> frozenset[str]:
        return frozenset(self.description.mapping(n).name for n in _keys(names))

    def plan_records(
        self,
        mapping: str,
        *,
        local: str | Sequence[str] = (),
        integration: str | Sequence[str] = (),
        direction: str | None = None,
        force: bool | None = None,
        create: bool | None = None,
    ) -> Plan:
        """Plan a synchronisation of chosen records ("Synchronize Now").

        With `direction` ("to", "from") that side's values win, whatever changed (S-025, S-074); without one, what changed is merged and
        a collision is a conflict. `force=False` keeps the usual caution. `create` says whether an uncoupled record gets a partner
        (None: as the mapping says). Keys are those of the couplings, or the local record's number ("10000").
        """
        bound = self.description.mapping(mapping)
        way = _direction(direction)
        chosen = {"local": _keys(local), "integration": _keys(integration)}
        keys = {side: self.resolve_keys(bound.name, side, chosen[side]) for side in SIDES}
        forced = (way is not None) if force is None else force
        both = {bound.name: self._both_sides(bound.name, keys)}
        request = Request("records", False, way, forced, create, chosen=both, only_creates=bool(create))
        plan = self._plan([bound.name], request)
        return plan.merged() if way is None else plan

    def _plan(self, mappings: Sequence[str] | str | None, request: Request) -> Plan:
        names = [mappings] if isinstance(mappings, str) else mappings
        with waiting("Planning", len(names or self.order)) as told:
            return plan_run(
                self.description, self.systems, self.ledger, names, request, self.clock(), operator(), self.rulebook,
                told,
            )  # fmt: skip

    def _both_sides(self, name: str, keys: dict[Side, list[str]]) -> dict[Side, frozenset[str]]:
        """The chosen records with their coupled partners: either row of a pair stands for the pair."""
        table = self.ledger.couplings_of(name, keys["local"], keys["integration"])
        found: dict[Side, set[str]] = {side: set(keys[side]) for side in SIDES}
        for local, integration in zip(
            table.column("local_key").to_pylist(), table.column("integration_key").to_pylist(), strict=True
        ):
            if local in found["local"] or integration in found["integration"]:
                found["local"].add(local)
                found["integration"].add(integration)
        return {side: frozenset(found[side]) for side in SIDES}

    def resolve_keys(self, mapping: str, side: Side, given: Sequence[str]) -> list[str]:
        """Keys as couplings use them, for keys or record numbers as people write them. Raises SynckitError for what does not exist."""
        if not given:
            return []
        schemas = {s: self.systems[s].schema for s in SIDES}
        bound = bind(self.description.mapping(mapping), self.description, schemas).side(side)
        if bound.option_set is not None:
            return list(given)
        name = self.description.mapping(mapping).name
        number = bound.key or bound.uid
        names = list(dict.fromkeys([bound.uid.name, number.name]))
        coupled = self.ledger.couplings_of(name, *((given, ()) if side == "local" else ((), given)))
        known = set(coupled.column(f"{side}_key").to_pylist())
        numbers: dict[str, str] = {}
        with self.systems[side].snapshot() as snapshot:

            def look(keys: Sequence[str] | None, column: str | None) -> None:
                rows = snapshot.read(bound.table, names, keys=keys, key_column=column).read_all()
                uids = [str(k) for k in rows.column(0).to_pylist()]
                known.update(uids)
                numbers.update(zip((str(v) for v in rows.column(len(names) - 1).to_pylist()), uids, strict=True))

            look(given, bound.uid.name)
            look(given, number.name)
            lost = [key for key in given if key not in known and key not in numbers]
            if lost:
                look(None, None)  # to name the nearest; blanks around a number and the like are found here, too
        found = []
        for key in given:
            hit = key if key in known else numbers.get(key)
            if hit is None:
                raise SynckitError(
                    f'{self.systems[side].title} has no record "{key}" in {bound.table.caption or bound.table.name}.'
                    + nearest(key, list(numbers)[:5000])
                )
            found.append(hit)
        return found

    @property
    def operator(self) -> str:
        """Who is at the keyboard, as the operating system says."""
        return operator()

    def load_plan(self, path: str) -> Plan:
        return load_plan(path)

    def exclude(
        self,
        plan: Plan,
        mapping: str,
        *,
        local: FilterText | None = None,
        integration: FilterText | None = None,
        note: str = "",
        by: str = "",
    ) -> Plan:
        """A new plan without the writes of the records that a filter lets through now: `local` a filter on the local table (written as
        in the mapping, such as "Country/Region Code: DE|AT; Name: @*test*"), `integration` one on the other; with both, a record that
        either lets through. Raises SynckitError where the filter cannot be read or none of the plan's writes is among them."""
        from synckit.diagnosis.trying import keys_inside

        name = self.description.mapping(mapping).name
        given: dict[Side, FilterText | None] = {"local": local, "integration": integration}
        asked: dict[Side, FilterText] = {side: text for side, text in given.items() if text is not None}
        if not asked:
            raise SynckitError("Say which records to leave out: local= or integration= with a filter.")
        if not all(text.strip() if isinstance(text, str) else text for text in asked.values()):
            raise SynckitError(
                f"The filter is empty: every record would be left out. To leave out all of {name}, exclude the mapping."
            )
        rows = plan.records(name, CARRIED_OUT)
        hit = pd.Series(False, index=rows.index)
        for side, text in asked.items():
            hit |= rows[f"{side}_key"].isin(keys_inside(self, name, side, text))
        if not hit.any():
            said = " or ".join(f"{side}: {text}" for side, text in asked.items())
            raise SynckitError(f"None of the plan's writes of {name} is inside the filter ({said}). Nothing was left out.")
        return plan.exclude(
            name, records=rows[hit], note=note or "; ".join(f"{side}: {text}" for side, text in asked.items()), by=by
        )

    # -- applying ------------------------------------------------------------------------------------------------------------------

    def apply(
        self,
        plan: Plan,
        *,
        accept: Sequence[str] = (),
        keep_creating: Any = "no",
        progress: Any = None,
        should_stop: Callable[[], bool] | None = None,
        over_limit: Sequence[str] = (),
        confirm: str = "",
        take_over: bool = False,
    ) -> Any:
        """Carry out exactly the rows of `plan`; see synckit.applying.apply.apply_plan."""
        from synckit.applying.apply import apply_plan

        given: dict[str, Any] = {"accept": accept, "keep_creating": keep_creating, "should_stop": should_stop, "over_limit": over_limit,
                                 "confirm": confirm, "take_over": take_over}  # fmt: skip
        if progress is not None:
            return apply_plan(self, plan, progress=progress, **given)
        with waiting("Applying", plan.writes) as told:

            def tell(p: Applied) -> None:
                rows = f"{p.done:,} of {p.total:,} rows, {p.rows_per_second:,.0f} rows per second"
                told.say(f"Applying: {p.mapping}, {rows}", p.done)

            return apply_plan(self, plan, progress=tell, **given)

    def resume(self) -> Any:
        """Bring an interrupted run to a truthful end; None where there is none."""
        from synckit.applying.resume import resume_run

        with waiting("Resuming"):
            return resume_run(self)

    # -- jobs ----------------------------------------------------------------------------------------------------------------------

    def jobs(self, mapping: str | None = None, *, run: int | None = None, limit: int | None = None) -> pd.DataFrame:
        """The Integration Synchronization Jobs page, newest first: counters as they became, and as planned."""
        name = None if mapping is None else self.description.mapping(mapping).name
        return self.ledger.jobs(name, run=run, limit=limit).to_pandas()

    def errors(self, mapping: str | None = None, *, run: int | None = None, limit: int | None = None) -> pd.DataFrame:
        """The Integration Synchronization Errors page, newest first."""
        name = None if mapping is None else self.description.mapping(mapping).name
        return self.ledger.errors(name, run=run, limit=limit).to_pandas()

    def skipped(self, mapping: str | None = None) -> pd.DataFrame:
        """The Coupled Data Synchronization Errors page: records left out until they are retried."""
        return self.ledger.skipped(None if mapping is None else self.description.mapping(mapping).name).to_pandas()


def _direction(text: str | None) -> Any:
    """ "to" or "from", also as to_integration, from_integration; None for both."""
    if text is None:
        return None
    short = {
        "to": "to",
        "to_integration": "to",
        "to-integration": "to",
        "from": "from",
        "from_integration": "from",
        "from-integration": "from",
    }
    if text not in short:
        raise SynckitError(f'There is no direction "{text}". Write to or from.')
    return short[text]


def _keys(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def open_workspace(path: str | Path | None = None) -> Workspace:
    """Open a workspace file, or the one in this folder. Raises SynckitError naming everything that is wrong with it."""
    return Workspace(load_workspace(find_workspace(Path.cwd()) if path is None else path))


def open_to_check(path: str | Path | None = None) -> Workspace:
    """As `open_workspace`, for `check` alone: what is wrong is left out and told among its findings, so that it hides nothing else."""
    rejected: list[tuple[str, str]] = []
    description = load_workspace(find_workspace(Path.cwd()) if path is None else path, rejected=rejected)
    return Workspace(
        description, rejected=sorted(rejected, key=lambda told: [int(n) for n in re.findall(r"line (\d+)", told[0])[:1]])
    )


def operator() -> str:
    """Who is at the keyboard, as the operating system says."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


__all__ = ["SynckitError", "Workspace", "open_workspace", "operator"]
