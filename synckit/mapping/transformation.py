"""Transformation rules: 17 types of pure functions from text to text, and the book that applies them and their chains.

They mirror the reference's rules, with these choices: numbers and dates of `round` and `extract_from_date` are plain (a point,
ISO), since there is no session whose regional format could apply; what depends on today (a date without a year) is not read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext
from functools import cache
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from synckit.errors import SynckitError
from synckit.mapping.cultures import culture, in_utc, moment_format, parse_moment, parse_number, plain
from synckit.mapping.dotnet_regex import WORD, RegexRefused, substitution, translate
from synckit.mapping.schema import Frozen, nearest

RuleType = Literal[
    "uppercase", "lowercase", "title_case", "trim", "substring", "replace", "regex_replace", "alphanumeric", "date", "decimal",
    "regex_match", "custom", "datetime", "field_lookup", "round", "extract_from_date", "unixtimestamp",
]  # fmt: skip
#: (table, source field, target field, value of the source field) -> the target's text, '' where it is blank, None where no row is.
Lookup = Callable[[str, str, str, str], str | None]
Handler = Callable[[str], str]

#: Which parameters a type reads; any other one must be left out.
READS: dict[RuleType, tuple[str, ...]] = {
    "title_case": ("culture",),
    "substring": ("start_position", "length", "starting_text", "ending_text"),
    "replace": ("find_value", "replace_value"),
    "regex_replace": ("find_value", "replace_value"),
    "regex_match": ("find_value",),
    "date": ("data_format", "culture"),
    "datetime": ("data_format", "culture"),
    "decimal": ("culture",),
    "custom": ("data_format",),
    "field_lookup": ("table", "source_field", "target_field", "field_lookup_rule"),
    "round": ("precision", "direction"),
    "extract_from_date": ("extract",),
}
#: Parameters that a change of the type clears, as in the reference.
OF_TYPE = ("find_value", "replace_value", "start_position", "length", "starting_text", "ending_text")
IDEMPOTENT: tuple[RuleType, ...] = ("uppercase", "lowercase", "title_case", "trim", "alphanumeric", "round")
#: Types that stay idempotent when chained with each other.
COMBINABLE: tuple[RuleType, ...] = ("uppercase", "lowercase", "trim", "alphanumeric")
ROUNDING = {"=": ROUND_HALF_UP, ">": ROUND_UP, "<": ROUND_DOWN}  # away from zero and towards zero, by magnitude
NOT_BETWEEN_WORDS = "LMN"


class RuleError(ValueError):
    """A rule cannot treat this text: the record fails, not the run."""


class Parameters(Frozen):
    """The parameters of all types; READS says which a type may have."""

    find_value: str = Field(default="", max_length=250)
    replace_value: str = Field(default="", max_length=250)
    starting_text: str = Field(default="", max_length=250)
    ending_text: str = Field(default="", max_length=250)
    start_position: int = Field(default=0, ge=0)
    length: int = Field(default=0, ge=0)
    data_format: str = Field(default="", max_length=100)
    culture: str = Field(default="", max_length=10)
    precision: Decimal | None = None
    direction: Literal["=", ">", "<"] | None = None
    table: str = ""
    source_field: str = ""
    target_field: str = ""
    field_lookup_rule: Literal["target", "original_if_target_is_blank"] = "target"
    extract: Literal["day", "month", "year"] | None = None


class TransformationRule(Frozen):
    """One rule. Making one checks its parameters (pydantic raises ValidationError, a ValueError). `next` is the rule that gets the
    result; codes are compared in upper case."""

    code: str = Field(min_length=1, max_length=20)
    description: str = ""
    type: RuleType
    parameters: Parameters = Parameters()
    next: str = ""

    @field_validator("code", "next", mode="before")
    @classmethod
    def _as_code(cls, value: Any) -> Any:
        return value.strip().upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given, name = self.parameters, f"Transformation rule {self.code}"
        for key in given.model_fields_set:
            if key not in READS.get(self.type, ()) and getattr(given, key) != Parameters.model_fields[key].default:
                raise ValueError(f"{name}: the type {self.type} has no parameter {key}; leave it out.")
        if "find_value" in READS.get(self.type, ()) and not given.find_value:
            raise ValueError(f"{name}: the search text is missing; write what to look for in find_value.")
        if self.type == "substring" and ((given.start_position and given.starting_text) or (given.length and given.ending_text)):
            raise ValueError(f"{name}: write start_position or starting_text, and length or ending_text, not both.")
        if self.type in ("date", "datetime") and not (given.data_format or given.culture):
            raise ValueError(f"{name}: write a data_format such as yyyyMMdd, or a culture such as en-US.")
        if self.type == "round" and (not given.precision or given.precision < 0 or given.direction is None):
            raise ValueError(f'{name}: write a precision greater than 0 and a direction: "=" nearest, ">" up or "<" down.')
        if self.type == "extract_from_date" and given.extract is None:
            raise ValueError(f"{name}: write in extract what to take: day, month or year.")
        if self.type == "field_lookup":
            for key in ("table", "source_field", "target_field"):
                if not getattr(given, key):
                    raise ValueError(f"{name}: {key} is missing; a lookup needs table, source_field and target_field.")
            if given.source_field.casefold() == given.target_field.casefold():
                raise ValueError(f"{name}: source_field and target_field must differ.")
        try:
            _prepare(self)
        except RegexRefused as refused:
            raise ValueError(f'{name}: the regular expression "{given.find_value}" cannot be used: {refused}.') from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return self

    def changed(self, type: RuleType | None = None, **parameters: Any) -> TransformationRule:
        """This rule with other values, checked anew. As in the reference, another type clears the values that belonged to the old
        one, and a text clears the number in its place and the reverse."""
        values = self.parameters.model_dump(exclude_unset=True)
        if type is not None and type != self.type:
            values = {key: value for key, value in values.items() if key not in OF_TYPE and key in READS.get(type, ())}
        for one, other in (("starting_text", "start_position"), ("ending_text", "length")):
            for setting, cleared in ((one, other), (other, one)):
                if parameters.get(setting):
                    values.pop(cleared, None)
        plain_fields = self.model_dump(exclude={"parameters", "type"})
        return TransformationRule.model_validate(
            {**plain_fields, "type": type or self.type, "parameters": {**values, **parameters}}
        )


class RuleBook:
    """Rules by code. `custom` handles codes of type custom, `lookup` answers field lookups; `semantics: reference` has regex_match
    add the whole text of every match but the first, as the reference does.

    The default rules are always there; a rule of the same code replaces one. Raises SynckitError for a code given twice and for a
    chain that runs in a circle.
    """

    def __init__(
        self,
        rules: Iterable[TransformationRule] = (),
        custom: Mapping[str, Handler] | None = None,
        lookup: Lookup | None = None,
        semantics: Literal["synckit", "reference"] = "synckit",
    ) -> None:
        self._rules = {rule.code: rule for rule in default_rules()}
        own: set[str] = set()
        for rule in rules:
            if rule.code in own:
                raise SynckitError(f"There are two transformation rules {rule.code}; give one of them another code.")
            own.add(rule.code)
            self._rules[rule.code] = rule
        self._custom = {code.upper(): handler for code, handler in (custom or {}).items()}
        self._lookup = lookup
        self._semantics = semantics
        self._prepared: dict[str, Handler] = {}
        self._chains = {code: self._chain(code) for code in self._rules}

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self._rules)

    def rule(self, code: str) -> TransformationRule:
        """The rule called `code`; SynckitError naming the nearest where there is none."""
        found = self._rules.get(code.strip().upper())
        if found is None:
            raise SynckitError(f'There is no transformation rule "{code}".' + nearest(code, list(self._rules)))
        return found

    def chain(self, code: str) -> tuple[TransformationRule, ...]:
        """The rule and those that follow it. A `next` that does not exist ends the chain, as in the reference."""
        return self._chains[self.rule(code).code]

    def _chain(self, code: str) -> tuple[TransformationRule, ...]:
        chain = [self._rules[code]]
        while chain[-1].next in self._rules:
            following = self._rules[chain[-1].next]
            if following in chain:
                circle = " -> ".join(rule.code for rule in (*chain, following))
                raise SynckitError(f"The transformation rules {circle} run in a circle; remove one `next`.")
            chain.append(following)
        return tuple(chain)

    def apply(self, code: str, text: str) -> str:
        """`text` through the rule and its chain. Raises RuleError where a rule cannot treat it (the record then fails)."""
        for rule in self.chain(code):
            if rule.code not in self._prepared:
                self._prepared[rule.code] = self._function(rule)
            try:
                text = self._prepared[rule.code](text)
            except RuleError as error:
                raise RuleError(f"Transformation rule {rule.code}: {error}") from None
        return text

    def apply_array(self, code: str, values: pa.StringArray) -> tuple[pa.StringArray, dict[int, str]]:
        """A value per row, and the message of every row that failed, by row index (its value is null). Each distinct value is
        treated once; null is treated as blank and stays null where the result is blank."""
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        encoded = pc.dictionary_encode(values, null_encoding="encode")
        results: list[str | None] = []
        wrong: dict[int, str] = {}
        for index, text in enumerate(encoded.dictionary.to_pylist()):
            try:
                result = self.apply(code, text or "")
                results.append(None if text is None and not result else result)
            except RuleError as error:
                results.append(None)
                wrong[index] = str(error)
        treated = pa.array(results, pa.string()).take(encoded.indices)
        if not wrong:
            return treated, {}
        rows = pc.indices_nonzero(pc.is_in(encoded.indices, value_set=pa.array(list(wrong), encoded.indices.type)))
        return treated, {
            row: wrong[index] for row, index in zip(rows.to_pylist(), encoded.indices.take(rows).to_pylist(), strict=True)
        }

    def changes_its_own_output(self, code: str) -> bool:
        """Whether applying the rule to its own result may change it again, judged by type: True unless certain that it does not.
        Such a rule on a bidirectional field would change the value with every round trip."""
        types = [rule.type for rule in self.chain(code)]
        if len(types) == 1:
            return types[0] not in IDEMPOTENT
        return not all(each in COMBINABLE for each in types)

    def _function(self, rule: TransformationRule) -> Handler:
        """The rule as a function, with what only the book has."""
        given = rule.parameters
        if rule.type == "custom":
            handler = self._custom.get(rule.code)
            return (lambda text: text) if handler is None else (lambda text: _guarded(handler, text))
        if rule.type == "field_lookup":
            return lambda text: self._looked_up(given, text)
        if rule.type == "regex_match" and self._semantics == "reference":
            return _regex_match(given, whole_after_first=True)
        return _prepare(rule)

    def _looked_up(self, given: Parameters, text: str) -> str:
        if self._lookup is None:
            raise RuleError(f"there is no table {given.table} here to look up in")
        try:
            found = self._lookup(given.table, given.source_field, given.target_field, text)
        except (SynckitError, LookupError) as error:
            raise RuleError(f"the lookup in {given.table} failed: {error}") from None
        if found == "" and given.field_lookup_rule == "original_if_target_is_blank":
            return text
        return found or ""


class TableLookup:
    """A Lookup in Arrow tables by name, rows in primary-key order: the first row whose source field equals the value counts."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self._tables = {name.casefold(): table for name, table in tables.items()}
        self._found: dict[tuple[str, str, str], dict[str, str]] = {}

    def __call__(self, table: str, source_field: str, target_field: str, value: str) -> str | None:
        key = table, source_field, target_field
        if key not in self._found:
            rows = self._tables.get(table.casefold())
            if rows is None or not {source_field, target_field} <= set(rows.column_names):
                raise SynckitError(f"there is no table {table} with the fields {source_field} and {target_field}")
            sources, targets = (_texts(rows.column(name)) for name in (source_field, target_field))
            self._found[key] = dict(zip(reversed(sources), reversed(targets), strict=True))
        return self._found[key].get(value)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Values as plain text; null is blank."""

    def text(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, Decimal):
            return plain(value)
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(value)

    return [text(value) for value in column.to_pylist()]


def _guarded(handler: Handler, text: str) -> str:
    try:
        return handler(text)
    except Exception as error:
        raise RuleError(f"the custom code failed: {error}") from error


# --- the types ---


def _prepare(rule: TransformationRule) -> Handler:
    """The function of a rule whose type needs nothing from outside. Raises ValueError for parameters that cannot be used."""
    given = rule.parameters
    match rule.type:
        case "uppercase":
            return uppercase
        case "lowercase":
            return lowercase
        case "title_case":
            dutch = culture(given.culture).name == "nl-NL"
            return lambda text: title_case(text, dutch)
        case "trim":
            return lambda text: text.strip(" ")
        case "substring":
            return lambda text: _substring(given, text)
        case "replace":
            return lambda text: text.replace(given.find_value, given.replace_value)
        case "regex_replace":
            pattern = translate(given.find_value)
            put = substitution(given.replace_value, pattern)
            return lambda text: pattern.replaced(text, put)
        case "alphanumeric":
            return alphanumeric
        case "date" | "datetime":
            return _moment(given, rule.type == "datetime")
        case "decimal":
            of = culture(given.culture)
            return lambda text: plain(parse_number(text, of) or Decimal(0))
        case "regex_match":
            return _regex_match(given)
        case "round":
            return lambda text: _round(given, text)
        case "extract_from_date":
            return lambda text: _extract(given, text)
        case "unixtimestamp":
            return _from_epoch
    return lambda text: text


def uppercase(text: str) -> str:
    """Every letter upper-cased, one character for one, as the reference's platform does (ß stays)."""
    return text.upper() if text.isascii() else "".join(_one(sign, sign.upper()) for sign in text)


def lowercase(text: str) -> str:
    """Every letter lower-cased, one character for one."""
    return text.lower() if text.isascii() else "".join(_one(sign, sign.lower()) for sign in text)


def _one(sign: str, changed: str) -> str:
    return changed if len(changed) == 1 else sign


def alphanumeric(text: str) -> str:
    """Letters, marks, digits and connectors without the underscore: what `\\W|_` does not match in .NET."""
    return "".join(s for s in text if s != "_" and (unicodedata.category(s) in WORD or unicodedata.category(s)[0] in WORD))


def title_case(text: str, dutch: bool = False) -> str:
    """Words with their first letter raised and the rest lowered. A word starts at a letter and ends before anything that is neither
    letter, mark nor digit; an apostrophe does not end it. What is all upper case (up to an apostrophe) stays, as an acronym."""
    result: list[str] = []
    at = 0
    while at < len(text):
        if unicodedata.category(text[at])[0] != "L":
            result.append(text[at])
            at += 1
            continue
        lowered = unicodedata.category(text[at]) == "Ll"
        if dutch and text[at : at + 2] in ("ij", "iJ", "Ij", "IJ"):
            result.append("IJ")
            at += 2
        else:
            result.append(_one(text[at], text[at].title()))
            at += 1
        start = at
        while at < len(text) and (text[at] == "'" or unicodedata.category(text[at])[0] in NOT_BETWEEN_WORDS):
            if text[at] == "'":
                result.append(lowercase(text[start:at]) if lowered else text[start:at])
                start, lowered = at, True
            lowered = lowered or unicodedata.category(text[at]) == "Ll"
            at += 1
        result.append(lowercase(text[start:at]) if lowered else text[start:at])
    return "".join(result)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _substring(given: Parameters, text: str) -> str:
    start = max(given.start_position - 1, 0)
    if not given.start_position and given.starting_text:
        starting = _unquoted(given.starting_text)
        found = text.find(starting)
        if found < 0:
            return ""
        start = found + len(starting)
    if given.length:
        return text[start : start + given.length]
    if given.ending_text:
        end = text.find(_unquoted(given.ending_text), start)
        return text[start:end] if end > start else ""
    return text[start:]


def _regex_match(given: Parameters, whole_after_first: bool = False) -> Handler:
    """Every capture of every match, joined. `whole_after_first`: the reference's quirk, by which every match but the first adds
    its whole text before its captures."""
    pattern = translate(given.find_value, every_capture=True)

    def matched(text: str) -> str:
        result = ""
        for number, match in enumerate(pattern.matches(text)):
            result += (match[0] if whole_after_first and number else "") + pattern.captures(match)
        return result

    return matched


def _moment(given: Parameters, with_time: bool) -> Handler:
    """Text that is not read is returned unchanged. The date is taken as written, the date and time is brought to UTC."""
    of = culture(given.culture)
    read = (lambda text: parse_moment(text, of)) if given.culture else moment_format(given.data_format)

    def formatted(text: str) -> str:
        found = read(text)
        if found is None:
            return text
        moment = in_utc(*found) if with_time else found[0]
        return text if moment is None else _xml(moment) if with_time else moment.date().isoformat()

    return formatted


def _xml(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat() + "Z"


def _round(given: Parameters, text: str) -> str:
    written = text.strip()
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", written) or len(written) > 60:
        raise RuleError(f'"{text}" is not a number; a number has a point and no thousands separators, such as 1234.5')
    assert given.precision is not None and given.direction is not None
    with localcontext() as context:
        context.prec = 150
        steps = (Decimal(written) / given.precision).to_integral_value(ROUNDING[given.direction])
        return plain(steps * given.precision)


def _extract(given: Parameters, text: str) -> str:
    written = text.strip()
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?", written):
            return str(getattr(date.fromisoformat(written[:10]), str(given.extract)))
    except ValueError:
        pass
    raise RuleError(f'"{text}" is not a date; a date is year-month-day, such as 2026-08-22')


def _from_epoch(text: str) -> str:
    """Whole seconds since 1970-01-01 as a date and time in UTC; text that is no whole number gives nothing."""
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", text.strip()):
        return ""
    try:
        return _xml(datetime(1970, 1, 1) + timedelta(seconds=int(text)))
    except OverflowError:
        raise RuleError(f"{text} seconds after 1970 is beyond the calendar") from None


@cache
def default_rules() -> tuple[TransformationRule, ...]:
    """The rules that exist in every book, by the reference's codes."""
    return tuple(
        TransformationRule(code=code, type=kind, parameters=Parameters(**parameters)) for code, kind, parameters in DEFAULTS
    )


DEFAULTS: tuple[tuple[str, RuleType, dict[str, Any]], ...] = (
    ("UPPERCASE", "uppercase", {}),
    ("LOWERCASE", "lowercase", {}),
    ("TITLECASE", "title_case", {}),
    ("TRIM", "trim", {}),
    ("FOURTH_TO_SIXTH_CHAR", "substring", {"start_position": 4, "length": 3}),
    ("YYYYMMDD_DATE", "date", {"data_format": "yyyyMMdd"}),
    ("YYYYMMDDHHMMSS_FMT", "datetime", {"data_format": "yyyyMMddHHmmss"}),
    ("ALPHANUMERIC_ONLY", "alphanumeric", {}),
    ("DK_DECIMAL_FORMAT", "decimal", {"culture": "da-DK"}),
    ("US_DATE_FORMAT", "date", {"culture": "en-US"}),
    ("US_DATETIME_FORMAT", "datetime", {"culture": "en-US"}),
    ("UNIXTIMESTAMP", "unixtimestamp", {}),
    ("DELETE_NOTPROVIDED", "regex_replace", {"find_value": "NOTPROVIDED"}),
)
