"""Resuming: what was on its way when a run was cut off is looked up in the systems, then the rest of its plan is carried out."""

from __future__ import annotations

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
    """Find out what became of each intent, and send again what was not made."""
    rows = applier.rows.to_pylist()
    intents = applier.ws.ledger.journal(run=applier.run_id, state="intent").to_pylist()
    for entry in intents:
        row = rows[entry["seq"]]
        chunk = applier.chunk([Line(row, {"refs": None} if entry["op"] == "insert" else None, [])])
        table = chunk.system.schema.table(entry["table_name"]) if chunk.system.schema.find(entry["table_name"]) else chunk.table
        chunk.table, chunk.uid = table, _key_column(chunk, table)
        values = {n: _typed(v, table.column(n), chunk.system) for n, v in json.loads(entry["after"] or "{}").items()}
        before = {
            n: _typed(v, table.column(n), chunk.system) for n, v in json.loads(entry["before"] or "{}").items() if table.find(n)
        }
        key = entry[f"{entry['side']}_key"]
        sending = Sending(
            chunk.lines[0],
            Write(entry["op"], key, values, entry["token_before"]),
            before,
            entry["source_key"] or "",
            key,
            entry["id"],
        )
        chunk.book([sending], [_outcome(chunk, sending, entry)])


def _outcome(chunk: Chunk, sending: Sending, entry: dict[str, Any]) -> Outcome:
    """What became of one intent: made, not made (then it is sent now), or overtaken by somebody else's change."""
    write = sending.write
    if write.op == "insert" and write.key is None:
        found = _by_values(chunk, write)
        if len(found) == 1:
            return Outcome("done", found[0][0], found[0][1])
        if found:
            return Outcome("failed", None, error=f"{len(found)} rows hold these values; which of them was created cannot be told.")
        return _send(chunk, write)
    present = _row(chunk, write)
    if write.op == "insert":
        return Outcome("done", write.key, present[1]) if present is not None else _send(chunk, write)
    if write.op == "delete":
        if present is None:
            return Outcome("done", write.key)
        return _send(chunk, write) if write.token in (None, present[1]) else Outcome("stale", write.key)
    if present is None:
        return Outcome("stale", write.key)
    row, token = present
    if all(_same(row[n], v, chunk.table.column(n)) for n, v in write.values.items()):
        return Outcome("done", write.key, token)
    if write.token is not None and token == write.token:
        return _send(chunk, write)
    if write.token is None and all(_same(row[n], v, chunk.table.column(n)) for n, v in sending.before.items()):
        return _send(chunk, write)
    del entry
    return Outcome("stale", write.key)


def _send(chunk: Chunk, write: Write) -> Outcome:
    with chunk.system.writer() as writer:
        return writer.write(chunk.table, chunk.uid.name, [write])[0]


def _key_column(chunk: Chunk, table: Table) -> Column:
    own = chunk.bound.side(chunk.side)
    keeper = chunk.system.schema.option_table
    if own.option_set is not None and keeper is not None:
        return table.column(keeper.value)
    return own.uid if table.name == own.table.name else table.column(table.uid)


def _row(chunk: Chunk, write: Write) -> tuple[dict[str, Any], str | None] | None:
    """The row as it is now, with its version; options are told apart by the set they belong to."""
    names = list(dict.fromkeys([chunk.uid.name, *write.values, *(_place(chunk))]))
    version = chunk.table.modified_on is not None and chunk.bound.side(chunk.side).version is not None
    with chunk.system.snapshot() as snapshot:
        asked = [*names, VERSION_TOKEN] if version else names
        rows = snapshot.read(chunk.table, asked, keys=[write.key or ""], key_column=chunk.uid.name).read_all().to_pylist()
    rows = [r for r in rows if all(r[n] == v for n, v in _place(chunk).items())]
    return (rows[0], rows[0].get(VERSION_TOKEN)) if rows else None


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
