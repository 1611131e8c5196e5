"""The pools that are compared: two workers each, reached alike, closed when the process ends."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.registry import Missing

__all__ = ["POOLS", "WORKERS", "Pool", "noop", "start", "starting", "warm"]

WORKERS = 2

_PATIENCE = 60
"""Seconds that a peer's pool may take to start."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """How a pool is asked, in its own verbs: none of them is wrapped where it need not be.

    Attributes
    ----------
    submit
        ``submit(function, *args)`` returns a future, whatever it is called there.
    result
        Waits for a future and returns what it holds.
    gather
        The same for a list of them.
    home
        What the pool is otherwise reached by: the module, the client, the executor.
    """

    submit: Callable[..., Any]
    result: Callable[[Any], Any]
    gather: Callable[[list[Any]], list[Any]]
    home: Any


def noop(*_args: Any) -> None:
    """Do nothing."""


def warm(pool: Pool) -> Pool:
    """Have a few calls made, and return the pool: its processes are there from then on."""
    pool.gather([pool.submit(noop, i) for i in range(100)])
    return pool


@contextlib.contextmanager
def starting(name: str) -> Iterator[None]:
    """Let a peer whose pool does not start be missing, whether it says so or says nothing.

    Ours is no peer: when it does not start, that is a failure.
    """
    if name == "nbscale":
        yield
        return

    def late(*_: Any) -> None:
        msg = f"no answer in {_PATIENCE} s"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_PATIENCE)
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        msg = f"{name} does not start: {type(error).__name__}: {error}"
        raise Missing(msg) from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def start(name: str) -> Pool:
    """Start the pool of this name, and have it make a few calls.

    Raises
    ------
    Missing
        If it is a peer's and does not start here.
    """
    with starting(name):
        return warm(POOLS[name]())


def _until_exit(context: Any) -> Any:
    """Enter a context that is left as the process ends, before its library tidies up by itself."""
    value = context.__enter__()
    atexit.register(context.__exit__, None, None, None)
    return value


def _nbscale() -> Pool:
    import nbscale as ns

    ns.config.set(n_workers=WORKERS)
    return Pool(ns.submit, ns.Future.result, ns.gather, ns)


def _results(futures: list[Any]) -> list[Any]:
    return [future.result() for future in futures]


def _executor() -> Pool:
    from concurrent.futures import Future, ProcessPoolExecutor

    executor = _until_exit(ProcessPoolExecutor(WORKERS))
    return Pool(executor.submit, Future.result, _results, executor)


def _loky() -> Pool:
    from concurrent.futures import Future

    from joblib.externals.loky import get_reusable_executor

    executor = _until_exit(get_reusable_executor(max_workers=WORKERS))
    return Pool(executor.submit, Future.result, _results, executor)


def _distributed() -> Pool:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
    client = _until_exit(Client(_until_exit(cluster)))
    # Equal calls are different calls, as everywhere else.
    submit = functools.partial(client.submit, pure=False)
    return Pool(submit, lambda future: future.result(), client.gather, client)


def _ray() -> Pool:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
    _until_exit(folder)
    _until_exit(
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=folder.name,
        )
    )
    remote = functools.cache(ray.remote)
    return Pool(lambda function, *args: remote(function).remote(*args), ray.get, ray.get, ray)


def _ipyparallel() -> Pool:
    # Its profile is made in the user's home otherwise.
    os.environ["IPYTHONDIR"] = _until_exit(
        tempfile.TemporaryDirectory(prefix="ipp-", ignore_cleanup_errors=True)
    )
    import ipyparallel

    client = _until_exit(ipyparallel.Cluster(n=WORKERS, log_level=40))
    client.wait_for_engines(WORKERS, timeout=60, interactive=False)
    view = client.load_balanced_view()
    return Pool(
        view.apply_async,
        lambda future: future.get(),
        lambda futures: [future.get() for future in futures],
        client,
    )


POOLS: dict[str, Callable[[], Pool]] = {
    "nbscale": _nbscale,
    "executor": _executor,
    "loky": _loky,
    "distributed": _distributed,
    "ray": _ray,
    "ipyparallel": _ipyparallel,
}
"""What starts each pool."""
