"""Job logs brought along: Business Central's lists of jobs, errors, coupled errors, mappings and couplings, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from synckit.diagnosis.captions import captions, is_yes
from synckit.diagnosis.catalogue import cause_of
from synckit.diagnosis.causes import classified, grouped, shape, victims_of, with_causes
from synckit.diagnosis.job_lists import GUID, HEADS, OPTIONS, Lists, sources
from synckit.errors import SynckitError
from synckit.mapping.schema import nearest
from synckit.planning.tables import COUNTERS
from synckit.reports.job_report import Report, built, moment_of
from synckit.reports.wording import count_of

#: Table number -> caption and standard mapping: what names a mapping where no list of mappings was brought along.
STANDARD = {"3": ("Payment Terms", "PAYMENT TERMS"), "4": ("Currency", "CURRENCY"), "10": ("Shipment Method", "SHIPMENT METHOD"),
            "13": ("Salesperson/Purchaser", "SALESPEOPLE"), "18": ("Customer", "CUSTOMER"), "23": ("Vendor", "VENDOR"),
            "291": ("Shipping Agent", "SHIPPING AGENT"), "5050": ("Contact", "CONTACT")}  # fmt: skip
NO_MAPPING = "not told"
SOLVED = "means no more than: not failed again. Business Central does not retry a create that has failed, so look whether the record is there."
SHOWN = 20


@dataclass(frozen=True)
class JobLog:
    """What was brought along, as frames of stable columns; `formats` shows how every list was found and its numbers and dates read,
    `notes` what was left out and what the lists do not tell."""

    jobs: pd.DataFrame
    errors: pd.DataFrame
    skipped: pd.DataFrame
    mappings: pd.DataFrame
    couplings: pd.DataFrame
    formats: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    def causes(self, mapping: str | None = None) -> pd.DataFrame:
        """Errors by root cause with trend over the days of the log (columns: synckit.diagnosis.causes.CAUSES)."""
        errors = self.errors if mapping is None else self.errors[self.errors["mapping"] == mapping]
        # what is running still says nothing yet of what fails; a list without ends is taken as it is
        ended = self.jobs[self.jobs["finished"].notna()] if self.jobs["finished"].notna().any() else self.jobs
        latest = {str(m): int(n) for m, n in ended.groupby("mapping")["run_id"].max().items()} if len(ended) else {}
        newest = max([*latest.values(), *(int(n) for n in self.errors["run_id"])], default=0)
        skipped = {str(r).casefold() for c in ("local_key", "integration_key") for r in self.skipped[c].dropna()}

        def still(victim: tuple[str, str], run: int) -> bool:
            return run >= latest.get(victim[0], newest) or victim[1].casefold() in skipped

        return grouped(errors, still, latest)

    def report(self, since: str | datetime | None = None, mapping: str | None = None) -> Report:
        """The same report as over synckit's own ledger; a "run" is a day of the log. Mappings are shown with their set-up and couplings.
        Business Central keeps no plan and no journal of writes, so those sections are empty."""
        jobs, errors, skipped = self.jobs, self.errors, self.skipped
        if since is not None:
            begin = moment_of(since).tz_localize(None)
            jobs, errors = jobs[jobs["started"] >= begin], errors[errors["at"] >= begin]
        if mapping is not None:
            known = sorted({str(m) for f in (jobs, errors, skipped, self.mappings) for m in f["mapping"].dropna()})
            if mapping not in known:
                raise SynckitError(f'The log has no mapping "{mapping}".{nearest(mapping, known)}')
            jobs, errors, skipped = (f[f["mapping"] == mapping] for f in (jobs, errors, skipped))
        days = jobs.groupby("run_id").agg(started=("started", "min"), finished=("finished", "max")).reset_index()
        days = days.rename(columns={"run_id": "id"}).assign(kind="day", status="", operator="", message="")
        causes = self.causes(mapping)
        causes = causes[causes["cause"].isin(set(errors["cause"]))]
        causes = causes.assign(victims=victims_of(errors, causes["cause"]))
        ends = [m for m in (jobs["started"].max(), errors["at"].max()) if m is not pd.NaT and m == m]
        last = max(ends, default=pd.Timestamp(0))
        empty = pd.DataFrame(columns=["run_id", "at"])
        scope = {"from": "a job log brought along", "mapping": mapping or "all", "jobs": len(jobs), "errors": len(errors),
                 "skipped": len(skipped), "mappings": len(self.mappings), "couplings": len(self.couplings), "times": "as the log has them"}  # fmt: skip
        if (causes["trend"] == "solved").any():
            scope["solved"] = SOLVED
        title = "Job report of a log" + (f", since {since}" if since is not None else "") + (f", {mapping}" if mapping else "")
        report = built(title, scope, days, jobs, errors, causes, skipped, empty, empty, last.to_pydatetime())
        return replace(report, frames={**report.frames, "mappings": self._set_up(report["mappings"], mapping)})

    def _set_up(self, counted: pd.DataFrame, mapping: str | None) -> pd.DataFrame:
        """Each mapping: how it is set up, how many couplings it has, what its jobs did."""
        names = [str(n) for n in dict.fromkeys([*self.mappings["mapping"], *self.couplings["mapping"], *counted["mapping"]]) if mapping in (None, n)]  # fmt: skip
        of = self.mappings.drop_duplicates("mapping").set_index("mapping").reindex(names)
        shown = [c for c in ("direction", "table", "integration_table", "only_coupled", "local_filter", "integration_filter",
                             "deletion_conflict_resolution", "update_conflict_resolution") if of[c].fillna("").astype(bool).any()]  # fmt: skip
        frame = of[shown].fillna("")
        if len(self.couplings):
            frame["couplings"] = self.couplings["mapping"].value_counts().reindex(names).fillna(0).astype("int64")
            skipped = self.couplings[self.couplings["skipped"]]
            frame["skipped_couplings"] = skipped["mapping"].value_counts().reindex(names).fillna(0).astype("int64")
        sums = counted.set_index("mapping").reindex(names).fillna(0).astype("int64")
        return frame.join(sums).rename_axis("mapping").reset_index()

    # -- one record ----------------------------------------------------------------------------------------------------------------

    def about(self, record: str) -> dict[str, pd.DataFrame]:
        """The lines of every list that speak of one record: by its number or key, by the partner it is coupled to, else by a part of
        its name. Empty where the log knows nothing."""
        lists = {"Coupled Data Synchronization Errors": self.skipped, "Integration Synchronization Errors": self.errors, "Couplings": self.couplings}  # fmt: skip
        wanted = {plain_key(record).casefold()}
        for _ in range(3):  # an error names both records, a coupling leads from one to the other
            found = {name: f[_named(f, wanted)] for name, f in lists.items()}
            more = {str(v).casefold() for f in found.values() for c in KEYS for v in f[c].dropna() if str(v)}
            if more <= wanted:
                break
            wanted |= more
        if not any(map(len, found.values())):
            text = record.strip().casefold()
            found = {n: f[pd.Series([any(text in str(v).casefold() for v in line) for line in f[list(KEYS)].itertuples(index=False)],
                                    index=f.index, dtype=bool)] for n, f in lists.items()}  # fmt: skip
        return {name: f for name, f in found.items() if len(f)}

    def explain(self, record: str) -> str:
        """What the log says of one record (number, key, or part of its name), newest first, with what helps."""
        found = self.about(record)
        if not found:
            keys = sorted({str(v) for f in (self.skipped, self.errors, self.couplings) for c in KEYS for v in f[c].dropna()})
            return f'The log says nothing of "{record}".{nearest(record, keys)}'
        told = [record]
        for name, mine in found.items():
            told += ["", f"{name}: {len(mine):,}"]
            for line in mine.head(SHOWN).to_dict("records"):
                said = [f"{label}: {line[c]}" for c, label in TOLD.items() if c in line and str(line[c]) not in ("", "None", "NaT", "nan", "<NA>")]  # fmt: skip
                told.append(f"  {', '.join(said)}")
                if line.get("code"):
                    told.append(f"    What helps: {cause_of(str(line['code'])).remedy}")
            if len(mine) > SHOWN:
                told.append(f"  {SHOWN} of {len(mine):,} shown")
        return "\n".join(told)

    def __repr__(self) -> str:
        return f"<JobLog {len(self.jobs):,} jobs, {len(self.errors):,} errors, {len(self.skipped):,} skipped, {len(self.couplings):,} couplings>"


#: What names a record in a list, and what is told of it, in words.
KEYS = ("local_key", "integration_key")
TOLD = {"at": "at", "mapping": "mapping", "direction": "direction", "local_key": "local", "integration_key": "integration", "message": "message",
        "local_exists": "record exists", "integration_exists": "coupled record exists", "skipped": "skipped",
        "to_result": "last result to integration", "from_result": "last result from integration",
        "local_stamp": "local record last synchronised", "integration_stamp": "integration record last synchronised"}  # fmt: skip


def _named(frame: pd.DataFrame, wanted: set[str]) -> pd.Series:
    hits = pd.Series(False, index=frame.index)
    for c in KEYS:
        hits |= pd.Series([str(v).casefold() in wanted for v in frame[c]], index=frame.index, dtype=bool)
    return hits


def read_job_log(
    source: str | Path | Sequence[str | Path],
    *,
    dates: str | None = None,
    numbers: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> JobLog:
    """Read exports of Business Central's lists (CSV, Excel): a file, several, a folder, or the tables of a SQL URL.

    Which list a file or sheet is, is told by its headers: column names, or captions in English, German, French, Danish, Dutch or Spanish,
    in any order, with lines before them, blank lines and totals between. What other captions mean is stated by `columns`, theirs -> the
    English one: {"Avviato": "Start Date/Time", "Non riuscito": "Failed"}. How dates and numbers are spelled is found per file; where it cannot be told (03/04/2026), state `dates`:
    "day/month/year" or "month/day/year", and `numbers`: "comma" or "point" for what parts the decimals. Raises SynckitError naming file,
    line and column for what cannot be read, and where nothing is a list that is known.
    """
    lists = Lists(dates, numbers, columns)
    for place, rows in sources(source):
        lists.take(place, rows)
    if not lists.frames:
        raise SynckitError(
            f"{', '.join(map(str, source)) if isinstance(source, (list, tuple)) else source} holds none of the lists of Business Central. Export Integration Synchronization Jobs or Errors, with their headers."
            + "".join(f" {note}" for note in lists.notes[:3])
        )
    raw = {k: pd.concat(v, ignore_index=True) for k, v in lists.frames.items()}
    names = Names(_mappings(raw.get("mappings")))
    jobs = _jobs(raw.get("jobs"), names)
    errors, untold = _errors(raw.get("errors"), jobs, names)
    couplings = _couplings(raw.get("couplings"), names)
    notes = list(lists.notes)
    if untold:
        notes.append(
            f"{count_of(untold, 'error does', 'errors do')} not name a record (the list shows only a link): a cause counts as many records as "
            "failed at a time. The table Integration Synch. Job Errors names them."
        )
    unclassified = errors[errors["code"] == "unknown"]["message"]
    if len(unclassified):
        kinds = pd.Series([shape(m) for m in unclassified]).value_counts()
        named = "; ".join(f"{n:,} x {str(text)[:120]}" for text, n in kinds.head(3).items())
        notes.append(f"{count_of(len(unclassified), 'message is', 'messages are')} not in the catalogue, grouped by wording: {named}"
                     + (f"; {count_of(len(kinds) - 3, 'more wording', 'more wordings')}" if len(kinds) > 3 else "") + ".")  # fmt: skip
    formats = pd.DataFrame(lists.formats, columns=["place", "list", "read as", "rows"])
    log = JobLog(jobs, errors, _skipped(raw.get("skipped"), couplings, names), names.mappings, couplings, formats)
    if (log.causes()["trend"] == "solved").any():
        notes.append(f'"solved" {SOLVED}')
    return replace(log, notes=tuple(notes))


# -- what the lists mean -----------------------------------------------------------------------------------------------------------


class Names:
    """Which mapping a table, or the text of a job's direction ("Customer to Dataverse Account."), means."""

    def __init__(self, mappings: pd.DataFrame) -> None:
        self.mappings = mappings
        self.tables: dict[str, set[str]] = {}
        self.pairs: list[tuple[str, str, str]] = []
        for m in ({str(k): v for k, v in line.items()} for line in mappings.to_dict("records")):
            for text in (m["table"], m["table_id"]):
                self.tables.setdefault(str(text).casefold(), set()).add(str(m["mapping"]))
            self.pairs.append((str(m["table"]), str(m["integration_table"]), m["mapping"]))
        taken = set(mappings["mapping"])
        for number, (caption, name) in STANDARD.items():
            named = dict.fromkeys([caption, *(text for of in captions("words").values() for text in of.get(caption, ()))])
            if not len(mappings) or name in taken:
                for text in (number, *named):
                    self.tables.setdefault(text.casefold(), {name})
            if not len(mappings):
                self.pairs += [(text, "", name) for text in named]

    def of_table(self, *texts: object) -> str:
        """The mapping of a table's number or caption; the caption where none, or more than one, has it."""
        given = [str(t).strip() for t in texts if isinstance(t, str) and t.strip()]
        for text in given:
            if len(found := self.tables.get(text.casefold(), set())) == 1:
                return next(iter(found))
        return given[-1].upper() if given else NO_MAPPING

    def of_direction(self, text: str) -> tuple[str, str]:
        """(mapping, direction) of what the list of jobs shows as direction, source first."""
        text = text.strip().rstrip(".")
        for table, other, name in self.pairs:
            if other and text.startswith(f"{table} ") and text.endswith(other) and table != other:
                return name, "to_integration"
            if other and text.startswith(other) and text.endswith(f" {table}") and table != other:
                return name, "from_integration"
        for table, _, name in self.pairs:
            first, last = text.startswith(f"{table} "), text.endswith(f" {table}")
            if table and first != last:
                return name, "to_integration" if first else "from_integration"
        return text or NO_MAPPING, ""


def _mappings(frame: pd.DataFrame | None) -> pd.DataFrame:
    columns = [*HEADS["mappings"], "place"]
    if frame is None:
        return pd.DataFrame(columns=columns)
    frame = _filled(frame, [c for c in columns if not c.endswith("watermark")]).reindex(columns=columns)
    frame["only_coupled"] = [is_yes(v) if str(v) else "" for v in frame["only_coupled"]]
    frame["direction"] = [_direction(v) or v for v in frame["direction"]]
    return frame


def _filled(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """`frame` with these columns as text, '' where it has none."""
    return frame.assign(**{c: frame[c].astype(object).fillna("") if c in frame else "" for c in columns})


def _jobs(frame: pd.DataFrame | None, names: Names) -> pd.DataFrame:
    """Jobs as `ws.jobs()` has them; a "run" is a day."""
    columns = ["id", "run_id", "mapping", "direction", "type", "status", "started", "finished", "duration", "message", *COUNTERS]
    if frame is None:
        return pd.DataFrame(columns=columns).astype({"started": "datetime64[ns]", "finished": "datetime64[ns]"})
    frame = frame.reindex(columns=[*frame.columns, *(c for c in [*columns, "tables"] if c not in frame)])
    frame["id"] = [plain_key(v) if isinstance(v, str) and v else f"job {n}" for n, v in enumerate(frame["id"], 1)]
    frame["finished"] = pd.to_datetime(frame["finished"])
    for c in COUNTERS:
        frame[c] = frame[c].fillna(0).astype("int64")
    frame["run_id"] = frame["started"].dt.strftime("%Y%m%d").fillna("0").astype("int64")
    frame["duration"] = (frame["finished"] - frame["started"]).dt.total_seconds()
    frame["status"] = ["running" if f is pd.NaT else "error" if n else "success" for f, n in zip(frame["finished"], frame["failed"], strict=True)]  # fmt: skip
    frame["type"] = [_word(v, OPTIONS["type"], "synchronization") for v in frame["type"]]
    told = {t: names.of_direction(t) for t in frame["tables"].dropna().unique() if t and not _direction(t)}
    frame["direction"] = [_direction(d) or _direction(t) or told.get(t, ("", ""))[1] for d, t in zip(frame["direction"], frame["tables"], strict=True)]  # fmt: skip
    frame["mapping"] = [m if isinstance(m, str) and m else told.get(t, (NO_MAPPING, ""))[0] for m, t in zip(frame["mapping"], frame["tables"], strict=True)]  # fmt: skip
    frame["message"] = [v if isinstance(v, str) else "" for v in frame["message"]]
    return frame[columns].sort_values("started", ascending=False, kind="stable", ignore_index=True)


def _word(value: Any, words: Sequence[str], default: str) -> str:
    text = value.casefold() if isinstance(value, str) else ""
    return next((w for w in sorted(words, key=len, reverse=True) if w and w in text), default)


def _direction(value: Any) -> str:
    text = "".join(c for c in value.casefold() if c.isalpha()) if isinstance(value, str) else ""
    return next((d for d in ("to_integration", "from_integration", "bidirectional") if text.startswith(d.replace("_", ""))), "")


def _errors(frame: pd.DataFrame | None, jobs: pd.DataFrame, names: Names) -> tuple[pd.DataFrame, int]:
    """Errors as `ws.errors()` has them, each with its code from the catalogue and its cause; and how many of them name no record.

    The job is the one whose id the line has; a list without ids is told by time, where all jobs of that moment are of one mapping."""
    if frame is None:
        return with_causes([], lambda mapping, lines: {}), 0
    of_job = {str(j["id"]): {str(k): v for k, v in j.items()} for j in jobs.to_dict("records")}
    timed = _Timed(jobs)
    nth: dict[tuple[Any, ...], int] = {}
    lines: list[dict[str, Any]] = []
    untold = 0
    for row in frame.to_dict("records"):
        at = row["at"]
        job = of_job.get(plain_key(str(row.get("job_id") or ""))) or timed.at(at)
        message = str(row.get("message") or row.get("short_message") or "")
        records = [str(row.get(c) or "").strip() for c in ("source", "destination")]
        keys = [key_in(t) for t in records]
        local = next((k for k in keys if k and not GUID.fullmatch(k)), None)
        integration = next((k for k in keys if k and GUID.fullmatch(k)), None)
        table = next((t.partition(":")[0].strip() for t, k in zip(records, keys, strict=True) if k and ":" in t and k == local), "")
        mapping = str(job.get("mapping") or names.of_table(table))
        line = {"run_id": int(job["run_id"]) if "run_id" in job else int(f"{at:%Y%m%d}") if at is not pd.NaT else 0, "at": at, "mapping": mapping,
                "direction": str(job.get("direction", "")), "local_key": local, "integration_key": integration, "code": classified(message),
                "field": "", "value": "", "message": message, "job_id": str(job.get("id", ""))}  # fmt: skip
        if local is None and integration is None:
            untold += 1
            place = (line["run_id"], mapping, line["job_id"] or at, line["code"], message)
            nth[place] = nth.get(place, 0) + 1
            line["victim"] = f"{message} {nth[place]}"
        lines.append(line)
    return with_causes([{**{"victim": ""}, **line} for line in lines], lambda mapping, some: {}), untold


class _Timed:
    """Jobs by the time in which they ran, to the minute, as lists show it."""

    def __init__(self, jobs: pd.DataFrame) -> None:
        ran = jobs.dropna(subset=["started"]).sort_values("started", kind="stable")
        self.lines = [{str(k): v for k, v in j.items()} for j in ran.to_dict("records")]
        self.starts = ran["started"].reset_index(drop=True)
        ends = ran["finished"].fillna(ran["started"]).dt.ceil("min")
        self.latest = ends.cummax().reset_index(drop=True)
        self.ends = ends.reset_index(drop=True)

    def at(self, moment: Any) -> dict[str, Any]:
        """What is known of the job at a moment: the whole of it where there is one, its mapping where all are of one, else nothing."""
        if moment is pd.NaT or not self.lines:
            return {}
        found = []
        n = int(self.starts.searchsorted(moment, side="right")) - 1
        while n >= 0 and self.latest[n] >= moment:
            if self.ends[n] >= moment:
                found.append(self.lines[n])
            n -= 1
        if len(found) == 1:
            return found[0]
        same = {k for k in ("run_id", "mapping", "direction") if len({str(j[k]) for j in found}) == 1}
        return {k: found[0][k] for k in same} if "mapping" in same else {}


def plain_key(text: str) -> str:
    """A key as it is compared: a GUID without braces, in small letters."""
    return text.strip().strip("{}").lower() if GUID.fullmatch(text.strip()) else text.strip()


def key_in(text: str) -> str | None:
    """The record that a text such as "Customer: 10000" or "Account: {...}" means; None for what names none, such as the link "View"."""
    guid = GUID.search(text)
    if guid:
        return plain_key(guid[0])
    return text.partition(":")[2].strip() or None if ":" in text else text if any(c.isdigit() for c in text) else None


def _skipped(frame: pd.DataFrame | None, couplings: pd.DataFrame, names: Names) -> pd.DataFrame:
    """Skipped records as `ws.skipped()` has them, as far as the page tells; without that page, those that the couplings say."""
    columns = ["mapping", "local_key", "integration_key", "code", "message", "at"]
    if frame is None:
        mine = couplings[couplings["skipped"].astype(bool)]
        return mine.assign(code="skipped", message="", at=None)[columns].reset_index(drop=True)
    given = _filled(frame, ("table_id", "table", "record", "partner", "message"))
    found = pd.DataFrame({"mapping": [names.of_table(i, t) for i, t in zip(given["table_id"], given["table"], strict=True)],
                          "local_key": given["record"], "integration_key": given["partner"],
                          "code": [classified(str(m)) for m in given["message"]], "message": given["message"], "at": given.get("at")})  # fmt: skip
    for c in ("local_exists", "integration_exists"):
        if c in frame:
            found[c] = [is_yes(v) for v in frame[c]]
    return found


def _couplings(frame: pd.DataFrame | None, names: Names) -> pd.DataFrame:
    columns = ["mapping", *HEADS["couplings"], "place"]
    if frame is None:
        return pd.DataFrame(columns=columns).astype({"skipped": bool})
    frame = frame.reindex(columns=[c for c in columns if c != "mapping"]).assign(mapping=[names.of_table(t) for t in frame["table_id"]] if "table_id" in frame else NO_MAPPING)  # fmt: skip
    for c in KEYS:
        frame[c] = [plain_key(str(v)) for v in frame[c]]
    frame["skipped"] = [is_yes(v) for v in frame["skipped"]]
    return frame[columns]


__all__ = ["HEADS", "JobLog", "read_job_log"]
