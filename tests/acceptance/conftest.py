"""Worlds for the scenarios."""

from __future__ import annotations

from world import make_world

__all__ = ["make_world"]
