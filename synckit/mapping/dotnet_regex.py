""".NET regular expressions, read with Python's `re`: translated construct by construct, or refused with a sentence, never misread.

Options as the reference sets them: always case-insensitive. What differs between the two and is translated: `\\w`, `\\s`, `\\b`
(other characters), `\\p{..}`, `\\Z`, `(?<n>..)`, `(?'n'..)`, several groups of one name, group numbers (named groups come after
numbered ones), conditional groups, class subtraction, inline options, `{,n}` (plain text in .NET) and `$` substitutions.
Refused: balancing groups, named blocks, look-behind of varying length, `\\G`, the options n and x.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

MAJOR = ("L", "M", "N", "P", "S", "Z", "C")
MINOR = ("ultmo", "nce", "dlo", "cdseifo", "mcko", "slp", "cfson")
CATEGORIES = frozenset(major + minor for major, minors in zip(MAJOR, MINOR, strict=True) for minor in ("", *minors))
SPACE = "\\t-\\r\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
NOT_SPACE = (
    "\\0-\\x08\\x0e-\\x1f\\x21-\\x84\\x86-\\x9f\\xa1-\\u167f\\u1681-\\u1fff"
    "\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\U0010ffff"
)
WORD = ("L", "Mn", "Nd", "Pc")
CONTROLS = {"a": "\\a", "f": "\\f", "n": "\\n", "r": "\\r", "t": "\\t", "v": "\\v", "e": "\\x1b"}


class RegexRefused(ValueError):
    """The pattern is wrong, or says something that cannot be carried over exactly."""


@dataclass
class Group:
    """One capturing group of the pattern: its .NET name or number, its place among Python's groups, and whether it is repeated."""

    name: str | None
    index: int
    repeated: bool = False


@dataclass
class Part:
    """A piece of the translated pattern: ready text, a reference to a group, or something around alternatives."""

    text: str = ""
    reference: str | None = None
    conditional: bool = False
    opening: str = ""
    body: list[list[Part]] = field(default_factory=list)
    group: Group | None = None
    quantifier: str = ""


@dataclass(frozen=True)
class Pattern:
    """A translated pattern. `slots`: Python's group numbers of each .NET group, in .NET's order ("1", "2", ..., then names)."""

    compiled: re.Pattern[str]
    slots: dict[str, tuple[int, ...]]
    repeated: frozenset[str]

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Every match as .NET walks a text: after an empty match it goes one character on, where Python would try again."""
        at = 0
        while at <= len(text) and (match := self.compiled.search(text, at)):
            yield match
            at = match.end() + (match.end() == match.start())

    def replaced(self, text: str, put: Callable[[re.Match[str]], str]) -> str:
        """`text` with every match replaced by what `put` makes of it."""
        result, at = "", 0
        for match in self.matches(text):
            result += text[at : match.start()] + put(match)
            at = match.end()
        return result + text[at:]

    def captures(self, match: re.Match[str]) -> str:
        """Every capture of every group of one match, group by group, without separators."""
        return "".join(match[index] or "" for indexes in self.slots.values() for index in indexes)

    def last(self, match: re.Match[str], slot: str) -> str:
        """What `$slot` stands for: the group's last capture, or nothing."""
        return next((match[index] for index in reversed(self.slots[slot]) if match[index] is not None), "")


@lru_cache(maxsize=512)
def translate(pattern: str, every_capture: bool = False) -> Pattern:
    """`pattern` for Python. `every_capture`: all captures of a repeated group are wanted, not the last alone: `(X)+` is then read
    as `((?:X)+)`, whose one capture is their concatenation; where that does not hold, the pattern is refused.
    Raises RegexRefused."""
    reader = _Reader(pattern)
    parts = reader.alternatives()
    if reader.at < len(pattern):
        raise RegexRefused(f"there is a ) too many at position {reader.at + 1}")
    numbered = [g for g in reader.groups if g.name is None]
    slots: dict[str, tuple[int, ...]] = {str(n): (g.index,) for n, g in enumerate(numbered, 1)}
    for group in reader.groups:
        if group.name is not None:
            slots[group.name] = (*slots.get(group.name, ()), group.index)
    aliases = {str(n): name for n, name in enumerate(slots, 1)}
    writer = _Writer(slots, aliases, every_capture, {aliases.get(r, r) for r in reader.references})
    written = writer.alternatives(parts, False)
    by_index = {group.index: group.repeated for group in reader.groups}
    repeated = frozenset(name for name, indexes in slots.items() if any(by_index[i] for i in indexes))
    if every_capture and repeated:
        raise RegexRefused(
            f"group {min(repeated)} is inside a repetition and would capture several times;"
            " put the repetition inside the group, as in (\\d+)"
        )
    try:
        return Pattern(re.compile(written, re.IGNORECASE), slots, repeated)
    except (re.error, OverflowError, RecursionError) as error:
        raise RegexRefused(f"{error}") from None


class _Reader:
    """Recursive descent over a .NET pattern."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.groups: list[Group] = []
        self.references: list[str] = []
        self.depth = 0

    def refuse(self, message: str) -> RegexRefused:
        return RegexRefused(f"{message} (at position {self.at + 1})")

    def accept(self, sign: str) -> bool:
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def pick(self, pattern: str) -> re.Match[str] | None:
        found = re.compile(pattern).match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def close(self) -> None:
        if not self.accept(")"):
            raise self.refuse("a ) is missing")

    def alternatives(self) -> list[list[Part]]:
        self.depth += 1
        if self.depth > 60:
            raise self.refuse("it is nested too deeply")
        result = [self.sequence(first=True)]
        while self.accept("|"):
            result.append(self.sequence())
        self.depth -= 1
        return result

    def sequence(self, first: bool = False) -> list[Part]:
        parts: list[Part] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if self.accept("(?#"):
                if not self.pick(r"[^)]*\)"):
                    raise self.refuse("a comment is not closed")
                continue
            if options := self.pick(r"\(\?(?=[a-z-])([a-z]*)(-[a-z]+)?\)"):
                if parts or not first:
                    raise self.refuse(f"options such as {options[0]} are read only at the start of the pattern or of a group")
                parts.append(Part(opening=self.options(options[1], options[2]), body=self.alternatives()))
                return parts
            part = self.atom()
            part.quantifier = self.quantifier()
            parts.append(part)
        return parts

    def options(self, on: str, off: str | None) -> str:
        if set(on + (off or "-")[1:]) - set("ims"):
            raise self.refuse("of the options only i, m and s are read")
        return f"(?{on}{off or ''}:" if on or off else "(?:"

    def quantifier(self) -> str:
        found = self.pick(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??")
        if found and self.pick(r"[*+?]|\{[0-9]+(?:,[0-9]*)?\}"):
            raise self.refuse("a repetition is repeated; put the first in parentheses")
        return found[0] if found else ""

    def atom(self) -> Part:
        sign = self.text[self.at]
        if sign == "(":
            return self.group()
        if sign == "[":
            self.at += 1
            return Part(self.character_class())
        if sign == "\\":
            return self.escape()
        if sign in "*+?" or self.pick(r"(?=\{[0-9]+(?:,[0-9]*)?\})"):
            raise self.refuse(f"nothing stands before {sign}, so nothing can be repeated")
        self.at += 1
        return Part(sign if sign in ".^$" else re.escape(sign))

    def group(self) -> Part:
        at = self.at
        for opening in ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"):
            if self.accept(opening):
                return self.closed(Part(opening=opening))
        if self.accept("(?("):
            return self.conditional()
        if options := self.pick(r"\(\?(?=[a-z-])([a-z]*)(-[a-z]+)?:"):
            return self.closed(Part(opening=self.options(options[1], options[2])))
        name = None
        if named := self.pick(r"\(\?(?:<(\w+)>|'(\w+)')"):
            name = named[1] or named[2]
            if name[0].isdigit():
                raise RegexRefused(f"group {name} has a number for a name (at position {at + 1}); give it a name or leave it out")
        elif self.accept("(?"):
            raise RegexRefused(f'the group "{self.text[at : at + 6]}" at position {at + 1} cannot be carried over')
        else:
            self.at += 1
        group = Group(name, len(self.groups) + 1)
        self.groups.append(group)
        return self.closed(Part(opening="(", group=group))

    def closed(self, part: Part) -> Part:
        part.body = self.alternatives()
        self.close()
        return part

    def conditional(self) -> Part:
        start = self.at
        before = len(self.groups)
        if self.text.startswith("?", start):  # the test is a group of its own, such as a look-ahead
            self.at -= 1
            return self.tested([[self.group()]], before)
        if plain := self.pick(r"(\w+)\)"):
            if plain[1].isdigit() or re.search(rf"\(\?[<']{plain[1]}[>']", self.text):
                self.references.append(plain[1])
                part = self.closed(Part(reference=plain[1], conditional=True))
                if len(part.body) > 2:
                    raise self.refuse("a conditional group has two alternatives at most")
                return part
            self.at = start
        test = self.alternatives()
        self.close()
        return self.tested(test, before)

    def tested(self, test: list[list[Part]], before: int) -> Part:
        """The branches after a test that looks ahead."""
        if len(self.groups) > before:
            raise self.refuse("the test of a conditional group may not capture")
        branches = self.alternatives()
        self.close()
        if len(branches) > 2:
            raise self.refuse("a conditional group has two alternatives at most")
        no = branches[1] if len(branches) == 2 else []
        return Part(opening="(?:", body=[[Part(opening="(?=", body=test), *branches[0]], [Part(opening="(?!", body=test), *no]])

    def escape(self) -> Part:
        self.at += 1
        if self.at >= len(self.text):
            raise self.refuse("the pattern ends with a single \\")
        sign = self.text[self.at]
        if named := self.pick(r"k(?:<(\w+)>|'(\w+)')"):
            return self.back(named[1] or named[2])
        if digits := self.pick(r"[1-9][0-9]*"):
            return self.back(digits[0])
        if sign in "bBAzZ":
            self.at += 1
            return Part(_anchor(sign))
        return Part(_spelled(*self.characters()))

    def back(self, name: str) -> Part:
        self.references.append(name)
        return Part(reference=name)

    def characters(self) -> tuple[str, str]:
        """After a backslash: (characters compared in any case, characters compared exactly), as the inside of a class."""
        sign = self.text[self.at]
        if name := self.pick(r"([pP])\{([^}]*)\}"):
            if name[2] not in CATEGORIES:
                raise self.refuse(f"\\{name[0]} is not a general category such as L, Lu, Nd or Sc; named blocks are not read")
            return "", category_class((name[2],), name[1] == "P")
        if code := self.pick(r"x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}"):
            return re.escape(chr(int(code[0][1:], 16))), ""
        if octal := self.pick(r"0[0-7]{0,2}"):
            return f"\\x{int(octal[0], 8):02x}", ""
        if control := self.pick(r"c([A-Za-z])"):
            return f"\\x{ord(control[1].upper()) - 64:02x}", ""
        self.at += 1
        if sign in CONTROLS:
            return CONTROLS[sign], ""
        if sign in "dD":
            return f"\\{sign}", ""
        if sign in "wW":
            return "", category_class(WORD, sign == "W")
        if sign in "sS":
            return (SPACE, "") if sign == "s" else ("", NOT_SPACE)
        if sign.isalnum() or sign == "_":
            raise self.refuse(f"\\{sign} has no meaning here")
        return re.escape(sign), ""

    def character_class(self) -> str:
        """A class after its opening bracket, subtraction and categories included."""
        negated = self.accept("^")
        anycase: list[str] = []
        exact: list[str] = []
        first = True
        while first or not self.accept("]"):
            if self.at >= len(self.text):
                raise self.refuse("a [ is not closed")
            if not first and self.accept("-["):
                without = self.character_class()
                if not self.accept("]"):
                    raise self.refuse("a subtraction must be the last thing in its class")
                return f"(?:(?!{without}){_spelled(''.join(anycase), ''.join(exact), negated)})"
            first = False
            low, category = self.member()
            if category or low in (SPACE, "\\d", "\\D"):
                anycase.append(low)
                exact.append(category)
                continue
            if self.pick(r"-(?![\]\[])"):
                high, category = self.member()
                if category or high in (SPACE, "\\d", "\\D"):
                    raise self.refuse("a range of characters ends with a character, not with a class")
                low = f"{low}-{high}"
            anycase.append(low)
        return _spelled("".join(anycase), "".join(exact), negated)

    def member(self) -> tuple[str, str]:
        if self.accept("\\"):
            if self.at >= len(self.text):
                raise self.refuse("a [ is not closed")
            return ("\\x08", "") if self.accept("b") else self.characters()
        self.at += 1
        if self.at > len(self.text):
            raise self.refuse("a [ is not closed")
        return re.escape(self.text[self.at - 1]), ""


class _Writer:
    """Writes parts as a Python pattern, and marks the groups that are repeated."""

    def __init__(
        self, slots: dict[str, tuple[int, ...]], aliases: dict[str, str], every_capture: bool, referenced: set[str]
    ) -> None:
        self.slots, self.aliases = slots, aliases
        self.every_capture, self.referenced = every_capture, referenced

    def alternatives(self, body: list[list[Part]], repeated: bool) -> str:
        return "|".join("".join(self.part(part, repeated) for part in parts) for parts in body)

    def part(self, part: Part, repeated: bool) -> str:
        loops = _loops(part.quantifier)
        if part.reference is not None:
            index = self.single(part.reference)
            if not part.conditional:
                return f"(?:\\{index}){part.quantifier}"
            return f"(?:(?({index}){self.alternatives(part.body, repeated or loops)})){part.quantifier}"
        if not part.opening:
            return part.text + part.quantifier
        body = self.alternatives(part.body, repeated or loops)
        if part.group is None:
            return f"{part.opening}{body}){part.quantifier}"
        name = next(name for name, indexes in self.slots.items() if part.group.index in indexes)
        if self.every_capture and loops and not repeated and name not in self.referenced:
            return f"((?:{body}){part.quantifier})"
        part.group.repeated = repeated or loops
        return f"({body}){part.quantifier}"

    def single(self, reference: str) -> int:
        """The one Python group that a back-reference or condition means."""
        indexes = self.slots.get(self.aliases.get(reference, reference))
        if indexes is None:
            raise RegexRefused(f"there is no group {reference} to refer to")
        if len(indexes) > 1:
            raise RegexRefused(
                f"several groups are called {reference}, so a reference to it cannot be carried over; give them names of their own"
            )
        return indexes[0]


def _loops(quantifier: str) -> bool:
    """Whether something with this quantifier may match more than once."""
    counts = re.match(r"\{([0-9]+)(,?)([0-9]*)", quantifier)
    if counts is None:
        return quantifier[:1] in ("*", "+")
    return int(counts[3] or (2 if counts[2] else counts[1])) > 1


def _anchor(sign: str) -> str:
    if sign in "AzZ":
        return {"A": "\\A", "z": "\\Z", "Z": "(?=\\n?\\Z)"}[sign]
    word = _spelled("", category_class(WORD) + "\\u200c\\u200d")  # with the two joiners
    if sign == "b":
        return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
    return f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))"


def _spelled(anycase: str, exact: str, negated: bool = False) -> str:
    """A class of characters compared in any case, characters compared exactly, or both."""
    if not exact:
        return f"[{'^' if negated else ''}{anycase}]"
    if not anycase:
        return f"(?-i:[{'^' if negated else ''}{exact}])"
    either = f"(?-i:[{exact}])|[{anycase}]"
    return f"(?:(?!{either})(?s:.))" if negated else f"(?:{either})"


@lru_cache(maxsize=1)
def _runs() -> tuple[tuple[int, int, str], ...]:
    """All of Unicode as runs of one general category: (first, last, category)."""
    starts = [0]
    categories = [unicodedata.category(chr(code)) for code in range(0x110000)]
    starts += [code for code in range(1, 0x110000) if categories[code] != categories[code - 1]]
    return tuple((start, end - 1, categories[start]) for start, end in zip(starts, [*starts[1:], 0x110000], strict=True))


@lru_cache(maxsize=64)
def category_class(categories: tuple[str, ...], negated: bool = False) -> str:
    """The characters of general categories ("L" is all that begins so), as the inside of a class."""
    chosen = [(a, b) for a, b, category in _runs() if (category in categories or category[0] in categories) is not negated]
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in chosen)


def substitution(replacement: str, pattern: Pattern) -> Callable[[re.Match[str]], str]:
    """A .NET replacement text as a function of the match: $1, ${name}, $$, $&, $`, $', $+, $_; what names no group stays as it is.
    Raises RegexRefused for a group name that several repeated groups share."""
    order = list(pattern.slots)
    pieces: list[Callable[[re.Match[str]], str]] = []
    at = 0
    for found in re.finditer(r"\$(?:([0-9]+)|\{(\w+)\}|([$&`'+_]))", replacement):
        pieces.append(_constant(replacement[at : found.start()]))
        at = found.end()
        name = found[1] or found[2]
        if name is None:
            pieces.append(_special(found[3], order[-1] if order else None, pattern))
            continue
        slot = order[int(name) - 1] if name.isdigit() and 0 < int(name) <= len(order) else name
        if name.isdigit() and int(name) == 0:
            pieces.append(lambda match: match[0])
        elif slot not in pattern.slots:
            pieces.append(_constant(found[0]))
        else:
            if slot in pattern.repeated and len(pattern.slots[slot]) > 1:
                raise RegexRefused(f"several repeated groups are called {slot}; give them names of their own")
            pieces.append(_capture(pattern, slot))
    pieces.append(_constant(replacement[at:]))
    return lambda match: "".join(piece(match) for piece in pieces)


def _constant(text: str) -> Callable[[re.Match[str]], str]:
    return lambda match: text


def _capture(pattern: Pattern, slot: str) -> Callable[[re.Match[str]], str]:
    return lambda match: pattern.last(match, slot)


def _special(sign: str, last: str | None, pattern: Pattern) -> Callable[[re.Match[str]], str]:
    match sign:
        case "$":
            return _constant("$")
        case "`":
            return lambda match: match.string[: match.start()]
        case "'":
            return lambda match: match.string[match.end() :]
        case "_":
            return lambda match: match.string
        case "+" if last is not None:
            return _capture(pattern, last)
    return lambda match: match[0]
