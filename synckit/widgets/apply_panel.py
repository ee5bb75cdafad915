"""Applying a plan from the screen: what it names before, live progress with a stop, the closing question, planned beside actual."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.applying.progress import Progress, Run
from synckit.applying.refusals import to_accept
from synckit.applying.run import answer_closing
from synckit.errors import SynckitError
from synckit.planning.judging import likely
from synckit.planning.plan import Plan
from synckit.planning.tables import COUNTERS, WRITES
from synckit.reports.plan_html import run_html
from synckit.reports.wording import PASS_WORDS, count_of, number, safe
from synckit.widgets.review import Review, as_review
from synckit.widgets.screen import Screen, State, button, buttons, save_button, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

BETWEEN = 0.2  # seconds between two drawings of the progress
SHOWN = 50  # rows that came out differently
UNDONE = "Each row gets the values that it had before, unless somebody has changed it since. What is undone is then held: later runs leave it alone until the hold is lifted (synckit lift)."


class ApplyPanel(Screen):
    """Applies the plan of a review (or of a screen that shows one) as it stands when the button is pressed. `run` is the Run then."""

    def __init__(self, ws: Workspace, of: Plan | Review | Screen, file: str | Path | None = None) -> None:
        super().__init__()
        self.ws, self.review = ws, as_review(of, file)
        self.accepted: set[str] = set()
        self.run: Run | None = None
        self.progress: Progress | None = None
        self.answers: dict[str, bool] = {}  # mapping -> keep creating; given after the run
        self.answered = False
        self.undo: ApplyPanel | None = None  # the plan that takes the run back, once it was asked for
        self._worker: threading.Thread | None = None
        self._stop = threading.Event()
        self._drawn = 0.0
        self.code_open = False
        self.review.on_change(self.changed)

    @property
    def plan(self) -> Plan:
        return self.review.plan

    @property
    def running(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_accept(self, mapping: str) -> None:
        """Accept that a mapping creates although coupling is recommended first; a second time takes it back."""
        (self.undo or self).accepted ^= {mapping}

    def do_apply(self) -> None:
        """Start applying in the background, so that it can be stopped."""
        if self.undo is not None:
            self.undo.do_apply()
            return
        if self.running or self.run is not None:
            return
        self._refuse()
        self._stop.clear()
        self.progress = None
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def do_stop(self) -> None:
        """Stop after the chunk that is on its way; what was written stays and is booked."""
        if self.undo is not None:
            self.undo.do_stop()
            return
        self._stop.set()
        self.said = "Stopping after the rows that are on their way."

    def do_take_back(self) -> None:
        """Plan to undo what the run wrote: shown below it, and written by a button of its own."""
        if self.run is None:
            raise SynckitError("Nothing was written yet.")
        if self.undo is None:
            self.undo = ApplyPanel(self.ws, self.ws.plan_undo(self.run.id))
            self.undo.on_change(self.changed)

    def do_answer(self, mapping: str, value: str) -> None:
        """Answer the closing question for a mapping: "yes" lets later runs create its records, "no" keeps the flag."""
        if self.run is None or mapping not in self.run.closing:
            raise SynckitError(f"{mapping} was not asked about.")
        self.answers[mapping] = value == "yes"
        self.answered = False

    def do_closing(self) -> None:
        """Write the answers down."""
        assert self.run is not None
        answer_closing(self.ws, self.run.id, {name: self.answers.get(name, False) for name in self.run.closing})
        self.answered = True

    # -- working -------------------------------------------------------------------------------------------------------------------

    def apply(self, accept: Sequence[str] = ()) -> Run:
        """Apply now and wait for the end: what the button does, for code."""
        self.accepted |= set(accept)
        self._refuse()
        self._work()
        self.changed()
        if self.run is None:
            raise SynckitError(self.error)
        return self.run

    def wait(self, seconds: float | None = None) -> Run | None:
        """Wait until a run that was started from the screen has ended."""
        if self._worker is not None:
            self._worker.join(seconds)
        return self.run

    def _refuse(self) -> None:
        missing = [name for name in to_accept(self.plan) if name not in self.accepted]
        if missing:
            raise SynckitError(f"Coupling is recommended before creating in {', '.join(missing)}: accept each of them first.")

    def _work(self) -> None:
        from synckit.workspace import Workspace

        own = Workspace(self.ws.description, self.ws.clock)  # connections of its own: this may be another thread
        try:
            self.run = own.apply(self.plan, accept=sorted(self.accepted), progress=self._told, should_stop=self._stop.is_set)
        except SynckitError as error:
            self.error = str(error)
        except Exception as error:  # the thread has nobody else to tell
            self.error = f"Applying stopped: {type(error).__name__}: {error}. `synckit resume` brings the run to a truthful end."
        finally:
            own.close()
        self.said = ""
        self.changed()

    def _told(self, progress: Progress) -> None:
        self.progress = progress
        if time.monotonic() - self._drawn > BETWEEN:
            self._drawn = time.monotonic()
            self.changed()

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        saving = (
            []
            if self.run is None
            else [buttons(save_button(len(self.run.jobs)), button({"do": "code"}, "Copy as code", on=self.code_open))]
        )
        code: list[State] = [{"kind": "code", "text": self.code()}] if self.code_open else []
        return {"kind": "blocks", "error": self.error, "said": self.said, "blocks": [*self.blocks(), *saving, *code]}

    def blocks(self) -> list[State]:
        """What stands on the panel: before, while and after the plan is carried out."""
        return self._ended(self.run) if self.run is not None else self._under_way() if self.running else self._before()

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        """Planned beside actual, mapping by mapping; and the rows that came out differently."""
        return "run", {} if self.run is None else {"Planned beside actual": self.run.jobs, "Differences": self.run.differences}

    def title(self) -> str:
        return "" if self.run is None else self.run.sentence()

    def do_code(self) -> None:
        """Show or hide the calls that do the same."""
        self.code_open = not self.code_open

    def code(self) -> str:
        """The calls that take the same decisions and carry the plan out."""
        accept = f", accept={sorted(self.accepted)!r}" if self.accepted else ""
        return f"{self.review.code()}\nrun = ws.apply(plan{accept})"

    def _writes_by_side(self) -> list[tuple[str, int]]:
        r, sides = self.plan.rows, self.plan.base.sides
        found = []
        for in_pass, side in (("to", "integration"), ("from", "local")):
            mine = pc.and_(pc.equal(r.column("pass"), in_pass), pc.is_in(r.column("disposition"), pa.array(WRITES)))
            found.append((safe(sides[side].title), int(pc.sum(mine).as_py() or 0)))
        return found

    def _before(self) -> list[State]:
        plan = self.plan
        sides = self._writes_by_side()
        named = " and ".join(f"{number(n)} to {title}" for title, n in sides if n)
        blocks = [text(plan.sentence(), "strong")]
        if not plan.writes:
            return [*blocks, text("There is nothing to write.")]
        left_out = int(pc.sum(pc.equal(plan.rows.column("disposition"), "excluded")).as_py() or 0)
        second = pc.and_(pc.equal(plan.rows.column("step"), 2), pc.is_in(plan.rows.column("disposition"), pa.array(WRITES)))
        later = int(pc.sum(second).as_py() or 0)
        apart = plan.writes - sum(n for _, n in sides)
        told = f"Apply writes {count_of(plan.writes - apart, 'row', 'rows')}: {named}" if named else f"To do: {self._removed()}"
        blocks.append(text(told + (f"; and to do: {self._removed()}" if named and apart else "") + "."
                           + (f" {number(later)} of them {'is a second step' if later == 1 else 'are second steps'}, which fill in what refers to a record written first." if later else "")
                           + " Each is written only if it is still as it was when the plan was made."
                           + (f" {count_of(left_out, 'row is', 'rows are')} left out by you." if left_out else "")))  # fmt: skip
        asked = to_accept(plan)
        if asked:
            blocks.append(
                text(
                    "In these mappings both sides hold records, so a create may double one. Accept those that you have looked through:",
                    "conflict",
                )
            )
            blocks.append(
                {
                    "kind": "checks",
                    "checks": [
                        {"do": {"do": "accept", "mapping": n}, "on": n in self.accepted, "label": self._to_create(n)} for n in asked
                    ],
                }
            )
        ready = all(n in self.accepted for n in asked)
        label = self._named_writes(sides)
        return [
            *blocks,
            buttons(
                button({"do": "apply"}, label, tone="main", off=not ready, hint="" if ready else "accept the mappings above first")
            ),
        ]

    def _named_writes(self, sides: list[tuple[str, int]]) -> str:
        """What the button does: how many rows it writes to which systems, how many of these it deletes, how many couplings it removes."""
        rows = sum(n for _, n in sides)
        if not rows:
            said = self._removed()
            return said[:1].upper() + said[1:]
        deleted = self.plan.total("delete")
        label = f"Write {count_of(rows, 'row', 'rows')} to {' and '.join(title for title, n in sides if n)}"
        label += f", {number(deleted)} of them deleted" if deleted else ""
        return label + (f"; {self._removed()}" if self.plan.writes > rows else "")

    def _removed(self) -> str:
        """The couplings that the plan removes or only books, and the rows that lose the mark of their company with them."""
        rows, sides = self.plan.rows, self.plan.base.sides
        ended = rows.filter(pc.equal(rows.column("disposition"), "uncoupling"))
        marked = [t.partition(":")[0] for t in ended.column("table").to_pylist() if t]
        where = " and ".join(f"{count_of(marked.count(s), 'row', 'rows')} of {safe(sides[s].title)}" for s in sides if s in marked)
        booked = self.plan.writes - sum(n for _, n in self._writes_by_side()) - ended.num_rows
        parts = (
            [f"remove {count_of(ended.num_rows, 'coupling', 'couplings')}" + (f", with the company in {where}" if where else "")]
            if ended.num_rows
            else []
        )
        parts += [f"couple {count_of(booked, 'pair', 'pairs')}"] if booked else []
        return " and ".join(parts)

    def _to_create(self, name: str) -> str:
        creates = sum(of.get("create", 0) for (m, _), of in self.plan.counts.items() if m == name)
        found, rows = likely(self.plan.base, self.plan.decisions), self.plan.rows
        found = found.filter(pc.equal(found.column("mapping"), name))
        rows = rows.filter(pc.and_(pc.equal(rows.column("mapping"), name), pc.equal(rows.column("disposition"), "create")))
        places = [set(zip(t.column("pass").to_pylist(), t.column("record").to_pylist(), strict=True)) for t in (found, rows)]
        alike = places[0] & places[1]
        like = len(alike)
        return f"{name}: {count_of(creates, 'create', 'creates')}" + (
            f", {number(like)} of which look like an existing record" if like else ""
        )

    def _under_way(self) -> list[State]:
        p = self.progress
        if p is None:
            return [text("Applying has begun: each row is held against the plan, then written.", "strong"),
                    {"kind": "progress", "share": 0, "label": "applying"}, buttons(button({"do": "stop"}, "Stop"))]  # fmt: skip
        left = "" if p.seconds_left is None else f" · about {_seconds(p.seconds_left)} left"
        where = f"{p.mapping}, {PASS_WORDS.get(p.in_pass, p.in_pass)}"
        return [
            text(f"Applying {where}", "strong"), {"kind": "progress", "share": p.done / max(p.total, 1), "label": "applying"},
            text(f"{number(p.done)} of {count_of(p.total, 'row', 'rows')} · {number(round(p.rows_per_second))} rows per second{left}", "quiet"),
            buttons(button({"do": "stop"}, "Stop", hint="after the rows that are on their way", off=self._stop.is_set())),
        ]  # fmt: skip

    def _ended(self, run: Run) -> list[State]:
        other = safe(self.plan.base.sides["integration"].title.partition(" (")[0])
        shown = [c for c in COUNTERS if run.jobs[c].any() or run.jobs[f"planned_{c}"].any()]
        rows = [
            [
                safe(j["mapping"]),
                safe(j["direction"]).replace("_integration", f" {other}"),
                *(_beside(int(j[c]), int(j[f"planned_{c}"])) for c in shown),
                safe(j["message"]),
            ]
            for j in run.jobs.to_dict("records")
        ]
        as_planned = not len(run.differences)
        blocks = [text(safe(run.sentence()), "strong"),
                  text("Every write came out as planned." if as_planned and run.status == "finished" else "", "create"),
                  table(["mapping", "direction", *shown, ""], rows, "Planned beside actual: one number where both are the same")]  # fmt: skip
        failed = int(run.jobs["failed"].sum()) if len(run.jobs) else 0
        if failed:
            blocks.append(
                text(
                    f"{count_of(failed, 'row', 'rows')} failed or stopped at a conflict: 04 Diagnose errors says why, and what fixes each.",
                    "conflict",
                )
            )
        if not as_planned:
            lines = [
                [safe(d[c]) for c in ("mapping", "local_key", "integration_key", "planned", "actual", "reason")]
                for d in run.differences.head(SHOWN).to_dict("records")
            ]
            blocks.append(
                table(
                    ["mapping", "local key", "integration key", "planned", "became", "why"],
                    lines,
                    f"{count_of(len(run.differences), 'row', 'rows')} came out differently",
                )
            )
        if run.closing and run.status == "finished":
            blocks += self._question(run)
        if self.undo is not None:
            blocks += [{"kind": "heading", "text": f"Taking run {run.id} back"}, text(UNDONE, "quiet"), *self.undo.blocks()]
            blocks.append(text(self.undo.error, "fail"))
        elif run.written and self.plan.base.kind != "undo":
            back = button({"do": "take_back"}, "Take this run back", hint="as a plan first; nothing is written yet")
            blocks.append(buttons(back))
        return [b for b in blocks if b.get("text") != ""]

    def _question(self, run: Run) -> list[State]:
        sides = self.plan.base.sides
        asks = f"Shall later runs keep creating new records, where only coupled ones were synchronised so far (Synch. Only Coupled Records)? {safe(sides['local'].title)} and {safe(sides['integration'].title)}, mapping by mapping:"
        blocks = [{"kind": "heading", "text": "One question at the end"}, text(asks)]
        rows = []
        for name in run.closing:
            yes = self.answers.get(name, False)
            choice = [button({"do": "answer", "mapping": name, "value": "no"}, "No, only coupled records", on=not yes),
                      button({"do": "answer", "mapping": name, "value": "yes"}, "Yes, keep creating", on=yes)]  # fmt: skip
            rows.append([name, {"buttons": choice}])
        blocks += [
            table(["mapping", "answer"], rows),
            buttons(button({"do": "closing"}, "Save the answers", tone="main", off=self.answered)),
        ]
        if self.answered:
            blocks.append(text("Saved in the ledger; the workspace file is untouched. Answer again to change it.", "create"))
        return blocks

    def html(self) -> str:
        if self.run is not None:
            return run_html(self.run)
        return (
            "".join(f"<p>{_escape(b['text'])}</p>" for b in self._before() if b["kind"] == "text")
            + '<p class="quiet">Nothing was applied here.</p>'
        )


def _escape(value: str) -> str:
    from synckit.reports.frame_html import escaped

    return escaped(value)


def _beside(actual: int, planned: int) -> Any:
    if actual == planned:
        return number(actual) if actual else ""
    return {"text": f"{number(actual)}, planned {number(planned)}", "tone": "fail"}


def _seconds(n: float) -> str:
    return f"{n:.0f} s" if n < 90 else f"{n / 60:.0f} min"


__all__ = ["ApplyPanel"]
