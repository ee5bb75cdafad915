"""A fault at the n-th call: every read, write and commit of both systems and the ledger passes through one wrapper that can fail.

`Stage` holds a small world, as files or on servers, and a plan of it. `trial(n, mode)` puts both systems and the ledger back, applies the plan with the fault at call n,
resumes, and lets `Checker`, plain SQL that knows nothing of synckit, look at what is left. Modes: "error before" the call, "error after"
it (its answer is lost), "kill" (from that call on nothing reaches a database any more, as after kill -9), "kill after" it, "stall" (beyond
the timeout, as a connection that is lost without an answer: the run is taken up again by itself), "stall after" it, "interrupt" (Ctrl-C,
or a notebook's kernel interrupted: the process lives on), "interrupt after" it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))
sys.path.insert(0, str(Path(__file__).parents[1] / "applying"))
from stores import TABLES, Files, Servers, uid_of
from test_kill import a_busy_world
from world import World

from synckit.applying import resume as resume_module
from synckit.applying import run as run_module
from synckit.applying.refusals import to_accept
from synckit.errors import PassingError, SynckitError
from synckit.ledger.database import Database
from synckit.ledger.lease import Holder
from synckit.planning.plan import Plan
from synckit.planning.tables import COUNTERS
from synckit.systems.sql import SqlSystem
from synckit.systems.sql_read import SqlSnapshot
from synckit.systems.sql_write import SqlWriter
from synckit.workspace import Workspace, open_workspace

MODES = ("error before", "error after", "kill", "kill after")
STALLS = ("stall", "stall after")
INTERRUPTS = ("interrupt", "interrupt after")
OWN = ("system_modified_at", "modifiedon")


class Killed(BaseException):
    """The process is gone: nothing that it still tries has any effect."""


class Faults:
    """Counts calls; the n-th one fails in the given mode. `names`: what each call was."""

    def __init__(self, fatal: int = 0, mode: str = "error before") -> None:
        self.fatal, self.mode, self.dead = fatal, mode, False
        self.names: list[str] = []

    @property
    def reached(self) -> bool:
        return bool(self.fatal) and len(self.names) >= self.fatal

    def fail(self, name: str) -> None:
        if self.mode.startswith("kill"):
            self.dead = True
            raise Killed(name)
        if self.mode.startswith("interrupt"):
            raise KeyboardInterrupt(name)
        if self.mode.startswith("stall"):
            raise PassingError(f"no answer ({self.mode} at call {len(self.names)}: {name})")
        raise SynckitError(f"connection lost ({self.mode} call {len(self.names)}: {name})")

    def call(self, name: str, do: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed(name)
        self.names.append(name)
        mine = len(self.names) == self.fatal
        if mine and not self.mode.endswith("after"):
            self.fail(name)
        result = do()
        if mine:
            self.fail(name)
        return result

    def _function(self, owner: type, method: str, name: str) -> Any:
        original = getattr(owner, method)
        return mock.patch.object(owner, method, lambda *a, **k: self.call(name, lambda: original(*a, **k)))

    def _transaction(self, owner: type, method: str, name: str) -> Any:
        """A context manager whose leaving commits: failing before it rolls back, failing after it has committed."""
        original = getattr(owner, method)

        @contextmanager
        def wrapped(*arguments: Any, **options: Any) -> Iterator[Any]:
            if self.dead:
                raise Killed(name)
            with original(*arguments, **options) as inner:
                yield inner
                if self.dead:
                    raise Killed(name)
                self.names.append(name)
                mine = len(self.names) == self.fatal
                if mine and not self.mode.endswith("after"):
                    self.fail(name)
            if mine:
                self.fail(name)

        return mock.patch.object(owner, method, wrapped)

    @contextmanager
    def watching(self) -> Iterator[Faults]:
        with ExitStack() as stack:
            stack.enter_context(self._function(SqlSnapshot, "read", "read"))
            stack.enter_context(self._function(SqlWriter, "write", "write"))
            stack.enter_context(self._function(SqlWriter, "write_many", "write"))
            stack.enter_context(self._transaction(SqlSystem, "writer", "commit of a system"))
            stack.enter_context(self._transaction(Database, "writing", "commit of the ledger"))
            stack.enter_context(
                mock.patch.object(Holder, "has_died", lambda holder: True)
            )  # this very process stands for a dead one
            stack.enter_context(mock.patch.object(run_module, "ROWS_AT_ONCE", 2))
            stack.enter_context(mock.patch.object(resume_module, "WAIT", 0))
            yield self


class Checker:
    """Plain SQL over both databases, the histories that triggers wrote, and the ledger's tables."""

    def __init__(self, store: Files) -> None:
        self.store = store

    def rows(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        return {
            (side, table, row[uid_of(side, table)]): {column: value for column, value in row.items() if column not in OWN}
            for side, tables in TABLES.items()
            for table in tables
            for row in self.store.ask(side, f"SELECT * FROM {table}")  # noqa: S608
        }

    def couplings(self) -> set[tuple[Any, ...]]:
        """Every coupling, with whether it has its two stamps."""
        stamped = "local_stamp IS NOT NULL, integration_stamp IS NOT NULL"
        return set(self._ledger(f"SELECT mapping, local_key, integration_key, {stamped} FROM coupling"))  # noqa: S608

    def counters(self) -> list[tuple[Any, ...]]:
        return sorted(self._ledger(f"SELECT mapping, direction, {', '.join(COUNTERS)} FROM job"))  # noqa: S608

    def told(self) -> set[tuple[Any, ...]]:
        """What people are told, and what the next run will look at: errors, due rows, watermarks."""
        asked = (
            "SELECT 'error', mapping, local_key, integration_key, code FROM job_error",
            "SELECT 'due', mapping, side, key FROM due",
            "SELECT 'watermark', mapping, side, value FROM watermark",
        )
        return {line for query in asked for line in self._ledger(query)}

    def _ledger(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.store.ask("ledger", query)]

    def histories(self) -> list[str]:
        """Double creates, resurrected deletes and deletes that nobody planned, out of what the triggers wrote."""
        twice = "SELECT tbl, k, count(*) AS n FROM history WHERE op = 'INSERT' GROUP BY tbl, k HAVING count(*) > 1"
        found = [(side, line) for side in TABLES for line in self.store.ask(side, twice)]
        return [f"{side} {line['tbl']} {line['k']} was created {line['n']} times" for side, line in found]

    def leftovers(self) -> list[str]:
        """What a run that has come to its end leaves nowhere."""
        asked = {
            "journal lines in doubt": "SELECT count(*) FROM journal WHERE state = 'intent'",
            "journal batches in doubt": "SELECT count(*) FROM journal_batch WHERE settled_at IS NULL",
            "claims": "SELECT count(*) FROM claim", "kept plans": "SELECT count(*) FROM run_plan",
            "jobs without an end": "SELECT count(*) FROM job WHERE finished IS NULL",
            "runs without an end": "SELECT count(*) FROM run WHERE status IN ('running', 'interrupted')",
        }  # fmt: skip
        return [f"{n} {what}" for what, query in asked.items() if (n := self._ledger(query)[0][0])]


def _none_in_bulk(applier: Any, name: str, in_pass: str, rows: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([False] * rows.num_rows, pa.bool_())])


class Stage:
    """A world, a plan of it, edits by others between plan and apply, and what a run without faults makes of them. With `undo` the plan is
    the undo of that run, and its undo in turn with `again`. Without `bulk` every row is sent line by line, as rows of special kinds are."""

    def __init__(self, undo: bool = False, again: bool = False, bulk: bool = True, urls: dict[str, str] | None = None) -> None:
        self.bulk = bulk
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
        self.store = Servers(self.folder, urls) if urls else Files(self.folder)
        self.checker = Checker(self.store)
        w = a_busy_world(lambda local, integration, mappings: World(self.folder, local, integration, mappings, urls=urls))
        self.store.watch()
        w.local.add("customer", "E", no="E", name="Equal")
        w.integration.add("account", "GE", name="Equal")
        w.couple("CUSTOMER", "E", "GE", never=True)
        w.tick()
        self.plan: Plan = w.ws.plan_full()
        w.tick()
        w.integration.edit("account", "G0", name="Edited by another")  # its planned update is stale
        w.local.edit("customer", "N3", name="Edited at its source")
        self.workspace = w.path
        w.close()
        for _ in range(undo + again):
            self.apply()
            with open_workspace(self.workspace) as ws:
                self.plan = ws.plan_undo(max(ws.ledger.runs().column("id").to_pylist()))
        self.store.keep()
        self.before = self.checker.rows(), self.checker.couplings()
        with Faults().watching() as whole:
            self.apply()
        self.calls = list(whole.names)
        self.wanted = self.checker.rows(), self.checker.couplings(), self.checker.counters()
        self.told = self.checker.told()
        self.history = self.checker.histories()
        assert not self.checker.leftovers() and (undo or not self.history)
        with open_workspace(self.workspace) as ws:
            self.next = self._next(ws)

    def close(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def way(self) -> Any:
        """Bulk, or line by line."""
        return nullcontext() if self.bulk else mock.patch.object(run_module, "goes_in_bulk", _none_in_bulk)

    def apply(self) -> None:
        with self.way(), open_workspace(self.workspace) as ws:
            ws.apply(self.plan, accept=to_accept(self.plan))

    def resume(self) -> bool:
        with self.way(), open_workspace(self.workspace) as ws:
            return ws.resume() is not None

    def _next(self, ws: Workspace) -> dict[str, int]:
        plan = ws.plan_full()
        return {d: plan.total(d) for d in ("create", "update", "will fail", "conflict", "unchanged")}

    def trial(self, fatal: int, mode: str, in_resume: int = 0, next_plan: bool = False) -> tuple[bool, int, list[str]]:
        """(whether the fault was reached, records looked at, what is wrong) after apply with the fault, and resume."""
        self.store.put_back()
        with Faults(fatal, mode).watching() as faults, suppress(SynckitError, Killed, KeyboardInterrupt):
            self.apply()
        if in_resume:
            with Faults(in_resume, mode).watching(), suppress(SynckitError, Killed, KeyboardInterrupt):
                self.resume()
        wrong: list[str] = []
        try:
            with Faults().watching():
                self.finish()
        except Exception as problem:  # a harness has to tell of whatever goes wrong
            wrong.append(f"it could not be brought to an end: {type(problem).__name__}: {problem}")
        rows, couplings = self.checker.rows(), self.checker.couplings()
        wrong += [h for h in self.checker.histories() if h not in self.history] + self.checker.leftovers()
        third = [p for p in rows.keys() | self.wanted[0].keys() if rows.get(p) != self.wanted[0].get(p)]
        wrong += [
            f"{p}: {json.dumps(rows.get(p), default=str)}, planned {json.dumps(self.wanted[0].get(p), default=str)}"
            for p in sorted(third)
        ]
        wrong += [f"coupling {c} is there, and was not planned" for c in sorted(couplings - self.wanted[1])]
        wrong += [f"coupling {c} is lost" for c in sorted(self.wanted[1] - couplings)]
        if not wrong and self.checker.counters() != self.wanted[2]:
            wrong.append(f"counters {self.checker.counters()} instead of {self.wanted[2]}")
        if not wrong:
            wrong += [f"{line} is missing" for line in sorted(self.told - self.checker.told(), key=str)]
            wrong += [f"{line} is too much" for line in sorted(self.checker.told() - self.told, key=str)]
        if next_plan and not wrong:
            with Faults().watching(), open_workspace(self.workspace) as ws:
                found = self._next(ws)
            wrong += [f"the next plan would {found}, and without the fault {self.next}"] if found != self.next else []
        return (
            faults.reached,
            len(rows) + len(couplings),
            [f"{mode} call {fatal} ({self.calls[min(fatal, len(self.calls)) - 1]}): {w}" for w in wrong],
        )

    def finish(self) -> None:
        """What a person does after a crash: resume; where nothing had begun, apply the plan again."""
        for _ in range(3):
            try:
                if not self.resume():
                    break
            except SynckitError as said:
                if "Apply the plan again" not in said.message:
                    raise
        if self.checker.rows() == self.before[0] and self.checker.couplings() == self.before[1]:
            with self.way(), open_workspace(self.workspace) as ws:
                runs = {r["plan_id"]: r["status"] for r in ws.ledger.runs().to_pylist()}
                if self.plan.id not in runs:
                    ws.apply(self.plan, accept=to_accept(self.plan))
                elif runs[self.plan.id] == "failed":  # it had not begun: its plan is refused, a new one says the same
                    undoes = next(head.undoes for head in self.plan.base.mappings.values())
                    again = ws.plan_undo(undoes) if undoes else ws.plan_full()
                    ws.apply(again, accept=to_accept(again))
