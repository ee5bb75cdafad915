"""Applies plans in processes of their own that kill themselves (SIGKILL) at a given moment; started by test_kill.py.

Standard input: lines of JSON, {"workspace": path, "plan": path, "moment": n or 0 for "never", "rows": rows per chunk}. Standard output:
for each, one line of JSON with how the process ended and the names of the moments that it passed. Moments lie before and after every step of a chunk,
inside the transaction of the system written to, and on both sides of every commit of the ledger. Each process is forked from this
one, which has only imported synckit, so that twenty of them cost little more than one.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from synckit.applying import run
from synckit.applying.bulk import BulkChunk
from synckit.applying.chunk import Chunk
from synckit.applying.refusals import to_accept
from synckit.ledger.ledger import Ledger
from synckit.planning.planfile import load_plan
from synckit.systems.sql_write import SqlWriter
from synckit.workspace import open_workspace


class Moments:
    """Counts the moments of an apply and kills the process at one of them."""

    def __init__(self, fatal: int, tell: int) -> None:
        self.fatal, self.tell, self.passed = fatal, tell, 0

    def __call__(self, name: str) -> None:
        self.passed += 1
        os.write(self.tell, f"{name}\n".encode())
        if self.passed == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, name: str, called: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self(f"before {called}")
            result = method(*args, **kwargs)
            self(f"after {called}")
            return result

        setattr(owner, name, wrapped)

    def after(self, owner: type, name: str, called: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self(called)
            return result

        setattr(owner, name, wrapped)

    def around_commits(self) -> None:
        transaction = Ledger.transaction

        @contextmanager
        def watched(ledger: Ledger, *args: Any, **kwargs: Any) -> Iterator[Any]:
            with transaction(ledger, *args, **kwargs) as tx:
                yield tx
                self("ledger written, not committed")
            self("ledger committed")

        Ledger.transaction = watched  # type: ignore[method-assign, assignment]


def carry_out(workspace: str, saved: str, fatal: int, rows: int, tell: int) -> None:
    """Apply a plan; this process may not live to see the end."""
    run.ROWS_AT_ONCE = rows
    with open_workspace(workspace) as ws:
        plan = load_plan(saved)
        accepted = to_accept(plan)
        moments = Moments(fatal, tell)
        moments.around(Chunk, "_intend", "the intent")
        moments.around(Chunk, "_write", "writing")
        moments.after(SqlWriter, "write", "written, not committed")
        moments.around(Chunk, "book", "booking")
        moments.around(BulkChunk, "_intend_all", "the intent of many")
        moments.around(BulkChunk, "_write_all", "writing many")
        moments.after(SqlWriter, "write_many", "many written, not committed")
        moments.around(BulkChunk, "book_all", "booking many")
        moments.around_commits()
        ws.apply(plan, accept=accepted)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            code = 1
            try:
                carry_out(order["workspace"], order["plan"], order["moment"], order["rows"], writing)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as told:
            passed = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(
            json.dumps({"ended": -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), "passed": passed}),
            flush=True,
        )


if __name__ == "__main__":
    main()
