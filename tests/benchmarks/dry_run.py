"""How long a dry run takes beside a bare cursor that walks the same tables, and beside other tools: one run, one table.

    python tests/benchmarks/dry_run.py --folder CACHE --rows 1000000 --changed 0.02

Each contender runs in a process of its own; shown are the median time of `--repeat` runs, the ratio to the cursor's walk, the
processor time of all cores (which a busy machine does not change much) and the highest peak of memory. The clock starts when everything is imported and stops when the summary is there. The files are read once
before, so that every contender finds them in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from generate import Size, make
from memory import peak_bytes
from peers import CONTENDERS, versions

BOUNDED = "300MB"


def run_one(name: str, folder: Path, postgres: str) -> None:
    """Run one contender here and print what came of it as JSON."""
    contender, distribution, _ = CONTENDERS[name]
    if distribution == "synckit":
        import adbc_driver_sqlite.dbapi  # noqa: F401

        import synckit.workspace  # noqa: F401
        from synckit.systems import sql_read  # noqa: F401
    elif distribution:
        __import__(distribution)
    begun, worked = time.perf_counter(), time.process_time()
    counts = contender(folder, postgres)
    spent = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - worked}
    print(json.dumps({**spent, "peak": peak_bytes(), "counts": counts}))


def measure(name: str, folder: Path, postgres: str, repeat: int) -> dict[str, Any] | None:
    """Median seconds, highest peak and counts of `repeat` runs; None where the tool is not installed or fails."""
    runs = []
    for _ in range(repeat):
        command = [sys.executable, __file__, "--only", name, "--folder", str(folder), "--postgres", postgres]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"  {name}: {done.stderr.strip().splitlines()[-1][:150]}", file=sys.stderr)
            return None
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        "seconds": statistics.median(r["seconds"] for r in runs),
        "cpu": statistics.median(r["cpu"] for r in runs),
        "peak": max(r["peak"] for r in runs),
        "counts": runs[0]["counts"],
    }


def warm(folder: Path) -> None:
    for path in folder.glob("*.db"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where generated systems are kept between runs")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--changed", type=float, nargs="+", default=[0.02])
    parser.add_argument("--one-way", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--postgres", default="", help="URL of a database that may be filled: compare there instead of on SQLite")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.postgres = given.postgres.replace("postgresql+psycopg://", "postgresql://")
    if given.only:
        run_one(given.only, given.folder, given.postgres)
        return
    print(machine())
    print(", ".join(f"{name} {number}" for name, number in versions().items()))
    print(f"\n{'rows a side':>11} {'changed':>8}  {'':<18} {'seconds':>8} {'x walk':>7} {'cpu s':>7} {'peak MB':>8}  what it found")
    for rows in given.rows:
        for changed in given.changed:
            one(given, rows, changed)


def one(given: argparse.Namespace, rows: int, changed: float) -> None:
    """All contenders on one size."""
    kind = ("-postgres" if given.postgres else "") + ("-one-way" if given.one_way else "")
    folder = given.folder / f"{rows}-{changed:g}{kind}"
    make(folder, Size(rows, changed, given.one_way), given.postgres)
    whole = (folder / "workspace.yaml").read_text(encoding="utf-8")
    (folder / "bounded.yaml").write_text(f"memory: {BOUNDED}\n{whole}", encoding="utf-8")
    warm(folder)
    yardstick = None
    for name in given.contenders:
        limit = CONTENDERS[name][2]
        found = None if limit is not None and rows > limit else measure(name, folder, given.postgres, given.repeat)
        if found is None:
            continue
        if name == "bare cursor walk":
            yardstick = found["seconds"]
        ratio = f"{found['seconds'] / yardstick:.2f}" if yardstick else ""
        counts = ", ".join(f"{k} {v:,}" for k, v in found["counts"].items() if v is not None)
        print(
            f"{rows:>11,} {changed:>8.2%}  {name:<18} {found['seconds']:>8.2f} {ratio:>7} {found['cpu']:>7.2f} {found['peak'] / 1e6:>8,.0f}  {counts}",
            flush=True,
        )


if __name__ == "__main__":
    main()
