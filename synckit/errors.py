"""The one exception meant for people: what was wrong, where, and what to write instead."""

from __future__ import annotations


class SynckitError(Exception):
    """A clear sentence for the person at the keyboard. The command line prints it without a traceback and exits 1.

    `findings` carries several problems at once (for example all mistakes of one workspace file).
    """

    def __init__(self, message: str, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.findings = tuple(findings)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {finding}" for finding in self.findings)])


class PassingError(SynckitError):
    """Something that passes by itself: a lost connection, a deadlock, a lock held by another program. Nothing that was sent and not
    committed has been kept; what was committed has to be looked up. Trying again later is the remedy."""


class LostConnectionError(PassingError):
    """A server ended a connection, or the network did."""
