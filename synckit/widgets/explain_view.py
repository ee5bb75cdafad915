"""One record, explained: named by its key, number or name, and its whole story told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synckit.diagnosis.story import sections
from synckit.errors import SynckitError
from synckit.reports.frame_html import escaped
from synckit.reports.wording import safe
from synckit.widgets.screen import Screen, State, button, buttons, text

if TYPE_CHECKING:
    from synckit.diagnosis.explain import Explanation
    from synckit.workspace import Workspace

HINT = "key, number or name"


class ExplainView(Screen):
    """Why a record does, or does not, synchronise. Begins with the record that failed last, where one did. `told` is its Explanation."""

    def __init__(self, ws: Workspace, mapping: str | None = None, record: str = "") -> None:
        super().__init__()
        self.ws = ws
        self.mapping = ws.description.mapping(mapping).name if mapping else ws.order[-1]
        self.record = record
        self.told: Explanation | None = None
        if record:
            self.receive({"do": "explain", "text": record})
        elif mapping is None:
            self._last_failed()

    def _last_failed(self) -> None:
        failed = self.ws.errors(limit=1).to_dict("records")
        for line in failed:
            key = next((str(k) for k in (line["local_key"], line["integration_key"]) if isinstance(k, str) and k), "")
            if key and line["mapping"] in {m.name for m in self.ws.description.mappings}:
                self.mapping = line["mapping"]
                self.receive({"do": "explain", "text": key})
                if self.told is not None and self.told.found:
                    self.said = "This is the record that failed last."

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_mapping(self, value: str) -> None:
        """Look in another mapping; the record that was asked for is looked for there."""
        self.mapping = self.ws.description.mapping(value).name
        self.told = None
        if self.record:
            self.do_explain(self.record)

    def do_explain(self, text: str) -> None:
        """Tell the story of a record."""
        self.record, self.told, self.said = text.strip(), None, ""
        if not self.record:
            raise SynckitError(f"Write which record: its {HINT}, of either system.")
        self.told = self.ws.explain(self.mapping, key=self.record)

    def do_code_of(self) -> None:
        """Say the call that does the same."""
        self.said = f"ws.explain({self.mapping!r}, key={self.record!r})"

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        return {"kind": "blocks", "error": self.error, "said": self.said, "blocks": self._blocks()}

    def _blocks(self) -> list[State]:
        names = [[n, n] for n in self.ws.order]
        asked: list[State] = [
            {"kind": "choose", "label": "mapping", "value": self.mapping, "values": names, "do": {"do": "mapping"}},
            {"kind": "field", "label": "record", "text": self.record, "hint": f"{HINT}, then Enter", "do": {"do": "explain"}},
            buttons(button({"do": "code_of"}, "As code", off=not self.record)),
        ]
        return [{"kind": "row", "blocks": asked}, *self._story()]

    def _story(self) -> list[State]:
        if self.told is None:
            return (
                []
                if self.error
                else [
                    text("Name a record, to see where it is, what the next run does with it and why, and what has happened to it.")
                ]
            )
        title, verdict, *_ = self.told.to_text().split("\n")
        blocks = [text(title, "strong"), text(verdict, "strong" if self.told.found else "conflict")]
        for head, lines in sections(self.told.facts):
            blocks += [{"kind": "heading", "text": safe(head)}, *(text(f"\u00a0\u00a0\u00a0{line.strip()}" if line.startswith(" ") else line) for line in lines)]  # fmt: skip
        return blocks

    def html(self) -> str:
        if self.told is None:
            return f"<p>{escaped(self.error or 'No record was named.')}</p>"
        return str(self.told._repr_html_())


__all__ = ["ExplainView"]
