"""Errors grouped by their root cause: one missing currency that fails forty customers is one cause with forty victims."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace as Row
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synckit.diagnosis.catalogue import CATALOGUE, cause_of, classify
from synckit.errors import SynckitError
from synckit.planning.bind import SIDES, Side, bind
from synckit.planning.looking import look
from synckit.reports.wording import count_of, safe

if TYPE_CHECKING:
    from synckit.workspace import Workspace

#: One line per cause, those that are open first. `cause` names it; `mapping` is where it must be mended; `victims`: records that it has
#: failed, `open`: those that still wait; `named`: what the record
#: with the key `value` is called, where the key says nothing to people; `trend`: "new", "persisting" or "solved"; `first_run` and `last_run`: where it was seen.
CAUSES = ("cause", "code", "title", "mapping", "field", "value", "named", "what", "victims", "open", "by_mapping", "examples", "first_run", "last_run",
          "runs", "first_at", "last_at", "trend", "remedy", "reference")  # fmt: skip
EXAMPLES = 5
_REFERRED = re.compile(r"must be coupled first: (?P<a>.+?) has no coupled record|Couple it in (?P<b>.+?)\.$")
_BLOCKED = re.compile(r"Blocked by (?P<rest>.+), which cannot be created \((?P<field>.*)\)\.$", re.DOTALL)
_COUPLED = re.compile(r"^(?:The )?(?P<field>.+) (?:\"(?P<a>[^\"]+)\"|'(?P<b>[^']+)'|(?P<c>\S+)) must be coupled", re.DOTALL)
#: What differs from record to record in one wording: quoted texts, GUIDs, words with a digit, codes in capitals.
_VALUES = re.compile(
    r"""["“”„«»‹›]+[^"“”„«»‹›]*["“”„«»‹›]+|'[^']*'|\{?[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\}?|[^\s,;:()]*\d[^\s,;:()]*|\b(?!SQL\b|HTTP\b)[A-ZÄÖÜÆØÅ]{2,}\b"""
)

Line = dict[str, Any]
Victim = tuple[str, str]  # its mapping and key
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


def shape(message: str) -> str:
    """The wording of a message without the values in it: what two errors of one kind share, in whatever language."""
    return re.sub(r"\.\.\.(?:[\s.,]*\.\.\.)+", "...", _VALUES.sub("...", " ".join(message.split())))[:160]


def own_root(line: Line) -> Root:
    """The root of an error that waits for no other record."""
    code, mapping, message = line["code"], line["mapping"], line["message"] or ""
    field, value = line.get("field") or "", line.get("value") or ""
    if code in ("lookup_not_coupled", "missing_option"):
        hit, said = _REFERRED.search(message), _COUPLED.search(message)
        referred = (hit["a"] or hit["b"]) if hit else mapping
        if not value and said:
            field, value = said["field"], said["a"] or said["b"] or said["c"]
        return Root(code, referred, "" if hit else field, value, "" if value else shape(message))
    if code in ("cannot_convert", "required_blank", "key_collision"):
        return Root(code, mapping, field)
    if code in ("failed", "unknown", "business_rule", "not_stored", "connection"):
        return Root(code, mapping, text=shape(message))
    if code in CATALOGUE and "." not in code:
        return Root(code, mapping)
    return Root(code, mapping, text=message[:160])  # a business rule: its sentence names what is missing


def roots(lines: Sequence[Line], names: Names) -> list[Root]:
    """The root of each line. What is blocked has the root of the record it waits for, as far as that failed in the same run."""
    if not any(line["code"] in CHAINED for line in lines):
        return [_known_root(line) for line in lines]
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
                    for text in (known.get((side, key), ""), known.get((f"number {side}", key), ""), key):
                        if text:
                            called[place].setdefault(text, one)
        found = called.get(place, {}).get(name)
        if found is None and len({_victim(one) for one in by_place.get(place, ())}) == 1:  # it may be called otherwise by now
            found = by_place[place][0]
        return mapping, name, found

    # what fails as before is booked under a code of its own: the same record and text, in any run, has the code that it began with
    first = {(_victim(line), line["message"]): line for line in lines if line["code"] != "fails_again"}

    def root(line: Line, depth: int = 0) -> Root:
        if line["code"] == "fails_again":
            before = first.get((_victim(line), line["message"]))
            return root(before, depth + 1) if before is not None else _known_root(line)
        if line["code"] != "blocked":
            return _known_root(line)
        mapping, name, found = parent(line)
        return (
            root(found, depth + 1)
            if found is not None and found is not line and depth < 20
            else Root("blocked", mapping, value=name)
        )

    return [root(line) for line in lines]


@lru_cache(maxsize=100_000)
def _own_root(code: str, mapping: str, field: str, value: str, message: str) -> Root:
    return own_root({"code": code, "mapping": mapping, "field": field, "value": value, "message": message})


def _known_root(line: Line) -> Root:
    return _own_root(line["code"], line["mapping"], line.get("field") or "", line.get("value") or "", line["message"] or "")


def with_causes(lines: Sequence[Line] | pd.DataFrame, names: Names) -> pd.DataFrame:
    """The lines as a frame with a column `cause` in front, and the root's code, mapping, field and value behind."""
    frame = (
        lines.copy(deep=False)
        if isinstance(lines, pd.DataFrame)
        else pd.DataFrame(list(lines), columns=list(lines[0]) if lines else list(LINES))
    )
    if frame["code"].isin(CHAINED).any():
        saying = first = np.arange(len(frame))
    else:  # an error that waits for no other is rooted in what it says itself, and many say the same
        saying, first = alike(frame, ROOTED[:5])
    columns = [[None if v is None or v != v else v for v in frame[c].take(first).tolist()] for c in ROOTED]
    found = roots([dict(zip(ROOTED, line, strict=True)) for line in zip(*columns, strict=True)], names)
    ids = {r: r.id for r in set(found)}
    told = pd.DataFrame([(ids[r], r.code, r.mapping, r.field, r.value) for r in found], columns=["cause", *ROOT_OF], dtype="str")
    told = told.take(saying).set_axis(frame.index)
    frame.insert(0, "cause", told["cause"])
    return frame.assign(**{c: told[c] for c in ROOT_OF})


def alike(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Lines with equal values in these columns have one number, counted in the order in which they come: the number of each line, and the
    place of the first line of each number."""
    number = np.zeros(len(frame), dtype=np.int64)
    for c in columns:
        codes, values = pd.factorize(frame[c])
        number = pd.factorize(number * (len(values) + 1) + codes + 1)[0]
    return number, np.unique(number, return_index=True)[1]


#: Codes of errors whose root is that of another line.
CHAINED = ("blocked", "fails_again")
#: What the root of a line is told by, and what is told of it.
ROOTED = ("code", "mapping", "field", "value", "message", "run_id", "local_key", "integration_key")
ROOT_OF = ("root_code", "root_mapping", "root_field", "root_value")
#: Columns of the lines that are grouped.
LINES = ("run_id", "at", "mapping", "direction", "local_key", "integration_key", "code", "field", "value", "message")


@dataclass
class _Group:
    """The lines of one cause, by their numbers."""

    own: int  # the line that is told: one that failed by itself where there is one
    victims: dict[Victim, int] = field(default_factory=dict)  # the last line of each
    waiting: int = 0
    runs: list[int] = field(default_factory=list)


def _groups(errors: pd.DataFrame, still_open: Callable[[Victim, int], bool] | None) -> dict[str, _Group]:
    """The causes of the lines, in the order in which they come."""
    which, victims = victims_in(errors)
    runs = pd.to_numeric(errors["run_id"], errors="coerce").astype("float64").to_numpy()
    own = (errors["code"] == errors["root_code"]).to_numpy(dtype=bool)
    lines = pd.DataFrame({"cause": errors["cause"].array, "victim": which, "run": runs, "line": np.arange(len(errors))})
    told = pd.concat([lines[own].drop_duplicates("cause"), lines.drop_duplicates("cause")]).drop_duplicates("cause")
    groups = {cause: _Group(line) for cause, line in told.sort_values("line")[["cause", "line"]].itertuples(index=False, name=None)}
    last = lines.groupby(["cause", "victim"], sort=False).agg(line=("line", "last"), run=("run", "max")).reset_index()
    for cause, victim, line, run in last.itertuples(index=False, name=None):
        groups[cause].victims[victims[victim]] = line
        groups[cause].waiting += still_open is None or still_open(victims[victim], int(run) if run == run else 0)
    for cause, run in lines[["cause", "run"]].dropna().drop_duplicates().itertuples(index=False, name=None):
        groups[cause].runs.append(int(run))
    return groups


def grouped(
    errors: pd.DataFrame,
    still_open: Callable[[Victim, int], bool] | None = None,
    latest: dict[str, int] | None = None,
    names: Names | None = None,
) -> pd.DataFrame:
    """CAUSES of lines that `with_causes` marked. `still_open` says of a victim and the last run it failed in whether it still waits (None: all
    do), `latest` the last run in which each mapping took part: a cause seen there for the first time is new."""
    groups = _groups(errors, still_open)
    known: dict[tuple[str, str, str], str] = {}
    shown = {cause: list(g.victims.values())[:EXAMPLES] for cause, g in groups.items()}
    picked = sorted({g.own for g in groups.values()} | {n for some in shown.values() for n in some})
    lines = {n: {str(k): None if v is pd.NaT or v != v else v for k, v in line.items()}
             for n, line in zip(picked, errors.iloc[picked].to_dict("records"), strict=True)}  # fmt: skip
    if names is not None:
        of: dict[str, list[Line]] = {}
        for n in {n for some in shown.values() for n in some}:
            of.setdefault(str(lines[n]["mapping"]), []).append(lines[n])
        known = {(m, side, key): text for m, some in of.items() for (side, key), text in names(m, some).items()}

    def example(line: Line) -> str:
        mapping, key = _victim(line)
        named = (text for side in SIDES if (text := known.get((mapping, side, line.get(f"{side}_key") or ""), "")))
        return next(named, "" if line.get("victim") else key)

    timed = errors["at"].notna().any()
    at = errors.groupby("cause")["at"].agg(["min", "max"]) if timed else None
    found = []
    for cause, group in groups.items():
        line = lines[group.own]
        per_mapping = Counter(mapping for mapping, _ in group.victims)
        seen = sorted(group.runs)
        newest = max((latest or {}).get(m, 0) for m in per_mapping)
        trend = "solved" if not group.waiting else "new" if len(seen) == 1 and seen[0] >= newest else "persisting" if seen else ""
        entry = cause_of(str(line["root_code"]))
        first_at, last_at = (at.loc[cause, "min"], at.loc[cause, "max"]) if at is not None else (None, None)
        found.append(
            (cause, line["root_code"], entry.title, line["root_mapping"], line["root_field"] or line.get("field") or "", line["root_value"], "", line["message"],
             len(group.victims), group.waiting, ", ".join(f"{m} {n:,}" for m, n in per_mapping.most_common()),
             ", ".join(filter(None, (example(lines[n]) for n in shown[cause]))), seen[0] if seen else None, seen[-1] if seen else None, len(seen),
             first_at, last_at, trend, entry.remedy, entry.reference)
        )  # fmt: skip
    frame = pd.DataFrame(found, columns=list(CAUSES))
    return frame.sort_values(["open", "victims", "cause"], ascending=[False, False, True], kind="stable", ignore_index=True)


def _victim(line: Line) -> Victim:
    local, integration = line.get("local_key"), line.get("integration_key")
    key = local if isinstance(local, str) and local else integration if isinstance(integration, str) and integration else ""
    return line["mapping"], key or line.get("victim") or ""


def victims_in(errors: pd.DataFrame) -> tuple[np.ndarray, list[Victim]]:
    """The records that the lines failed: the number of each line's, and the mapping and key of each number."""
    key = pd.Series("", index=errors.index, dtype="str")
    for c in ("victim", "integration_key", "local_key"):  # the local key where there is one
        if c in errors:
            some = errors[c].fillna("").astype("str")
            key = some.where(some != "", key)
    found = pd.DataFrame({"mapping": errors["mapping"], "key": key})
    number, first = alike(found, ("mapping", "key"))
    return number, list(found.take(first).itertuples(index=False, name=None))


def victims_of(errors: pd.DataFrame, causes: Iterable[str]) -> list[int]:
    """How many records each cause failed among these errors alone."""
    victims = pd.DataFrame({"cause": errors["cause"].array, "victim": victims_in(errors)[0]}).drop_duplicates()
    counted = victims["cause"].value_counts().to_dict()
    return [counted.get(c, 0) for c in causes]


# -- over the ledger ---------------------------------------------------------------------------------------------------------------


def error_lines(ws: Workspace, mapping: str | None = None, run: int | None = None) -> pd.DataFrame:
    """Every booked error with its cause, newest first: cause, then the columns of `ws.errors()`, then those of the root."""
    name = None if mapping is None else ws.description.mapping(mapping).name
    frame = with_causes(ws.ledger.errors(run=run).to_pandas(), names_in(ws))  # all mappings: a cause may lie in another one
    return frame if name is None else frame[frame["mapping"] == name].reset_index(drop=True)


def names_in(ws: Workspace) -> Names:
    """What the records of some lines are called now, by (side, key); by ("number local", key) their numbers."""

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
                found |= {(f"number {side}", key): one.code for key, one in seen.items() if one.code}
        return found

    return names


def called_now(ws: Workspace, lines: pd.DataFrame) -> list[str]:
    """What the records of some lines (`mapping`, `local_key`, `integration_key`) are called now; their key where that cannot be looked up."""
    from synckit.diagnosis.naming import record_names

    keys = lines["local_key"].fillna("").where(lambda k: k != "", lines["integration_key"].fillna(""))
    names = record_names(ws, lines)
    return [str(text) for text in names.where(names != "", keys)]


def causes(
    ws: Workspace,
    mapping: str | None = None,
    *,
    run: int | None = None,
    errors: pd.DataFrame | None = None,
    jobs: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The causes (CAUSES) of all booked errors, of one mapping's, or of one run's.

    Open is what still fails, is skipped or is due; a cause all of whose records have succeeded since is "solved". `errors`
    and `jobs`: the lines of `error_lines` and all jobs of the ledger, where they have been gathered already.
    """
    if run is not None and run not in ws.ledger.runs().column("id").to_pylist():
        raise SynckitError(f"There is no run {run}. `synckit jobs` lists them.")
    errors = error_lines(ws, mapping, run) if errors is None else errors
    waiting = _waiting(ws, errors)
    jobs = ws.ledger.jobs().to_pandas() if jobs is None else jobs
    latest = {str(m): int(n) for m, n in jobs.groupby("mapping")["run_id"].max().items()} if len(jobs) else {}
    if run is not None:
        before = {str(c) for c in error_lines(ws, mapping)[lambda f: f["run_id"] < run]["cause"]}
        frame = _named(ws, grouped(errors, lambda victim, _: victim in waiting, names=names_in(ws)))
        frame["trend"] = ["persisting" if c in before else "new" for c in frame["cause"]]
        return frame
    return _named(ws, grouped(errors, lambda victim, _: victim in waiting, latest, names_in(ws)))


def _named(ws: Workspace, frame: pd.DataFrame) -> pd.DataFrame:
    """Causes in which a record that is known by its key alone (a GUID, the number of an option) has its name."""
    from synckit.diagnosis.naming import named, value_names

    of = [(str(m), str(v)) for m, v in zip(frame["mapping"], frame["value"], strict=True)]
    chained = frame["code"].isin(("lookup_not_coupled", "missing_option"))
    names = value_names(ws, [place for place, wanted in zip(of, chained, strict=True) if wanted and place[1]])
    known = [names.get(place, "") if names.get(place) != place[1] else "" for place in of]
    what = [named(str(w), v, n) for w, (_, v), n in zip(frame["what"], of, known, strict=True)]
    return frame.assign(named=known, what=what)


def _waiting(ws: Workspace, errors: pd.DataFrame) -> set[Victim]:
    """Of the records that have failed, those that fail or are skipped still, or are due to be tried again."""
    waiting: set[Victim] = set()
    columns = [c for c in ("mapping", "local_key", "integration_key", "victim") if c in errors]
    each = errors[columns].take(alike(errors, columns)[1])
    for name, mine in each.groupby("mapping"):
        keys: dict[Side, list[str]] = {s: [k for k in mine[f"{s}_key"].dropna().unique() if k] for s in SIDES}
        pairs = ws.ledger.couplings_of(str(name), keys["local"], keys["integration"]).to_pylist()
        failing = {c[f"{s}_key"] for c in pairs for s in SIDES if c["skipped"] or "failure" in (c["to_result"], c["from_result"])}
        coupled = {c[f"{s}_key"] for c in pairs for s in SIDES}  # of these the coupling says whether the last try failed
        failing |= {d["key"] for d in ws.ledger.due(str(name)).to_pylist()} - coupled
        numbers, victims = victims_in(mine)
        still = mine["local_key"].isin(failing) | mine["integration_key"].isin(failing)
        waiting |= {victims[n] for n in np.unique(numbers[still.to_numpy(dtype=bool)])}
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
    "shape",
    "victims_of",
    "with_causes",
]
