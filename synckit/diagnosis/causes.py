"""Errors grouped by their root cause: one missing currency that fails forty customers is one cause with forty victims."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace as Row
from typing import TYPE_CHECKING, Any

import pandas as pd

from synckit.diagnosis.catalogue import CATALOGUE, cause_of, classify
from synckit.errors import SynckitError
from synckit.planning.bind import SIDES, Side, bind
from synckit.planning.looking import look
from synckit.reports.wording import count_of, safe

if TYPE_CHECKING:
    from synckit.workspace import Workspace

#: One line per cause, those that are open first. `cause` names it; `mapping` is where it must be mended; `victims`: records that it has
#: failed, `open`: those that still wait; `trend`: "new", "persisting" or "solved"; `first_run` and `last_run`: where it was seen.
CAUSES = ("cause", "code", "title", "mapping", "field", "value", "what", "victims", "open", "by_mapping", "examples", "first_run", "last_run",
          "runs", "first_at", "last_at", "trend", "remedy", "reference")  # fmt: skip
EXAMPLES = 5
_REFERRED = re.compile(r"must be coupled first: (?P<a>.+?) has no coupled record|Couple it in (?P<b>.+?)\.$")
_BLOCKED = re.compile(r"Blocked by (?P<rest>.+), which cannot be created \((?P<field>.*)\)\.$", re.DOTALL)
_COUPLED = re.compile(r"^(?:The )?(?P<field>.+) (?:\"(?P<a>[^\"]+)\"|'(?P<b>[^']+)'|(?P<c>\S+)) must be coupled", re.DOTALL)
_VALUES = re.compile(r"\"[^\"]*\"|'[^']*'|\{?[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\}?|\d+")

Line = dict[str, Any]
Names = Callable[[str, Iterable[Line]], dict[tuple[str, str], str]]


@dataclass(frozen=True)
class Root:
    """What stands behind an error. Two errors with equal roots have one cause."""

    code: str
    mapping: str
    field: str = ""
    value: str = ""
    text: str = ""

    @property
    def id(self) -> str:
        said = [self.code, self.mapping, self.field, self.value or self.text]
        return ":".join(part for part in said if part)[:200]


def own_root(line: Line) -> Root:
    """The root of an error that waits for no other record."""
    code, mapping, message = line["code"], line["mapping"], line["message"] or ""
    field, value = line.get("field") or "", line.get("value") or ""
    if code in ("lookup_not_coupled", "missing_option"):
        hit, said = _REFERRED.search(message), _COUPLED.search(message)
        referred = (hit["a"] or hit["b"]) if hit else mapping
        if not value and said:
            field, value = said["field"], said["a"] or said["b"] or said["c"]
        return Root(code, referred, "" if hit else field, value, "" if value else _VALUES.sub("...", message))
    if code in ("cannot_convert", "required_blank", "key_collision"):
        return Root(code, mapping, field)
    if code in ("failed", "unknown", "business_rule", "not_stored", "connection"):
        return Root(code, mapping, text=_VALUES.sub("...", message)[:160])
    if code in CATALOGUE and "." not in code:
        return Root(code, mapping)
    return Root(code, mapping, text=message[:160])  # a business rule: its sentence names what is missing


def roots(lines: Sequence[Line], names: Names) -> list[Root]:
    """The root of each line. What is blocked has the root of the record it waits for, as far as that failed in the same run."""
    by_place: dict[tuple[Any, str], list[Line]] = {}
    for line in lines:
        by_place.setdefault((line.get("run_id"), line["mapping"]), []).append(line)
    called: dict[tuple[Any, str], dict[str, Line]] = {}
    mappings = sorted({m for _, m in by_place}, key=len, reverse=True)

    def parent(line: Line) -> tuple[str, str, Line | None]:
        hit = _BLOCKED.match(line["message"] or "")
        if hit is None:
            return line["mapping"], "", None
        rest = hit["rest"]
        mapping = next((m for m in mappings if rest.startswith(f"{m} ")), rest.partition(" ")[0])
        name = rest[len(mapping) :].strip()
        place = (line.get("run_id"), mapping)
        if place not in called and place in by_place:
            known = names(mapping, by_place[place])
            called[place] = {}
            for one in by_place[place]:
                for side in SIDES:
                    key = one.get(f"{side}_key") or ""
                    for text in (known.get((side, key), ""), key):
                        if text:
                            called[place].setdefault(text, one)
        return mapping, name, called.get(place, {}).get(name)

    # what fails as before is booked under a code of its own: the same record and text, in any run, has the code that it began with
    first = {(_victim(line), line["message"]): line for line in lines if line["code"] != "fails_again"}

    def root(line: Line, depth: int = 0) -> Root:
        if line["code"] == "fails_again":
            before = first.get((_victim(line), line["message"]))
            return root(before, depth + 1) if before is not None else own_root(line)
        if line["code"] != "blocked":
            return own_root(line)
        mapping, name, found = parent(line)
        return (
            root(found, depth + 1)
            if found is not None and found is not line and depth < 20
            else Root("blocked", mapping, value=name)
        )

    return [root(line) for line in lines]


def with_causes(lines: Sequence[Line], names: Names) -> pd.DataFrame:
    """The lines as a frame with a column `cause` in front, and the root's code, mapping, field and value behind."""
    found = roots(lines, names)
    frame = pd.DataFrame(list(lines), columns=list(lines[0]) if lines else list(LINES))
    frame.insert(0, "cause", [r.id for r in found])
    for name in ("code", "mapping", "field", "value"):
        frame[f"root_{name}"] = [getattr(r, name) for r in found]
    return frame


#: Columns of the lines that are grouped.
LINES = ("run_id", "at", "mapping", "direction", "local_key", "integration_key", "code", "field", "value", "message")


def grouped(
    errors: pd.DataFrame,
    still_open: Callable[[Line], bool] | None = None,
    latest: dict[str, int] | None = None,
    names: Names | None = None,
) -> pd.DataFrame:
    """CAUSES of lines that `with_causes` marked. `still_open` says of a line whether its record still waits (None: all do), `latest`
    the last run in which each mapping took part: a cause seen there for the first time is new."""
    lines = errors.to_dict("records")
    by_cause: dict[str, list[Line]] = {}
    for line in lines:
        plain: Line = {str(k): None if v is pd.NaT or v != v else v for k, v in line.items()}
        by_cause.setdefault(str(plain["cause"]), []).append(plain)
    known: dict[tuple[str, str, str], str] = {}
    if names is not None:
        shown: dict[str, list[Line]] = {}
        for mine in by_cause.values():
            for one in list({_victim(m): m for m in mine}.values())[:EXAMPLES]:
                shown.setdefault(one["mapping"], []).append(one)
        known = {(m, side, key): text for m, some in shown.items() for (side, key), text in names(m, some).items()}

    def example(line: Line) -> str:
        mapping, key = _victim(line)
        return next((text for side in SIDES if (text := known.get((mapping, side, line.get(f"{side}_key") or ""), ""))), key)

    found = []
    for cause, mine in by_cause.items():
        own = next((m for m in mine if m["code"] == m["root_code"]), mine[0])
        victims = {_victim(m): m for m in mine}
        waiting = {_victim(m) for m in mine if still_open is None or still_open(m)}
        per_mapping = pd.Series([v[0] for v in victims]).value_counts()
        runs = sorted({int(m["run_id"]) for m in mine if m.get("run_id") is not None})
        newest = max((latest or {}).get(v[0], 0) for v in victims)
        trend = (
            "solved" if not waiting else "new" if runs and len(runs) == 1 and runs[0] >= newest else "persisting" if runs else ""
        )
        entry = cause_of(own["root_code"])
        at = [m["at"] for m in mine if m.get("at") is not None]
        found.append(
            (cause, own["root_code"], entry.title, own["root_mapping"], own["root_field"] or own.get("field") or "", own["root_value"], own["message"], len(victims),
             len(waiting), ", ".join(f"{m} {n:,}" for m, n in per_mapping.items()), ", ".join(example(m) for m in list(victims.values())[:EXAMPLES]),
             runs[0] if runs else None, runs[-1] if runs else None, len(runs), min(at) if at else None, max(at) if at else None, trend, entry.remedy, entry.reference)
        )  # fmt: skip
    frame = pd.DataFrame(found, columns=list(CAUSES))
    return frame.sort_values(["open", "victims", "cause"], ascending=[False, False, True], kind="stable", ignore_index=True)


def _victim(line: Line) -> tuple[str, str]:
    local, integration = line.get("local_key"), line.get("integration_key")
    key = local if isinstance(local, str) and local else integration if isinstance(integration, str) and integration else ""
    return line["mapping"], key


# -- over the ledger ---------------------------------------------------------------------------------------------------------------


def error_lines(ws: Workspace, mapping: str | None = None, run: int | None = None) -> pd.DataFrame:
    """Every booked error with its cause, newest first: cause, then the columns of `ws.errors()`, then those of the root."""
    name = None if mapping is None else ws.description.mapping(mapping).name
    lines = ws.ledger.errors(run=run).to_pylist()  # all mappings: a cause may lie in another one
    frame = with_causes(lines, names_in(ws)) if lines else with_causes([], names_in(ws))
    return frame if name is None else frame[frame["mapping"] == name].reset_index(drop=True)


def names_in(ws: Workspace) -> Names:
    """What the records of some lines are called now, by (side, key)."""

    def names(mapping: str, lines: Iterable[Line]) -> dict[tuple[str, str], str]:
        if mapping not in {m.name for m in ws.description.mappings}:
            return {}
        bound = bind(ws.description.mapping(mapping), ws.description, {s: ws.systems[s].schema for s in SIDES})
        found: dict[tuple[str, str], str] = {}
        mine = list(lines)
        for side in SIDES:
            keys = {line[f"{side}_key"] for line in mine if line.get(f"{side}_key")}
            if keys:
                with ws.systems[side].snapshot() as snapshot:
                    seen = look(bound.side(side), snapshot, ws.systems[side], keys)
                found |= {(side, key): one.called for key, one in seen.items()}
        return found

    return names


def causes(
    ws: Workspace, mapping: str | None = None, *, run: int | None = None, errors: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The causes (CAUSES) of all booked errors, of one mapping's, or of one run's.

    Open is what still fails, is skipped or is due; a cause all of whose records have succeeded since is "solved". `errors`: the
    lines of `error_lines`, where they have been gathered already.
    """
    if run is not None and run not in ws.ledger.runs().column("id").to_pylist():
        raise SynckitError(f"There is no run {run}. `synckit jobs` lists them.")
    errors = error_lines(ws, mapping, run) if errors is None else errors
    waiting = _waiting(ws, errors)
    jobs = ws.ledger.jobs().to_pandas()
    latest = {str(m): int(n) for m, n in jobs.groupby("mapping")["run_id"].max().items()} if len(jobs) else {}
    if run is not None:
        before = {str(c) for c in error_lines(ws, mapping)[lambda f: f["run_id"] < run]["cause"]}
        frame = grouped(errors, lambda line: _victim(line) in waiting, names=names_in(ws))
        frame["trend"] = ["persisting" if c in before else "new" for c in frame["cause"]]
        return frame
    return grouped(errors, lambda line: _victim(line) in waiting, latest, names_in(ws))


def _waiting(ws: Workspace, errors: pd.DataFrame) -> set[tuple[str, str]]:
    """Of the records that have failed, those that fail or are skipped still, or are due to be tried again."""
    waiting: set[tuple[str, str]] = set()
    for name, mine in errors.groupby("mapping"):
        keys: dict[Side, list[str]] = {s: [k for k in mine[f"{s}_key"].dropna().unique() if k] for s in SIDES}
        pairs = ws.ledger.couplings_of(str(name), keys["local"], keys["integration"]).to_pylist()
        failing = {c[f"{s}_key"] for c in pairs for s in SIDES if c["skipped"] or "failure" in (c["to_result"], c["from_result"])}
        coupled = {c[f"{s}_key"] for c in pairs for s in SIDES}  # of these the coupling says whether the last try failed
        failing |= {d["key"] for d in ws.ledger.due(str(name)).to_pylist()} - coupled
        for line in mine[["mapping", "local_key", "integration_key"]].to_dict("records"):
            if failing & {line["local_key"], line["integration_key"]}:
                waiting.add(_victim({str(k): v for k, v in line.items()}))
    return waiting


def plan_causes(plan: Any) -> pd.DataFrame:
    """The causes of what a plan says will fail (CAUSES), before anything runs."""
    from synckit.planning.tables import BOOKED_AS_FAILED

    records = plan.records(disposition=list(BOOKED_AS_FAILED))
    errors: dict[tuple[str, str, int], list[Line]] = {}
    for e in plan.errors().to_dict("records"):
        errors.setdefault((e["mapping"], e["pass"], e["record"]), []).append({str(k): v for k, v in e.items()})
    lines: list[Line] = []
    names: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for row in records.to_dict("records"):
        keys = {f"{s}_key": row[f"{s}_key"] if isinstance(row[f"{s}_key"], str) else None for s in SIDES}
        for s in SIDES:
            if isinstance(row[f"{s}_name"], str) and keys[f"{s}_key"]:
                names.setdefault((row["mapping"], ""), {})[s, str(keys[f"{s}_key"])] = row[f"{s}_name"]
        said = errors.get((row["mapping"], row["pass"], row["record"])) or [
            {"code": row["code"], "field": "", "value": "", "message": row["reason"]}
        ]
        for e in said:
            value = e["value"] if isinstance(e["value"], str) else ""
            lines.append({"run_id": None, "at": None, "mapping": row["mapping"], "direction": row["pass"], **keys, "code": e["code"], "field": e["field"],
                          "value": value, "message": e["message"]})  # fmt: skip

    def called(mapping: str, some: Iterable[Line]) -> dict[tuple[str, str], str]:
        return names.get((mapping, ""), {})

    return grouped(with_causes(lines, called), names=called)


def causes_text(frame: pd.DataFrame, limit: int | None = None) -> str:
    """Causes as paragraphs for a terminal, each with its victims and what helps."""
    parts = []
    shown = frame if limit is None else frame.head(limit)
    for row in (Row(**{str(k): v for k, v in line.items()}) for line in shown.to_dict("records")):
        n = count_of(int(row.victims), "record", "records")
        state = f", {row.trend}" if row.trend else ""
        waiting = f", {row.open:,} open" if row.trend and row.open != row.victims else ""
        more = f" ... ({min(EXAMPLES, row.victims)} of {row.victims:,} shown)" if row.victims > EXAMPLES else ""
        parts.append("\n".join([f"{n}{state}{waiting}: {safe(row.title)} ({safe(row.mapping)})", f"    {safe(row.what)}",
                                f"    {safe(row.by_mapping)}: {safe(row.examples)}{more}", f"    What helps: {safe(row.remedy)}", f"    Cause: {safe(row.cause)}"]))  # fmt: skip
    if len(shown) < len(frame):
        parts.append(f"{len(shown):,} of {len(frame):,} causes shown.")
    return "\n\n".join(parts)


def classified(message: str, code: str = "") -> str:
    """The code of a message from elsewhere: the one given where the catalogue has it, else what the message looks like."""
    return code if code in CATALOGUE else classify(message)


__all__ = [
    "CAUSES",
    "LINES",
    "Root",
    "causes",
    "causes_text",
    "classified",
    "error_lines",
    "grouped",
    "names_in",
    "plan_causes",
    "with_causes",
]
