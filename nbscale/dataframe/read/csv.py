"""``read_csv``."""

from __future__ import annotations

import dataclasses
import glob
from typing import Any

import pandas as pd

from nbscale.collection import public, wrap
from nbscale.dataframe.node import FrameSource
from nbscale.dataframe.source import numbered
from nbscale.expr.need import Need

__all__ = ["ReadCsv", "read_csv"]


class ReadCsv(FrameSource):
    files: tuple[str, ...]
    wanted: tuple[Any, ...] | None = None

    @property
    def grid(self):
        return (len(self.files),)

    def load(self):
        return _Load(self.files, self.wanted)

    def _make_sample(self):
        df = pd.read_csv(self.files[0], nrows=20)
        return df if self.wanted is None else df[list(self.wanted)]

    def pruned(self, need: Need, inputs):
        if need.columns is None:
            return self
        return self.replace(wanted=tuple(c for c in self.columns if c in need.columns))


@dataclasses.dataclass(frozen=True)
class _Load:
    files: tuple[str, ...]
    wanted: Any

    def __call__(self, index):
        df = pd.read_csv(self.files[index[0]], usecols=None if not self.wanted else list(self.wanted))
        return df if self.wanted is None else df[list(self.wanted)]


@public
def read_csv(path):
    files = tuple(sorted(glob.glob(path))) if isinstance(path, str) else tuple(path)
    return wrap(numbered(ReadCsv(files)))
