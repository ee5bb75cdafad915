"""Judgements that two records are not the same: kept in the ledger, and true until the data of one of the two changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.ledger.ledger import Ledger
from synckit.planning.bind import BoundMapping, Side
from synckit.planning.stage import as_text
from synckit.systems.protocol import Snapshot

KIND, TAKEN_BACK = "not_the_same", "not_the_same_taken_back"
ACROSS = "across"  # one record on either side; else the side on which both stand


def compared_columns(bound: BoundMapping, side: Side) -> list[str]:
    """The columns of one side whose values say who a record is: those of every field pair that is no reference and no constant."""
    names = []
    for row in bound.mapping.fields:
        name = row.local if side == "local" else row.integration
        if row.enabled and row.local is not None and row.integration is not None and row.lookup is None and name is not None:
            names.append(bound.side(side).table.column(name).name)
    return list(dict.fromkeys(names))


def prints(bound: BoundMapping, side: Side, snapshot: Snapshot, keys: Iterable[str]) -> dict[str, str]:
    """Key -> sixteen hexadecimal digits over the values that say who the record is, as the system holds them."""
    wanted, of = sorted(set(keys)), bound.side(side)
    if not wanted or of.option_set is not None:
        return {}
    columns = compared_columns(bound, side)
    rows = snapshot.read(of.table, list(dict.fromkeys([of.uid.name, *columns])), keys=wanted, key_column=of.uid.name).read_all()
    texts = [as_text(rows.column(c).combine_chunks(), of.table.column(c)).to_pylist() for c in columns]
    uids = pc.cast(rows.column(of.uid.name), pa.string()).to_pylist()
    values = zip(*texts, strict=True) if texts else iter([()] * len(uids))
    return {uid: hashlib.sha256(json.dumps(v).encode()).hexdigest()[:16] for uid, v in zip(uids, values, strict=True)}


def entry(side: str, keys: tuple[str, str], of: tuple[str, str], note: str = "") -> dict[str, str | None]:
    """local_key, integration_key and value of a judgement as the ledger's decisions hold it; `of` the prints of the two records."""
    first, second = keys if side != "integration" else (None, keys[0])
    return {"local_key": first, "integration_key": second if side != "local" else None,
            "value": json.dumps({"side": side, "keys": keys, "prints": of, "note": note})}  # fmt: skip


def standing(ledger: Ledger, mapping: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(side or "across", key, key) -> prints, note, who and when, of the judgements that nobody has taken back; the latest counts."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in ledger.decisions(mapping).to_pylist():
        if row["kind"] in (KIND, TAKEN_BACK):
            told = json.loads(row["value"])
            keys = told["keys"] if told["side"] == ACROSS else sorted(told["keys"])
            place = (told["side"], *keys)
            found.pop(place, None)
            if row["kind"] == KIND:
                of = dict(zip(told["keys"], told["prints"], strict=True))
                found[place] = {"prints": of, "note": told.get("note", ""), "by": row["operator"], "at": row["at"]}
    return found


def without_judged(ledger: Ledger, mapping: str, source: Side, lines: pa.Table) -> pa.Table:
    """DUPLICATES without the pairs that were judged while their data was as it is now."""
    known = standing(ledger, mapping)
    if not known or not lines.num_rows:
        return lines
    kept = []
    for r in lines.select(["source_key", "existing_side", "existing_key", "source_print", "existing_print"]).to_pylist():
        one, two = r["source_key"], r["existing_key"]
        if r["existing_side"] == source:
            place = (source, *sorted((one, two)))
        else:
            place = (ACROSS, one, two) if source == "local" else (ACROSS, two, one)
        said = known.get(place)
        kept.append(said is None or said["prints"] != {one: r["source_print"], two: r["existing_print"]})
    return lines.filter(pa.array(kept, pa.bool_()))


__all__ = ["ACROSS", "KIND", "TAKEN_BACK", "entry", "prints", "standing", "without_judged"]
