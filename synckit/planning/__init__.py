"""PURE: a snapshot in, a Plan out."""
