"""synckit: keep two business systems' records in step, and see everything before it happens."""

from synckit.diagnosis.job_log import read_job_log
from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan
from synckit.workspace import Workspace
from synckit.workspace import open_workspace as open

__version__ = "0.1.0"
__all__ = ["Plan", "SynckitError", "Workspace", "__version__", "load_plan", "open", "read_job_log"]
