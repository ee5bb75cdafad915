"""Possible duplicates among the rows of two tables (or one): likely same pairs with a score and the evidence that adds up to it."""

from .find import Duplicates, find_duplicates, one_partner_each
from .meaning import MEANINGS, infer_meaning
from .records import FieldPair

__all__ = ["MEANINGS", "Duplicates", "FieldPair", "find_duplicates", "infer_meaning", "one_partner_each"]
