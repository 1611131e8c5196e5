"""A file system that counts the bytes it hands out."""

from __future__ import annotations

import io
from collections import Counter

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem


class Counted(io.BytesIO):
    """A file in memory that counts what is read of it."""

    def __init__(self, data, name):
        super().__init__(data)
        self._name = name

    def read(self, *args):
        data = super().read(*args)
        CountingFileSystem.fetched[self._name] += len(data)
        return data


class CountingFileSystem(MemoryFileSystem):
    """Files in memory; ``fetched`` says how many bytes of each were read."""

    protocol = ("counting",)
    cachable = False
    store: dict = {}  # noqa: RUF012 - shared on purpose, as MemoryFileSystem's is
    fetched: Counter = Counter()  # noqa: RUF012 - shared on purpose

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("counting://", "memory://"))

    def _open(self, path, mode="rb", **kwargs):
        file = super()._open(path, mode, **kwargs)
        return Counted(file.getvalue(), self._strip_protocol(path)) if "r" in mode else file

    def cat_file(self, path, start=None, end=None, **kwargs):
        data = super().cat_file(path, start, end, **kwargs)
        self.fetched[self._strip_protocol(path)] += len(data)
        return data

    def write(self, path, text):
        """Make a file."""
        with self.open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def counting():
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    CountingFileSystem.store.clear()
    CountingFileSystem.fetched.clear()
    return CountingFileSystem()
