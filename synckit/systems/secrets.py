"""Database URLs with their secrets: resolved only when connecting, masked wherever they are shown, scrubbed out of driver texts."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, quote_plus

import sqlalchemy as sa

from synckit.errors import SynckitError

_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_KEYS = frozenset({"password", "passwd", "pwd", "sslpassword", "passfile", "ssl_key_password"})
MASK = "***"


def resolve(text: str, where: str) -> sa.URL:
    """The URL with every `${NAME}` and `keyring:SERVICE/USER` password filled in. `where` names the system in messages.

    A value from the environment goes into its place as it is (no need to write `@` as `%40` in it), except where it is the whole
    URL. Raises SynckitError for an unset variable, an unreadable URL and a key store entry that does not exist.
    """
    whole = _ENV.fullmatch(text.strip())
    if whole:
        text = _variable(whole[1], where)
    url = parse(_ENV.sub(lambda hit: quote(_variable(hit[1], where), safe=""), text), where)
    password = str(url.password or "")
    if not password.startswith("keyring:"):
        return url
    return url.set(password=_from_keyring(password.removeprefix("keyring:"), where))


def parse(text: str, where: str) -> sa.URL:
    """`sa.make_url` with a sentence (that does not repeat the text, which may hold a password) for what cannot be read."""
    try:
        return sa.make_url(re.sub(r"(://[^:/@]*:)keyring:([^@/]+)/([^@]+)@", r"\1keyring%3A\2%2F\3@", text))
    except Exception:
        raise SynckitError(
            f"The url of {where} cannot be read; write it as dialect://user:password@host:port/database, for example "
            "sqlite:///exports/local.db or postgresql://reader:${BC_PASSWORD}@db.example.org/bc."
        ) from None


def masked(text: str, where: str) -> str:
    """The URL for screens: variables resolved where they are set, every password as ***."""
    try:
        return render(resolve(text, where))
    except SynckitError:
        pass
    if _ENV.fullmatch(text.strip()):
        return text.strip()
    marks: list[str] = []

    def mark(hit: re.Match[str]) -> str:
        marks.append(hit[0])
        return "9" * 3 + f"{len(marks):02d}"  # digits: a variable may stand for the port

    shown = render(parse(_ENV.sub(mark, text), where))
    for number, variable in enumerate(marks, 1):
        shown = shown.replace("9" * 3 + f"{number:02d}", variable)
    return shown


def render(url: sa.URL) -> str:
    """The URL as text with every secret masked, also those among its options (`?password=...`)."""
    hidden = {key: MASK for key in url.query if key.casefold() in _SECRET_KEYS}
    shown = url.update_query_dict(hidden) if hidden else url
    return shown.render_as_string(hide_password=True).replace("%2A%2A%2A", MASK)


def scrub(message: object, url: sa.URL | None) -> str:
    """Driver text on one line, with the URL's secrets replaced by ***, and without the driver's hints at its web pages."""
    text = str(message)
    if url is not None:
        secrets = [str(url.password or "")]
        for key, value in url.query.items():
            if key.casefold() in _SECRET_KEYS:
                secrets += [value] if isinstance(value, str) else list(value)
        spellings = {
            s
            for secret in secrets if secret
            for s in (secret, quote(secret, safe=""), quote(secret), quote(secret, safe=" +"), quote_plus(secret), repr(secret)[1:-1])
        }  # fmt: skip
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, MASK)
    text = re.sub(r"\(Background on this error at: \S+\)", "", text)
    return re.sub(r"\s+", " ", text).strip()


def _variable(name: str, where: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SynckitError(f"The url of {where} needs the environment variable {name}, which is not set; set it and run again.")
    return value


def _from_keyring(entry: str, where: str) -> str:
    service, _, user = entry.rpartition("/")
    if not service or not user:
        raise SynckitError(f"The password of {where} is a key store reference that cannot be read; write keyring:SERVICE/USER.")
    try:
        import keyring
    except ImportError:
        raise SynckitError(
            f'The password of {where} lies in the key store, but keyring is not installed; run: pip install "synckit[keyring]".'
        ) from None
    try:
        found = keyring.get_password(service, user)
    except Exception as problem:
        raise SynckitError(f"The key store could not be read for {where}: {type(problem).__name__}.") from None
    if found is None:
        raise SynckitError(
            f'The key store has no password for {where} (service "{service}", user "{user}"); store it with: keyring set.'
        )
    return str(found)
