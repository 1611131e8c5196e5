"""``ns.why``: where a result comes from, how it is computed and why so, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbscale.collection import Collection, places_of, public
from nbscale.events import Place
from nbscale.expr.node import Held, Node, walk
from nbscale.futures import Future
from nbscale.history.story import run_story, task_story
from nbscale.plan.jobs import PlanJob
from nbscale.plan.rewrite import inherit_places
from nbscale.session import RunReport, current
from nbscale.text import Text
from nbscale.units import format_count

__all__ = ["why"]

_MOST = 12


@public
def why(x: Any) -> Text:
    """Tell the story of a lazy result, a future or a run.

    Parameters
    ----------
    x
        A collection, a future, or a run: one of ``ns.runs()`` or its number.

    Returns
    -------
    Text
        Text that shows itself: where it was made and of what, which engine it runs on and why, what
        is done together and what only once, when and where its tasks ran, which of them again and
        why, and what it waits for now.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If there is no run of that number.

    Notes
    -----
    Nothing is computed; a collection that was not computed yet is planned.

    Examples
    --------
    >>> import nbscale as ns, nbscale.array as na
    >>> x = na.arange(10).sum()
    >>> ns.why(x)
    sum
    made at ...
    ...
    """
    if isinstance(x, Collection):
        return Text("\n".join(_of_collection(x)))
    if isinstance(x, Future):
        return Text("\n".join(_of_future(x)))
    if isinstance(x, RunReport):
        return Text("\n".join(_of_run(x)))
    if isinstance(x, int) and not isinstance(x, bool):
        return Text("\n".join(_of_run(current().report(x))))
    raise TypeError(
        f"why() takes a lazy collection, a future, or a run of ns.runs(), not {type(x).__name__}"
    )


def _of_run(report: RunReport) -> Iterator[str]:
    yield str(report)
    if report.recording is None:
        yield "what its tasks did is not recorded any more"
    else:
        yield from run_story(report.recording)


def _of_collection(x: Collection) -> Iterator[str]:
    request, origin = x._request(), x._origin  # noqa: SLF001 - one of us
    session = current()
    yield request.what
    if origin.place is not None:
        yield f"made at {origin.place}"
    places = places_of([origin])
    inherit_places(places, [request.node])
    yield from _made_of(request.node, places)
    job, changes = session.plan([request])
    rules = list(dict.fromkeys(change.rule for change in changes))
    if rules:
        yield f"plan: changed by the rules {', '.join(rules)} (explain() shows how)"
    yield from _once(job)
    report = session.report_of(request.node.key)
    if report is None:
        name, reason = session.preferred(job)
        yield f"would run on {name}: {reason}"
    yield from _stages(job)
    if report is None:
        yield "not computed in this session"
    else:
        yield from _of_run(report)


def _made_of(node: Node, places: dict[str, Place]) -> Iterator[str]:
    """The operations by the line they were written on, the last line first."""
    by_place: dict[Place | None, list[str]] = {}
    for one in walk((node,)):
        by_place.setdefault(places.get(one.key), []).append(one.label)
    lines = list(reversed(by_place.items()))
    for place, names in lines[:_MOST]:
        yield f"  {place or 'somewhere'}: {_listed(names)}"
    if len(lines) > _MOST:
        yield f"  ... and {len(lines) - _MOST} more lines"


def _once(job: PlanJob) -> Iterator[str]:
    """What is read by several, and what was computed before."""
    readers: dict[str, int] = {}
    nodes = list(walk(job.roots))
    for node in nodes:
        for child in {i.key: i for i in node.inputs}.values():
            readers[child.key] = readers.get(child.key, 0) + 1
    shared = [node.label for node in nodes if readers.get(node.key, 0) > 1]
    if shared:
        yield f"computed once for several readers: {_listed(shared)}"
    kept = [node.label for node in nodes if isinstance(node, Held)]
    if kept:
        yield f"not computed again, but kept from before: {_listed(kept)}"


def _stages(job: PlanJob) -> Iterator[str]:
    """What is done in one task."""
    job.step(None)
    for stage in job.stages[:_MOST]:
        steps = stage.program.steps
        if len(steps) > 1:
            yield (
                f"in one task ({format_count(stage.n_tasks)} of them): "
                f"{_listed([step.name for step in steps])}"
            )
    if not job.sealed:
        yield "more is planned when first values are known"


def _of_future(future: Future) -> Iterator[str]:
    state = "done" if future.done() else "under way"
    raised = False
    if future.cancelled():
        state = "cancelled"
    elif future.done() and future.exception() is not None:
        state, raised = f"failed with {type(future.exception()).__name__}", True
    yield f"{future.what or 'a call'}: {state}"
    if future.kept is not None:
        yield "its value was put into shared memory; no task has made it"
        return
    if not future.run:
        if not future.done():
            yield "not handed over yet: it waits for the futures among its arguments, or for a batch"
        return
    report = current().report(future.run)
    yield f"call {future.call} of {report}"
    if report.recording is None:
        yield "what its tasks did is not recorded any more"
    else:
        yield from task_story(report.recording, 0, future.call, raised=raised)


def _listed(names: list[str]) -> str:
    """Names in their order, each once, with how often."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    parts = [name if n == 1 else f"{n} x {name}" for name, n in counts.items()]
    rest = f" and {len(parts) - _MOST} more" if len(parts) > _MOST else ""
    return ", ".join(parts[:_MOST]) + rest
