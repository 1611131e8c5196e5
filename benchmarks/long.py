"""``python -m benchmarks.long PART``: what takes too long for every change, in named parts.

Each part takes less than an hour, goes on where it was stopped, and leaves its rows and a summary
under ``benchmarks/results/<part>/``, to be committed as they are. Without PART: which there are.
``--quick`` only tries whether a part runs: one round, small sizes, a folder of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

from benchmarks.gates import FEWEST_PAIRS
from benchmarks.registry import Workload, load_workloads
from benchmarks.rows import RESULTS, read
from benchmarks.runner import Plan, disagreements, measure_workload
from benchmarks.table import table

__all__ = ["PARTS", "Part", "Step", "main", "plan_of", "quick"]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A workload with its options, and how it is run in a part.

    Attributes
    ----------
    small
        Options that make a run as short as it can be, for ``--quick``.
    """

    workload: str
    options: dict[str, int] = dataclasses.field(default_factory=dict)
    peers: tuple[str, ...] | None = None
    pairs: int = FEWEST_PAIRS
    cap: int = 27
    timeout: float = 600
    small: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What is run under one name."""

    summary: str
    steps: tuple[Step, ...]


PARTS = {
    "start": Part("imports and first results, with gates", (Step("start", cap=63),)),
    "csv": Part(
        "CSV group-by mean over 1 GB against every peer, with gates",
        (
            Step("csv_groupby_mean"),
            Step("csv_groupby_mean", {"quoted": 1}, ("nbscale-threads", "dask-threads")),
        ),
    ),
    "arrays": Part(
        "the array job with n = 6000 and n = 10,000, and a chain; with gates",
        (
            Step("array_dot"),
            Step("array_dot", {"n": 10_000}, ("numpy", "nbscale")),
            Step("array_chain"),
        ),
    ),
    "growth": Part(
        "cost per task up to a million tasks, and plans over a million chunks; with gates",
        (
            Step("graph_plan", peers=("nbscale-map-1e6", "nbscale-reduce-1e6")),
            Step(
                "graph_growth",
                peers=tuple(
                    f"nbscale-{engine}-{size}"
                    for engine in ("inline", "threads")
                    for size in ("1e4", "1e6")
                ),
                cap=FEWEST_PAIRS + 3,
            ),
        ),
    ),
    "growth-dask": Part(
        "cost per task at each size, Dask's beside it; no gates",
        (Step("graph_plan", pairs=3), Step("graph_growth", pairs=3)),
    ),
    "pool": Part(
        "the pool of processes beside its peers: tasks, start, idle memory, bytes; with gates",
        (
            Step("pool_noop", cap=15, timeout=120, small={"n": 2000}),
            Step("pool_submit", cap=15, timeout=120, small={"n": 500}),
            Step("pool_round_trip", cap=15, timeout=120, small={"n": 20}),
            Step("pool_tree", pairs=2, timeout=120, small={"leaves": 64}),
            Step("pool_start", cap=15, timeout=120),
            Step("pool_idle", cap=15, timeout=120),
            Step("pool_bytes", cap=15, timeout=120, small={"mb": 8}),
        ),
    ),
    "what-if": Part(
        "five runs with two workers, predicted for one, and with one; with gates",
        (Step("what_if", cap=15, timeout=120, small={"rows": 50_000}),),
    ),
    "pending": Part(
        "memory of the kernel for each task that waits, and afterwards; with gates",
        (Step("pending", cap=15, timeout=300, small={"n": 2000}),),
    ),
    "memory": Part(
        "four times the memory limit of 1 GB: sorted, grouped, joined, learned from; with gates",
        (Step("memory", pairs=2, cap=2, timeout=900, small={"mb": 256}),),
    ),
    "huge-array": Part(
        "an array of a gigabyte in a worker: its first element, its sum; with gates",
        (Step("huge_array", cap=15, timeout=120, small={"mb": 64}),),
    ),
    "parquet": Part("a filter and a group-by over parquet", (Step("parquet_groupby"),)),
    "small-worlds": Part(
        "every graph of four tasks on two workers, every fault once, every interleaving",
        (Step("small_worlds", pairs=1, cap=1, timeout=3000),),
    ),
    "simulations": Part(
        "ten thousand random runs of the scheduler, everything checked after every signal",
        (Step("simulations", pairs=1, cap=1, timeout=3000),),
    ),
    "mutations": Part(
        "changes of the scheduler and of the frames, one at a time: 85 % must be noticed",
        (Step("mutations", pairs=1, cap=1, timeout=14_000, small={"sample": 3}),),
    ),
    "frames": Part(
        "a hundred times as many tampered frames as in the suite",
        (Step("tampered_frames", pairs=1, cap=1, timeout=3000),),
    ),
    "faults": Part(
        "workers killed at 300 random times, with calls that may and may not be made again",
        (Step("faults", pairs=1, cap=1, timeout=3000, small={"seeds": 3}),),
    ),
    "guard-joins": Part(
        "the guard of the oracle on every row that merges or joins",
        (Step("guard_joins", pairs=1, cap=1, timeout=3000),),
    ),
    "soak": Part(
        "half an hour of random jobs, each answer compared with pandas', nothing may pile up",
        (Step("soak", {"seconds": 180}, pairs=10),),
    ),
    "faults-soak": Part(
        "twenty minutes of random jobs on a pool, a fault every three seconds; nothing may pile up",
        (Step("faults_soak", {"seconds": 200}, pairs=6, cap=6, small={"seconds": 20}),),
    ),
}


def quick(part: Part) -> Part:
    """Make every step one round with small sizes."""
    steps = (
        dataclasses.replace(step, options=step.options | step.small, pairs=1, cap=1)
        for step in part.steps
    )
    return dataclasses.replace(part, steps=tuple(steps))


def plan_of(step: Step, known: dict[str, Workload]) -> Plan:
    """Return how a step is run."""
    workload = known[step.workload]
    return Plan(
        workload=workload,
        options=workload.with_options(step.options),
        peers=tuple(workload.choose(step.peers)),
        pairs=step.pairs,
        cap=max(step.cap, step.pairs),
        gated=step.pairs >= FEWEST_PAIRS,
        timeout=step.timeout,
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _run(part: Part, folder: Path) -> int:
    known = load_workloads()
    rows_file = folder / "rows.jsonl"
    verdicts: set[str] = set()
    summary: list[str] = []
    for step in part.steps:
        plan = plan_of(step, known)
        chosen = ", ".join(f"{k}={v}" for k, v in plan.options.items())
        title = f"{step.workload} ({chosen})" if chosen else step.workload
        _say(f"\n{title}: {plan.workload.summary}")
        rows, judgements = measure_workload(plan, rows_file, _say, resume=True)
        wrong = disagreements(rows, plan.workload.tolerance)
        verdicts |= {judgement.verdict for judgement in judgements}
        if wrong or any(row.status in {"failed", "timeout"} for row in rows):
            verdicts.add("fails")
        lines = [f"WRONG: {line}" for line in wrong] + [str(j) for j in judgements]
        found = [table(plan.workload, rows)]
        found += ["\n".join(f"- {line}" for line in lines)] if lines else []
        summary += [f"## {title}", plan.workload.summary, *found]
        _say("\n" + "\n\n".join(found))
        # After each step, so that one who stops it has what was done.
        text = "\n\n".join([f"# {folder.name}: {part.summary}", _where(rows_file), *summary])
        (folder / "summary.md").write_text(text + "\n")
    if "fails" in verdicts:
        return 1
    return 2 if "no result" in verdicts else 0


def _where(rows_file: Path) -> str:
    """Say which machines and versions the rows came from."""
    _, records = read(rows_file)
    last = records[-1]
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records))
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    place = last["machine"]
    return (
        f"{place['processor']}, {place['cores']} cores, {place['memory_gb']} GB, "
        f"{place['system']}; {versions}; commit {commits}."
    )


def main(words: list[str] | None = None) -> int:
    """Run one part and return its exit code: 1 if something fails, 2 if a gate has no result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long", description=__doc__)
    parser.add_argument("part", nargs="?", help="which part")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--anew", action="store_true", help="forget what the part has so far")
    parser.add_argument("--quick", action="store_true", help="only try whether it runs")
    args = parser.parse_args(words)
    if args.part is None:
        for name, part in PARTS.items():
            print(f"{name:<12} {part.summary}")
        return 0
    if args.part not in PARTS:
        print(f"no part {args.part!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 64
    part = PARTS[args.part]
    if args.quick:  # its rows say nothing, so they are kept apart
        part = quick(part)
        args.results = Path(tempfile.mkdtemp(prefix="nbscale-quick-"))
        _say(f"rows go to {args.results}")
    folder = args.results / args.part
    folder.mkdir(parents=True, exist_ok=True)
    if args.anew:
        (folder / "rows.jsonl").unlink(missing_ok=True)

    code = _run(part, folder)
    return 0 if args.quick and code == 2 else code


if __name__ == "__main__":
    sys.exit(main())
