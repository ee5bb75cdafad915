"""Writes the demo data: CSV files of both systems, the couplings, the planted cases and the table of them in README.md.

Run it with any Python 3.11 or later: `python data/generate.py`, or `python data/generate.py FOLDER` to write somewhere else.
The same files come out every time, byte for byte.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from history import reference_data, trading_partners, users_and_salespeople
from planted import plant_all
from world import Case, Row, World

HERE = Path(__file__).resolve().parent
MARK = "<!-- planted cases: written by generate.py -->"

#: Order of the rows in a file.
SORTED_BY = {
    "country_region": ("code",),
    "currency": ("code",),
    "currency_exchange_rate": ("currency_code", "starting_date"),
    "salesperson_purchaser": ("code",),
    "payment_terms": ("code",),
    "shipment_method": ("code",),
    "shipping_agent": ("code",),
    "customer": ("no",),
    "vendor": ("no",),
    "contact_business_relation": ("contact_no",),
    "stringmap": ("attributename", "attributevalue"),
}


def write(path: Path, rows: Iterable[Row]) -> None:
    """One CSV file: UTF-8, comma, one header line, LF."""
    ordered = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(ordered[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)


def write_tables(folder: Path, tables: dict[str, list[Row]], key_suffix: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        key = SORTED_BY.get(table) or (("no",) if key_suffix == "" else (f"{table}{key_suffix}",))
        write(folder / f"{table}.csv", sorted(rows, key=lambda row, key=key: tuple(row[column].rjust(8) for column in key)))  # type: ignore[misc]


def case_table(cases: list[Case]) -> str:
    """The table of README.md: one line per record."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("<", "&lt;")

    lines = [
        "| case | what | mapping | record | to Dataverse | to Business Central | what synckit says |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        record = cell(case.label) if case.side == "local" else f"{cell(case.label)} ({case.key[:8]})"
        lines.append(f"| {case.case} | {case.what} | {case.mapping} | {record} | {case.to} | {case.from_} | {cell(case.says)} |")
    return "\n".join(lines) + "\n"


def build() -> World:
    world = World()
    reference_data(world)
    users_and_salespeople(world)
    trading_partners(world)
    plant_all(world)
    return world


def main(folder: Path) -> None:
    world = build()
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder / "business_central", world.local, "")
    write_tables(folder / "dataverse", world.integration, "id")
    write(folder / "couplings.csv", sorted(world.couplings, key=lambda row: (row["mapping"], row["local_key"])))
    columns = ("case", "mapping", "side", "key", "label", "to", "from", "what")
    values = ((c.case, c.mapping, c.side, c.key, c.label, c.to, c.from_, c.what) for c in world.cases)
    write(folder / "planted.csv", (dict(zip(columns, line, strict=True)) for line in values))
    text = (HERE / "README.md").read_text(encoding="utf-8").partition(MARK)[0]
    (folder / "README.md").write_text(text + MARK + "\n\n" + case_table(world.cases), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
