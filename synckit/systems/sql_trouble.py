"""What an error of a database means: it passes by itself, it stops the run, or it is about the row that was sent."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy.exc import DBAPIError

from synckit.errors import LostConnectionError, PassingError, SynckitError

Kind = Literal["lost", "deadlock", "locked", "slow", "full", "read-only"]

#: SQLSTATE (PostgreSQL), error number (MariaDB) and error code (SQLite) of what is not about a row.
_STATES: dict[str, Kind] = {
    "40P01": "deadlock", "40001": "deadlock", "55P03": "locked", "57014": "slow", "57P01": "lost", "57P02": "lost", "57P03": "lost",
    "53100": "full", "53200": "full", "53300": "lost", "25006": "read-only", "25P03": "lost", "57P05": "lost",
}  # fmt: skip
_NUMBERS: dict[int, Kind] = {
    1213: "deadlock", 1205: "locked", 1020: "deadlock", 1969: "slow", 3024: "slow", 2003: "lost", 2006: "lost", 2013: "lost", 2055: "lost",
    1927: "lost", 1053: "lost", 1040: "lost", 1021: "full", 1114: "full", 1290: "read-only", 1792: "read-only", 1836: "read-only",
}  # fmt: skip
_LITE: dict[int, Kind] = {5: "locked", 6: "locked", 13: "full", 10: "full", 8: "read-only"}
#: What drivers say who give no number.
_WORDS: tuple[tuple[str, Kind], ...] = (
    ("database is locked", "locked"), ("terminating connection", "lost"), ("server closed the connection", "lost"),
    ("connection is closed", "lost"), ("the connection is lost", "lost"), ("connection already closed", "lost"), ("broken pipe", "lost"),
    ("connection reset by peer", "lost"), ("deadlock detected", "deadlock"), ("statement timeout", "slow"), ("lock timeout", "locked"),
    ("read-only transaction", "read-only"), ("database or disk is full", "full"), ("no space left", "full"),
)  # fmt: skip


def kind_of(problem: BaseException) -> Kind | None:
    """The kind of an error that is about no row, else None."""
    original: Any = getattr(problem, "orig", None) or problem
    if isinstance(original, (OverflowError, UnicodeError)):
        return None
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        if state in _STATES:
            return _STATES[state]
        if state.startswith("08"):
            return "lost"
    code = getattr(original, "sqlite_errorcode", None)
    if isinstance(code, int) and code & 0xFF in _LITE:
        return _LITE[code & 0xFF]
    number = original.args[0] if getattr(original, "args", ()) else None
    if isinstance(number, int) and number in _NUMBERS:
        return _NUMBERS[number]
    if isinstance(problem, DBAPIError) and problem.connection_invalidated:
        return "lost"
    if state is None and not isinstance(number, int):
        words = str(original).casefold()
        return next((kind for sign, kind in _WORDS if sign in words), None)
    return None


def explained(kind: Kind, where: str, words: str, lock_timeout: float, statement_timeout: float) -> SynckitError:
    """The sentence for an error of that kind; a PassingError where trying again is the remedy."""
    start = where[:1].upper() + where[1:]
    said = f" It said: {words}" if words else ""
    if kind == "lost":
        return LostConnectionError(f"The connection to {where} was lost.{said}")
    if kind == "deadlock":
        return PassingError(f"{start} took back what was sent, because another program wrote the same rows at the same time.{said}")
    if kind == "locked":
        return PassingError(
            f"Another program holds rows of {where} locked and did not let go within {lock_timeout:g} seconds (`lock_timeout` of the system "
            f"in the workspace).{said}"
        )
    if kind == "slow":
        return SynckitError(
            f"{start} had no answer to a statement within {statement_timeout:g} seconds. Write a larger `statement_timeout` at the system in the "
            f"workspace, or look at what keeps its server busy.{said}"
        )
    if kind == "full":
        return SynckitError(
            f"{start} cannot be written because its disk or memory is full. Free some space there, then go on.{said}"
        )
    return SynckitError(f"{start} cannot be written: it is read-only at the moment.{said}")
