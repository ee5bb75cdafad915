"""Resuming: what was on its way when a run was cut off is looked up in the systems, then the rest of its plan is carried out."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from synckit.applying.actual import COUPLING
from synckit.applying.chunk import Chunk, Line, Sending
from synckit.applying.progress import Progress, Run
from synckit.applying.run import Applier, KeepCreating
from synckit.applying.values import typed
from synckit.errors import PassingError, SynckitError
from synckit.ledger.lease import Holder
from synckit.logs import note
from synckit.mapping.model import PASS_DIRECTION
from synckit.mapping.schema import Column, Table
from synckit.planning.bind import SIDES
from synckit.planning.plan import Plan
from synckit.planning.planfile import read_plan
from synckit.planning.stage import as_text
from synckit.systems.protocol import VERSION_TOKEN, Outcome, System, Write

if TYPE_CHECKING:
    from synckit.workspace import Workspace

TRIES = 5
WAIT = 0.25  # seconds, doubled with each try

SETTLED_AT_ONCE = 1000
UNFINISHED = ("running", "interrupted")
PASS_OF = {direction: in_pass for in_pass, direction in PASS_DIRECTION.items()}


def resume_run(
    ws: Workspace, progress: Callable[[Progress], None] | None = None, should_stop: Callable[[], bool] | None = None
) -> Run | None:
    """Bring the interrupted run to a truthful end and return it; None where no run is unfinished.

    An insert whose key exists was made; an update whose row holds the new values was made, one whose row still has the version seen
    is sent again, any other is stale. Then everything that had not been sent yet follows, guarded as ever.
    """
    runs = [r for r in ws.ledger.runs().to_pylist() if r["status"] in UNFINISHED]
    if not runs:
        return None
    run = max(runs, key=lambda r: r["id"])
    content = ws.ledger.kept_plan(run["id"])
    with ws.ledger.lease.held(Holder(ws.operator, socket.gethostname(), os.getpid())) as epoch:
        if content is None:
            with ws.ledger.transaction(epoch=epoch) as tx:
                tx.finish_run(run["id"], "failed", "Its plan was not kept, so nothing could be resumed.")
            raise SynckitError(
                f"Run {run['id']} was cut off before its plan was kept; nothing had been written. Apply the plan again."
            )
        plan = read_plan(content, f"run {run['id']}")
        for side in SIDES:
            planned = plan.base.sides[side]
            if ws.systems[side].identity() != planned.identity:
                raise SynckitError(
                    f"Run {run['id']} wrote to {planned.title} at {planned.address}; the workspace now names another {side} system."
                )
        with ws.ledger.transaction(epoch=epoch) as tx:
            tx.resume_run(run["id"], os.getpid(), socket.gethostname(), epoch)
        note("run resumed", run=run["id"], plan=plan.id, kind=plan.base.kind)
        return carry_through(ws, plan, run["id"], epoch, "no", progress, should_stop, begun=True)


def carry_through(
    ws: Workspace,
    plan: Plan,
    run_id: int,
    epoch: int,
    keep_creating: KeepCreating | Callable[[list[str]], dict[str, bool]],
    progress: Callable[[Progress], None] | None,
    should_stop: Callable[[], bool] | None,
    *,
    begun: bool,
) -> Run:
    """Carry a run out to its end. What passes by itself (a lost connection, a deadlock, a lock that is held too long) is waited for,
    longer each time, and the run is taken up again as `resume` does it; given up after `TRIES` times without a row written between.
    """
    tried, reached = 0, 0
    while True:
        applier = Applier(ws, plan, run_id, epoch, progress, should_stop)
        try:
            if begun:
                _remember(applier)
                _settle(applier)
            return applier.carry_out(keep_creating)
        except PassingError as problem:
            written = len(ws.ledger.journal(run=run_id, state="done"))
            tried, reached = (1 if written > reached else tried + 1), max(written, reached)
            if tried >= TRIES:
                raise SynckitError(
                    f"{problem.message} It was tried {TRIES} times. What had begun is finished by: synckit resume"
                ) from None
            note("run waits", run=run_id, seconds=WAIT * 2**tried, tried=tried)
            time.sleep(WAIT * 2**tried)
            with ws.ledger.transaction(epoch=epoch) as tx:
                tx.resume_run(run_id, os.getpid(), socket.gethostname(), epoch)
            ws.ledger.lease.heartbeat(epoch)
            begun = True


def _remember(applier: Applier) -> None:
    """What the run had done, as the journal and the jobs tell."""
    for job in applier.ws.ledger.jobs(run=applier.run_id).to_pylist():
        matched = job["type"] == COUPLING and applier.plan.base.mappings[job["mapping"]].matched
        place = (job["mapping"], COUPLING if matched else PASS_OF[job["direction"]])
        applier.jobs[place] = job["id"]
        if job["finished"] is not None:
            applier.finished_jobs.add(place)
    rows = applier.rows.to_pylist()
    for entry in applier.ws.ledger.journal(run=applier.run_id).to_pylist():
        if entry["state"] == "intent":
            continue
        if entry["op"] in ("couple", "uncouple"):  # booked with their couplings in one transaction; -1: not a line of the plan
            if entry["seq"] >= 0:
                applier.state[entry["seq"]] = (entry["state"], entry["error"] or "")
                if entry["op"] == "couple" and entry["state"] == "done":
                    applier.remember_pair(entry["mapping"], entry)
            continue
        if entry["state"] != "done":
            applier.state[entry["seq"]] = (entry["state"], entry["error"] or "See the errors of the job.")
            continue
        line = Line(rows[entry["seq"]], None, [])
        chunk = applier.chunk([line])
        key = entry[f"{entry['side']}_key"]
        write = Write(entry["op"], key, json.loads(entry["after"] or "{}"))
        chunk._remember(Sending(line, write, {}, entry["source_key"] or "", key), Outcome("done", key, entry["token_after"]))


def _settle(applier: Applier) -> None:
    """Find out what became of each intent, and send again what was not made; intents that were sent alike, together."""
    rows = applier.rows.to_pylist()
    intents = applier.ws.ledger.journal(run=applier.run_id, state="intent").to_pylist()
    for _, alike in itertools.groupby(
        intents, key=lambda e: (e["mapping"], e["direction"], e["side"], e["table_name"], e["op"], e["step"])
    ):
        entries = list(alike)
        while entries:
            # what a system drew a key for is told by its values alone: one at a time
            some = entries[: 1 if entries[0][f"{entries[0]['side']}_key"] is None else SETTLED_AT_ONCE]
            entries = entries[len(some) :]
            _settle_alike(applier, some, [rows[entry["seq"]] for entry in some])


def _settle_alike(applier: Applier, entries: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    inserted = entries[0]["op"] == "insert"
    chunk = applier.chunk([Line(row, {"refs": None} if inserted else None, []) for row in rows])
    name = entries[0]["table_name"]
    table = chunk.system.schema.table(name) if chunk.system.schema.find(name) else chunk.table
    chunk.table, chunk.uid = table, _key_column(chunk, table)
    sendings = []
    for line, entry in zip(chunk.lines, entries, strict=True):
        values = {n: _typed(v, table.column(n), chunk.system) for n, v in json.loads(entry["after"] or "{}").items()}
        before = {
            n: _typed(v, table.column(n), chunk.system) for n, v in json.loads(entry["before"] or "{}").items() if table.find(n)
        }
        key = entry[f"{entry['side']}_key"]
        write = Write(entry["op"], key, values, entry["token_before"])
        sendings.append(Sending(line, write, before, entry["source_key"] or "", key, entry["id"]))
    present = _rows(chunk, [s.write for s in sendings if s.write.key is not None])
    outcomes = [_outcome(chunk, s, present.get(s.write.key or "")) for s in sendings]
    again = [s.write for s, outcome in zip(sendings, outcomes, strict=True) if outcome is None]
    sent = iter(_send(chunk, again) if again else ())
    chunk.book(sendings, [next(sent) if outcome is None else outcome for outcome in outcomes])


def _outcome(chunk: Chunk, sending: Sending, present: tuple[dict[str, Any], str | None] | None) -> Outcome | None:
    """What became of one intent: made, overtaken by somebody else's change, or None: not made, so it is sent now. `present`: its row
    as it is now, with its version."""
    write = sending.write
    if write.op == "insert" and write.key is None:
        found = _by_values(chunk, write)
        if len(found) == 1:
            return Outcome("done", found[0][0], found[0][1])
        if found:
            return Outcome("failed", None, error=f"{len(found)} rows hold these values; which of them was created cannot be told.")
        return None
    if write.op == "insert":
        return Outcome("done", write.key, present[1]) if present is not None else None
    if write.op == "delete":
        if present is None:
            return Outcome("done", write.key)
        return None if write.token in (None, present[1]) else Outcome("stale", write.key)
    if present is None:
        return Outcome("stale", write.key)
    row, token = present
    if all(_same(row[n], v, chunk.table.column(n)) for n, v in write.values.items()):
        return Outcome("done", write.key, token)
    if write.token is not None and token == write.token:
        return None
    if write.token is None and all(_same(row[n], v, chunk.table.column(n)) for n, v in sending.before.items()):
        return None
    return Outcome("stale", write.key)


def _send(chunk: Chunk, writes: list[Write]) -> list[Outcome]:
    with chunk.system.writer() as writer:
        return writer.write(chunk.table, chunk.uid.name, writes)


def _key_column(chunk: Chunk, table: Table) -> Column:
    own = chunk.bound.side(chunk.side)
    keeper = chunk.system.schema.option_table
    if own.option_set is not None and keeper is not None:
        return table.column(keeper.value)
    return own.uid if table.name == own.table.name else table.column(table.uid)


def _rows(chunk: Chunk, writes: list[Write]) -> dict[str, tuple[dict[str, Any], str | None]]:
    """Key -> the row as it is now, with its version; options are told apart by the set they belong to."""
    if not writes:
        return {}
    names = list(dict.fromkeys([chunk.uid.name, *(n for w in writes for n in w.values), *(_place(chunk))]))
    version = chunk.table.modified_on is not None and chunk.bound.side(chunk.side).version is not None
    with chunk.system.snapshot() as snapshot:
        asked = [*names, VERSION_TOKEN] if version else names
        rows = (
            snapshot.read(chunk.table, asked, keys=[w.key or "" for w in writes], key_column=chunk.uid.name).read_all().to_pylist()
        )
    rows = [r for r in rows if all(r[n] == v for n, v in _place(chunk).items())]
    return {str(r[chunk.uid.name]): (r, r.get(VERSION_TOKEN)) for r in rows}


def _place(chunk: Chunk) -> dict[str, str]:
    return chunk._option_place()[1] if chunk.bound.side(chunk.side).option_set is not None else {}


def _by_values(chunk: Chunk, write: Write) -> list[tuple[str, str | None]]:
    """Uncoupled rows that hold exactly the values of a create whose key the system draws (such rows go one at a time)."""
    names = list(dict.fromkeys([chunk.uid.name, *write.values]))
    version = [VERSION_TOKEN] if chunk.bound.side(chunk.side).version is not None else []
    with chunk.system.snapshot() as snapshot:
        rows = snapshot.read(chunk.table, [*names, *version]).read_all().to_pylist()
    hits = [r for r in rows if all(_same(r[n], v, chunk.table.column(n)) for n, v in write.values.items())]
    coupled = chunk.applier.ws.ledger.couplings(chunk.mapping).column(f"{chunk.side}_key").to_pylist()
    return [(str(r[chunk.uid.name]), r.get(VERSION_TOKEN)) for r in hits if str(r[chunk.uid.name]) not in set(coupled)]


def _same(now: Any, wanted: Any, column: Column) -> bool:
    return _text(now, column) == _text(wanted, column)


def _text(value: Any, column: Column) -> str:
    from synckit.planning.stage import arrow_type

    text = as_text(pa.array([value], arrow_type(column)), column)[0].as_py() if value is not None else ""
    return "" if (column.kind in ("integer", "option", "decimal") and text in ("0", "")) or text == "false" else text


def _typed(value: Any, column: Column, system: System) -> Any:
    """A journal's JSON value as the system takes it."""
    return value if value is None or isinstance(value, bool) else typed(str(value), column, system.schema)


__all__ = ["resume_run"]
