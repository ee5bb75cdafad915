"""Worlds, as the acceptance scenarios have them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))

from world import make_world

__all__ = ["make_world"]
