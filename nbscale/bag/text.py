"""Lines of text files, of any fsspec URL."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import fsspec
from fsspec.core import get_fs_token_paths
from fsspec.utils import infer_compression, read_block

from nbscale.bag.node import BagSource
from nbscale.collection import public, wrap
from nbscale.expr.token import nonce
from nbscale.graph.part import Part
from nbscale.record import record
from nbscale.units import parse_bytes

__all__ = ["WriteText", "from_url", "names_for", "read_text"]


@record
class _Form:
    """How bytes become items."""

    compression: str | None
    encoding: str
    errors: str
    delimiter: str | None
    include_path: bool
    options: tuple[tuple[str, Any], ...]

    def items(self, path: str, start: int, length: int | None) -> list[Any]:
        """The lines of a file, or those that begin after ``start`` in a block of it."""
        with fsspec.open(path, "rb", compression=self.compression, **dict(self.options)) as file:
            mark = (self.delimiter or "\n").encode(self.encoding)
            data = file.read() if length is None else read_block(file, start, length, mark)
        text = data.decode(self.encoding, self.errors)
        if self.delimiter is None:
            lines = list(io.StringIO(text, newline=None))
        else:
            *whole, rest = text.split(self.delimiter)
            lines = [line + self.delimiter for line in whole] + ([rest] if rest else [])
        return [(line, path) for line in lines] if self.include_path else lines


@record
class _ReadLines:
    form: _Form
    blocks: tuple[tuple[tuple[str, int, int | None], ...], ...]

    def __call__(self, number: int) -> list[Any]:
        return [item for block in self.blocks[number] for item in self.form.items(*block)]

    def part(self, index: tuple[int, ...]) -> Part:
        """Which file a partition is of."""
        return Part(self.blocks[index[0]][0][0])


@public
def read_text(
    urlpath: Any,
    blocksize: int | str | None = None,
    compression: str | None = "infer",
    encoding: str = "utf-8",
    errors: str = "strict",
    linedelimiter: str | None = None,
    collection: bool = True,
    storage_options: dict[str, Any] | None = None,
    files_per_partition: int | None = None,
    include_path: bool = False,
) -> Any:
    r"""Make a bag of the lines of text files, with their line ends.

    Parameters
    ----------
    urlpath
        A path or URL, one with ``*``, or a list of them.
    blocksize
        Bytes of a partition, such as ``"64MB"``; by default a partition is a file.
    compression
        By default by the ending of the name.
    linedelimiter
        By default any of the line ends, given as ``\n``.
    collection
        False gives a list of lazy values, one a partition.
    files_per_partition
        How many files make a partition.
    include_path
        Give (line, path).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If compressed files, or an encoding of more than one byte a line end, are to be cut into blocks.

    Notes
    -----
    One pass, a task a partition. Files are read when they are needed, as they are then.

    Examples
    --------
    >>> import pathlib, tempfile, nbscale.bag as nb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.txt").write_text("one\ntwo\n")
    ...     nb.read_text(folder + "/*.txt").map(str.strip).compute()
    ['one', 'two']
    """
    if blocksize is not None and files_per_partition is not None:
        raise ValueError("give blocksize or files_per_partition, not both")
    given = [urlpath] if isinstance(urlpath, (str, os.PathLike)) else list(urlpath)
    options = storage_options or {}
    found: list[tuple[Any, str]] = []
    for one in given:
        fs, _, paths = get_fs_token_paths(os.fspath(one), storage_options=options)
        if not paths or not all(map(fs.exists, paths)):
            raise FileNotFoundError(f"no file matches {os.fspath(one)!r}")
        found += [(fs, path) for path in sorted(paths)]
    codec = infer_compression(found[0][1]) if compression == "infer" else compression
    blocks: list[tuple[tuple[str, int, int | None], ...]]
    if blocksize is None:
        step = files_per_partition or 1
        files = [(fs.unstrip_protocol(path), 0, None) for fs, path in found]
        blocks = [tuple(files[i : i + step]) for i in range(0, len(files), step)]
    else:
        _check_cuttable(codec, encoding, linedelimiter)
        size = parse_bytes(blocksize) if isinstance(blocksize, str) else int(blocksize)
        blocks = [
            ((fs.unstrip_protocol(path), start, size),)
            for fs, path in found
            for start in range(0, max(1, fs.size(path)), size)
        ]
    form = _Form(codec, encoding, errors, linedelimiter, include_path, tuple(options.items()))
    bag = wrap(BagSource(_ReadLines(form, tuple(blocks)), len(blocks), "read_text", nonce()))
    return bag if collection else bag.to_delayed()


def _check_cuttable(codec: str | None, encoding: str, delimiter: str | None) -> None:
    if codec is not None:
        raise ValueError(
            f"files compressed with {codec} cannot be cut into blocks; leave out blocksize"
        )
    mark = delimiter or "\n"
    if mark.encode(encoding) != mark.encode("utf-8"):
        raise ValueError(f"text in {encoding} cannot be cut into blocks; leave out blocksize")


@public
def from_url(urls: Any) -> Any:
    """Make a bag of the lines, as bytes, of what is at some URLs; a partition a URL.

    Examples
    --------
    >>> import fsspec, nbscale.bag as nb
    >>> with fsspec.open("memory://lines", "wb") as file:
    ...     _ = file.write(b"one")
    >>> nb.from_url("memory://lines").compute(engine="inline")
    [b'one']
    """
    given = (urls,) if isinstance(urls, str) else tuple(urls)
    return wrap(BagSource(_ReadBytes(given), len(given), "from_url", nonce()))


@record
class _ReadBytes:
    urls: tuple[str, ...]

    def __call__(self, number: int) -> list[bytes]:
        with fsspec.open(self.urls[number], "rb") as file:
            return list(file)

    def part(self, index: tuple[int, ...]) -> Part:
        """Which URL a partition is of."""
        return Part(self.urls[index[0]])


def names_for(path: Any, count: int, name_function: Callable[[int], str] | None) -> tuple[str, ...]:
    """The file of each partition: a list is taken as it is, ``*`` stands for a name."""
    if not isinstance(path, (str, os.PathLike)):
        names = tuple(map(os.fspath, path))
        if len(names) != count:
            raise ValueError(f"{len(names)} paths for {count} partitions; give one for each")
        return names
    text = os.fspath(path)
    name = name_function or (lambda i: f"{i:0{len(str(count - 1))}d}")
    text = text if "*" in text else text.rstrip("/") + "/*.part"
    if text.count("*") > 1:
        raise ValueError(f"{text!r} has more than one *; one stands for the name of a partition")
    names = tuple(text.replace("*", name(i)) for i in range(count))
    if len(set(names)) < count:
        raise ValueError("name_function gives two partitions one name; names must differ")
    return names


@record
class WriteText:
    """Write a partition under a temporary name, then rename it; gives the name."""

    names: Sequence[str]
    compression: str | None
    encoding: str
    last_endline: bool
    options: tuple[tuple[str, Any], ...]
    unique: str

    def __call__(self, number: int, part: Any) -> list[str]:
        name = self.names[number]
        codec = infer_compression(name) if self.compression == "infer" else self.compression
        fs, path = fsspec.core.url_to_fs(name, **dict(self.options))
        folder, _, last = path.rpartition("/")
        fs.makedirs(folder or ".", exist_ok=True)
        hidden = f"{folder}/.{last}.{self.unique}" if folder else f".{last}.{self.unique}"
        text = "\n".join(part) + ("\n" if self.last_endline and part else "")
        with fsspec.core.OpenFile(fs, hidden, "wb", compression=codec) as file:
            file.write(text.encode(self.encoding))
        fs.mv(hidden, path)
        return [name]
