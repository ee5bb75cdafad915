"""Captions of Business Central's lists in several languages, from captions.yaml: what a heading, or a word in a cell, is in English."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from ruamel.yaml import YAML


def folded(text: str) -> str:
    """A caption as it is compared: letters and digits alone."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).casefold())


@cache
def captions(part: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Of `part` "columns" or "words": language -> English text -> how that language says it."""
    found = YAML(typ="safe", pure=True).load((Path(__file__).parent / "captions.yaml").read_text(encoding="utf-8"))
    return {of["language"]: {e: [t] if isinstance(t, str) else t for e, t in of[part].items()} for of in found.values()}


@cache
def _english() -> dict[str, str]:
    return {folded(text): english for of in captions("words").values() for english, texts in of.items() for text in texts}


@lru_cache(maxsize=50_000)
def english_of(text: str) -> str:
    """A word of a cell in English, where a language says it so; else as it is."""
    return _english().get(folded(text), text)


def is_yes(value: object) -> bool:
    return folded(english_of(str(value))) in ("yes", "true", "1", "wahr", "x")


@lru_cache(maxsize=50_000)
def is_total(text: str) -> bool:
    """Whether a cell says that its line sums up the others."""
    return folded(english_of(text)) in ("total", "totals", "grandtotal", "subtotal")


__all__ = ["captions", "english_of", "folded", "is_total", "is_yes"]
