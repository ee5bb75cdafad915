"""Connect and map: are both systems there, what is synchronised with what, a rule or filter tried first; changes saved in the workspace file."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from synckit.diagnosis.trying import Tried
from synckit.errors import SynckitError
from synckit.ledger.ledger import Ledger
from synckit.mapping.checking import Finding
from synckit.mapping.editing import WorkspaceEdit
from synckit.mapping.model import DeletionConflict, Direction, FieldMapping, TableMapping, UpdateConflict
from synckit.planning.bind import SIDES, Side
from synckit.reports.frame_html import table_html
from synckit.reports.mappings_page import mappings_page, written_filter
from synckit.reports.plan_text import cell_text
from synckit.reports.wording import count_of, number, safe
from synckit.systems.secrets import masked
from synckit.widgets.screen import Screen, State, button, buttons, save_button, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

SHOWN = 12  # lines of what was tried
ARROWS = {"to_integration": "\u2192", "from_integration": "\u2190", "bidirectional": "\u2194"}
#: Settings of a mapping that are chosen from a list.
CHOICES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "direction": ("direction", tuple((d, d.replace("_", " ")) for d in get_args(Direction))),
    "only_coupled": ("creates", (("true", "no, only coupled records"), ("false", "yes, new records, too"))),
    "update_conflict_resolution": ("changed on both sides", tuple((v, {"none": "a conflict: somebody decides"}.get(v, v.replace("_", " "))) for v in get_args(UpdateConflict))),
    "deletion_conflict_resolution": ("deleted on one side", tuple((v, {"none": "the record fails"}.get(v, v.replace("_", " "))) for v in get_args(DeletionConflict))),
}  # fmt: skip
_PASSWORD = re.compile(r"(://[^:/@\s]*:)(?!\$\{|keyring:)[^@\s]+@")


class ConnectAndMap(Screen):
    """The systems and mappings of a workspace. What is changed here is a draft: each change is checked at once, shown as a difference of
    the file, and written by Save alone. `ws` is the saved workspace; after a save it is read again, so other cells see the change."""

    def __init__(self, ws: Workspace) -> None:
        super().__init__()
        self.ws = ws
        self.edit = WorkspaceEdit(ws.path)
        self.draft = ws
        self.mapping = ""  # the open one
        self.field: tuple[str | None, str | None] | None = None  # the row of it that is being changed
        self.tried: Tried | None = None
        self.tests: dict[Side, tuple[str, bool]] = {}
        self.of_systems: list[Finding] = []
        self._look()
        self._test()
        self._wrong_before = self._wrong()

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_test(self) -> None:
        """Open both systems as the draft describes them, count their mapped tables, and hold tables and fields against the mappings."""
        self._test()

    def do_open(self, mapping: str) -> None:
        """Open a mapping's settings and fields, or close them."""
        name = self.draft.description.mapping(mapping).name
        self.mapping = "" if name == self.mapping else name
        self.field = self.tried = None

    def do_field(self, local: str = "", integration: str = "") -> None:
        """Open a field row, or close it."""
        pair = (local or None, integration or None)
        self.field = None if pair == self.field else pair
        self.tried = None

    def do_set(self, key: str, value: str) -> None:
        """Change a setting of the open mapping."""
        if key not in CHOICES or value not in {v for v, _ in CHOICES[key][1]}:
            raise SynckitError(f'"{key}" cannot be set to "{value}" here.')
        said: Any = value == "true" if key == "only_coupled" else value
        self._change(lambda: self.edit.mapping(self._open().name, **{key: said}))

    def do_filter(self, side: Side, text: str) -> None:
        """Try a filter on the whole table of one side, and take it into the draft where it can be read and differs."""
        saved = next((m for m in self.ws.description.mappings if m.name == self.mapping), self._open())
        self.tried = self.draft.try_filter(self._open().name, side, text, beside=getattr(saved, f"{side}_filter"))
        self.field = None
        if text.strip() != written_filter(getattr(self._open(), f"{side}_filter")).strip():
            self._change(lambda: self.edit.mapping(self._open().name, **{f"{side}_filter": text.strip()}))

    def do_set_field(self, key: str, value: str) -> None:
        """Change the open field row: direction, rule, enabled ("yes", "no"), match ("yes", "no")."""
        row = self._row()
        known = {"direction": ("direction", value), "rule": ("transformation_rule", value or None), "enabled": ("enabled", value == "yes"),
                 "match": ("use_for_match", value == "yes")}  # fmt: skip
        if key not in known:
            raise SynckitError(f'A field row has no setting "{key}" here.')
        name, said = known[key]
        if key == "rule" and not value and row.transformation_rule:
            said = ""  # a blank takes the standard's rule away, too
        self._change(lambda: self.edit.field(self._open().name, row.local, row.integration, **{name: said}))
        if key == "rule" and value:
            self.do_try_rule(value)

    def do_try_rule(self, value: str) -> None:
        """Try a transformation rule on every value of the open field; the draft stays as it is."""
        row = self._row()
        self.tried = self.draft.try_rule(self._open().name, row.local or row.integration or "", value)

    def do_add_field(self, text: str) -> None:
        """Add a field row, written "local field = integration field"."""
        one, sign, two = text.partition("=")
        if not sign or not one.strip() or not two.strip():
            raise SynckitError("Write the pair as: local field = integration field.")
        opened = self._open()
        found = []
        for side, name in zip(SIDES, (one.strip(), two.strip()), strict=True):
            ref = getattr(opened, side)
            found.append(self.draft.schemas[side].table(ref.table).column(name).name)
        if any((f.local, f.integration) == tuple(found) for f in opened.fields):
            raise SynckitError(f"{opened.name} has the field row {found[0]} / {found[1]} already.")
        self._change(lambda: self.edit.field(opened.name, found[0], found[1]))
        self.field = (found[0], found[1])

    def do_address(self, side: Side, text: str) -> None:
        """Another place of a system: a database URL, or a folder of exports. A password is never written into the file."""
        place = text.strip()
        if not place or place == self._address(side):
            return
        if _PASSWORD.search(place):
            raise SynckitError("Do not write a password into the file: write ${NAME} in its place and set that environment variable, "
                               "or keyring:SERVICE/USER.")  # fmt: skip
        url = "://" in place or place.startswith("${")
        self._change(lambda: self.edit.system(side, url=place if url else None, folder=None if url else place))
        self._test()

    def do_take_back(self) -> None:
        """Forget all changes that are not saved."""
        self.edit.take_back()
        self.tried = self.field = None
        self._look()
        self.mapping = self.mapping if self.mapping in self.draft.order else ""
        self._test()
        self.said = "All changes that were not saved are taken back."

    def do_save_file(self) -> None:
        """Write the workspace file, unless it would have an error that it did not have before."""
        self._test()
        wrong = self.refusal()
        if wrong:
            raise SynckitError("The file was not saved, because it would not check:", tuple(wrong))
        n = len([line for line in self.edit.diff() if line[:1] in ("+", "-")])
        self.edit.save()
        self.ws.reload()
        self._look()
        self._wrong_before = self._wrong()
        self.said = f"Saved: {count_of(n, 'line', 'lines')} of {self.edit.path.name}. Plans made before are refused where a mapping differs: plan again."

    # -- the draft -------------------------------------------------------------------------------------------------------------------

    def refusal(self) -> list[str]:
        """What keeps the draft from being saved: errors that the saved file does not have."""
        return [f"{f.place}: {f.message} {f.remedy}".strip() for f in self._wrong() if f not in self._wrong_before]

    def _wrong(self) -> list[Finding]:
        return [f for f in (*self.findings, *self.of_systems) if f.severity == "error"]

    def _change(self, change: Any) -> None:
        """Take a change into the draft; where the file would not be read any more, nothing is changed and the reason is told."""
        change()
        self._look()

    def _look(self) -> None:
        from synckit.workspace import Workspace

        if self.draft is not self.ws:
            self.draft.close()
        self.draft = Workspace(self.edit.described(), self.ws.clock) if self.edit.changed else self.ws
        self.findings = self.draft.check(connect=False)
        ledger = Ledger.open(
            self.draft.description.ledger, identity=""
        )  # to read: a system that cannot be reached hides no mapping
        try:
            self.page = mappings_page(self.draft.description, self.draft.schemas, ledger)
        finally:
            ledger.close()

    def _test(self) -> None:
        for side in SIDES:
            begun = time.perf_counter()
            try:
                system = self.draft.systems[side]
                tables = {
                    getattr(m, side).table: system.schema.table(getattr(m, side).table) for m in self.draft.description.mappings
                }
                with system.snapshot() as snapshot:
                    there = [t for t in tables.values() if system.physical_columns(t) is not None]
                    rows = sum(snapshot.count(t) for t in there)
                took = f"{time.perf_counter() - begun:.1f} s"
                missing = len(tables) - len(there)
                told = f"connected: {count_of(len(there), 'table', 'tables')}, {count_of(rows, 'row', 'rows')}, {took}"
                told += f"; {count_of(missing, 'mapped table is', 'mapped tables are')} missing" if missing else ""
                self.tests[side] = (told + (f"; {system.read_only}" if system.read_only else ""), not missing)
            except SynckitError as error:
                self.tests[side] = (str(error), False)
        known = set(self.findings)
        self.of_systems = [f for f in self.draft.check() if f not in known]

    def _open(self) -> TableMapping:
        if not self.mapping:
            raise SynckitError("Open a mapping first.")
        return self.draft.description.mapping(self.mapping)

    def _row(self) -> FieldMapping:
        row = next((f for f in self._open().fields if (f.local, f.integration) == self.field), None)
        if row is None:
            raise SynckitError("Open a field row first.")
        return row

    def _address(self, side: Side) -> str:
        described = getattr(self.draft.description, side)
        return masked(described.url, described.name) if described.url else str(described.folder or "")

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        return {
            "kind": "blocks",
            "error": self.error,
            "said": self.said,
            "blocks": [*self._systems(), *self._mappings(), *self._opened(), *self._draft()],
        }

    def _systems(self) -> list[State]:
        rows = []
        for side in SIDES:
            told, good = self.tests[side]
            rows.append([side, safe(getattr(self.draft.description, side).name), {"text": safe(told), "tone": "create" if good else "fail"}])  # fmt: skip
        fields = [{"kind": "field", "label": f"{side} side at", "text": self._address(side), "hint": "sqlite:///file.db, postgresql://..., or a folder",
                   "do": {"do": "address", "side": side}} for side in SIDES]  # fmt: skip
        blocks = [table(["side", "system", "state"], rows, "Systems"),
                  *({"kind": "row", "blocks": [one]} for one in fields),
                  {"kind": "row", "blocks": [buttons(button({"do": "test"}, "Test both", "t")), text(self._changed(), "quiet"), self._saving(),
                                             buttons(save_button(len(self.page)))]}]  # fmt: skip
        told_of = [f for f in self.of_systems if f.severity != "note"]
        if told_of:
            blocks.append(table(["", "where", "what", "instead"], [_finding(f) for f in told_of]))
        return blocks

    def _warned(self) -> Counter[str]:
        return Counter(f.place.partition(" > ")[0] for f in self.findings if f.severity != "note")

    def _mappings(self) -> list[State]:
        warned = self._warned()
        rows: list[State] = []
        for m in self.page.to_dict("records"):
            open_ = m["mapping"] == self.mapping
            wrong = warned.get(m["mapping"], 0)
            cells: list[Any] = [
                str(m["rank"]), {"buttons": [button({"do": "open", "mapping": m["mapping"]}, m["mapping"], on=open_, hint="settings and fields")]},
                f"{safe(m['local_table'])} {ARROWS[m['direction']]} {safe(m['integration_table'])}", f"{m['fields']} of {m['fields_total']}",
                number(m["coupled"]), "no" if m["only_coupled"] else "yes", safe(m["local_filter"]), safe(m["integration_filter"]),
                safe(m["order_reason"]), *([{"text": str(wrong), "tone": "fail"} if wrong else ""] if warned else []),
            ]  # fmt: skip
            rows.append({"on": open_, "cells": cells})
        heads = [
            "",
            "mapping",
            "tables",
            "fields",
            "coupled",
            "creates in daily runs",
            "local filter",
            "integration filter",
            "why in this order",
            *(["findings"] if warned else []),
        ]
        return [table(heads, rows, "Mappings, in the order of a run", tall=True)]

    def _opened(self) -> list[State]:
        if not self.mapping:
            return []
        m = self._open()
        now = {"direction": m.direction, "only_coupled": "true" if m.only_coupled else "false", "update_conflict_resolution": m.update_conflict_resolution,
               "deletion_conflict_resolution": m.deletion_conflict_resolution}  # fmt: skip
        choices = [{"kind": "choose", "label": label, "value": now[key], "values": [list(v) for v in values], "do": {"do": "set", "key": key}}
                   for key, (label, values) in CHOICES.items()]  # fmt: skip
        filters = [{"kind": "field", "label": f"filter of the {side} side", "text": written_filter(getattr(m, f"{side}_filter")), "hint": "Field: expression; Field: expression",
                    "do": {"do": "filter", "side": side}} for side in SIDES if not getattr(m, side).option_set]  # fmt: skip
        mine = [f for f in self.findings if f.place.partition(" > ")[0] == m.name and f.severity != "note"]
        blocks: list[State] = [{"kind": "heading", "text": f"{m.name}: settings"}, {"kind": "row", "blocks": choices},
                               *({"kind": "row", "blocks": [one]} for one in filters),
                               text("A filter is tried on the whole table when you press Enter, and taken into the draft.", "quiet")]  # fmt: skip
        if mine:
            blocks.append(table(["", "where", "what", "instead"], [_finding(f) for f in mine]))
        blocks += self._tried() if self.field is None else []
        rows = []
        for f in m.fields:
            pair = (f.local, f.integration)
            said = (
                f.meaning
                or (f'always "{f.constant}"' if f.constant is not None else "")
                or (f"refers to {f.lookup.mapping}" if f.lookup else "")
            )
            rows.append({"on": pair == self.field, "cells": [
                safe(f.local or ""), ARROWS[f.direction], safe(f.integration or ""), safe(f.transformation_rule), safe(said), "match" if f.use_for_match else "",
                "" if f.enabled else {"text": "off", "tone": "quiet"},
                {"buttons": [button({"do": "field", "local": f.local or "", "integration": f.integration or ""}, "Change", on=pair == self.field)]}]})  # fmt: skip
        blocks.append(
            table(
                ["local field", "", "integration field", "rule", "what it holds", "", "", ""], rows, f"{m.name}: fields", tall=True
            )
        )
        if self.field is not None:
            blocks += self._field()
        blocks.append(
            {
                "kind": "field",
                "label": "add a field row",
                "text": "",
                "hint": "local field = integration field",
                "do": {"do": "add_field"},
            }
        )
        return blocks

    def _field(self) -> list[State]:
        row = self._row()
        rules = [["", "no rule"], *([c, c] for c in self.draft.rulebook.codes)]
        yes = [["yes", "yes"], ["no", "no"]]
        shown = f"{safe(row.local or '(none)')} / {safe(row.integration or '(none)')}"
        return [
            {"kind": "heading", "text": shown},
            {"kind": "row", "blocks": [
                {"kind": "choose", "label": "direction of this field", "value": row.direction, "values": [list(v) for v in CHOICES["direction"][1]], "do": {"do": "set_field", "key": "direction"}},
                {"kind": "choose", "label": "transformation rule", "value": row.transformation_rule, "values": rules, "do": {"do": "set_field", "key": "rule"}},
                {"kind": "choose", "label": "takes part", "value": "yes" if row.enabled else "no", "values": yes, "do": {"do": "set_field", "key": "enabled"}},
                {"kind": "choose", "label": "coupled by match over it", "value": "yes" if row.use_for_match else "no", "values": yes, "do": {"do": "set_field", "key": "match"}},
                {"kind": "choose", "label": "only try a rule", "value": "", "values": [["", "choose"], *rules[1:]], "do": {"do": "try_rule"}},
            ]},
            *self._tried(),
        ]  # fmt: skip

    def _tried(self) -> list[State]:
        if self.tried is None:
            return []
        frame = self.tried.frame.head(SHOWN)
        rows = [[safe(cell_text(v)) for v in line] for line in frame.itertuples(index=False, name=None)]
        capped = (
            f"{number(len(frame))} of {count_of(len(self.tried.frame), 'line', 'lines')}"
            if len(frame) < len(self.tried.frame)
            else ""
        )
        return [text(self.tried.sentence, "strong"), *([table([str(c) for c in frame.columns], rows, capped)] if rows else [])]

    def _changed(self) -> str:
        """How far the draft is from the file; stands above everything, for what is changed stands far apart."""
        if not self.edit.changed:
            return f"Nothing is changed in {self.edit.path.name}."
        n = len([line for line in self.edit.diff() if line[:1] in ("+", "-")])
        return f"{count_of(n, 'line', 'lines')} of {self.edit.path.name} would change: they stand at the end."

    def _saving(self) -> State:
        wrong = bool(self.refusal())
        return buttons(
            button({"do": "save_file"}, f"Save {self.edit.path.name}", tone="main" if self.edit.changed else "plain", off=wrong or not self.edit.changed, hint="it would not check" if wrong else ""),
            button({"do": "take_back"}, "Take all changes back", off=not self.edit.changed),
        )  # fmt: skip

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        """The mappings, their fields and the findings, as the draft has them."""
        fields = [
            {"mapping": m.name, "local": f.local, "direction": f.direction, "integration": f.integration, "transformation_rule": f.transformation_rule,
             "enabled": f.enabled, "use_for_match": f.use_for_match, "refers_to": f.lookup.mapping if f.lookup else None, "constant": f.constant}
            for m in self.draft.description.mappings for f in m.fields
        ]  # fmt: skip
        found = [(f.severity, f.place, f.message, f.remedy) for f in (*self.findings, *self.of_systems)]
        findings = pd.DataFrame(found, columns=["severity", "where", "what", "remedy"])
        return "mappings", {"Mappings": self.page, "Fields": pd.DataFrame(fields), "Findings": findings}

    def title(self) -> str:
        return " and ".join(getattr(self.draft.description, side).name for side in SIDES)

    def _draft(self) -> list[State]:
        if not self.edit.changed:
            return []
        wrong = self.refusal()
        lines = [_PASSWORD.sub(r"\1***@", safe(line)) for line in self.edit.diff()]
        return [
            {"kind": "heading", "text": f"What would change in {self.edit.path.name}"},
            {"kind": "diff", "lines": lines},
            *(text(w, "fail") for w in wrong),
            self._saving(),
        ]

    def html(self) -> str:
        systems = pd.DataFrame([(side, getattr(self.draft.description, side).name, self._address(side), self.tests[side][0]) for side in SIDES],
                               columns=["side", "system", "where", "state"])  # fmt: skip
        columns = ["rank", "mapping", "local_table", "direction", "integration_table", "fields", "fields_total", "coupled", "only_coupled",
                   "local_filter", "integration_filter", "order_reason"]  # fmt: skip
        return table_html(systems, "Systems") + table_html(self.page[columns], "Mappings, in the order of a run", 100)


def _finding(f: Finding) -> list[Any]:
    tone = {"error": "fail", "warning": "conflict"}.get(f.severity, "quiet")
    return [{"text": f.severity, "tone": tone}, safe(f.place), safe(f.message), safe(f.remedy)]


__all__ = ["ConnectAndMap"]
