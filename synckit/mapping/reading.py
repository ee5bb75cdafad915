"""Reading YAML safely: plain values with the line of each, and mistakes told as sentences (file, line, place, what to write)."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from synckit.errors import SynckitError
from synckit.mapping.schema import nearest

Place = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

#: A description is some hundred lines; what is larger is no description, and aliases that unfold to more are an attack.
MAX_BYTES = 5_000_000
MAX_VALUES = 300_000

_YAML_TAG = "tag:yaml.org,2002:"
#: Fields whose value is a text or a whole mapping of values: pydantic's findings per alternative are told as one.
_FREE_FIELDS = ("local_filter", "integration_filter", "filter", "sets")


@dataclass
class Problems:
    """Everything wrong with one file, told at once."""

    file: str
    found: list[tuple[int, str]] = field(default_factory=list)
    #: Where this is a list, what is wrong is left out and noted here, (place, sentence), so that the rest can be looked at.
    rejected: list[tuple[str, str]] | None = None

    @property
    def count(self) -> int:
        return len(self.found) + len(self.rejected or ())

    def add(self, line: int, place: Iterable[str | int], sentence: str) -> None:
        where = " > ".join(str(part) for part in place)
        told = f"{self.file}, line {line}" + (f", {where}" if where else "")
        if self.rejected is not None:
            if (told, sentence) not in self.rejected:
                self.rejected.append((told, sentence))
        elif (line, f"{told}: {sentence}") not in self.found:
            self.found.append((line, f"{told}: {sentence}"))

    def raise_if_any(self, *, useless: bool = False) -> None:
        """Raise what was found; what was left out only where what remains is `useless`."""
        if self.found or (useless and self.rejected):
            texts = tuple(text for _, text in sorted(self.found, key=lambda item: item[0]))
            texts += tuple(f"{place}: {sentence}" for place, sentence in self.rejected or ())
            count = "one mistake" if len(texts) == 1 else f"{len(texts)} mistakes"
            raise SynckitError(f"{self.file} has {count}:", texts)


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values. Keys are texts; `lines` gives each place's line, `written` a number's own spelling."""

    file: str
    data: Any
    lines: dict[Place, int]
    written: dict[Place, str]

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it that stands in the file."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_yaml(path: Path, what: str) -> Document:
    """The YAML mapping in `path`; `what` names the kind of file in messages ("workspace file").

    No tag is ever executed. Raises SynckitError for a file that is missing, empty, binary, not YAML or not a mapping, and for
    duplicate keys (all of them), tags, and aliases that unfold to more values than any description has.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SynckitError(f"There is no {what} {path}.") from None
    except IsADirectoryError:
        raise SynckitError(f"{path} is a folder, not a {what}.") from None
    except OSError as error:
        raise SynckitError(f"The {what} {path} cannot be read: {error.strerror or error}.") from None
    if len(raw) > MAX_BYTES:
        raise SynckitError(f"{path} is {len(raw) // 1_000_000} MB large and therefore no {what}.")
    return parse_yaml(_text(raw, path, what), path.name, what)


def _text(raw: bytes, path: Path, what: str) -> str:
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SynckitError(f"{path} is not a text file (UTF-8) and therefore no {what}.")
    return text


def parse_yaml(text: str, file: str, what: str) -> Document:
    """As `read_yaml`, for a text in hand; `file` is what messages call it."""
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SynckitError(f"{file}{where}: this is not YAML: {_yaml_sentence(error)}") from None
    except RecursionError:
        raise SynckitError(f"{file} is nested too deeply to be a {what}.") from None
    except (YAMLError, ValueError) as error:
        character = getattr(error, "character", None)
        told = f"it holds the control character {character!r}" if character is not None else "it cannot be read"
        raise SynckitError(f"{file} is not a {what}: {told}.") from None
    if root is None or (isinstance(root, ScalarNode) and not root.value):
        raise SynckitError(f"{file} is empty; a {what} was expected.")
    if not isinstance(root, MappingNode):
        kind = "a list" if isinstance(root, SequenceNode) else "a single text"
        raise SynckitError(f'{file} holds {kind}; a {what} is a mapping of keys to values, one "key: value" per line.')
    builder = _Builder(file)
    try:
        data = builder.value(root, ())
    except RecursionError:
        raise SynckitError(f"{file} is nested too deeply to be a {what}.") from None
    builder.problems.raise_if_any()
    return Document(file, data, builder.lines, builder.written)


def _yaml_sentence(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "it cannot be read")
    if "\\t" in problem or "tab" in problem.split():
        return "a tab stands where only blanks may stand; indent with blanks."
    if "mapping values are not allowed" in problem:
        return "a colon stands where no key can stand; put the value in quotes, or mend the indentation."
    if "could not find expected ':'" in problem:
        return 'a line without a colon; write "key: value".'
    if "expected a single document" in str(error.context or "") or "but found another document" in problem:
        return 'the file holds several documents; remove the line "---" between them.'
    if "undefined alias" in problem:
        return "an alias (*name) names no anchor; put a value that begins with * in quotes."
    if "found unexpected end of stream" in problem:
        return "a quotation mark is never closed."
    if "block end" in problem or "block mapping" in problem:
        return "the indentation does not fit the lines above; keys of one mapping begin in the same column."
    return problem.rstrip(".") + "."


class _Builder:
    """Plain values from YAML nodes, with lines kept and every mistake gathered."""

    def __init__(self, file: str) -> None:
        self.problems = Problems(file)
        self.lines: dict[Place, int] = {}
        self.written: dict[Place, str] = {}
        self._open: set[int] = set()
        self._values = 0

    def value(self, node: Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        self._values += 1
        if self._values > MAX_VALUES or id(node) in self._open:
            raise SynckitError(f"{self.problems.file}, line {line}: its aliases (*name) unfold without end; write the values out.")
        tag = str(node.tag)
        if not tag.startswith(_YAML_TAG) or tag[len(_YAML_TAG) :] not in _KNOWN_TAGS:
            shown = tag.replace(_YAML_TAG, "!!")
            self.problems.add(line, shown_place(place), f"the tag {shown} has no meaning here; remove it.")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, tag[len(_YAML_TAG) :], place)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, place)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Node, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.problems.add(line, shown_place(place), "a key must be a plain text; put it in quotes.")
                continue
            key = str(key_node.value)
            if key in result:
                self.problems.add(
                    line, shown_place(place), f'the key "{key}" stands here twice (first in line {first_lines[key]}); keep one.'
                )
                continue
            self.lines[*place, key] = first_lines[key] = line
            result[key] = self.value(value_node, (*place, key))
        return result

    def _scalar(self, node: Node, tag: str, place: Place) -> Any:
        text = str(node.value)
        if tag == "null":
            return None
        if tag == "bool":
            return text.casefold() == "true"
        try:
            # A leading zero is part of a number's spelling ("No. 007"): such a value stays the text it is.
            if tag == "int" and text.lstrip("+-").lstrip("0123456789") == "" and text.lstrip("+-")[:1] not in ("0", ""):
                number: int | float = int(text)
            elif tag == "int" and text == "0":
                number = 0
            elif tag == "float" and text.casefold().lstrip("+-") not in (".inf", ".nan"):
                number = float(text)
            else:
                return text
        except ValueError:
            return text
        self.written[place] = text
        return number


_KNOWN_TAGS = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge")


def shown_place(place: Place) -> list[str | int]:
    """A place as people count: the third row of `fields` is "fields > 3"."""
    return [part + 1 if isinstance(part, int) else part for part in place]


def validated(
    model: type[M],
    raw: Any,
    document: Document,
    problems: Problems,
    place: Place,
    origin: Callable[[Place], Place] | None = None,
    label: Callable[[Place], list[str | int]] = shown_place,
) -> M | None:
    """`raw` as a `model`, or None with every mistake added to `problems`; where those are left out, the model without them if it can be.

    `place` is where raw stands in the document; `origin` (optional) leads from a place inside raw to the place in the document
    where a merged value was written; `label` says how a place is shown. A number where a text belongs is taken as written.
    """
    lead = origin or (lambda inner: (*place, *inner))
    raw = copy.deepcopy(raw)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        if not _numbers_as_texts(raw, error, document, lead):
            _tell(model, error, document, problems, lead, label)
            return _without_mistakes(model, raw) if problems.rejected is not None else None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        _tell(model, error, document, problems, lead, label)
        return _without_mistakes(model, raw) if problems.rejected is not None else None


def _without_mistakes(model: type[M], raw: Any) -> M | None:
    """`raw` without what is wrong in it, so that the rest can be looked at: a key goes first, then the list's element that needs it."""
    for _ in range(20):  # what is left out may be missed by what holds it, and so on outwards
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            places = {_removable(raw, tuple(item["loc"]), item["type"] == "missing") for item in error.errors(include_url=False)}
        if () in places:
            return None
        for *outer, last in sorted(places, key=lambda p: tuple((isinstance(part, str), part) for part in p), reverse=True):
            parent = raw
            for part in outer:
                parent = parent[part]
            del parent[last]
    return None


def _removable(raw: Any, place: Place, missing: bool) -> Place:
    """What is to go where `place` is wrong: the innermost value there that stands in `raw`, or, where a key is missing, the element of a
    list that lacks it; () for all."""
    known: list[str | int] = []
    value = raw
    for part in place[:-1] if missing else place:
        inside = (
            part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if not inside:
            break
        value = value[part]
        known.append(part)
    while missing and known and not isinstance(known[-1], int):
        known.pop()
    return tuple(known)


def _numbers_as_texts(raw: Any, error: ValidationError, document: Document, lead: Callable[[Place], Place]) -> bool:
    changed = False
    for item in error.errors(include_url=False, include_context=False):
        number = item["input"]
        if item["type"] != "string_type" or isinstance(number, bool) or not isinstance(number, int | float):
            continue
        parent: Any = raw
        *outer, last = item["loc"]
        for part in outer:
            if not isinstance(parent, dict | list):
                break
            parent = parent[int(part)] if isinstance(parent, list) else parent.get(part)
        text = document.written.get(lead(tuple(item["loc"])), str(number))
        if isinstance(parent, dict):
            parent[last] = text
        elif isinstance(parent, list):
            parent[int(last)] = text
        else:
            continue
        changed = True
    return changed


def _tell(
    model: type[BaseModel],
    error: ValidationError,
    document: Document,
    problems: Problems,
    lead: Callable[[Place], Place],
    label: Callable[[Place], list[str | int]],
) -> None:
    for item in error.errors(include_url=False):
        inner: Place = tuple(item["loc"])
        free = next((index for index, part in enumerate(inner) if part in _FREE_FIELDS), None)
        if "schema" in inner[:-1]:
            inner = inner[: inner.index("schema") + 1]
            sentence = "write a shipped schema's name, the path of a schema file, or the schema itself."
        elif free is not None and item["type"] == "string_type" and isinstance(item["input"], dict):
            continue  # the alternative "one text" of a filter written per field: the field at fault is told by itself
        elif free is not None and item["type"] != "extra_forbidden":
            inner, sentence = _free_field(inner, free, item["input"])
        else:
            sentence = _sentence(model, inner, item["type"], item["input"], dict(item.get("ctx") or {}))
        place = lead(inner)
        # A missing key has no line of its own; an unknown one is shown at the mapping that holds it.
        shown = place[:-1] if item["type"] in ("missing", "extra_forbidden") else place
        problems.add(document.line(place), label(shown), sentence)


def _free_field(inner: Place, free: int, value: Any) -> tuple[Place, str]:
    name = str(inner[free])
    # The union's alternatives add their own parts ("str", "dict[...]"); what stands in the file ends at the field's own key.
    key = inner[free + 2] if len(inner) > free + 2 and str(inner[free + 1]).startswith("dict[") else None
    kept: Place = (*inner[: free + 1], key) if key is not None else inner[: free + 1]
    if name == "sets":
        named = inner[free + 1] if len(inner) > free + 1 else None
        return (
            *inner[: free + 1],
            *((named,) if named is not None else ()),
        ), "a template sets one plain value per field: `sets: {City: Berlin}`."
    return kept, f"{_shown(value)} is not a filter; write one expression per field, for example `{name}: {{City: Berlin|Hamburg}}`."


def _sentence(model: type[BaseModel], inner: Place, kind: str, value: Any, context: dict[str, Any]) -> str:
    key = str(inner[-1]) if inner else ""
    shown = "the value" if "url" in inner or "password" in key else _shown(value)
    annotation = _annotation_at(model, inner)
    if kind == "extra_forbidden":
        keys = _keys(_annotation_at(model, inner[:-1]))
        return f'there is no key "{key}".' + (nearest(key, keys) or f" The keys are {', '.join(keys)}.")
    if kind == "missing":
        return f'the key "{key}" is missing; write `{key}: ...`.'
    if kind == "literal_error":
        allowed = [str(choice) for choice in _literals(annotation)]
        return f"{shown} is not one of {', '.join(allowed)}." + nearest(str(value), allowed)
    if kind in ("string_type", "string_sub_type"):
        if value is None:
            return "a value is missing; write a text, or leave the key out."
        quoted = f"; put it in quotes to mean the text: '{str(value).lower()}'" if isinstance(value, bool) else ""
        return f"{shown} is not a text{quoted}."
    if kind.startswith("bool"):
        return f"{shown} is neither true nor false."
    if kind.startswith("int"):
        return f"{shown} is not a whole number."
    if kind.startswith("float"):
        return f"{shown} is not a number."
    if kind in ("tuple_type", "list_type"):
        return f"{shown} is not a list; write `{key}: [...]`, or one line beginning with `- ` per item."
    if kind == "dict_type" or kind.startswith("model"):
        keys = _keys(annotation)
        hint = f" with the keys {', '.join(keys)}" if keys else ""
        return f"{shown} is not a mapping{hint}."
    if kind == "string_too_long":
        return f"{shown} is longer than {context.get('max_length')} characters; shorten it."
    if kind == "greater_than_equal":
        return f"{shown} is too small; write {context.get('ge')} or more."
    if kind == "value_error" and "error" in context:
        return str(context["error"])
    return f"{shown} cannot stand here."


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text if len(text) <= 60 else text[:57] + "..."}"'


def _annotation_at(model: Any, inner: Place) -> Any:
    """The declared type at a place inside `model` (unions without a mapping in them end the walk)."""
    current: Any = model
    for part in inner:
        current = _bare(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {info.alias or name: info for name, info in current.model_fields.items()}
            if part not in fields:
                return None
            current = fields[str(part)].annotation
        elif get_origin(current) in (tuple, list) and isinstance(part, int):
            current = get_args(current)[0]
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        elif not (isinstance(part, str) and part == getattr(current, "__name__", None)):
            return None
    return _bare(current)


def _bare(annotation: Any) -> Any:
    """A union reduced to its alternative that has an inside (X | None -> X)."""
    if get_origin(annotation) in (Union, types.UnionType):
        choices = [choice for choice in get_args(annotation) if choice is not type(None)]
        models = [c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)]
        return (models or choices)[0]
    return annotation


def _keys(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [info.alias or name for name, info in annotation.model_fields.items()]
    return []


def _literals(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []
