"""Opening one side of a workspace: a database by its url, or a folder of exports."""

from __future__ import annotations

from typing import Literal

from synckit.errors import SynckitError
from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Schema
from synckit.systems.files import open_folder
from synckit.systems.protocol import System
from synckit.systems.sql import open_sql


def open_system(config: SystemConfig, schema: Schema, side: Literal["local", "integration"]) -> System:
    """The system that `config` describes. Raises SynckitError where it names neither or both of `url` and `folder`."""
    if config.url and config.folder:
        raise SynckitError(f'The {side} system "{config.name}" has both `url` and `folder`; keep one of them.')
    if config.url:
        return open_sql(config, schema, side)
    if config.folder:
        return open_folder(config, schema, side)
    raise SynckitError(
        f'The {side} system "{config.name}" says neither where its database is (`url: sqlite:///file.db`) '
        "nor where its exports are (`folder: exports/`); write one of them."
    )
