"""Possible duplicates, one pair at a time: beside each other, why they look alike, and a decision by one key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.judging import THRESHOLD, coupled_pairs, judged
from synckit.planning.plan import Plan
from synckit.reports.frame_html import table_html
from synckit.reports.wording import count_of, number, safe
from synckit.widgets.review import Review, as_review
from synckit.widgets.saving import Saving
from synckit.widgets.screen import State, button, buttons, table, text
from synckit.widgets.segments import segments

LATER = "decide later"
CANDIDATES = 3
BASE = "any two records"  # what speaks for or against two of a mapping before a field is looked at
WORDS = {"couple": "couple", "not_the_same": "not the same", "later": "decide later"}
_NUMBERS = re.compile(r"\d+(\.\d+)?")


class PairQueue(Saving):
    """The pairs of a plan that may be the same, best first. `threshold` hides the pairs below it; `blind` hides the score until a pair
    is decided. Decisions are those of the plan, kept in `file` at once (see Review)."""

    def __init__(
        self,
        of: Plan | Review | Any,
        file: str | Path | None = None,
        *,
        mapping: str | None = None,
        threshold: float = THRESHOLD,
        blind: bool = False,
    ) -> None:
        super().__init__()
        self.review = as_review(of, file)
        self.blind, self.threshold, self.use = blind, threshold, ""
        self.mapping = None if mapping is None else self.plan._name(mapping)
        self.all = _pairs(self.plan, self.mapping)
        self._answered: tuple[Plan | None, dict[int, str]] = (None, {})
        self.at = 0  # number of the pair in `all`
        self.listing = self.similar_open = self.more = False
        self._go(0)
        first = next((i for i in self.shown if not self.answer(i)), None)
        self.at = first if first is not None else self.at
        self.said = self.review.notice
        self.review.on_change(self.changed)

    @property
    def plan(self) -> Plan:
        return self.review.plan

    @property
    def shown(self) -> list[int]:
        """Numbers of the pairs at or above the threshold, best first."""
        return [i for i, p in enumerate(self.all) if p["score"] >= self.threshold]

    @property
    def pair(self) -> dict[str, Any] | None:
        return self.all[self.at] if self.all and self.at in set(self.shown) else None

    @property
    def selected(self) -> pd.DataFrame:
        """The pairs at or above the threshold, with the decision on each ("" where there is none)."""
        columns = ["mapping", "a", "a_name", "b", "b_name", "across", "coupled", "score", "why"]
        return pd.DataFrame(
            [{**{c: self.all[i][c] for c in columns}, "decision": self.answer(i)} for i in self.shown],
            columns=[*columns, "decision"],
        )

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        return "possible-duplicates", {"Pairs": self.selected}

    def title(self) -> str:
        return self.tally()

    def code(self) -> str:
        """The calls that take the same decisions, and give the pairs shown."""
        given = f"plan, mapping={self.mapping!r}" if self.mapping else "plan"
        show = f"pairs = PairQueue({given}, threshold={self.threshold:g})"
        return "\n".join(["from synckit.widgets import PairQueue", "", self.review.code(), show, "pairs.selected"])

    def selected_count(self) -> int:
        return len(self.shown)

    def answer(self, i: int) -> str:
        """What was decided on a pair: "couple", "not_the_same", "later" or ""."""
        if self._answered[0] is not self.plan:
            self._answered = (self.plan, _answers(self.plan, self.all))
        return self._answered[1].get(i, "")

    # -- moving --------------------------------------------------------------------------------------------------------------------

    def do_move(self, by: int) -> None:
        """To the next or the previous pair."""
        shown = self.shown
        place = shown.index(self.at) if self.at in shown else 0
        self._go(place + int(by))

    def do_look(self, pair: int) -> None:
        """To a pair by its number."""
        if not 0 <= int(pair) < len(self.all):
            raise SynckitError(f"There is no pair {pair}.")
        self.at, self.similar_open = int(pair), False

    def do_threshold(self, value: float) -> None:
        """Show the pairs from this score on."""
        self.threshold = min(max(float(value), 0.0), 1.0)
        if self.at not in self.shown:
            self._go(0)

    def do_list(self) -> None:
        """Show or hide the decided pairs."""
        self.listing = not self.listing

    def do_more(self) -> None:
        """Show all candidates of this record, or the best three."""
        self.more = not self.more

    def _go(self, place: int) -> None:
        shown = self.shown
        if shown:
            self.at = shown[min(max(place, 0), len(shown) - 1)]
        self.similar_open = False

    # -- deciding ------------------------------------------------------------------------------------------------------------------

    def do_use(self, value: str) -> None:
        """Whose values win in the first synchronisation of the pairs that are coupled from now on ("": as the mapping says)."""
        self.use = value

    def do_decide(self, answer: str) -> None:
        """Decide the pair: "couple", "not_the_same" (both are created), or "later" (neither is created until someone decides)."""
        pair = self.pair
        if pair is None:
            raise SynckitError("There is no pair to decide. Lower the threshold to see more.")
        self._decide([self.at], answer)
        self.said = f"{safe(pair['a_name'])} and {safe(pair['b_name'])}: {WORDS[answer]}."
        self._next()

    def do_undo(self) -> None:
        """Take the last decision back."""
        before = [self.answer(i) for i in range(len(self.all))]
        self.said = self.review.undone()
        changed = next((i for i, was in enumerate(before) if was != self.answer(i)), None)
        self.at = self.at if changed is None else changed

    def do_undecide(self, pair: int) -> None:
        """Take the decision on one pair back."""
        p = self.all[int(pair)]
        both, creates = {p["a"], p["b"]}, {key for _, key in p["creates"]}
        mine = [
            d
            for d in self.plan.decisions
            if d.mapping == p["mapping"]
            and any(both <= set(r[1:]) or (d.note == LATER and creates & set(r[1:])) for r in d.records)
        ]
        self.review.take_back(mine)
        self.at = int(pair)

    def do_leave_out(self, side: str, key: str) -> None:
        """Leave one record of a group out of the plan: it is not created."""
        pair = self.pair
        assert pair is not None
        self.review.decide(lambda plan: _left_out(plan, pair["mapping"], side, key))
        self.said = "It is left out until someone decides."

    def do_similar(self) -> None:
        """Show the undecided pairs that look alike for the same reasons, with their number, before anything is decided."""
        self.similar_open = not self.similar_open

    def do_decide_similar(self, answer: str) -> None:
        """Decide those pairs alike, in one step that one undo takes back; what is decided already is not touched."""
        found = self.similar()
        self._decide(found, answer)
        self.said = f"{count_of(len(found), 'pair', 'pairs')}: {WORDS[answer]}."
        self.similar_open = False
        self._next()

    def similar(self) -> list[int]:
        """Undecided pairs of the mapping that look alike for the same reasons as this one; none whose record has a second candidate."""
        pair = self.pair
        if pair is None:
            return []
        reasons = _NUMBERS.sub("", pair["why"])
        times: dict[tuple[str, str], int] = {}
        for i in self.shown:
            for key in (self.all[i]["a"], self.all[i]["b"]):
                times[self.all[i]["mapping"], key] = times.get((self.all[i]["mapping"], key), 0) + 1
        return [i for i in self.shown if (p := self.all[i])["mapping"] == pair["mapping"] and p["across"] == pair["across"] and p["coupled"] == pair["coupled"]
                and _NUMBERS.sub("", p["why"]) == reasons and not self.answer(i) and times[p["mapping"], p["a"]] == times[p["mapping"], p["b"]] == 1]  # fmt: skip

    def _decide(self, those: list[int], answer: str) -> None:
        if answer not in WORDS:
            raise SynckitError(f'A pair is decided with couple, not_the_same or later, not "{answer}".')

        def change(plan: Plan) -> Plan:
            for i in those:
                p = self.all[i]
                if answer != "later":  # what is said last of a record counts: it was left out before
                    for side, key, _ in left_out_of(plan, p):
                        plan = plan.include(p["mapping"], **{side: key})
                if answer == "couple":
                    plan = plan.couple(p["mapping"], p["a"], p["b"], **({"use": self.use} if self.use else {}))
                elif answer == "not_the_same":
                    plan = plan.not_the_same(p["mapping"], p["a"], p["b"])
                else:
                    for side, key in p["creates"]:
                        plan = _left_out(plan, p["mapping"], side, key)
            return plan

        self.review.decide(change)

    def _next(self) -> None:
        """To the next pair that is not decided, from here on and then from the top."""
        shown = self.shown
        place = shown.index(self.at) if self.at in shown else 0
        open_ = [i for i in [*shown[place + 1 :], *shown[:place]] if not self.answer(i)]
        if open_:
            self.at = open_[0]
        self.more = False

    def cluster(self) -> list[tuple[str, str, str]]:
        """(side, key, name) of all records that hang together with this pair through undecided pairs at or above the threshold."""
        pair = self.pair
        if pair is None:
            return []
        left_out = {
            r[1] or r[2] for d in self.plan.decisions if d.kind == "exclude" and d.mapping == pair["mapping"] for r in d.records
        }
        near = [
            p
            for i in self.shown
            if (p := self.all[i])["mapping"] == pair["mapping"]
            and (not self.answer(i) or i == self.at)
            and not {p["a"], p["b"]} & left_out
        ]
        found = {
            pair["a"]: ("local" if pair["a_side"] == "local" else "integration", pair["a_name"]),
            pair["b"]: (pair["b_side"], pair["b_name"]),
        }
        grown = True
        while grown:
            grown = False
            for p in near:
                if (p["a"] in found) != (p["b"] in found):
                    found |= {p["a"]: (p["a_side"], p["a_name"]), p["b"]: (p["b_side"], p["b_name"])}
                    grown = True
        return [(side, key, name) for key, (side, name) in found.items() if key not in left_out]

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def tally(self) -> str:
        """How far the review has come."""
        answers = [self.answer(i) for i in self.shown]
        parts = [
            f"{number(sum(1 for a in answers if a not in ('', 'later')))} of {count_of(len(answers), 'pair', 'pairs')} decided"
        ]
        parts += [f"{number(answers.count(a))} {word}" for a, word in WORDS.items() if a in answers]
        return " · ".join(parts)

    def state(self) -> State:
        return {"kind": "blocks", "error": self.error, "said": self.said, "blocks": self._blocks(),
                "press": {"ArrowRight": {"do": "move", "by": 1}, "ArrowLeft": {"do": "move", "by": -1}, "j": {"do": "move", "by": 1}, "k": {"do": "move", "by": -1}}}  # fmt: skip

    def _blocks(self) -> list[State]:
        pair, shown = self.pair, self.shown
        creates = len({(p["mapping"], key) for i in shown for p in [self.all[i]] for _, key in p["creates"]})
        slide = {"kind": "slider", "label": "show pairs from a score of", "min": 0.2, "max": 1, "step": 0.01, "value": self.threshold,
                 "shown": f"{self.threshold:.2f}", "do": {"do": "threshold"}}  # fmt: skip
        top = {
            "kind": "row",
            "blocks": [
                slide,
                text(f"{count_of(len(shown), 'pair', 'pairs')}, {count_of(creates, 'planned create', 'planned creates')}", "quiet"),
                text(self.tally(), "quiet"),
            ],
        }
        if pair is None:
            return [
                text("No pair looks alike enough." if self.all else "No planned create looks like a record that exists.", "strong"),
                top,
            ]
        answer = self.answer(self.at)
        place = shown.index(self.at) + 1
        score = "score shown once decided" if self.blind and not answer else f"score {pair['score']:.2f}"
        said = f" · decided: {WORDS[answer]}" if answer else ""
        blocks = [  # the buttons stand above the card: they stay where they are, however many lines a card has
            text(f"Pair {number(place)} of {number(len(shown))} · {pair['mapping']} · {score}{said}", "strong"),
            top,
            self._buttons(pair, answer),
            *self._left_out(pair, answer),
            self._card(pair, hide=self.blind and not answer),
        ]
        blocks += self._candidates(pair) + self._group()
        if self.similar_open:
            blocks += self._similar()
        if self.listing:
            rows = [[self.all[i]["mapping"], safe(self.all[i]["a_name"]), safe(self.all[i]["b_name"]), f"{self.all[i]['score']:.2f}", WORDS[self.answer(i)],
                     {"buttons": [button({"do": "look", "pair": i}, "Look"), button({"do": "undecide", "pair": i}, "Take back")]}]
                    for i in shown if self.answer(i)]  # fmt: skip
            blocks.append(
                table(["mapping", "record", "beside", "score", "decided", ""], rows, "Decided")
                if rows
                else text("Nothing is decided yet.", "quiet")
            )
        return [*blocks, buttons(*self.save_buttons()), *self.code_block()]

    def _card(self, pair: dict[str, Any], hide: bool = False) -> State:
        sides = self.plan.base.sides
        titles = [
            f"{safe(sides[pair[f'{x}_side']].title)}{' (coupled already)' if x == 'b' and pair['coupled'] else ''}" for x in "ab"
        ]
        try:
            evidence = self.plan.why(pair["mapping"], pair["a"], pair["b"]).to_dict("records")
        except SynckitError:  # a faint likeness of which no evidence was kept
            evidence = []
        most = max((abs(e["log_odds"]) for e in evidence), default=1) or 1
        rows: list[list[Any]] = [
            [
                "",
                {"text": safe(pair["a_name"]), "tone": "strong"},
                {"text": safe(pair["b_name"]), "tone": "strong"},
                "",
                *([] if hide else ["", ""]),
            ]
        ]
        for e in evidence:
            if e["level"] == "" and abs(e["log_odds"]) < 0.05:
                continue  # says nothing about these two
            a, b = (None if v is None or v != v else safe(v) for v in (e["source_value"], e["existing_value"]))
            mine, theirs = segments(a or "", b or "")
            missing = {"text": "missing", "tone": "quiet"}
            compared = e["level"] != ""
            level = safe(e["level"])
            tone = (
                "create"
                if level.startswith("equal")
                else "fail"
                if level == "different"
                else "conflict"
                if level.startswith("similar")
                else "quiet"
            )
            weight = [] if hide else [{"bar": e["log_odds"] / most, "text": f"{e['log_odds']:+.1f}"}, f"{e['score_so_far']:.2f}"]
            rows.append([BASE if e["field"] == "base" else safe(e["field"]), ({"segments": mine, "text": ""} if a else missing) if compared else "", ({"segments": theirs, "text": ""} if b else missing) if compared else "",
                         {"text": level, "tone": tone}, *weight])  # fmt: skip
        if not hide:
            rows.append(
                [
                    "all together",
                    "",
                    "",
                    "",
                    f"{sum(e['log_odds'] for e in evidence):+.1f}",
                    {"text": f"{pair['score']:.2f}", "tone": "strong"},
                ]
            )
        heads = ["", f"{titles[0]}", f"{titles[1]}", "alike", *([] if hide else ["weight", "score so far"])]
        told = "" if hide else "; the weights add up, and a sum of 0 is a score of 0.50, +3 of 0.95, -3 of 0.05"
        return table(heads, rows, f"Values as they are compared{told}", tall=True, sides=True)

    def _left_out(self, pair: dict[str, Any], answer: str) -> list[State]:
        """What was left out elsewhere, of this pair."""
        names = [safe(name) for _, _, name in left_out_of(self.plan, pair)] if answer != "later" else []
        is_ = "is" if len(names) == 1 else "are"
        told = f"{' and '.join(names)} {is_} left out of the plan: Couple or Create takes {'it' if len(names) == 1 else 'them'} back in."
        return [text(told, "conflict")] if names else []

    def _buttons(self, pair: dict[str, Any], answer: str) -> State:
        can = pair["across"] and not pair["coupled"]
        hint = "" if can else "one of them is coupled already" if pair["coupled"] else "both stand on the same side"
        alike = len(self.similar()) - (not answer)
        return buttons(
            button({"do": "decide", "answer": "couple"}, "Couple: the same", "c", "couple", hint, on=answer == "couple", off=not can),
            button({"do": "decide", "answer": "not_the_same"}, "Create: not the same", "n", "create", on=answer == "not_the_same"),
            button({"do": "decide", "answer": "later"}, "Skip: decide later", "s", "plain", "nothing is created until someone decides", on=answer == "later"),
            button({"do": "undo"}, "Undo", "u", off=not self.review.can_undo),
            button({"do": "move", "by": -1}, "\u2190"), button({"do": "move", "by": 1}, "\u2192"),
            button({"do": "similar"}, f"Similar: {number(max(alike, 0))} more", off=alike < 1, on=self.similar_open),
            button({"do": "list"}, "Decided pairs", on=self.listing),
        )  # fmt: skip

    def _candidates(self, pair: dict[str, Any]) -> list[State]:
        others = [
            i
            for i in self.shown
            if i != self.at
            and self.all[i]["mapping"] == pair["mapping"]
            and {self.all[i]["a"], self.all[i]["b"]} & {pair["a"], pair["b"]}
        ]
        few = others if self.more else others[: CANDIDATES - 1]
        rows = [[safe(self.all[i]["a_name"]), safe(self.all[i]["b_name"]), f"{self.all[i]['score']:.2f}", safe(self.all[i]["why"]), WORDS.get(self.answer(i), ""),
                 {"buttons": [button({"do": "look", "pair": i}, "Look")]}] for i in few]  # fmt: skip
        blocks = [table(["record", "beside", "score", "why", "decided", ""], rows, "Other candidates of these two")] if rows else []
        if len(others) > CANDIDATES - 1:
            blocks.append(buttons(button({"do": "more"}, "Fewer" if self.more else f"{number(len(others) - len(few))} more")))
        return blocks

    def _group(self) -> list[State]:
        members = self.cluster()
        if len(members) < 3:
            return []
        sides, pair = self.plan.base.sides, self.pair
        assert pair is not None
        creates = {key for p in self.all if p["mapping"] == pair["mapping"] for _, key in p["creates"]}
        rows = [[safe(name), safe(sides[side].title), {"buttons": [button({"do": "leave_out", "side": side, "key": key}, "Leave out")]} if key in creates else "exists"]
                for side, key, name in members]  # fmt: skip
        return [table(["record", "in", ""], rows, f"{number(len(members))} records hang together")]

    def _similar(self) -> list[State]:
        found = self.similar()
        rows = [
            [safe(self.all[i]["a_name"]), safe(self.all[i]["b_name"]), f"{self.all[i]['score']:.2f}", safe(self.all[i]["why"])]
            for i in found
        ]
        can = self.pair is not None and self.pair["across"] and not self.pair["coupled"]
        n = count_of(len(found), "pair", "pairs")
        return [table(["record", "beside", "score", "why"], rows, f"{n} alike for the same reasons, none decided yet, each record in one pair only"),
                buttons(button({"do": "decide_similar", "answer": "couple"}, f"Couple these {n}", tone="couple", off=not can),
                        button({"do": "decide_similar", "answer": "not_the_same"}, f"Not the same: these {n}", tone="create"), button({"do": "similar"}, "Cancel"))]  # fmt: skip

    def html(self) -> str:
        return f"<p><b>{self.tally()}</b></p>" + table_html(
            self.selected.drop(columns=["a", "b"]), "Possible duplicates, best first", 100
        )


def _left_out(plan: Plan, mapping: str, side: str, key: str) -> Plan:
    return plan.exclude(mapping, local=key, note=LATER) if side == "local" else plan.exclude(mapping, integration=key, note=LATER)


def left_out_of(plan: Plan, pair: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(side, key, name) of the records of a pair that somebody has left out of the plan."""
    rows = plan.rows.filter(
        pc.and_(pc.equal(plan.rows.column("mapping"), pair["mapping"]), pc.equal(plan.rows.column("disposition"), "excluded"))
    )
    of = (("local" if pair["a_side"] == "local" else "integration", "a"), (pair["b_side"], "b"))
    return [(side, pair[w], pair[f"{w}_name"]) for side, w in of if pc.any(pc.equal(rows.column(f"{side}_key"), pair[w])).as_py()]


def _answers(plan: Plan, pairs: list[dict[str, Any]]) -> dict[int, str]:
    """Number of a pair -> what the plan's decisions say of it."""
    coupled, other = coupled_pairs(plan.decisions), judged(plan.decisions)
    later = {
        (d.mapping, key)
        for d in plan.decisions
        if d.kind == "exclude" and d.note == LATER
        for r in d.records
        for key in r[1:]
        if key
    }
    found = {}
    for i, p in enumerate(pairs):
        place = (p["mapping"], p["a"], p["b"])
        if place in coupled or place in other:
            found[i] = "couple" if place in coupled else "not_the_same"
        elif any((p["mapping"], key) in later for _, key in p["creates"]):
            found[i] = "later"
    return found


def _pairs(plan: Plan, mapping: str | None) -> list[dict[str, Any]]:
    """Every pair once, best first: a and b with side and name (across the sides a is the local one), whether b is coupled, and which
    of the two the plan would create."""
    found: dict[tuple[str, frozenset[str]], dict[str, Any]] = {}
    for r in plan.base.duplicates.sort_by(
        [("score", "descending"), ("mapping", "ascending"), ("source_key", "ascending"), ("existing_key", "ascending")]
    ).to_pylist():
        if mapping is not None and r["mapping"] != mapping:
            continue
        source = "local" if r["pass"] == "to" else "integration"
        one, two = (r["source_key"], source, r["source_name"]), (r["existing_key"], r["existing_side"], r["existing_name"])
        across = source != r["existing_side"]
        if across and source == "integration" and not r["existing_coupled"]:
            one, two = two, one
        place = (r["mapping"], frozenset((r["source_key"], r["existing_key"])))
        p = found.setdefault(place, {"mapping": r["mapping"], "a": one[0], "a_side": one[1], "a_name": one[2] or one[0], "b": two[0], "b_side": two[1],
                                     "b_name": two[2] or two[0], "across": across, "coupled": r["existing_coupled"], "score": r["score"], "why": r["why"], "creates": []})  # fmt: skip
        if (source, r["source_key"]) not in p["creates"]:
            p["creates"].append((source, r["source_key"]))
    return list(found.values())


__all__ = ["PairQueue"]
