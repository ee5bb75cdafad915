"""Whether a constant fits the column it is written to, and the words in which that is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from synckit.mapping.schema import Column, nearest


def constant_problem(constant: str, column: Column) -> tuple[str, str] | Literal[""]:
    """Why a constant does not fit its column, and what to write; '' where it does."""
    if column.kind in ("text", "code"):
        if column.length is not None and len(constant) > column.length:
            return f'The constant has {len(constant)} characters, "{column.name}" holds {column.length}.', "Shorten it."
    elif column.kind in ("option", "integer"):
        labels = [option.label for option in column.options]
        values = [str(option.value) for option in column.options]
        number = re.fullmatch(r"-?\d+", constant) is not None
        if (
            not number
            and (column.kind == "integer" or labels)
            and constant.casefold() not in [label.casefold() for label in labels]
        ):
            return f'"{constant}" is no value of "{column.name}".', nearest(constant, labels).strip() or one_of(
                labels or ["a whole number"]
            )
        if number and values and constant not in values and constant not in labels:
            return f'"{constant}" is no option value of "{column.name}".', one_of(values)
    elif column.kind == "decimal":
        if re.fullmatch(r"-?\d+(\.\d+)?", constant) is None:
            return f'"{constant}" is no number.', "Write it with a point, for example 12.50."
    elif column.kind == "boolean" and constant.casefold() not in ("yes", "no", "true", "false", "1", "0"):
        return f'"{constant}" is neither Yes nor No.', "Write Yes or No."
    return ""


def one_of(names: Sequence[str]) -> str:
    """The sentence "Write one of: a, b." """
    return f"Write one of: {', '.join(names)}."


def with_article(word: str) -> str:
    """A word with its article: "a text", "an option"."""
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"
