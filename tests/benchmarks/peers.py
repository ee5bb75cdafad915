"""The same job done with other tools: read both tables and the couplings, find creates on either side and the fields that differ.

Every function takes the folder of the benchmark and the URL of a PostgreSQL database ('' for the two SQLite files), and gives a few
counts, so that a reader sees that the same work was done. None of them knows stamps, conflicts, lengths, rules or lookups.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from generate import COLUMNS

NAMES = [column for _, column, _, _ in COLUMNS]
SELECT = f"SELECT CAST(id AS VARCHAR(36)) AS id, modified_on, {', '.join(NAMES)} FROM {{side}}_partner"  # noqa: S608
COUPLINGS = "SELECT local_key, integration_key, local_stamp, integration_stamp FROM coupling"
Counts = dict[str, Any]


def cursor_walk(folder: Path, postgres: str) -> Counts:
    """The yardstick: a bare cursor over both tables and the couplings, which does nothing with the rows."""
    seen = 0
    for side in ("local", "integration"):
        if postgres:
            import psycopg

            with psycopg.connect(postgres) as connection, connection.cursor("walk") as cursor:
                cursor.itersize = 10_000
                cursor.execute(SELECT.format(side=side))  # type: ignore[arg-type]
                for _ in cursor:
                    seen += 1
        else:
            with closing(sqlite3.connect(folder / f"{side}.db")) as lite:
                for _ in lite.execute(SELECT.format(side=side)):
                    seen += 1
    with closing(sqlite3.connect(folder / "ledger.db")) as lite:
        for _ in lite.execute(COUPLINGS):
            seen += 1
    return {"rows": seen}


def synckit_plan(folder: Path, postgres: str, workspace: str = "workspace.yaml") -> Counts:
    """The dry run, from the opened workspace to the summary."""
    from synckit.workspace import open_workspace

    with open_workspace(folder / workspace) as opened:
        plan = opened.plan_full()
        plan.summary()
        return {"create": plan.total("create"), "update": plan.total("update"), "fields": plan.base.changes.num_rows}


def synckit_bounded(folder: Path, postgres: str) -> Counts:
    """The same with little memory for the embedded database."""
    return synckit_plan(folder, postgres, "bounded.yaml")


def _frames(folder: Path, postgres: str) -> list[Any]:
    import pandas as pd
    import sqlalchemy as sa

    frames = []
    for side in ("local", "integration"):
        url = postgres.replace("postgresql://", "postgresql+psycopg://") if postgres else f"sqlite:///{folder / f'{side}.db'}"
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            frames.append(pd.read_sql(sa.text(SELECT.format(side=side)), connection))
    with closing(sqlite3.connect(folder / "ledger.db")) as lite:
        frames.append(pd.read_sql(COUPLINGS, lite))
    return frames


def pandas_merge(folder: Path, postgres: str) -> Counts:
    """pandas: read_sql, merge, compare column by column."""
    local, integration, coupled = _frames(folder, postgres)
    pairs = coupled.merge(local, left_on="local_key", right_on="id").merge(
        integration, left_on="integration_key", right_on="id", suffixes=("_l", "_i")
    )
    differs = {n: pairs[f"{n}_l"].fillna("") != pairs[f"{n}_i"].fillna("") for n in NAMES}
    fields = int(sum(d.sum() for d in differs.values()))
    any_field = next(iter(differs.values())).copy()
    for d in differs.values():
        any_field |= d
    creates = int((~local["id"].isin(coupled["local_key"])).sum() + (~integration["id"].isin(coupled["integration_key"])).sum())
    return {"create": creates, "update": int(any_field.sum()), "fields": fields}


def datacompy(folder: Path, postgres: str) -> Counts:
    """datacompy on pandas frames, joined on the local key."""
    import datacompy as tool

    local, integration, coupled = _frames(folder, postgres)
    partner = integration.merge(coupled[["local_key", "integration_key"]], how="left", left_on="id", right_on="integration_key")
    partner["id"] = partner["local_key"].fillna(partner["id"])
    compare = getattr(tool, "PandasCompare", None) or tool.Compare
    found = compare(local[["id", *NAMES]].fillna(""), partner[["id", *NAMES]].fillna(""), join_columns="id")
    creates = len(found.df1_unq_rows) + len(found.df2_unq_rows)
    return {
        "create": creates,
        "update": len(found.all_mismatch()),
        "fields": int(sum(s["unequal_cnt"] for s in found.column_stats)),
    }


def polars(folder: Path, postgres: str) -> Counts:
    """polars: read through ADBC, join, compare column by column."""
    import adbc_driver_sqlite.dbapi as adbc
    import polars as pl

    frames = []
    for path, query in [(f"{s}.db", SELECT.format(side=s)) for s in ("local", "integration")] + [("ledger.db", COUPLINGS)]:
        if postgres and path != "ledger.db":
            import adbc_driver_postgresql.dbapi as adbc_postgresql

            with adbc_postgresql.connect(postgres) as connection:
                frames.append(pl.read_database(query, connection))
        else:
            with adbc.connect(str(folder / path)) as connection:
                frames.append(pl.read_database(query, connection))
    local, integration, coupled = frames
    pairs = coupled.join(local, left_on="local_key", right_on="id").join(
        integration, left_on="integration_key", right_on="id", suffix="_i"
    )
    blank = [pl.col(n).cast(pl.String).fill_null("") != pl.col(f"{n}_i").cast(pl.String).fill_null("") for n in NAMES]
    counted = pairs.select(
        pl.any_horizontal(blank).sum().alias("update"), pl.sum_horizontal([b.sum() for b in blank]).alias("fields")
    )
    alone = local.join(coupled, left_on="id", right_on="local_key", how="anti").height
    alone += integration.join(coupled, left_on="id", right_on="integration_key", how="anti").height
    return {"create": alone, **counted.row(0, named=True)}


def diffsync(folder: Path, postgres: str) -> Counts:
    """DiffSync: one object per row, keyed by the local key (100,000 rows at most are sensible)."""
    from typing import ClassVar

    from diffsync import Adapter, DiffSyncModel

    annotations = {"id": str, **dict.fromkeys(NAMES, Any)}
    body = {"__annotations__": annotations, "__module__": __name__, **dict.fromkeys(NAMES, None), "_modelname": "partner",
            "_identifiers": ("id",), "_attributes": tuple(NAMES)}  # fmt: skip
    Partner = type("Partner", (DiffSyncModel,), body)

    class Side(Adapter):  # type: ignore[misc]
        partner = Partner
        top_level: ClassVar[list[str]] = ["partner"]

    local, integration, coupled = _frames(folder, postgres)
    partner_of = dict(zip(coupled["integration_key"], coupled["local_key"], strict=True))
    sides = []
    for frame, keys in ((local, {}), (integration, partner_of)):
        side = Side()
        for row in frame.fillna("").to_dict("records"):
            row.pop("modified_on")
            row["id"] = keys.get(str(row["id"]), str(row["id"]))
            side.add(Partner(**row))
        sides.append(side)
    summary = sides[0].diff_from(sides[1]).summary()
    return {"create": summary["create"] + summary["delete"], "update": summary["update"], "fields": None}


CONTENDERS = {
    "bare cursor walk": (cursor_walk, "", None),
    "synckit": (synckit_plan, "synckit", None),
    "synckit, bounded": (synckit_bounded, "synckit", None),
    "polars": (polars, "polars", None),
    "pandas merge": (pandas_merge, "pandas", None),
    "datacompy": (datacompy, "datacompy", None),
    "DiffSync": (diffsync, "diffsync", 100_000),
}  # name -> what runs, its distribution, and the number of rows beyond which it is left out


def versions() -> dict[str, str]:
    found = {}
    for name in ("duckdb", "pyarrow", "adbc-driver-sqlite", "polars", "pandas", "datacompy", "diffsync", "psycopg"):
        try:
            found[name] = version(name)
        except ImportError:
            continue
    return found
