"""Many lines, of which a screen shows a few: filter, search, facets, sorting and windows over columns, without a loop over the lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WORDS = re.compile(r'"([^"]+)"|(\S+)')


class Lines:
    """`columns`: name -> texts or numbers, all of one length. `facets` names those that people filter by value; `searched` those in
    which the words of a search are looked for (case and accents aside). Numbers of lines are positions in the columns."""

    def __init__(self, columns: dict[str, Any], facets: Sequence[str], searched: Sequence[str]) -> None:
        self.facets, self.searched = tuple(facets), tuple(searched)
        self.columns: dict[str, pa.Array] = {}
        self.n = 0
        self.chosen: dict[str, set[str]] = {name: set() for name in facets}
        self.text = ""
        self.sorted_by: tuple[str, bool] | None = None  # (column, descending)
        self._codes: dict[str, tuple[list[str], np.ndarray]] = {}
        self._ranks: dict[str, np.ndarray] = {}
        self._folded: dict[str, tuple[pa.Array, np.ndarray | None]] = {}
        self._shown: np.ndarray | None = None
        self._masks: dict[str, np.ndarray] = {}
        self.put(**columns)

    def put(self, stay: bool = False, **columns: Any) -> None:
        """Put columns in the place of the ones there are; what is chosen, searched and sorted stays. `stay`: the same lines are shown in
        the same order until someone filters or sorts again, so that nothing jumps away from under a decision."""
        shown = self._shown if stay else None
        for name, values in columns.items():
            array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(values)
            self.columns[name], self.n = array, len(array)
            for cache in (self._codes, self._ranks, self._folded):
                cache.pop(name, None)
        self._shown = shown
        self._masks.clear()

    # -- filtering -----------------------------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Lines in whose searched columns every word of `text` stands; "two words" in quotation marks belong together."""
        self.text, self._shown = text, None
        self._masks.pop("search", None)

    def choose(self, facet: str, values: Iterable[str]) -> None:
        """Lines with one of `values` in `facet`; no value: all of them."""
        self.chosen[facet], self._shown = set(values), None
        self._masks.pop(facet, None)

    def sort(self, column: str, descending: bool = False) -> None:
        """Order by a column, lines that are equal in it as they stand; blank ones last."""
        self.sorted_by, self._shown = (column, descending), None

    def clear(self) -> None:
        """Show all lines again; the order stays."""
        self.text, self._shown = "", None
        self.chosen = {name: set() for name in self.facets}
        self._masks.clear()

    @property
    def shown(self) -> np.ndarray:
        """The numbers of the lines that are shown, in their order."""
        if self._shown is None:
            mask = self._mask()
            if self.sorted_by is None:
                self._shown = np.flatnonzero(mask)
            else:
                order = self._rank(*self.sorted_by)
                self._shown = order[mask[order]]
        return self._shown

    def counts(self, facet: str) -> dict[str, int]:
        """Value -> how many lines have it among those that the search and the other facets let through; the most frequent first."""
        values, codes = self._coded(facet)
        counted = np.bincount(codes[self._mask(without=facet)], minlength=len(values))
        found = {v: int(n) for v, n in zip(values, counted, strict=True) if v and (n or v in self.chosen[facet])}
        found |= dict.fromkeys(self.chosen[facet] - found.keys(), 0)  # chosen, and nothing has it any more
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def values(self, facet: str) -> set[str]:
        """All values of a facet, whatever is shown."""
        return {v for v in self._coded(facet)[0] if v}

    def _mask(self, without: str = "") -> np.ndarray:
        mask = np.ones(self.n, dtype=bool)
        if self.text.strip():
            if "search" not in self._masks:
                self._masks["search"] = self._found()
            mask &= self._masks["search"]
        for facet, values in self.chosen.items():
            if values and facet != without:
                if facet not in self._masks:
                    known, codes = self._coded(facet)
                    self._masks[facet] = np.isin(np.array(known, dtype=object), list(values))[codes]
                mask &= self._masks[facet]
        return mask

    def _found(self) -> np.ndarray:
        mask = np.ones(self.n, dtype=bool)
        for phrase, word in _WORDS.findall(self.text):
            wanted = fold(pa.array([phrase or word]))[0].as_py()
            here = np.zeros(self.n, dtype=bool)
            for name in self.searched:
                values, codes = self._folded_column(name)
                hits = pc.match_substring(values, wanted).to_numpy(zero_copy_only=False)
                here |= hits if codes is None else hits[codes]
            mask &= here
        return mask

    def _folded_column(self, name: str) -> tuple[pa.Array, np.ndarray | None]:
        """The column's texts without case and accents; where few differ, the distinct ones and which line has which."""
        if name not in self._folded:
            encoded = pc.fill_null(self.columns[name], "").dictionary_encode()
            few = len(encoded.dictionary) * 2 < self.n
            folded = fold(encoded.dictionary if few else pc.fill_null(self.columns[name], ""))
            self._folded[name] = (folded, encoded.indices.to_numpy() if few else None)
        return self._folded[name]

    def _coded(self, name: str) -> tuple[list[str], np.ndarray]:
        if name not in self._codes:
            encoded = pc.fill_null(self.columns[name], "").dictionary_encode()
            self._codes[name] = (encoded.dictionary.to_pylist(), encoded.indices.to_numpy())
        return self._codes[name]

    def _rank(self, column: str, descending: bool) -> np.ndarray:
        key = f"{column} {descending}"
        if key not in self._ranks:
            self._ranks = {k: v for k, v in self._ranks.items() if k.split(" ")[0] != column}
            values = self.columns[column]
            if pa.types.is_string(values.type):
                values = pc.if_else(pc.equal(values, ""), None, values)
            table = pa.table({"v": values, "i": pa.array(np.arange(self.n))})
            keys = [("v", "descending" if descending else "ascending", "at_end"), ("i", "ascending", "at_end")]
            self._ranks[key] = pc.sort_indices(table, sort_keys=keys).to_numpy()
        return self._ranks[key]

    # -- reading -------------------------------------------------------------------------------------------------------------------

    def window(self, start: int, n: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Up to `n` shown lines from the `start`-th: their numbers, and their values by column."""
        numbers = self.shown[max(start, 0) : max(start, 0) + max(n, 0)]
        return numbers, self.lines(numbers)

    def lines(self, numbers: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        at = pa.array(np.asarray(numbers, dtype=np.int64))
        columns = {name: values.take(at).to_pylist() for name, values in self.columns.items()}
        return [{name: columns[name][i] for name in columns} for i in range(len(at))]

    def place_of(self, number: int) -> int:
        """Where in the shown order a line stands; -1 where it is not shown."""
        found = np.flatnonzero(self.shown == number)
        return int(found[0]) if len(found) else -1


def fold(texts: pa.Array) -> pa.Array:
    """Texts without case and accents, so that "koln" finds "Köln"."""
    plain = pc.utf8_lower(texts)
    if pc.all(pc.string_is_ascii(plain), min_count=0).as_py():
        return plain
    return pc.replace_substring_regex(pc.utf8_normalize(plain, "NFKD"), r"\p{Mn}+", "")


__all__ = ["Lines", "fold"]
