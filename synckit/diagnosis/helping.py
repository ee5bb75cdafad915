"""What helps one record: why it is skipped or held, since when, and the commands with its own key that take it up again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synckit.diagnosis.catalogue import cause_of
from synckit.ledger.transaction import split_error
from synckit.planning.bind import SIDES
from synckit.reports.wording import safe

if TYPE_CHECKING:
    from synckit.workspace import Workspace

Facts = dict[str, Any]
#: Codes that a person decides: retried as it is, the record stops again.
UNDECIDED = ("both_changed", "never_synchronised")
DECIDE = (
    "Decide whose values win: on the screen of notebook 03-sync-diff (synckit lab), or with these commands. "
    "--use local: {local}; integration: {integration}; merge: from each the fields that it changed. "
    "For all such records: update_conflict_resolution of the mapping."
)
LOST = "Restore the deleted record, or remove the coupling (where it was meant: delete the surviving record by hand). For all such records: deletion_conflict_resolution of the mapping."


def standing(ws: Workspace, name: str, keys: Mapping[Any, str], coupling: Facts | None) -> Facts:
    """`held` and `skipped`: since when and why the record is left out, each None where it is not."""
    found: Facts = {"held": None, "skipped": None}
    for row in ws.ledger.held(name).to_pylist():
        if row["key"] and row["key"] == keys[row["side"]]:
            found["held"] = {"reason": row["reason"], "since": row["since"] or None}
    if coupling is None:
        return found
    if coupling["held"]:
        by = re.search(r"\brun (\d+)\b", coupling["held"])  # the coupling says which run, the run says when
        since = next((r["started"] for r in ws.ledger.runs().to_pylist() if by and r["id"] == int(by[1])), None)
        found["held"] = {"reason": coupling["held"], "since": since}
    if coupling["skipped"]:
        failed: Facts = next((r for r in ws.ledger.skipped(name).to_pylist() if r["id"] == coupling["id"]), {})
        code, message = failed.get("code") or "", failed.get("message") or ""
        found["skipped"] = {
            "since": failed.get("at") or None,
            "code": _first_code(ws, name, keys, code, message),
            "message": message,
        }
    return found


def _first_code(ws: Workspace, name: str, keys: Mapping[Any, str], code: str, message: str) -> str:
    """What fails as before is booked under a code of its own: the one that it failed with at first."""
    if code != "fails_again":
        return code
    errors = [e for key in keys.values() if key for e in ws.ledger.errors(name, key=key).to_pylist()]
    return next((e["code"] for e in errors if e["message"] == message and e["code"] != code), code)


def left_out(facts: Facts) -> tuple[str, str, str] | None:
    """Disposition, code and reason of a record that no run looks at before a person takes it up again; None for any other."""
    if facts["skipped"]:
        said = safe(facts["skipped"]["message"]).rstrip(".")
        why = "because it failed twice for the same reason" + (f" ({said})." if said else ".")
        return "skipped", "skipped", f"{_since('Left out', facts['skipped'])}, {why}"
    if facts["held"]:
        return "held", "held", f"{_since('Held', facts['held_since'])}: {safe(facts['held'])}."
    return None


def _since(what: str, standing: Facts) -> str:
    return f"{what} since {safe(standing['since'])[:19].replace('T', ' ')} UTC" if standing["since"] else what


def way_out(line: Facts) -> str:
    """Where a record waits for a person alone: the command that takes it up again, as a sentence; "" otherwise."""
    lead = {"skipped": "To take it up again", "held": "To lift the hold"}.get(line["code"])
    commands = line.get("commands") or []
    more = " and what follows it below" if len(commands) > 1 else ""
    return f" {lead}: {commands[0]}{more}" if lead and commands else ""


def helped(facts: Facts, line: Facts, coupling: Facts | None) -> tuple[str, list[str]]:
    """What helps the record in one pass of a run, and the commands for it."""
    code, again = line["code"], line["code"] == "fails_again"
    if code == "skipped":
        code = facts["skipped"]["code"] if facts["skipped"] else ""
        if code not in UNDECIDED:
            return "Mend what made it fail, then take it up again.", [command("retry", facts)]
    elif again and coupling is not None:
        codes = [split_error(coupling[f"{p}_error"] or "")[0] for p in (line["pass"], "to", "from")]
        code = next((c for c in codes if c and c != "fails_again"), code)
    if code in UNDECIDED and facts["local"]["key"]:
        return DECIDE.format(**{s: safe(facts["titles"][s]) for s in SIDES}), _deciding(facts, again)
    if code == "partner_deleted":
        return LOST, [command("restore", facts), command("uncouple", facts)]
    if code == "broken":
        return "Remove the coupling: neither record is left to restore the other from.", [command("uncouple", facts)]
    if code == "held":
        return "Lift the hold; the next run looks at it then.", [command("lift", facts)]
    if again:
        mend = cause_of(code).remedy if code != "fails_again" else "Mend the cause."
        return f"{mend} From then on it is skipped until somebody takes it up again.", [command("retry", facts)]
    return "", []


def command(verb: str, facts: Facts, *more: str) -> str:
    """`synckit <verb>` for this record, as a shell takes it: by its number, or by the key of the side that still exists."""
    side = next((s for s in SIDES if facts[s]["exists"]), "local")
    number = facts[side]["number"] if side == "local" else None
    key = number if number and safe(number) == number else facts[side]["key"]
    named = [word(key)] if side == "local" else ["--integration", word(key)]
    return " ".join(["synckit", verb, word(facts["mapping"]), *named, *more])


def word(text: str) -> str:
    """One word of a command; in double quotes, which every shell takes, where it must be quoted."""
    if re.fullmatch(r"[\w.:/@%+=-]+", text) and not text.startswith("-"):
        return text
    return shlex.quote(text) if re.search(r'["$`\\!]', text) else f'"{text}"'


def _deciding(facts: Facts, again: bool) -> list[str]:
    """The commands that decide a conflict. What is skipped must be taken up again first; what is about to be skipped is a conflict in a
    full plan only."""
    mapping = word(facts["mapping"])
    if facts["skipped"]:
        first = command("retry", facts, "-o conflict.plan")
    elif again:
        first = f"synckit plan full --mapping {mapping} -o conflict.plan"
    else:
        number = facts["local"]["number"] or facts["local"]["key"]
        first = f"synckit plan records --mapping {mapping} --local {word(number)} -o conflict.plan"
    return [first, f"synckit decide conflict.plan -o decided.plan -m {mapping} --resolve {word(facts['local']['key'])} --use local",
            "synckit apply decided.plan"]  # fmt: skip


__all__ = ["command", "helped", "left_out", "standing", "way_out", "word"]
