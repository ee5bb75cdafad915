"""What a screen of rows shows, taken along: as a workbook, as CSV, or as the code that decides and shows the same."""

from __future__ import annotations

import csv
import io
import re
from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd

from synckit.errors import SynckitError
from synckit.widgets.screen import Screen, State, button, save_button

#: A spreadsheet would run such a text as a formula: an apostrophe before it keeps it text.
_FORMULA = re.compile(r"[=+\-@\t\r]")


class Saving(Screen):
    """A screen whose frame can be taken along: `selected` is what it shows, `code` gives the calls that show the same."""

    code_open = False

    @property
    @abstractmethod
    def selected(self) -> pd.DataFrame:
        """What is shown, as a frame."""

    @abstractmethod
    def code(self) -> str:
        """The calls that take the same decisions and give the same frame."""

    def selected_count(self) -> int:
        """How many rows are shown; cheaper than the frame."""
        return len(self.selected)

    def do_csv(self) -> None:
        """Give what is shown to the reader as a CSV file."""
        shown = self.selected
        if shown.empty:
            raise SynckitError("Nothing is shown, so there is nothing to save.")
        self.give(f"{self.sheets()[0]}.csv", as_csv(shown))

    def do_code(self) -> None:
        """Show or hide the code."""
        self.code_open = not self.code_open

    def save_buttons(self) -> list[State]:
        rows = self.selected_count()
        return [
            save_button(rows),
            button({"do": "csv"}, "CSV", off=not rows, hint="what is shown, as a CSV file"),
            button({"do": "code"}, "Copy as code", on=self.code_open, hint="the calls that decide and show the same"),
        ]

    def code_block(self) -> list[State]:
        return [{"kind": "code", "text": self.code()}] if self.code_open else []


def as_csv(frame: pd.DataFrame) -> bytes:
    """`frame` as CSV that Excel opens with its umlauts, and in which no text is a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(frame.columns)
    writer.writerows([_text(v) for v in line] for line in frame.itertuples(index=False, name=None))
    return file.getvalue().encode("utf-8-sig", errors="replace")


def _text(value: Any) -> Any:
    if isinstance(value, (list, tuple, np.ndarray)):
        value = ", ".join(map(str, value))
    elif value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "")
    return f"'{text}" if _FORMULA.match(text) else text


__all__ = ["Saving", "as_csv"]
