"""The screens of the notebooks: presenters in plain Python, each shown by one thin view that only draws and forwards.

A presenter holds all behaviour and needs no notebook; the view, and with it anywidget, is loaded when a presenter is displayed.
"""

from synckit.widgets.apply_panel import ApplyPanel
from synckit.widgets.connect_map import ConnectAndMap
from synckit.widgets.diff_view import DiffView
from synckit.widgets.errors_view import ErrorsView
from synckit.widgets.explain_view import ExplainView
from synckit.widgets.pair_queue import PairQueue
from synckit.widgets.plan_grid import PlanGrid
from synckit.widgets.report_view import ReportView
from synckit.widgets.review import Review

__all__ = ["ApplyPanel", "ConnectAndMap", "DiffView", "ErrorsView", "ExplainView", "PairQueue", "PlanGrid", "ReportView", "Review"]
