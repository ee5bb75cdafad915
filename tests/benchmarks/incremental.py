"""How long it takes to plan what changed, beside a full dry run, and what is read for it.

    python tests/benchmarks/incremental.py --folder CACHE --rows 1000000 --changed 1000

Both tables have an index on modified-on, and the watermarks stand after the last synchronisation. Shown are the median time of
`--repeat` plans and every read of the systems: table, columns, condition, keys asked for, rows that came. Wanted: at most a tenth of
the full dry run without the search for deleted records, a quarter with it.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from generate import COUPLED, Size, make

from synckit.planning.plan import Plan
from synckit.systems.sql_read import SqlSnapshot
from synckit.workspace import Workspace, open_workspace

MARK = datetime(2026, 3, 1, 12)  # more than a day after the last synchronisation: text is compared with a day to spare for offsets
Read = tuple[str, str, str, int, int]


def prepare(folder: Path, rows: int, changed: int) -> Path:
    """Two systems and their ledger, with indexes and watermarks; made once."""
    workspace = make(folder, Size(rows, changed / (rows * COUPLED)))
    for side in ("local", "integration"):
        with sqlite3.connect(folder / f"{side}.db") as connection:
            connection.execute(f"CREATE INDEX IF NOT EXISTS modified ON {side}_partner (modified_on)")
            connection.execute("ANALYZE")
        connection.close()
    with open_workspace(workspace) as ws, ws.ledger.transaction() as tx:
        for side in ("local", "integration"):
            tx.set_watermark("PARTNER", side, MARK.isoformat())  # type: ignore[arg-type]
    return workspace


class Reads:
    """Counts what the snapshots are asked for while it is entered."""

    def __init__(self) -> None:
        self.lines: list[Read] = []

    def __enter__(self) -> Reads:
        self.plain = plain = SqlSnapshot.read

        def counted(
            snapshot: SqlSnapshot, table: Any, columns: Sequence[str], where: Any = (), keys: Any = None, key_column: Any = None
        ) -> Any:
            reader = plain(snapshot, table, columns, where, keys, key_column)
            asked = " and ".join(f"{c.column} {c.op} {c.value}" for c in where)
            begun = time.perf_counter()

            def batches() -> Iterator[pa.RecordBatch]:
                rows = 0
                for batch in reader:
                    rows += batch.num_rows
                    yield batch
                some = f"{len(columns)} columns" if len(columns) > 1 else f"{columns[0]} only"
                self.lines.append((table.table, some, asked or ("all rows" if keys is None else f"{len(keys):,} keys"), rows,
                                   round(1000 * (time.perf_counter() - begun))))  # fmt: skip

            return pa.RecordBatchReader.from_batches(reader.schema, batches())

        SqlSnapshot.read = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        SqlSnapshot.read = self.plain  # type: ignore[method-assign]


def measured(ws: Workspace, plan: Callable[[], Plan], repeat: int) -> tuple[float, Plan, list[Read]]:
    seconds = []
    for _ in range(repeat):
        begun = time.perf_counter()
        with Reads() as reads:
            made = plan()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds), made, reads.lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the generated systems are kept between runs")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--changed", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="say where the time of one plan goes")
    given = parser.parse_args()
    with open_workspace(prepare(given.folder, given.rows, given.changed)) as ws:
        runs: dict[str, Callable[[], Plan]] = {
            "full dry run": ws.plan_full,
            "modified, no deletions": lambda: ws.plan_modified(deletions=False),
            "modified": ws.plan_modified,
        }
        if given.profile:
            import cProfile

            cProfile.runctx("ws.plan_modified()", {"ws": ws}, {}, sort="cumulative")
            return
        yardstick = 0.0
        for name, run in runs.items():
            seconds, plan, reads = measured(ws, run, given.repeat)
            yardstick = yardstick or seconds
            print(f"{name:<24} {seconds:>7.2f} s {seconds / yardstick:>7.1%}  {plan.sentence()}")
            for table, columns, asked, rows, milliseconds in reads:
                print(f"    {table}: {columns}, {asked}: {rows:,} rows, {milliseconds:,} ms")


if __name__ == "__main__":
    main()
