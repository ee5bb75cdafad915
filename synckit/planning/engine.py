"""From two snapshots to a plan: every mapping in dependency order, each read, reconciled and decided over what was planned before it."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import LostConnectionError, PassingError, SynckitError
from synckit.ledger.ledger import Ledger
from synckit.logs import note
from synckit.mapping.model import PASS_DIRECTION, Pass, Workspace
from synckit.mapping.order import dependency_order
from synckit.mapping.rules import TableMap
from synckit.mapping.transformation import RuleBook
from synckit.planning import reconcile as sql
from synckit.planning.bind import SIDES, BoundMapping, Side, bind
from synckit.planning.called import called
from synckit.planning.mapping_plan import plan_mapping
from synckit.planning.plan import Plan, PlanBase
from synckit.planning.plan import Side as PlanSide
from synckit.planning.planned_mapping import MappingHead, MappingPlan, fingerprint
from synckit.planning.request import Request
from synckit.planning.snapshot import Tables
from synckit.planning.steps import second_steps
from synckit.planning.suspicion import hold_back
from synckit.planning.tables import CHANGES, CONFLICTS, DEPENDS, DUPLICATES, ERRORS, EVIDENCE, PAIR_CHANGES, PAIRS, REVIEW, ROWS
from synckit.systems.marks import marks_in
from synckit.systems.protocol import Snapshot, System

Progress = Callable[[str, int], None]  # (what is being read, rows so far)


@dataclass
class Planning:
    """Everything one planning run shares between its mappings."""

    workspace: Workspace
    systems: Mapping[Side, System]
    ledger: Ledger
    rulebook: RuleBook
    now: datetime
    snapshots: Mapping[Side, Snapshot]
    con: duckdb.DuckDBPyConnection
    tables: Tables
    bound: dict[str, BoundMapping]
    progress: Progress
    request: Request
    known: dict[str, pa.Table] = field(default_factory=dict)  # per mapping: what references to it resolve to
    done: set[str] = field(default_factory=set)  # what follow-ups of rules do once only

    @property
    def today(self) -> date:
        return self.now.date()

    @cached_property
    def referred(self) -> set[str]:
        """Names of the mappings that fields or business rules of any mapping refer to."""
        by_rules = {name for b in self.bound.values() for rule in b.rules for name in rule.couplings}
        return by_rules.union(*(b.lookups() for b in self.bound.values()))

    def coupled(self, mapping: str) -> pa.Table:
        """Records of `mapping` that are coupled or planned: local_key, code, integration_key, state, source_key."""
        if mapping not in self.known:
            if mapping not in self.bound:
                self.known[mapping] = NO_KNOWN.empty_table()
            else:
                self.known[mapping] = self.from_ledger(self.bound[mapping])
        return self.known[mapping]

    def from_ledger(self, bound: BoundMapping) -> pa.Table:
        """What is coupled in a mapping that is not planned (now, or not yet): couplings and the codes of their local rows."""
        couplings = self.ledger.couplings(bound.name)
        side = bound.local
        names = list(dict.fromkeys([side.uid.name, side.key.name if side.key else side.uid.name]))
        rows = self.snapshots["local"].read(side.table, names).read_all()
        codes = pa.table({"uid": pc.cast(rows.column(names[0]), pa.string()), "code": pc.cast(rows.column(names[-1]), pa.string())})
        code = TableMap.of(codes, "uid").look(couplings.column("local_key").combine_chunks(), "code")
        n = couplings.num_rows
        known = pa.table(
            {
                "local_key": couplings.column("local_key"),
                "code": code,
                "integration_key": couplings.column("integration_key"),
                "state": pa.repeat(pa.scalar("coupled"), n),
                "source_key": pa.nulls(n, pa.string()),
                "pass": pa.nulls(n, pa.string()),
                "mapping": pa.repeat(pa.scalar(bound.name), n),
            }
        )
        return with_local_currency(self, bound, known.filter(pc.is_valid(known.column("code"))))

    def prepare_lookup(self, reference: str, in_pass: Pass) -> None:
        """Fill the table that resolves references to `reference` ("A|B": either) in one pass; each code, or each key, once."""
        name = sql.lookup_table(reference, in_pass)
        whole = pa.concat_tables([self.coupled(n) for n in reference.split("|")])
        by = "code" if in_pass == "to" else "integration_key"
        self.con.register("known_rows", whole)
        self.con.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT {by}, arg_min({{rest}}) AS row FROM known_rows WHERE {by} IS NOT NULL GROUP BY {by}".replace(
                "{rest}", "struct_pack(local_key := local_key, code := code, integration_key := integration_key, state := state, "
                "source_key := source_key, mapping := mapping), COALESCE(local_key, '') || COALESCE(integration_key, '')"
            )
        )  # fmt: skip
        other = "integration_key" if by == "code" else "code"
        self.con.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT {by}, row.{other} AS {other}, row.state AS state, row.source_key AS source_key, "
            f"row.mapping AS mapping FROM {name}"
        )
        self.con.unregister("known_rows")


NO_KNOWN = pa.schema([(n, pa.string()) for n in ("local_key", "code", "integration_key", "state", "source_key", "pass", "mapping")])


def with_local_currency(planning: Planning, bound: BoundMapping, known: pa.Table) -> pa.Table:
    """Add the integration row that a blank currency code stands for: the one whose match field equals the local currency."""
    workspace = planning.workspace
    looked_up_blank = any(
        f.lookup and f.lookup.blank_local and bound.name in f.lookup.mapping.split("|")
        for m in workspace.mappings
        for f in m.fields
    )
    match = next((f.integration for f in bound.mapping.fields if f.use_for_match and f.integration), None)
    if not looked_up_blank or not workspace.local_currency or match is None:
        return known
    side = bound.integration
    column = side.table.column(match)
    rows = planning.snapshots["integration"].read(side.table, [side.uid.name, column.name]).read_all()
    hit = rows.filter(pc.equal(rows.column(column.name), workspace.local_currency)).column(side.uid.name).to_pylist()
    if not hit:
        return known
    row = {
        "local_key": None,
        "code": "",
        "integration_key": min(hit),
        "state": "coupled",
        "source_key": None,
        "pass": None,
        "mapping": bound.name,
    }
    own = known.filter(pc.not_equal(pc.fill_null(known.column("integration_key"), ""), row["integration_key"]))
    return pa.concat_tables([own.select(NO_KNOWN.names).cast(NO_KNOWN), pa.Table.from_pylist([row], NO_KNOWN)])


WAITS = (1.0, 5.0, 15.0)  # seconds before planning begins anew after a lost connection


def plan_run(
    workspace: Workspace,
    systems: Mapping[Side, System],
    ledger: Ledger,
    names: Sequence[str] | None,
    request: Request,
    now: datetime,
    operator: str,
    rulebook: RuleBook,
    progress: Progress = lambda what, rows: None,
) -> Plan:
    """Plan a run of all mappings, or of `names` (nothing is written anywhere).

    A full synchronisation makes a create of every uncoupled row inside the filter, whatever `only_coupled` says, and compares every
    coupled row whose source passes the source side's filter; an incremental run looks at what is newer than the watermarks and at
    what is due (documentation of the reference; design section 5). Option mappings take no part in an incremental run of all.
    A connection that is lost on the way is waited for: planning then begins anew, as both systems are read at one moment.
    """
    lost = False
    for wait in (*WAITS, None):
        try:
            with planning_run(workspace, systems, ledger, request, now, rulebook, progress) as planning:
                bound, order = planning.bound, dependency_order(workspace.mappings)
                if names is not None:
                    wanted = {workspace.mapping(x).name for x in names}
                    chosen = [n for n in order if n in wanted]
                else:
                    chosen = [n for n in order if request.kind == "full" or bound[n].mapping.kind != "option"]
                return assemble(planning, plan_mappings(planning, chosen), order=chosen, operator=operator, whole=names is None)
        except PassingError as problem:
            lost = lost or isinstance(problem, LostConnectionError)  # then a server that cannot be reached is one that comes back
            if not lost:
                raise
            if wait is None:
                raise SynckitError(f"{problem.message} It was tried {len(WAITS) + 1} times; nothing has been written.") from None
            note("planning begins anew", seconds=wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


@contextmanager
def planning_run(
    workspace: Workspace,
    systems: Mapping[Side, System],
    ledger: Ledger,
    request: Request,
    now: datetime,
    rulebook: RuleBook,
    progress: Progress = lambda what, rows: None,
) -> Iterator[Planning]:
    """Everything that planning needs, over one snapshot of either side; closed with it. Raises SynckitError while someone applies."""
    schemas = {side: systems[side].schema for side in SIDES}
    bound = {m.name: bind(m, workspace, schemas) for m in workspace.mappings}
    with ExitStack() as stack:
        for attempt in range(5):
            counter = ledger.run_counter()
            reading = stack.enter_context(ExitStack())
            snapshots = {side: reading.enter_context(systems[side].snapshot()) for side in SIDES}
            if ledger.run_counter() == counter and ledger.lease.holder() is None:
                break
            reading.close()
            if attempt == 4:
                raise SynckitError(
                    "Another synchronisation is being applied right now. Wait until it has finished, then plan again."
                )
            time.sleep(0.2)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="synckit-", ignore_cleanup_errors=True))
        con = stack.enter_context(planning_database(workspace.memory, Path(folder)))
        tables = Tables(snapshots, systems)
        con.execute(
            "CREATE TABLE planned (mapping VARCHAR, pass VARCHAR, source_key VARCHAR, record BIGINT, state VARCHAR, name VARCHAR)"
        )
        yield Planning(workspace, systems, ledger, rulebook, now, snapshots, con, tables, bound, progress, request)


def plan_mappings(planning: Planning, chosen: Sequence[str]) -> list[MappingPlan]:
    """The plans of `chosen`, each made over what those before it plan."""
    from synckit.planning.matching import matched_part

    parts = []
    with ThreadPoolExecutor(3) as readers:  # both sides and the couplings
        for name in chosen:
            bound = planning.bound[name]
            if name in planning.request.by_match:
                parts.append(matched_part(planning, name, readers))
                continue
            passes = planning.request.passes(bound.mapping)
            if passes:
                try:
                    parts.append(plan_mapping(planning, replace(bound, passes=passes), readers))
                except duckdb.OutOfMemoryException:
                    raise SynckitError(
                        f"Mapping {name} cannot be planned with memory: {planning.workspace.memory}. Write more into the workspace, or plan "
                        "fewer rows."
                    ) from None
            else:
                parts.append(against_direction(bound, planning.request))
    return parts


def against_direction(bound: BoundMapping, request: Request) -> MappingPlan:
    """A run against a mapping's direction: one job that says so, and nothing else (S-018, M4)."""
    assert request.direction is not None
    message = f"Mapping {bound.name} is not set up for {PASS_DIRECTION[request.direction].replace('_', ' ')}: its direction is {bound.mapping.direction}."
    head = MappingHead(
        name=bound.name, direction=bound.mapping.direction, kind=bound.mapping.kind, passes=(request.direction,),
        only_coupled=bound.mapping.only_coupled, recommendation="", fingerprint=fingerprint(bound),
        tables={side: bound.side(side).table.name for side in SIDES}, keys={side: bound.side(side).uid.name for side in SIDES},
        counts=dict.fromkeys(SIDES, 0), seen={}, columns={request.direction: ()}, drawn={}, messages={request.direction: message},
    )  # fmt: skip
    empty = (ROWS, CHANGES, ERRORS, DEPENDS, REVIEW, DUPLICATES, QUIET)
    rows, changes, errors, depends, review, duplicates, quiet = (schema.empty_table() for schema in empty)
    return MappingPlan(head, rows, changes, errors, depends, review, duplicates, quiet, {}, CONFLICTS.empty_table(), [], bound)


def planning_database(memory: str, folder: Path) -> duckdb.DuckDBPyConnection:
    """An embedded database for one planning: in memory up to `memory`, beyond it in a private folder that is removed afterwards."""
    pa.set_memory_pool(pa.system_memory_pool())  # gives back what a step no longer needs; the default pool keeps up to a fifth more
    con = duckdb.connect(":memory:", config={"temp_directory": str(folder), "preserve_insertion_order": "false"})
    con.execute(f"SET memory_limit = {sql.literal(memory)}")
    con.execute("SET enable_progress_bar = false")
    return con


def assemble(planning: Planning, parts: list[MappingPlan], order: list[str], operator: str, whole: bool) -> Plan:
    """The plan whose mappings are `parts`."""
    parts = [hold_back(planning, part, planning.request.believed) for part in parts]
    second_steps(planning, parts)
    base = PlanBase(
        kind=planning.request.kind,
        made_at=planning.now,
        operator=operator,
        ledger_id=planning.ledger.ledger_id,
        run_counter=planning.ledger.run_counter(),
        order=tuple(order),
        whole=whole,
        sides={
            side: PlanSide(
                title=planning.systems[side].title,
                address=planning.systems[side].address,
                identity=planning.systems[side].identity(),
                read_only=planning.systems[side].read_only,
                taken_at=planning.snapshots[side].taken_at,
                consistent=planning.snapshots[side].consistent,
                mark=_mark(planning, side),
            )
            for side in SIDES
        },
        mappings={p.head.name: p.head for p in parts},
        rows=pa.concat_tables([ROWS.empty_table(), *(p.rows for p in parts)]),
        changes=pa.concat_tables([CHANGES.empty_table(), *(p.changes for p in parts)]),
        errors=pa.concat_tables([ERRORS.empty_table(), *(p.errors for p in parts)]),
        depends=pa.concat_tables([DEPENDS.empty_table(), *(p.depends for p in parts)]),
        review=pa.concat_tables([REVIEW.empty_table(), *(p.review for p in parts)]),
        duplicates=pa.concat_tables([DUPLICATES.empty_table(), *(p.duplicates for p in parts)]),
        conflicts=pa.concat_tables([CONFLICTS.empty_table(), *(p.conflicts for p in parts)]),
        evidence=pa.concat_tables([EVIDENCE.empty_table(), *(p.likeness.evidence for p in parts if p.likeness)]),
        pairs=pa.concat_tables([PAIRS.empty_table(), *(p.likeness.pairs for p in parts if p.likeness)]),
        pair_changes=pa.concat_tables([PAIR_CHANGES.empty_table(), *(p.likeness.pair_changes for p in parts if p.likeness)]),
        notes=tuple(note for p in parts if p.likeness for note in p.likeness.notes),
        creates={key: table for p in parts for key, table in p.creates.items()},
        called=called(planning, parts),
        quiet=pa.concat_tables([QUIET.empty_table(), *(p.quiet for p in parts)]),
    )
    return Plan(base)


def _mark(planning: Planning, side: Side) -> str:
    """Whether this ledger has marked a system, or would at the first write (see synckit.systems.marks)."""
    system = planning.systems[side]
    wanted = (planning.workspace.local if side == "local" else planning.workspace.integration).mark
    if not wanted or system.read_only or f"mark:{side}" in planning.ledger.settings():
        return ""
    marks = marks_in(system)
    ours = any((m.ledger_id, m.side) == (planning.ledger.ledger_id, side) for m in marks or ())
    return "" if marks is None else "ours" if ours else "new"


#: Rows that need no look: nothing is written, nothing is wrong. One line per record and pass.
QUIET = pa.schema(
    [
        ("mapping", pa.string()),
        ("pass", pa.string()),
        ("local_key", pa.string()),
        ("integration_key", pa.string()),
        ("disposition", pa.string()),
    ]
)


def planned_key(ledger_id: str, mapping: str, side: Side, source_key: str, times: int) -> str:
    """The key of a row to be created: the same plan gives the same key, a later creation for the same source row another one."""
    return str(uuid.uuid5(uuid.UUID(ledger_id), f"{mapping}|{side}|{source_key}|{times}"))


__all__ = ["Planning", "assemble", "plan_mappings", "plan_run", "planned_key", "planning_run"]
