"""Install a built wheel into an empty environment elsewhere and run the main job from there.

Run as ``python .ci/try_wheel.py dist``, after a wheel was put into ``dist``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# Run by the new environment's Python: many files, one lazy frame, and pandas' own answer.
MAIN_JOB = """
from pathlib import Path
import sys

import nbscale
assert "pandas" not in sys.modules, "importing nbscale loaded pandas"
import nbscale.dataframe as nd

checkout = Path(sys.argv[1])
assert checkout not in Path(nbscale.__file__).parents, f"{nbscale.__file__} is the checkout"

import numpy as np
import pandas as pd

rng = np.random.default_rng(2013)
parts = []
for number in range(8):
    part = pd.DataFrame({
        "carrier": rng.choice(["UA", "AA", "B6", "DL"], 5_000),
        "dep_delay": rng.integers(-20, 200, 5_000),
    })
    part.to_csv(f"flights-{number}.csv", index=False)
    parts.append(part)

df = nd.read_csv("flights-*.csv")
found = df.groupby(df.carrier).dep_delay.mean().compute()
whole = pd.concat(parts, ignore_index=True)
pd.testing.assert_series_equal(found, whole.groupby("carrier").dep_delay.mean(), rtol=1e-12)
print(found)
print("nbscale", nbscale.__version__, "from", Path(nbscale.__file__).parent)
"""


def main(dist: Path) -> None:
    """Install the one wheel in ``dist`` and run the main job with it.

    Raises
    ------
    ValueError
        If there is not exactly one wheel.
    subprocess.CalledProcessError
        If the installation or the job fails.
    """
    [wheel] = dist.resolve().glob("*.whl")
    if not wheel.name.endswith("-py3-none-any.whl"):
        raise ValueError(f"{wheel.name} is not for every machine: expected py3-none-any")
    checkout = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as place:
        venv.create(Path(place) / "env")
        python = str(Path(place) / "env" / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python]
        subprocess.run([*pip, "install", "--quiet", str(wheel)], check=True)
        subprocess.run([python, "-I", "-c", MAIN_JOB, str(checkout)], check=True, cwd=place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
