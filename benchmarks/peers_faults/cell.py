"""One cell of the table, in a process of its own: started by ``benchmarks.peers_faults``."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from benchmarks.peers_faults.faults import FAULTS
from benchmarks.peers_faults.pools import Faulty
from benchmarks.registry import Missing


def main() -> None:
    """Do to a pool what it is told, and say what came of it."""
    peer, name = sys.argv[1:]
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # started in the background it has none
    if name == "--wait":
        pool = Faulty(peer)
        pool.pids()
        print("there", flush=True)
        while True:
            time.sleep(60)
    fault = FAULTS[name]
    try:
        outcome = fault.run(Faulty(peer, fault.memory))
        said = {"survived": outcome.survived, "text": outcome.text}
    except (ImportError, Missing) as error:
        said = {"survived": None, "text": str(error)}
    with os.fdopen(int(os.environ["NBSCALE_CELL"]), "w") as file:
        json.dump(said, file)
    os._exit(0)  # a pool that is broken may not end by itself; its processes are seen to


if __name__ == "__main__":
    main()
