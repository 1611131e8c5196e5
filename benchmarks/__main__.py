"""``python -m benchmarks [workload ...]``: run workloads, keep the rows, show tables and gates."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.gates import FEWEST_PAIRS
from benchmarks.registry import Workload, load_workloads
from benchmarks.rows import RESULTS
from benchmarks.runner import Plan, disagreements, measure_workload
from benchmarks.table import table

__all__ = ["main"]


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time nbscale and its peers. Exit code 1: a gate fails; 2: one has no result.",
    )
    parser.add_argument("workloads", nargs="*", metavar="workload", help="default: all")
    parser.add_argument("--list", action="store_true", help="show workloads, peers and gates")
    parser.add_argument("--pairs", type=int, help="rounds at least (3; with --gate 9)")
    parser.add_argument("--cap", type=int, default=36, help="rounds at most, with --gate")
    parser.add_argument("--peers", help="only these, separated by commas")
    parser.add_argument("--gate", action="store_true", help="run what the gates need, judge them")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=N", help="change a workload's size"
    )
    parser.add_argument("--timeout", type=float, default=600, help="seconds a run may take")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the rows")
    return parser.parse_args(words)


def _show(workload: Workload) -> None:
    print(f"{workload.name}: {workload.summary}")
    if workload.options:
        print("  options:", ", ".join(f"{k}={v}" for k, v in workload.options.items()))
    print("  peers:  ", ", ".join(workload.peers))
    for gate in workload.gates:
        print("  gate:   ", gate)


def _plan(workload: Workload, args: argparse.Namespace) -> Plan:
    changes = {}
    for change in args.set:
        name, _, number = change.partition("=")
        changes[name] = int(number)
    names = args.peers.split(",") if args.peers else None
    if args.gate and names is None:
        sides = {side for gate in workload.gates for side in (gate.peer, gate.baseline)}
        names = [name for name in workload.peers if name in sides]
    pairs = args.pairs or (FEWEST_PAIRS if args.gate else 3)
    return Plan(
        workload=workload,
        options=workload.with_options(changes),
        peers=tuple(workload.choose(names)),
        pairs=max(pairs, FEWEST_PAIRS) if args.gate else pairs,
        cap=max(args.cap, pairs),
        gated=args.gate,
        timeout=args.timeout,
    )


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = _arguments(words)
    known = load_workloads()
    unknown = [name for name in args.workloads if name not in known]
    if unknown:
        print(f"no workload {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 64
    chosen = [known[name] for name in args.workloads or known]
    if args.gate:
        chosen = [workload for workload in chosen if workload.gates]
    if args.list:
        for workload in chosen:
            _show(workload)
        return 0
    try:
        plans = [_plan(workload, args) for workload in chosen]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 64
    verdicts: set[str] = set()
    for plan in plans:
        print(f"\n{plan.workload.name}: {plan.workload.summary}", flush=True)
        path = args.results / f"{plan.workload.name}.jsonl"
        rows, judgements = measure_workload(plan, path, lambda line: print(line, flush=True))
        print("\n" + table(plan.workload, rows) + "\n")
        for line in disagreements(rows, plan.workload.tolerance):
            print("WRONG:", line)
            verdicts.add("fails")
        for judgement in judgements:
            print(judgement)
            verdicts.add(judgement.verdict)
    if "fails" in verdicts:
        return 1
    return 2 if args.gate and "no result" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
