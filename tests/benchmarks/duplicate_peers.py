"""Splink and recordlinkage on the lists of the duplicates benchmark, each in one untuned configuration for all lists.

    python tests/benchmarks/duplicate_peers.py splink|recordlinkage FOLDER

FOLDER holds a.csv and perhaps b.csv, each with a column `key`. Prints JSON: seconds, peak in MB and the pairs found. Runs under any
interpreter that has the peer; needs nothing of synckit.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from memory import peak_bytes

MEMORY = 12_000_000_000  # bytes

Found = list[tuple[str, str]]


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Both lists as text; b None where there is one list."""
    a, b = folder / "a.csv", folder / "b.csv"
    return pd.read_csv(a, dtype=str), pd.read_csv(b, dtype=str) if b.exists() else None


def splink(a: pd.DataFrame, b: pd.DataFrame | None) -> Found:
    """Jaro-Winkler at 0.92 and 0.8 on every column, candidates by equal beginnings of telling columns (by the whole column where the
    beginnings are much the same everywhere), expectation maximisation, 0.95."""
    import splink.comparison_library as library
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    columns = [name for name in a.columns if name != "key"]
    telling = [name for name in columns if a[name].nunique() > len(a) / 50]
    rules = [block_on(f"substr({n}, 1, 5)" if a[n].str[:5].nunique() > len(a) / 50 else n) for n in telling]
    settings = SettingsCreator(
        link_type="link_only" if b is not None else "dedupe_only",
        unique_id_column_name="key",
        comparisons=[library.JaroWinklerAtThresholds(name, [0.92, 0.8]) for name in columns],
        blocking_rules_to_generate_predictions=rules,
        retain_intermediate_calculation_columns=False,
    )
    database = DuckDBAPI()
    tables = [database.register(table) for table in ([a] if b is None else [a, b])]
    linker = Linker(tables if b is not None else tables[0], settings, log_level=None)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for rule in rules:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
        except Exception as problem:  # a rule that leaves nothing to learn is skipped
            print(f"  splink: {problem}"[:150], file=sys.stderr)
    found = linker.inference.predict(threshold_match_probability=0.95).as_pandas_dataframe()
    return list(zip(found["key_l"].astype(str), found["key_r"].astype(str), strict=True))


def recordlinkage(a: pd.DataFrame, b: pd.DataFrame | None) -> Found:
    """Jaro-Winkler at 0.85 on every column, candidates by a sorted neighbourhood of every telling column, ECM classifier."""
    import recordlinkage as rl

    columns = [name for name in a.columns if name != "key"]
    left = a.set_index("key").fillna("")
    right = None if b is None else b.set_index("key").fillna("")
    tables = (left,) if right is None else (left, right)
    pairs = None
    for name in columns:
        if a[name].nunique() > len(a) / 50:
            index = rl.Index()
            index.sortedneighbourhood(name, window=5)
            more = index.index(*tables)
            pairs = more if pairs is None else pairs.union(more)
    compare = rl.Compare()
    for name in columns:
        compare.string(name, name, method="jarowinkler", threshold=0.85)
    features = compare.compute(pairs, *tables)
    return [(str(x), str(y)) for x, y in rl.ECMClassifier(binarize=None).fit_predict(features)]


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    resource.setrlimit(
        resource.RLIMIT_AS, (MEMORY, MEMORY)
    )  # a peer that needs more fails here instead of taking the machine with it
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    a, b = read(folder)
    __import__(name)
    begun = time.perf_counter()
    found = {"splink": splink, "recordlinkage": recordlinkage}[name](a, b)
    seconds = time.perf_counter() - begun
    peak = peak_bytes() / 1e6
    print(json.dumps({"seconds": seconds, "peak": peak, "pairs": found}))


if __name__ == "__main__":
    main()
