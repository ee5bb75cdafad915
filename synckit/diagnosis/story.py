"""A record's story in words: one sentence, a text for terminals, a card for notebooks."""

from __future__ import annotations

import html
from typing import Any

from synckit.diagnosis.helping import way_out
from synckit.reports.wording import count_of, field_change, quoted, safe

Facts = dict[str, Any]
#: What matters most comes first.
WEIGHT = ("conflict", "will fail", "blocked", "deleted partner", "broken coupling", "held", "skipped", "restore", "create", "couple", "update",
          "remove coupling", "loses to policy", "left out by rule", "outside the filter", "not coupled", "not coupled, chosen", "unchanged", "not due",
          "not a source")  # fmt: skip
WHAT = {
    "create": "creates it in {to}", "restore": "creates it anew in {to}", "update": "updates it in {to}", "couple": "couples it with its partner in {to}",
    "conflict": "stops at a conflict", "will fail": "fails for it", "blocked": "cannot write it yet", "deleted partner": "fails for it",
    "unchanged": "leaves it as it is", "skipped": "skips it", "held": "leaves it alone", "not coupled": "leaves it alone",
    "not coupled, chosen": "leaves it alone", "outside the filter": "leaves it alone", "left out by rule": "leaves it alone",
    "not due": "does not look at it", "not a source": "has nothing to send", "loses to policy": "takes the other side's values",
    "remove coupling": "removes the coupling", "broken coupling": "leaves it alone",
}  # fmt: skip
#: Which side changed a field of a conflict.
CHANGED_BY = {"unknown": "which of them changed is not known", "both": "both changed", "local": "changed in {local}",
              "integration": "changed in {integration}"}  # fmt: skip
SHOWN = 12


def record_name(facts: Facts) -> str:
    """What the record is called: number and name, of whichever side has them."""
    if not facts["found"]:
        return f"{facts['mapping']} {safe(facts['asked'])}"
    sides = [facts[s] for s in ("local", "integration")]
    number = next((s["number"] for s in sides if s["number"] and s["number"] != s["key"]), "") or facts["asked"]
    name = next((s["name"] for s in sides if s["name"]), "")
    return f"{facts['mapping']} {safe(number)}" + (f" {quoted(name)}" if name and name != number else "")


def main_line(run: Facts | None) -> Facts | None:
    """The pass of a run that says most about the record."""
    lines = [p for p in (run or {}).get("passes", []) if p["step"] == 1]
    rank = {d: n for n, d in enumerate(WEIGHT)}
    # our own earlier write says least of a pair that the other pass looks at
    return min(lines, key=lambda p: rank.get(p["disposition"], 99) + 5.5 * (p["code"] == "own_change")) if lines else None


def does(line: Facts) -> str:
    reason = " ".join(dict.fromkeys(_told(e) for e in line["errors"])) or safe(line["reason"])
    what = WHAT.get(line["disposition"], str(line["disposition"]))
    return f"{what.format(to=safe(line['to']))}: {reason}"


def verdict(facts: Facts) -> str:
    """The story in one sentence."""
    if not facts["found"]:
        return (
            f"{facts['mapping']} has no record {quoted(facts['asked'])} in {' or '.join(safe(t) for t in _asked(facts).values())}."
        )
    line = main_line(facts["next_run"]) or main_line(facts["full_run"])
    run = "The next run" if main_line(facts["next_run"]) else "A full synchronisation"
    return f"{run} {does(line)}{way_out(line)}" if line else "What the next run does with it was not planned."


def _asked(facts: Facts) -> dict[str, str]:
    """The systems that were looked through."""
    return {s: t for s, t in facts["titles"].items() if facts["side"] in (None, s)}


def sections(facts: Facts) -> list[tuple[str, list[str]]]:
    """Head and lines of each part of the story; every value in them is safe to print, none is HTML."""
    if not facts["found"]:
        near = [
            f"{safe(facts['titles'][s['side']])}: {safe(s['number'] or s['key'])} {safe(s['name'])}".rstrip()
            for s in facts["nearest"]
        ]
        other = [f"{m} has a record of this key." for m in facts["elsewhere"]]
        return [(h, lines) for h, lines in (("Nearest records", near), ("Elsewhere", other)) if lines]
    parts: list[tuple[str, list[str]]] = [("Where it is", [_where(facts, side) for side in ("local", "integration")])]
    for side in ("local", "integration"):
        clauses = facts[side]["clauses"]
        if clauses:
            outcome = "passes" if facts[side]["passes_filter"] else "does not pass"
            parts.append((f"Filter of {safe(facts[side]['system'])}: it {outcome}",
                          [f"{'yes' if c['passes'] else 'NO '}  {safe(c['sentence'])}" for c in clauses]))  # fmt: skip
    parts.append(("Coupling", _coupling(facts)))
    runs = [(head, _run(facts, run)) for head, run in (("The next run (modified records)", facts["next_run"]), ("A full synchronisation", facts["full_run"]),
                                                 ("If it is retried", facts["retry"])) if run]  # fmt: skip
    if len(runs) > 1 and runs[0][1] == runs[1][1] and facts["next_run"]:
        runs[:2] = [("The next run (modified records), and a full synchronisation alike", runs[0][1])]
    parts += runs
    alike = [f"{quoted(d['name'])} in {safe(facts['titles'][d['side']])}{' (coupled already)' if d['coupled'] else ''}: {safe(d['why'])}, score {d['score']:.2f}"
             for d in facts["duplicates"]]  # fmt: skip
    parts += [("Looks like (spelling aside; a score of 1 is surely the same)", _cut(alike))] if alike else []
    parts += [("Errors", _cut([_error(facts, e) for e in facts["errors"]]))] if facts["errors"] else []
    parts += [("Written", _cut([line for w in facts["writes"] for line in _write(facts, w)]))] if facts["writes"] else []
    jobs = [f"run {j['run_id']}: {j['type']} {_towards(facts, j)}, {_when(j['started'])}, {j['status']}" for j in facts["jobs"]]
    parts += [("Jobs that touched it", _cut(jobs))] if jobs else []
    decided = [f"{_when(d['at'])} {safe(d['operator'])}: {safe(d['kind'])} {safe(d['value'])}".rstrip() for d in facts["decisions"]]
    parts += [("Decisions", _cut(decided))] if decided else []
    return parts


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"{SHOWN} of {len(lines)} shown"]


def _when(moment: str | None) -> str:
    return safe(moment or "")[:19].replace("T", " ")


def _where(facts: Facts, side: str) -> str:
    f = facts[side]
    if f["exists"]:
        who = " by the integration user" if f["changed_by_integration"] else ""
        number = f"{safe(f['number'])} " if f["number"] and f["number"] != f["key"] else ""
        changed = f"; last changed {_when(f['changed_at'])} UTC{who}" if f["changed_at"] else ""
        return f"{safe(f['system'])}, {safe(f['table'])}: {number}{quoted(f['name'])}{changed}"
    if f["key"]:
        return f"{safe(f['system'])}, {safe(f['table'])}: deleted (its key was {safe(f['key'])})"
    return f"{safe(f['system'])}, {safe(f['table'])}: no record is coupled with it"


def _coupling(facts: Facts) -> list[str]:
    c = facts["coupling"]
    held = [f"Held: {safe(facts['held'])}. It stays so until somebody lifts the hold."] if facts["held"] else []
    due = [f"Due: the next run looks at it whatever the watermark says ({safe(facts['due'])})."] if facts["due"] else []
    if c is None:
        return ["Not coupled.", *held, *due]
    since = f"Coupled since {_when(c['since'])} UTC" if c["since"] else "Coupled"
    lines = [since + (f", by run {c['by_run']}." if c["by_run"] else ".")]
    if c["never_synchronised"]:
        lines.append("Never synchronised since: it counts as changed on both sides.")
    for side in ("local", "integration"):
        newer, title = (facts["changed"] or {}).get(side), safe(facts["titles"][side])
        if facts[side]["exists"] and c["stamps"][side]:
            lines.append(f"{title}: changed since the last synchronisation ({_when(c['stamps'][side])} UTC)." if newer
                         else f"{title}: not changed since the last synchronisation.")  # fmt: skip
    for in_pass, side in (("to", "integration"), ("from", "local")):
        last = c[in_pass]
        if last["result"]:
            lines.append(
                f"Last result into {safe(facts['titles'][side])}: {last['result']}"
                + (f" - {safe(last['error'])}" if last["error"] else ".")
            )
    if c["skipped"]:
        at = (facts["skipped"] or {}).get("since")
        lines.append(
            f"Skipped{f' since {_when(at)} UTC' if at else ''}: both directions leave it out until somebody takes it up again."
        )
    return [*lines, *held, *due]


def _run(facts: Facts, run: Facts) -> list[str]:
    lines: list[str] = []
    said: dict[tuple[str, ...], list[str]] = {}  # what is said alike of both passes is said once
    for p in [p for p in run["passes"] if p["disposition"] != "not a source"] or run["passes"]:
        said.setdefault(tuple(_pass(facts, p)), []).append("" if p["step"] == 2 else f"to {safe(p['to'])}")
    for (first, *more), places in said.items():
        where = " and ".join(dict.fromkeys(p for p in places if p))
        lines += [f"{where[:1].upper()}{where[1:]}: {first}" if where else first, *more]
    return lines


def _pass(facts: Facts, p: Facts) -> list[str]:
    if p["step"] == 2:
        lines = [f"Then, in a second step: {safe(p['reason'])}"]
    else:
        lines = [f"{p['disposition']}. " + " ".join(dict.fromkeys([_told(e) for e in p["errors"]] or [safe(p["reason"])]))]
    if p["disposition"] == "conflict":
        titles = {s: safe(t) for s, t in facts["titles"].items()}
        lines += _cut([f"  {safe(c['field'])}: {titles['local']} {quoted(c['local_value'])}, {titles['integration']} {quoted(c['integration_value'])}; "
                       + CHANGED_BY.get(c["changed_by"], c["changed_by"]).format(**titles) for c in p["changes"]])  # fmt: skip
    elif p["disposition"] in ("create", "restore"):
        lines.append(f"  with {count_of(len(p['changes']), 'field', 'fields')} filled")
    else:
        lines += _cut([f"  {_field(c)}" for c in p["changes"]])
    for w in p["waits_for"]:
        state = (
            f" ({w['disposition']}: {safe(w['reason'])})"
            if w["disposition"] in ("will fail", "blocked")
            else f", {'coupled' if w['disposition'] in ('couple', 'coupling') else 'created'} first in the same run"
        )
        lines.append(f"  waits for {w['mapping']} {quoted(w['name'])}{state}")
    lines += [f"  warning: {_warning(w)}" for w in p["warnings"]]
    helps = list(dict.fromkeys([e["helps"] for e in p["errors"]] or [p["helps"]]))
    lines += [f"  What helps: {h}" for h in helps if h and not h.startswith("Nothing to do")]
    return lines + [f"    {c}" for c in p.get("commands", [])]


def _field(change: Facts) -> str:
    name, old, new = field_change(change["field"], change["old"], change["new"])
    return f"{name}: {quoted(old)} -> {quoted(new)}"


def _told(error: Facts) -> str:
    """An error's sentence, with the name of what it calls by its key alone."""
    name = safe(error.get("value_name"))
    return safe(error["message"]) + (f" (That key is {quoted(name)}.)" if name and name != error["value"] else "")


def _warning(code: str) -> str:
    from synckit.diagnosis.catalogue import cause_of

    return cause_of(code).title


def _towards(facts: Facts, line: Facts) -> str:
    """The direction of a job or an error, by the name of the system that it writes to."""
    into = {"to_integration": "integration", "from_integration": "local"}.get(line["direction"] or "")
    return f"to {safe(facts['titles'][into])}" if into else safe(line["direction"]).replace("_", " ")


def _error(facts: Facts, e: Facts) -> str:
    return f"{_when(e['at'])} run {e['run_id']} {_towards(facts, e)}: {safe(e['message'])}"


def _write(facts: Facts, w: Facts) -> list[str]:
    words = {"insert": "created", "update": "updated", "delete": "deleted", "couple": "coupled", "uncouple": "uncoupled"}
    state = "" if w["state"] == "done" else f" ({w['state']}{': ' + safe(w['error']) if w['error'] else ''})"
    place = f" in {safe(facts['titles'][w['side']])}, {safe(w['table'])}" if w["side"] else ""
    fields = w["fields"] if w["op"] == "update" else []
    return [f"{_when(w['at'])} run {w['run_id']}: {words[w['op']]}{place}{state}",
            *_cut([f"  {safe(f['column'])}: {quoted(f['old'])} -> {quoted(f['new'])}" for f in fields])]  # fmt: skip


def story_text(facts: Facts) -> str:
    """The whole story for a terminal."""
    lines = [record_name(facts), verdict(facts)]
    for head, body in sections(facts):
        lines += ["", head, *(f"  {line}" for line in body)]
    return "\n".join(lines)


def story_html(facts: Facts) -> str:
    """The story as a card: text alone, escaped; colours of the notebook's theme."""
    from synckit.reports.frame_html import STYLE, table_html

    parts = [
        STYLE,
        f'<div class="synckit" dir="auto"><p><b>{html.escape(record_name(facts))}</b></p><p>{html.escape(verdict(facts))}</p>',
    ]
    for n, (head, body) in enumerate(sections(facts)):
        opened = " open" if n < 6 else ""
        items = "".join(
            f'<div dir="auto" style="padding-left: {1 + line.startswith("  ")}em">{html.escape(line.strip())}</div>'
            for line in body
        )
        parts.append(f"<details{opened}><summary>{html.escape(head)}</summary>{items}</details>")
    if facts["found"] and facts["fields"]:
        import pandas as pd

        frame = pd.DataFrame(facts["fields"])
        parts.append(f"<details><summary>Fields, as either side stores them</summary>{table_html(frame, rows=200)}</details>")
    return "".join([*parts, "</div>"])


__all__ = ["record_name", "sections", "story_html", "story_text", "verdict"]
