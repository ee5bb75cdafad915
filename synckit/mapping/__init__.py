"""WHAT is synchronised: validated descriptions of mappings, filters, rules and schemas. No I/O below loading."""
