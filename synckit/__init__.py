"""synckit: keep two business systems' records in step, and see everything before it happens."""

from synckit.errors import SynckitError

__version__ = "0.1.0"
__all__ = ["SynckitError", "__version__"]
