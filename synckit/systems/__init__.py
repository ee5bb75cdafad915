"""WHERE rows live: one small protocol, one module per kind of system."""
