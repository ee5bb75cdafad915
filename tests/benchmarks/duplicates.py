"""How well and how fast possible duplicates are found, without labels and in one configuration, beside other tools: one run, one table.

    python tests/benchmarks/duplicates.py [--growth 5000 50000] [--peers-python PYTHON | --no-peers] [--patience 300] [--figure calibration.png]

The lists with known truth lie in `shared/duplicates` beside the repository; where they are absent, that is said and lists made from a
seed are used alone. Every contender runs in a process of its own. The cut is 0.5 everywhere; truth is looked at for the table only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from made_duplicates import MadeSet, made_link, made_list
from memory import peak_bytes

from synckit.planning.duplicates import FieldPair, find_duplicates
from synckit.planning.duplicates.candidates import candidate_pairs
from synckit.planning.duplicates.records import pool_of

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "duplicates"
CUT = 0.5
#: Columns that are labels or identify the copy, not the thing; soc_sec_id would give febrl4 away.
LEFT_OUT = {"key", "source", "soc_sec_id"}
#: F1 that is to be reached on each list.
GOAL = {"fodors_zagats": 0.985, "febrl4": 0.999, "chicago_link": 0.93, "chicago_orgs": 0.93, "fake_1000": 0.94}


def read_set(folder: Path) -> MadeSet:
    """One folder of lists with their truth."""

    def table(name: str) -> pa.Table:
        frame = pd.read_csv(folder / name, dtype=str, keep_default_na=False, na_values=[""]).rename(columns={"id": "key"})
        return pa.Table.from_pandas(frame, preserve_index=False)

    one = (folder / "records.csv").exists()
    a, b = (table("records.csv"), None) if one else (table("local.csv"), table("integration.csv"))
    truth = {(str(x), str(y)) for x, y in pd.read_csv(folder / "truth.csv", dtype=str).itertuples(index=False)}
    fields = [FieldPair(name, name, name) for name in a.column_names if name not in LEFT_OUT]
    return MadeSet(folder.name, a, b, fields, truth)


def sets() -> dict[str, Any]:
    """Name -> maker of each list."""
    found: dict[str, Any] = {}
    if SHARED.is_dir():
        found = {name: (lambda name=name: read_set(SHARED / name)) for name in GOAL if (SHARED / name).is_dir()}
    made = [
        lambda: made_link(2000),
        lambda: made_link(2000, kind="person"),
        lambda: made_list(2000),
        lambda: made_link(2000, shared=0.0),
    ]
    names = ("made companies, linked", "made persons, linked", "made persons, one list", "made companies, none shared")
    return found | dict(zip(names, made, strict=True))


def undirected(pairs: set[tuple[str, str]], one_list: bool) -> set[tuple[str, ...]]:
    return {tuple(sorted(pair)) for pair in pairs} if one_list else set(pairs)


def quality(found: set[tuple[str, str]], data: MadeSet) -> dict[str, float]:
    """F1, precision and recall against the truth; of no truth and nothing found, all are 1."""
    truth, got = undirected(data.truth, data.b is None), undirected(found, data.b is None)
    right = len(truth & got)
    precision = right / len(got) if got else 1.0
    recall = right / len(truth) if truth else 1.0
    return {"f1": 2 * precision * recall / max(precision + recall, 1e-9), "precision": precision, "recall": recall}


def run_own(data: MadeSet, growth: bool = False) -> dict[str, Any]:
    """synckit on one list, here."""
    before = peak_bytes() / 1e6
    begun, worked = time.perf_counter(), time.process_time()
    result = find_duplicates(data.a, data.b, data.fields)
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    peak = peak_bytes() / 1e6
    keys = list(zip(result.pairs["a_key"].to_pylist(), result.pairs["b_key"].to_pylist(), strict=True))
    score = result.pairs["score"].to_numpy()
    found = {key for key, value in zip(keys, score, strict=True) if value >= CUT}
    told = quality(found, data) | {"seconds": seconds, "worked": worked, "peak": peak, "grown": peak - before}
    if growth:
        return told
    pool = pool_of(data.a, data.b, data.fields)
    names = np.array(pool.keys, dtype=object)
    first, second = candidate_pairs(pool)
    across = np.ones(len(first), bool) if data.b is None else (first < pool.size_a) & (second >= pool.size_a)
    truth = undirected(data.truth, data.b is None)
    compared = undirected(set(zip(names[first[across]], names[second[across]], strict=True)), data.b is None)
    is_true = [key in truth for key in (undirected({k}, data.b is None).pop() for k in keys)]
    hidden = int(across.sum()) - len(keys)  # compared, but too faint to be listed
    return told | {
        "candidate recall": len(truth & compared) / max(1, len(truth)),
        "scores": [*score.tolist(), *[0.0] * hidden],
        "true": [*is_true, *[False] * hidden],
    }


def in_own_process(arguments: list[str], python: str = sys.executable, patience: float | None = None) -> dict[str, Any] | None:
    """What a run printed as JSON; None where the tool is missing, fails, or takes longer than `patience` seconds."""
    try:
        done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False, timeout=patience)
    except subprocess.TimeoutExpired:
        return {"stopped": patience}
    if done.returncode:
        print(f"  {arguments[-2]}: {(done.stderr.strip().splitlines() or ['failed'])[-1][:120]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_peer(name: str, data: MadeSet, python: str, patience: float | None = None) -> dict[str, Any] | None:
    """Splink or recordlinkage on one list, compared over the same columns."""
    columns = ["key", *[field.name for field in data.fields]]
    with tempfile.TemporaryDirectory() as folder:
        data.a.select(columns).to_pandas().to_csv(Path(folder) / "a.csv", index=False)
        if data.b is not None:
            data.b.select(columns).to_pandas().to_csv(Path(folder) / "b.csv", index=False)
        told = in_own_process([str(Path(__file__).with_name("duplicate_peers.py")), name, folder], python, patience)
    if told is None or "stopped" in told:
        return told
    return quality({(x, y) for x, y in told["pairs"]}, data) | {"seconds": told["seconds"], "peak": told["peak"]}


def line(name: str, tool: str, told: dict[str, Any] | None) -> str:
    if told is None:
        return f"{name:28} {tool:14} not installed, or failed here"
    reach = f"{told['candidate recall']:9.4f}" if "candidate recall" in told else " " * 9
    goal = (
        f"   goal {GOAL[name]}: {'reached' if told['f1'] >= GOAL[name] - 0.001 else 'MISSED'}"
        if name in GOAL and tool == "synckit"
        else ""
    )
    numbers = f"{told['f1']:7.4f} {told['precision']:9.4f} {told['recall']:7.4f} {reach} {told['seconds']:8.1f} {told['peak']:6.0f}"
    return f"{name:28} {tool:14} {numbers}{goal}"


def calibration(scores: np.ndarray, true: np.ndarray, figure: str | None) -> None:
    """Print (and draw) the share that is true in every tenth of the score."""
    print("\ncalibration, all lists together\nscore        pairs   mean score   share true   difference")
    tenth = np.minimum((scores * 10).astype(int), 9)
    points = []
    for number in range(10):
        inside = tenth == number
        if inside.any():
            mean, share = scores[inside].mean(), true[inside].mean()
            points.append((mean, share))
            note = "" if inside.sum() >= 100 else "  (fewer than 100 pairs)"
            print(
                f"{number / 10:.1f} - {number / 10 + 0.1:.1f} {inside.sum():9} {mean:12.3f} {share:12.3f} {share - mean:+12.3f}{note}"
            )
    if figure:
        from matplotlib.figure import Figure

        drawing = Figure(figsize=(4, 4))
        axes = drawing.subplots()
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axes.plot(*zip(*points, strict=True), marker="o")
        axes.set(xlabel="score", ylabel="share that is true", title="Calibration, all lists together")
        drawing.savefig(figure, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="run one list here and print JSON")
    parser.add_argument("--rows", type=int, help="run a made list of this size here and print JSON")
    parser.add_argument(
        "--growth", type=int, nargs="*", default=[5000, 50000], help="rows a side of the made lists that time is measured on"
    )
    parser.add_argument("--peers-python", default=sys.executable, help="the interpreter that has splink and recordlinkage")
    parser.add_argument("--no-peers", action="store_true", help="synckit alone")
    parser.add_argument("--patience", type=float, default=300, help="seconds that a peer may take for a list of --growth")
    parser.add_argument("--figure", help="where to draw the calibration")
    options = parser.parse_args()
    if options.only or options.rows:
        made = made_link(options.rows) if options.rows else sets()[options.only]()
        print(json.dumps(run_own(made, growth=bool(options.rows))))
        return
    if not SHARED.is_dir():
        print("shared/duplicates is not beside this repository: measured on made lists alone.")
    print(f"{'list':28} {'tool':14} {'F1':>7} {'precision':>9} {'recall':>7} {'reach':>9} {'seconds':>8} {'MB':>6}")
    scores, true = [], []
    for name, make in sets().items():
        told = in_own_process([__file__, "--only", name])
        print(line(name, "synckit", told), flush=True)
        if told:
            scores.append(np.array(told["scores"]))
            true.append(np.array(told["true"]))
        data = make() if not options.no_peers else None
        for peer in () if options.no_peers else ("splink", "recordlinkage"):
            print(line(name, peer, run_peer(peer, data, options.peers_python)), flush=True)
    calibration(np.concatenate(scores), np.concatenate(true).astype(float), options.figure)
    print("\ngrowth, made companies of 9 columns, two lists of that many rows each")
    print(f"{'rows':>9} {'tool':14} {'F1':>7} {'seconds':>8} {'MB':>6}")
    for rows in options.growth:
        print(grown(rows, "synckit", in_own_process([__file__, "--rows", str(rows)])), flush=True)
        data = None if options.no_peers else made_link(rows)
        for peer in () if data is None else ("splink", "recordlinkage"):
            print(grown(rows, peer, run_peer(peer, data, options.peers_python, options.patience)), flush=True)


def grown(rows: int, tool: str, told: dict[str, Any] | None) -> str:
    if told is None:
        return f"{rows:9,} {tool:14} not installed, or failed here (memory)"
    if "stopped" in told:
        return f"{rows:9,} {tool:14} stopped after {told['stopped']:.0f} seconds"
    return f"{rows:9,} {tool:14} {told['f1']:7.4f} {told['seconds']:8.1f} {told['peak']:6.0f}"


if __name__ == "__main__":
    main()
