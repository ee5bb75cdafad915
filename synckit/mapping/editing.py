"""Changing a workspace file: values set at their places, comments and untouched lines kept, the difference told before anything is written."""

from __future__ import annotations

import difflib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from synckit.errors import SynckitError
from synckit.mapping.loading import load_workspace
from synckit.mapping.model import Workspace

CONTEXT = 2  # unchanged lines around a difference
_LIST_BELOW = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*( *)- ", re.MULTILINE)


class WorkspaceEdit:
    """A workspace file being changed. Each change is made on its text at once; `described` reads the text as it would be, `save` writes it.

    Raises SynckitError for a file that is no workspace; the setters do, and change nothing, where the result would be none. A value of
    None removes the key, so that the standard's value or the default counts again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        raw = self._read()
        self._encoding = (
            "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig" if raw[:3] == b"\xef\xbb\xbf" else "utf-8"
        )
        load_workspace(self.path)  # what is no workspace, or has mistakes, is told now, with places
        whole = raw.decode(self._encoding)
        self._newline = "\r\n" if "\r\n" in whole else "\n"
        self.before = whole.replace("\r\n", "\n")
        self._raw = raw
        self.text = self.before

    @property
    def changed(self) -> bool:
        return self.text != self.before

    def take_back(self) -> None:
        """Forget all changes that are not saved."""
        self.text = self.before

    def diff(self) -> list[str]:
        """The changed lines, each with "+", "-" or " " in front, blocks parted by an empty text."""
        lines = difflib.unified_diff(self.before.splitlines(), self.text.splitlines(), lineterm="", n=CONTEXT)
        shown = ["" if line.startswith("@@") else line for line in list(lines)[2:]]
        return shown[1:]

    # -- changing ------------------------------------------------------------------------------------------------------------------

    def system(self, side: str, **values: Any) -> None:
        """Set keys of one side ("local", "integration"), such as url or folder."""
        document = self._document()
        _put(document[side], values)
        self._become(document)

    def mapping(self, name: str, **values: Any) -> None:
        """Set keys of a mapping, such as direction or local_filter."""
        document = self._document()
        _put(self._entry(document, name), values)
        self._become(document)

    def field(self, mapping: str, local: str | None, integration: str | None, **values: Any) -> None:
        """Set keys of a field row of a mapping; the row is added where the mapping has none of that pair."""
        document = self._document()
        entry = self._entry(document, mapping)
        rows = entry.setdefault("fields", CommentedSeq())
        pair = (str(local or "").casefold(), str(integration or "").casefold())
        row = next(
            (r for r in rows if (str(r.get("local") or "").casefold(), str(r.get("integration") or "").casefold()) == pair), None
        )
        if row is None:
            row = CommentedMap({k: v for k, v in (("local", local), ("integration", integration)) if v})
            rows.append(row)
        _put(row, values)
        self._become(document)

    def _entry(self, document: Any, name: str) -> Any:
        """What the file says of a mapping, as a mapping of keys to values; written into it where it says nothing yet."""
        known = self.described()
        mapping = known.mapping(name)
        listed = document.get("mappings", "standard")
        if not isinstance(listed, list):
            listed = document["mappings"] = CommentedSeq([listed])
        for index, entry in enumerate(listed):
            own = str(entry.get("name") or "").strip().upper() if isinstance(entry, dict) else ""
            if own == mapping.name:
                return entry
            for written in [entry] if isinstance(entry, str) else [] if own else list(entry):
                if str(written).strip().upper() in (mapping.name, *mapping.aliases):
                    if isinstance(entry, str):
                        entry = listed[index] = CommentedMap({mapping.name: CommentedMap()})
                        written = mapping.name
                    if entry[written] is None:
                        entry[written] = CommentedMap()
                    return entry[written]
        listed.append(CommentedMap({mapping.name: CommentedMap()}))
        return listed[-1][mapping.name]

    # -- reading and writing ---------------------------------------------------------------------------------------------------------

    def described(self) -> Workspace:
        """The workspace as the changed text describes it. Raises SynckitError with every mistake of it."""
        return load_workspace(self.path, text=self.text)

    def save(self) -> None:
        """Write the file, as a whole or not at all. Raises SynckitError where it does not read as a workspace any more, where somebody
        changed the file meanwhile, or where it cannot be written."""
        self.described()
        if self._read() != self._raw:
            raise SynckitError(
                f"{self.path.name} was changed by somebody else meanwhile; nothing was written. Open it again and repeat your changes."
            )
        raw = self.text.replace("\n", self._newline).encode(self._encoding)
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(raw)
                    file.flush()
                    os.fsync(file.fileno())
                shutil.copymode(self.path, name)
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise SynckitError(f"{self.path} cannot be written: {error.strerror or error}.") from None
        self._raw, self.before = raw, self.text

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise SynckitError(f"The workspace file {self.path} cannot be read: {error.strerror or error}.") from None

    def _yaml(self) -> YAML:
        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 100_000  # lines are not folded anew
        found = next((len(m[2]) - len(m[1]) for m in _LIST_BELOW.finditer(self.before)), 2)
        yaml.indent(mapping=2, sequence=found + 2, offset=found)
        return yaml

    def _document(self) -> Any:
        return self._yaml().load(self.text)

    def _dumped(self, document: Any) -> str:
        written = io.StringIO()
        self._yaml().dump(document, written)
        return written.getvalue()

    def _become(self, document: Any) -> None:
        """Take the changed lines over, and only those: a line that is spelled anew for no other reason stays as people wrote it."""
        plain, changed = self._dumped(self._document()).splitlines(), self._dumped(document).splitlines()
        mine = self.text.splitlines()
        if len(plain) == len(mine):
            parts: list[str] = []
            for tag, a, b, c, d in difflib.SequenceMatcher(None, plain, changed, autojunk=False).get_opcodes():
                parts += mine[a:b] if tag == "equal" else changed[c:d]
            changed = parts
        earlier, self.text = self.text, "\n".join(changed) + "\n"
        try:
            self.described()
        except SynckitError:
            self.text = earlier
            raise


def _put(place: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value


__all__ = ["WorkspaceEdit"]
