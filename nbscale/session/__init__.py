"""The session: one per kernel, made at first use. Plans requests, chooses an engine, runs them.

Knows nodes and engines, not collections: those ask it with a ``Request``.

::

    collection ── Request ──> session ── plan, choice ──> engine ── Collecting ──> results
                                 └─ RunReport of each run, Failed of those that failed
"""

from nbscale.session.choice import fitting
from nbscale.session.failed import Failed
from nbscale.session.report import RunReport
from nbscale.session.request import Gather, Request
from nbscale.session.session import Session, become, current, runs

__all__ = [
    "Failed",
    "Gather",
    "Request",
    "RunReport",
    "Session",
    "become",
    "current",
    "fitting",
    "runs",
]
