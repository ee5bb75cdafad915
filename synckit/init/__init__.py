"""`synckit init`: look at two systems, propose sides, names, keys and mappings, and write a commented workspace."""

from synckit.init.proposing import Proposal, propose_workspace, write_workspace

__all__ = ["Proposal", "propose_workspace", "write_workspace"]
