"""How long a look through the data and a report take, beside reading what they look at: one run, one table.

    python tests/benchmarks/diagnosis.py --folder CACHE --rows 100000 --jobs 100000

The ratios are over a bare cursor that walks the same rows: every column that the mappings read, of both sides, and runs, jobs, errors and
journal. Processor time of all cores is what a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from dry_run import machine, peak_bytes, warm
from generate import Size, make

from synckit.planning.bind import SIDES, bind
from synckit.planning.tables import COUNTERS
from synckit.workspace import Workspace, open_workspace


def timed(what: str, work: Callable[[], Any], beside: float = 0.0) -> float:
    begun, worked = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    ratio = f"{cpu / beside:6.2f}" if beside else ""
    print(f"{what:<34} {seconds:8.2f} s {cpu:8.2f} cpu s {ratio:>7} {peak_bytes() / 1e6:8,.0f} MB  {result}", flush=True)
    return cpu


def read_all(ws: Workspace) -> str:
    """Every batch of every column that the mappings read, from both sides."""
    rows = 0
    for side in SIDES:
        with ws.systems[side].snapshot() as snapshot:
            for mapping in ws.description.mappings:
                of = bind(mapping, ws.description, {s: ws.systems[s].schema for s in SIDES}).side(side)
                names = list(
                    dict.fromkeys([of.uid.name, *(c.name for c in of.columns), *((of.version.name,) if of.version else ())])
                )
                rows += sum(batch.num_rows for batch in snapshot.read(of.table, names))
    return f"{rows:,} rows"


def book(ws: Workspace, jobs: int) -> None:
    """A history of so many jobs, two a run, with an error each and a write each."""
    name = ws.order[0]
    per = 1_000
    for start in range(0, jobs, per):
        with ws.ledger.transaction() as tx:
            for n in range(start, min(start + per, jobs), 2):
                run = tx.start_run(f"made {n}", "modified", "nobody", "", 0, None)
                for direction in ("to_integration", "from_integration"):
                    job = tx.start_job(run, name, direction, "synchronization", {"failed": 1, "modified": 1})
                    tx.book_errors([{"job_id": job, "run_id": run, "mapping": name, "local_key": f"key {n % 5000}", "code": "lookup_not_coupled",
                                     "field": "Currency", "value": f"C{n % 40}", "message": f'Currency "C{n % 40}" must be coupled first: CURRENCY has no coupled record with that key.'}])  # fmt: skip
                    tx.journal_intents([{"run_id": run, "job_id": job, "mapping": name, "direction": direction, "op": "update", "side": "integration",
                                         "local_key": f"key {n}", "before": {"name": "a"}, "after": {"name": "b"}, "state": "done"}])  # fmt: skip
                    tx.finish_job(job, {c: int(c in ("failed", "modified")) for c in COUNTERS})
                tx.finish_run(run, "finished")


def read_ledger(ws: Workspace) -> str:
    jobs, errors, lines = ws.ledger.jobs().to_pandas(), ws.ledger.errors().to_pandas(), ws.ledger.journal().to_pandas()
    return f"{len(jobs):,} jobs, {len(errors):,} errors, {len(lines):,} writes"


def bare(path: Path, tables: dict[str, list[str]]) -> str:
    """A bare sqlite3 cursor over these columns of these tables (none named: all), row by row."""
    rows = 0
    with closing(sqlite3.connect(path)) as connection:
        for table, columns in tables.items():
            names = ", ".join(f'"{c}"' for c in columns) or "*"
            for _ in connection.execute(f'SELECT {names} FROM "{table}"'):  # noqa: S608
                rows += 1
    return f"{rows:,} rows"


def read_bare(ws: Workspace, folder: Path) -> str:
    """A bare cursor over every column that the mappings read, of both sides."""
    told = []
    for side in SIDES:
        wanted: dict[str, dict[str, None]] = {}
        for mapping in ws.description.mappings:
            of = bind(mapping, ws.description, {s: ws.systems[s].schema for s in SIDES}).side(side)
            read = [of.uid, *of.columns, *((of.version,) if of.version else ())]
            wanted.setdefault(of.table.table, {}).update(dict.fromkeys(c.column for c in read))
        told.append(bare(folder / f"{side}.db", {t: list(c) for t, c in wanted.items()}))
    return ", ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where generated systems are kept between runs")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    given = parser.parse_args()
    folder = given.folder / f"diagnosis-{given.rows}"
    make(folder, Size(given.rows, 0.02, False))
    warm(folder)
    print(machine())
    with open_workspace(folder / "workspace.yaml") as ws:
        timed(f"batches of {given.rows:,} rows a side", lambda: read_all(ws))
        read = timed("a bare cursor over them", lambda: read_bare(ws, folder))
        timed("looking through them", lambda: f"{len(ws.check_data()):,} findings", read)
        timed("a dry run of them", lambda: ws.plan_full().sentence()[:60], read)
        if len(ws.ledger.jobs(limit=1)) == 0:
            book(ws, given.jobs)
        timed(f"{given.jobs:,} jobs as frames", lambda: read_ledger(ws))
        read = timed(
            "a bare cursor over them", lambda: bare(folder / "ledger.db", {t: [] for t in ("run", "job", "job_error", "journal")})
        )
        report = []
        timed("a report of them", lambda: report.append(ws.report(since="2000-01-01")) or report[0].sentence(), read)
        timed("its page", lambda: f"{len(report[0].to_html().encode()) / 1e6:.2f} MB", read)


if __name__ == "__main__":
    main()
