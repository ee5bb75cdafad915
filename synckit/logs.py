"""Structured logging: one JSON object per line with run and record ids; values of records only at debug level."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synckit.errors import SynckitError

logger = logging.getLogger("synckit")
logger.addHandler(logging.NullHandler())


def note(event: str, level: int = logging.INFO, **facts: Any) -> None:
    """Log an event with its facts. At info and above these are ids, counters, codes and names of mappings and systems, never what a
    record holds; a database's own words may hold values, so they are for debug."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={"facts": facts})


class Lines(logging.Formatter):
    """A record as one line of JSON in ASCII: nothing in it can command a terminal or forge a second line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps({**head, **getattr(record, "facts", {})}, default=str)


def log_to(path: str | Path, debug: bool = False) -> logging.Handler:
    """Append synckit's log to a file from now on; `debug`: with values of records. Raises SynckitError where it cannot be written."""
    try:
        refuse_other_files(Path(path).expanduser())
        handler = logging.FileHandler(Path(path).expanduser(), encoding="utf-8")
    except OSError as error:
        raise SynckitError(f"The log file {path} cannot be written: {error.strerror or error}.") from None
    handler.setFormatter(Lines())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    return handler


def refuse_other_files(path: Path) -> None:
    """Lines are appended to a log, never to another file, such as the workspace: a line of a log begins with { or a date."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(1) not in {b"", b"{", *(b"%d" % digit for digit in range(10))}:
                raise SynckitError(f"{path} exists and is not a log. Choose another name.")


def asked_for(words: list[str], debug: bool) -> tuple[logging.Handler | None, list[str]]:
    """The log that `--log FILE` before a command asks for, and the words without it (`sync modified --log` is a log of its own)."""
    if words[:1] != ["--log"]:
        return None, words
    if len(words) < 2:
        raise SynckitError("--log needs the name of a file.")
    return log_to(words[1], debug), words[2:]


def stop(handler: logging.Handler | None) -> None:
    """Close a log that `log_to` opened."""
    if handler is None:
        return
    logger.removeHandler(handler)
    with suppress(OSError):
        handler.close()


__all__ = ["asked_for", "log_to", "logger", "note", "refuse_other_files", "stop"]
