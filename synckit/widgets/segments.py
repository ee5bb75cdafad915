"""Two texts beside each other, cut into pieces that are alike and pieces that differ: what a screen marks."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein

#: A piece of text and whether the other side has it, too.
Segments = list[tuple[str, bool]]
LONGEST = 2000  # characters; longer texts are not compared character by character
SHORT = 3  # an equal piece shorter than this between two changes reads as changed


def segments(left: str, right: str) -> tuple[Segments, Segments]:
    """`left` and `right` in pieces (text, is alike); joined, the pieces of each side give that side again."""
    if left == right or not left or not right or max(len(left), len(right)) > LONGEST:
        alike = left == right
        return [(left, alike)] if left else [], [(right, alike)] if right else []
    blocks = [(o.src_start, o.src_end, o.dest_start, o.dest_end, o.tag == "equal") for o in Levenshtein.opcodes(left, right)]
    mine: Segments = []
    theirs: Segments = []
    for n, (a, b, c, d, alike) in enumerate(blocks):
        shown = alike and (b - a >= SHORT or n in (0, len(blocks) - 1))
        for pieces, text in ((mine, left[a:b]), (theirs, right[c:d])):
            if text and pieces and pieces[-1][1] == shown:
                pieces[-1] = (pieces[-1][0] + text, shown)
            elif text:
                pieces.append((text, shown))
    return mine, theirs


__all__ = ["Segments", "segments"]
