"""Writing frames: ``to_parquet``. Parts get temporary names; one last task makes them visible."""

from __future__ import annotations

import contextlib
from typing import Any

from nbscale.collection import Collection, wrap
from nbscale.dataframe.node import Frame, FrameMap
from nbscale.dataframe.read.files import StorageOptions, filesystem, fresh_filesystem, is_s3
from nbscale.expr.node import Index, Kernel, Node, Reduce
from nbscale.expr.token import nonce
from nbscale.record import record

__all__ = ["Commit", "WriteMethods", "WriteParts"]


class WriteParts(FrameMap):
    """Write each partition to a file of its own, under a hidden name; gives the name."""

    input: Node
    path: str
    unique: str
    compression: str | None
    index: bool | None
    storage_options: StorageOptions

    @property
    def label(self) -> str:
        return "to_parquet"

    def validate(self) -> None:
        """Nothing is written to find out what writing gives."""

    def _make_sample(self) -> Any:
        return ""

    def kernel(self) -> Kernel:
        return _WritePart(
            self.path, self.unique, self.compression, self.index, self.storage_options
        )


def _hidden(path: str, unique: str) -> str:
    return f"{path}/.nbscale-{unique}"


@record
class _WritePart:
    path: str
    unique: str
    compression: str | None
    index: bool | None
    options: StorageOptions

    def __call__(self, index: Index, frame: Any) -> str:
        (i,) = index
        fs, root = filesystem(self.path, self.options)
        name = f"part.{i:05d}.parquet"
        with fs.open(f"{_hidden(root, self.unique)}/{name}", "wb") as file:
            frame.to_parquet(file, compression=self.compression, index=self.index)
        return name


class Commit(Frame, Reduce):
    """Give every part its final name, all at the end, so that a failed run leaves no half."""

    parts: Node
    path: str
    unique: str
    overwrite: bool
    storage_options: StorageOptions

    @property
    def label(self) -> str:
        return "commit"

    def validate(self) -> None:
        """Nothing is written to find out what writing gives."""

    def _make_sample(self) -> Any:
        return None

    def partial(self) -> Kernel:
        return _listed

    def combine(self) -> Kernel:
        return _joined

    def final(self) -> Kernel:
        return _Rename(self.path, self.unique, self.overwrite, self.storage_options)


def _listed(index: Index, name: str) -> list[str]:
    del index
    return [name]


def _joined(index: Index, lists: list[list[str]]) -> list[str]:
    del index
    return [name for names in lists for name in names]


@record
class _Rename:
    path: str
    unique: str
    overwrite: bool
    options: StorageOptions

    def __call__(self, index: Index, names: list[str]) -> None:
        del index
        fs, root = fresh_filesystem(self.path, self.options)
        if self.overwrite:
            for old in fs.glob(f"{root}/*.parquet"):
                fs.rm_file(old)
        hidden = _hidden(root, self.unique)
        for name in names:
            fs.mv(f"{hidden}/{name}", f"{root}/{name}")
        # Where files have no directories this one went with its last file.
        with contextlib.suppress(FileNotFoundError):
            fs.rm(hidden, recursive=True)


def _make_directory(fs: Any, path: str, where: str) -> None:
    if is_s3(fs):
        # There are no directories, and s3fs would make the bucket: of a name that may be mistyped.
        bucket = path.partition("/")[0]
        if not fs.exists(bucket):
            msg = f"there is no bucket {bucket!r} to write {where!r} to; make it, or mend the name"
            raise FileNotFoundError(msg)
    else:
        fs.makedirs(path, exist_ok=True)


class WriteMethods(Collection):
    """``to_parquet``."""

    __slots__ = ()

    def to_parquet(
        self,
        path: Any,
        compression: str | None = "snappy",
        write_index: bool | None = None,
        overwrite: bool = False,
        storage_options: dict[str, Any] | None = None,
        compute: bool = True,
    ) -> Any:
        """Write a directory of parquet files, one for each partition.

        Parameters
        ----------
        path
            A directory, local or any fsspec URL; it is made if it is not there. A bucket of S3
            must be there.
        compression
            Of the files, as in pandas.
        write_index
            Write the index; by default as pandas does: a RangeIndex costs no column.
        overwrite
            Take the place of parquet files that are there already.
        storage_options
            For fsspec, as in pandas. Not shown anywhere, since they may hold secrets.
        compute
            Write now; otherwise give a lazy value that writes when it is computed, every time.

        Raises
        ------
        FileExistsError
            If there are parquet files already and ``overwrite`` is false.
        FileNotFoundError
            If there is no such bucket.

        Notes
        -----
        One pass, no exchange; memory of one partition for each task. Files appear when all are
        written, so a run that fails leaves what was there before.
        """
        where = str(path).rstrip("/")
        options = StorageOptions(storage_options)
        fs, root = fresh_filesystem(where, options)
        if not overwrite and fs.exists(root) and fs.glob(f"{root}/*.parquet"):
            msg = f"there are parquet files in {where} already; give overwrite=True to replace them"
            raise FileExistsError(msg)
        unique = nonce()
        # Made here, once: tasks that make the same directory at the same time may collide.
        _make_directory(fs, _hidden(root, unique), where)
        parts = WriteParts(self._node, where, unique, compression, write_index, options)
        result = wrap(Commit(parts, where, unique, overwrite, options), self)
        return result.compute() if compute else result
