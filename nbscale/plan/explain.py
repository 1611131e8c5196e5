"""A plan in words: the expression, what each rule made of it, and what it is expected to cost."""

from __future__ import annotations

from collections.abc import Sequence

from nbscale.expr.node import Node
from nbscale.plan.estimate import Estimate, estimate
from nbscale.plan.jobs import PlanJob
from nbscale.plan.rewrite import Change
from nbscale.units import format_bytes, format_count, format_seconds

__all__ = ["explain_plan", "plan_text"]


def plan_text(root: Node, estimates: dict[str, Estimate] | None = None) -> str:
    """The expression as an indented tree; a node met again is only named.

    Uses a stack of its own, so that any depth can be shown.
    """
    lines: list[str] = []
    numbers: dict[str, int] = {}
    stack: list[tuple[Node, int]] = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        indent = "  " * min(depth, 40)
        if node.key in numbers:
            lines.append(f"{indent}[{numbers[node.key]}] again")
            continue
        numbers[node.key] = len(numbers) + 1
        lines.append(f"{indent}[{numbers[node.key]}] {node.describe()}{_cost(node, estimates)}")
        stack.extend((child, depth + 1) for child in reversed(node.inputs))
    return "\n".join(lines)


def _cost(node: Node, estimates: dict[str, Estimate] | None) -> str:
    guess = estimates.get(node.key) if estimates else None
    if guess is None:
        return ""
    parts = []
    if guess.rows is not None:
        parts.append(f"~{format_count(round(guess.rows))} rows")
    if guess.nbytes is not None:
        parts.append(f"~{format_bytes(guess.nbytes)}")
    if guess.seconds is not None:
        parts.append(f"~{format_seconds(guess.seconds)}")
    return f"   ({', '.join(parts)})" if parts else ""


def explain_plan(root: Node, job: PlanJob, changes: Sequence[Change]) -> str:
    """Before, after each rule that changed something, and the stages it is lowered to."""
    parts = ["as written:", plan_text(root, estimate((root,), job.learned))]
    for change in changes:
        parts.append(f"\nafter {change.rule}:")
        parts += [plan_text(after, estimate((after,), job.learned)) for after in change.after]
    job.step(None)
    parts.append("\nstages:")
    for stage in job.stages:
        reads = ", ".join(str(e.producer) for e in stage.edges)
        tail = f"  reads {reads}" if reads else ""
        parts.append(f"  {stage.number}: {stage.name}  x {format_count(stage.n_tasks)}{tail}")
    if not job.sealed:
        parts.append("  ... more stages follow when these are computed")
    return "\n".join(parts)
