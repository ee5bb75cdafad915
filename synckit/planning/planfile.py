"""A plan in one file: an immutable base (Parquet frames and a manifest) and the decisions taken on it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synckit.errors import SynckitError
from synckit.mapping.schema import nearest
from synckit.planning.plan import Decision, Plan, PlanBase, Side
from synckit.planning.planned_mapping import MappingHead, WrittenColumn
from synckit.planning.tables import CALLED, EVIDENCE, PAIR_CHANGES, PAIRS

FORMAT = "synckit plan"
VERSION = 1
SEAL = "manifest.sha256"  #: the manifest's own digest: half a plan's meaning stands in it
FRAMES = (
    "rows",
    "changes",
    "errors",
    "depends",
    "review",
    "duplicates",
    "quiet",
    "conflicts",
    "evidence",
    "pairs",
    "pair_changes",
    "called",
)
#: Frames that plans of earlier versions do not hold.
LATER = {"evidence": EVIDENCE, "pairs": PAIRS, "pair_changes": PAIR_CHANGES, "called": CALLED}
LIMIT = 4 << 30  # bytes that one frame may unpack to; a plan is data from outside


def save_plan(plan: Plan, path: str) -> None:
    """Write `plan` to `path`: whole or not at all. Refuses to replace a file that is not a plan."""
    _write(path, lambda: plan_bytes(plan))


def save_decisions(plan: Plan, path: str) -> None:
    """Write `plan` to `path`; where that file holds this very plan already, only its decisions are written anew."""

    def content() -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                if json.loads(archive.read("manifest.json"))["plan_id"] != plan.id:
                    return plan_bytes(plan)
                sink = io.BytesIO()
                with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as copy:
                    for name in archive.namelist():
                        copy.writestr(name, _decisions_text(plan) if name == "decisions.json" else archive.read(name))
                return sink.getvalue()
        except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError):
            return plan_bytes(plan)

    _write(path, content)


def read_decisions(path: str) -> tuple[str, tuple[Decision, ...]]:
    """Id and decisions of a plan file, without its frames. Raises SynckitError where it is no whole plan."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("manifest.json"))["plan_id"]), _decisions(archive)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise SynckitError(f"{path} is not a whole plan ({type(error).__name__}). Choose another name for the plan file.") from None


def _write(path: str, content_of: Callable[[], bytes]) -> None:
    target = Path(path)
    if not path.strip():
        raise SynckitError("The plan file has no name. Write one, such as monday.plan.")
    if target.exists() and not _is_plan(target):
        raise SynckitError(f"{path} exists and is not a plan. Choose another name.")
    if not target.parent.is_dir():
        raise SynckitError(f"The folder {target.parent} does not exist. Make it first, or choose another place for the plan.")
    content = content_of()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(target)
    except OSError as error:
        raise SynckitError(f"The plan could not be written to {path}: {error.strerror or error}.") from None
    finally:
        Path(name).unlink(missing_ok=True)


def plan_bytes(plan: Plan) -> bytes:
    """The content of a plan file."""
    base = plan.base
    parts = {f"{name}.parquet": _parquet(getattr(base, name)) for name in FRAMES if name != "quiet"}
    # the rows that need no look come in no order from planning; they are put into one only where bytes matter
    parts["quiet.parquet"] = _parquet(base.quiet.sort_by([(name, "ascending") for name in base.quiet.column_names]))
    creates = []
    for number, (place, table) in enumerate(base.creates.items()):
        parts[f"creates-{number}.parquet"] = _parquet(table)
        creates.append(list(place))
    head = {
        "format": FORMAT, "version": VERSION, "kind": base.kind, "made_at": base.made_at.isoformat(), "operator": base.operator,
        "ledger_id": base.ledger_id, "run_counter": base.run_counter, "order": list(base.order), "whole": base.whole,
        "sides": {s: {**dataclasses.asdict(v), "taken_at": v.taken_at.isoformat()} for s, v in base.sides.items()},
        "mappings": {n: dataclasses.asdict(m) for n, m in base.mappings.items()}, "creates": creates, "plan_id": base.id, "notes": list(base.notes),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
    }  # fmt: skip
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        manifest = json.dumps(head, indent=1).encode()
        archive.writestr("manifest.json", manifest)
        archive.writestr(SEAL, hashlib.sha256(manifest).hexdigest())
        archive.writestr("decisions.json", _decisions_text(plan))
        for part, data in parts.items():
            archive.writestr(part, data)
    return sink.getvalue()


def _decisions_text(plan: Plan) -> str:
    return json.dumps([dataclasses.asdict(d) for d in plan.decisions], indent=1)


def _decisions(archive: zipfile.ZipFile) -> tuple[Decision, ...]:
    lines = json.loads(archive.read("decisions.json"))
    found = tuple(Decision(**{**d, "records": tuple(tuple(r) for r in d["records"])}) for d in lines)
    for decision in found:  # people may edit them by hand: what is no decision is refused here, not met halfway through
        texts = [getattr(decision, f.name) for f in dataclasses.fields(decision) if f.name != "records"]
        if not all(isinstance(t, str) for t in (*texts, *(part for record in decision.records for part in record))) or any(
            len(r) != 3 for r in decision.records
        ):
            raise ValueError("a decision holds something else than texts")
    return found


def load_plan(path: str) -> Plan:
    """Read a plan. Raises SynckitError where the file is missing, is no plan, was cut short or altered, or is of a newer version."""
    file = Path(path)
    if not file.is_file():
        beside = (
            sorted(p.name for p in file.parent.glob("*") if p.suffix == file.suffix and p.is_file()) if file.parent.is_dir() else []
        )
        raise SynckitError(f"There is no plan file {path}." + nearest(file.name, beside))
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SynckitError(f"The plan file {path} cannot be read: {error.strerror or error}.") from None
    return read_plan(content, path)


def read_plan(content: bytes, path: str) -> Plan:
    """The plan of a plan file's content; `path` names it in messages."""
    if content[:2] != b"PK"[: len(content)]:
        raise SynckitError(f"{path} is not a synckit plan.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if "manifest.json" not in archive.namelist() and "[Content_Types].xml" in archive.namelist():
                raise SynckitError(
                    f"{path} is a workbook, not a plan. Its decisions come back with: synckit decide PLAN --excel {path} --out NEW.plan"
                )
            head = json.loads(archive.read("manifest.json"))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise SynckitError(f"{path} is not a synckit plan.")
            if head["version"] > VERSION:
                raise SynckitError(f"{path} was written by a newer synckit. Update synckit to read it.")
            if archive.read(SEAL).decode() != hashlib.sha256(archive.read("manifest.json")).hexdigest():
                raise SynckitError(f"{path} was altered after it was written (manifest.json). Plan again.")
            frames = {
                name: LATER[name].empty_table()
                if name in LATER and f"{name}.parquet" not in head["sha256"]
                else _frame(archive, f"{name}.parquet", head, path)
                for name in FRAMES
            }
            creates = {tuple(place): _frame(archive, f"creates-{n}.parquet", head, path) for n, place in enumerate(head["creates"])}
            decisions = _decisions(archive)
        base = PlanBase(
            kind=head["kind"], made_at=datetime.fromisoformat(head["made_at"]), operator=head["operator"], ledger_id=head["ledger_id"],
            run_counter=head["run_counter"], order=tuple(head["order"]), whole=head["whole"],
            sides={s: Side(**{**v, "taken_at": datetime.fromisoformat(v["taken_at"])}) for s, v in head["sides"].items()},
            mappings={n: _head(m) for n, m in head["mappings"].items()}, creates=creates, given_id=str(head["plan_id"]),
            notes=tuple(head.get("notes", ())), **frames,
        )  # fmt: skip
        return Plan(base, decisions)
    except SynckitError:
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, KeyError, ValueError, TypeError, AttributeError, EOFError, OSError,
            pa.ArrowException) as error:  # fmt: skip  # RuntimeError: an altered bit says that a part is encrypted
        raise SynckitError(
            f"{path} is not a whole plan: it was cut short or altered ({type(error).__name__}). Plan again, or fetch the file again."
        ) from None


def _head(values: dict[str, Any]) -> MappingHead:
    columns = {p: tuple(WrittenColumn(**c) for c in cs) for p, cs in values["columns"].items()}
    return MappingHead(
        **{**values, "passes": tuple(values["passes"]), "columns": columns, "released": tuple(values.get("released", ()))}
    )


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    # keys and names seldom repeat, and what does repeat zstd finds by itself: dictionaries would double time and size
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    return sink.getvalue()


def _frame(archive: zipfile.ZipFile, name: str, head: dict[str, Any], path: str) -> pa.Table:
    if archive.getinfo(name).file_size > LIMIT:
        raise SynckitError(f"{path} is larger than a plan can be.")
    data = archive.read(name)
    if hashlib.sha256(data).hexdigest() != head["sha256"][name]:
        raise SynckitError(f"{path} was altered after it was written ({name}). Plan again.")
    # in this thread alone: a thread of Arrow that lets go of our bytes while Python is ending takes the whole process down (abort)
    with pq.ParquetFile(io.BytesIO(data), pre_buffer=False) as file:
        return file.read(use_threads=False)


def _is_plan(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("manifest.json")).get("format") == FORMAT
    except (zipfile.BadZipFile, zlib.error, RuntimeError, KeyError, ValueError, OSError, AttributeError):
        return False
