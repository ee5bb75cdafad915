"""One result, many renderings."""
