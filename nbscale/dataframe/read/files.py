# ruff: noqa: PTH100, PTH109, PTH110, PTH111, PTH112, PTH116, PTH117, PTH118, PTH123, PTH207, PTH208 - paths stay text: users and fsspec give them so
"""Which files are meant, what identifies them, and the only places where they are opened.

Paths, lists of paths, globs and fsspec URLs become ``SourceFile`` records. Local files are opened
by ``open``, everything else by fsspec. A file that changed after it was listed is never read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import glob
import os
import posixpath
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, TypeAlias

from nbscale.errors import SourceChanged
from nbscale.expr.token import token
from nbscale.record import record

__all__ = [
    "Paths",
    "SourceFile",
    "StorageOptions",
    "check_unchanged",
    "compression_for",
    "compression_of",
    "filesystem",
    "fresh_filesystem",
    "is_s3",
    "open_file",
    "read_range",
    "resolve",
]

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_MAGIC = frozenset("*?[")
_COMPRESSIONS = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zst": "zstd",
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
}


class StorageOptions(Mapping[str, Any]):
    """The ``storage_options`` of a URL: read-only, and silent about their values.

    They may hold secrets, so ``repr`` names the options only. They may hold dicts
    (``client_kwargs``), so they are compared and hashed by a hash of their content.

    Examples
    --------
    >>> StorageOptions({"key": "AKIA...", "secret": "..."})
    StorageOptions(key=..., secret=...)
    """

    __slots__ = ("_given", "key")

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._given = dict(sorted((given or {}).items()))
        self.key = token(self._given)

    def __getitem__(self, name: str) -> Any:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageOptions) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"StorageOptions({', '.join(f'{name}=...' for name in self)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return StorageOptions, (self._given,)


@record
class SourceFile:
    """A file as it was when it was listed.

    Attributes
    ----------
    path
        Absolute local path, or the URL.
    size
        Bytes, or None where the server does not say.
    mtime
        Time of the last change in nanoseconds since 1970, or None where there is none.
    etag
        The server's own mark of the content, or None.
    protocol
        ``"file"`` for local files, else that of the URL.
    options
        ``storage_options``.
    """

    path: str
    size: int | None
    mtime: int | None = None
    etag: str | None = None
    protocol: str = "file"
    options: StorageOptions = dataclasses.field(default=StorageOptions(), repr=False)

    @property
    def name(self) -> str:
        """The last part of the path; of a chain of URLs, that of the file inside."""
        links = self.path.split("::")
        inner = next((link for link in links if "://" in link), links[-1])
        return posixpath.basename(inner.replace(os.sep, "/"))

    @property
    def identity(self) -> tuple[Any, ...]:
        """What stands for the content in keys and caches."""
        return (self.path, self.size, self.mtime, self.etag)


def resolve(
    paths: Paths, storage_options: Mapping[str, Any] | None = None
) -> tuple[SourceFile, ...]:
    """List the files that paths mean.

    A list keeps its order; what a glob matches is sorted by name. ``**`` matches any depth.

    Parameters
    ----------
    paths
        A path, a glob, a URL known to fsspec, or several of them.
    storage_options
        Passed to the file systems of URLs.

    Raises
    ------
    FileNotFoundError
        If a path does not exist or a glob matches nothing; the message names near misses.
    IsADirectoryError
        If a path is a directory.
    ValueError
        If the list is empty, or ``storage_options`` are given for local paths only.
    TypeError
        If a path is neither text nor path-like.

    Notes
    -----
    Costs one ``stat`` a file, or the listing that the server offers; nothing is opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("b.csv", "a.csv"):
    ...     _ = (folder / name).write_text("x")
    >>> [file.name for file in resolve(folder / "*.csv")]
    ['a.csv', 'b.csv']
    """
    if isinstance(paths, (str, os.PathLike)):
        listed: list[Any] = [paths]
    elif isinstance(paths, Iterable) and not isinstance(paths, bytes):
        listed = list(paths)
        if not listed:
            raise ValueError("the list of paths is empty: give at least one file")
    else:
        raise TypeError(f"a path is text or a pathlib.Path, not {type(paths).__name__}")
    options = StorageOptions(storage_options)
    found: list[SourceFile] = []
    remote = False
    for path in map(_text, listed):
        local = _LOCAL.match(path)
        if local is not None:
            found.extend(_resolve_local(path[local.end() :]))
        elif _is_url(path):
            remote = True
            found.extend(_resolve_url(path, options))
        else:
            found.extend(_resolve_local(path))
    if options and not remote:
        raise ValueError("storage_options are for URLs (such as s3://...), and all paths are local")
    return tuple(found)


def _text(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"a path is text or a pathlib.Path, not {type(path).__name__}")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError("a path is text, not bytes")
    return os.path.expanduser(text)


_LOCAL = re.compile(r"(file|local)://(?!.*::)")
"""Of URLs that are paths of this machine."""


def _is_url(path: str) -> bool:
    return "://" in path or "::" in path


def _resolve_local(path: str) -> list[SourceFile]:
    if os.path.exists(path) or not _MAGIC.intersection(path):
        return [_stat_local(path)]
    matches = [p for p in sorted(glob.glob(path, recursive=True)) if not os.path.isdir(p)]
    if not matches:
        raise FileNotFoundError(_nothing_matches(path))
    return [_stat_local(p) for p in matches]


def _stat_local(path: str) -> SourceFile:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(_nothing_matches(path)) from None
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"{path!r} is a directory: say which files in it, for example "
            f"{os.path.join(path, '*')!r}"
        )
    return SourceFile(os.path.abspath(path), status.st_size, status.st_mtime_ns)


def _nothing_matches(pattern: str) -> str:
    """Say what was looked for, where, and what is there that looks like it."""
    place, name = os.path.split(pattern)
    while _MAGIC.intersection(place) or (place and not os.path.isdir(place)):
        place, name = os.path.split(place)
    try:
        there = sorted(os.listdir(place or "."))
    except OSError:
        there = []
    import difflib  # noqa: PLC0415 - only what goes wrong needs it

    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    what = "no file matches" if _MAGIC.intersection(pattern) else "there is no file"
    message = f"{what} {pattern!r}"
    if not os.path.isabs(pattern):
        message += f" (looked from {os.getcwd()!r})"
    if near:
        names = ", ".join(repr(os.path.join(place, n)) for n in near)
        return f"{message}; there is {names}"
    return f"{message}; {place or os.getcwd()!r} holds {len(there)} entries, none with a like name"


def _resolve_url(url: str, options: StorageOptions) -> list[SourceFile]:
    chain, _, last = url.rpartition("::")
    protocol = re.split("::|://", url, maxsplit=1)[0]
    if chain or not _MAGIC.intersection(last):
        fresh_filesystem(url, options)
        return [_stat_url(url, protocol, options)]
    fs, path = fresh_filesystem(last, options)
    matches = [fs.unstrip_protocol(p) for p in sorted(fs.glob(path)) if not fs.isdir(p)]
    if not matches:
        raise FileNotFoundError(f"no file matches {url!r}{_no_bucket(fs, path)}")
    return [_stat_url(match, protocol, options) for match in matches]


def _stat_url(url: str, protocol: str, options: StorageOptions) -> SourceFile:
    fs, path = filesystem(url, options)
    try:
        info = fs.info(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {url!r}{_no_bucket(fs, path)}") from None
    if info.get("type") == "directory":
        raise IsADirectoryError(f"{url!r} is a directory: say which files in it, as {url}/*")
    return SourceFile(url, info.get("size"), _mtime(info), _etag(info), protocol, options)


def _etag(info: Mapping[str, Any]) -> str | None:
    etag = info.get("ETag") or info.get("etag") or info.get("md5Hash")
    return None if etag is None else str(etag)


def _mtime(info: Mapping[str, Any]) -> int | None:
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, dt.datetime):
            return int(value.timestamp() * 1e6) * 1000
        if isinstance(value, (int, float)):
            return int(value * 1e6) * 1000
    return None


def check_unchanged(file: SourceFile) -> None:
    """Look whether a file is still what was listed.

    Raises
    ------
    FileNotFoundError
        If it has vanished.
    SourceChanged
        If its size, time or mark differ.
    """
    try:
        if file.protocol == "file":
            now = _stat_local(file.path)
        else:
            fs, path = filesystem(file.path, file.options)
            fs.invalidate_cache(path)
            now = _stat_url(file.path, file.protocol, file.options)
    except FileNotFoundError:
        raise FileNotFoundError(_vanished(file)) from None
    if now.identity != file.identity:
        raise SourceChanged(_changed(file, now.size))


def _vanished(file: SourceFile) -> str:
    return (
        f"{file.path!r} vanished between the time it was listed and the time it was read; "
        f"make the collection anew from the files there are"
    )


def _changed(file: SourceFile, size: int | None) -> str:
    what = "its time changed" if size == file.size else f"{file.size} bytes became {size}"
    return (
        f"{file.path!r} was changed between the time it was listed and the time it was read "
        f"({what}); make the collection anew to read what it holds now"
    )


def filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The fsspec file system of a URL or a path, and the path in it.

    Raises
    ------
    ImportError
        If the library for that protocol is not installed; for S3 the message names the extra.
    """
    # 40 ms to import, which who reads local files need not wait for.
    from fsspec.core import url_to_fs  # noqa: PLC0415

    try:
        found: tuple[Any, str] = url_to_fs(url, **options)
    except ImportError as error:
        if not _S3.intersection(re.findall(r"(\w+)://", url)):
            raise
        raise ImportError(f"to reach {url!r} takes s3fs: pip install 'nbscale[s3]'") from error
    return found


_S3 = frozenset({"s3", "s3a"})


def is_s3(fs: Any) -> bool:
    """Whether files are objects in buckets of S3."""
    protocol = fs.protocol
    return not _S3.isdisjoint((protocol,) if isinstance(protocol, str) else protocol)


def _no_bucket(fs: Any, path: str) -> str:
    bucket = path.partition("/")[0]
    # Who may not ask for the bucket is told of the file alone.
    with contextlib.suppress(OSError):
        if is_s3(fs) and not fs.exists(bucket):
            return f"; there is no bucket {bucket!r}"
    return ""


def fresh_filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The same, and what is listed next is what is there now.

    File systems remember listings, and files may be written by another process.
    """
    fs, path = filesystem(url, options)
    fs.invalidate_cache()
    return fs, path


_EXACT = {"cache_type": "none"}

_homes: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""File systems of open files: that of an archive closes it when nobody has the file system."""


def open_file(file: SourceFile, mode: str = "rb", *, ahead: int | None = None) -> IO[Any]:
    """Open a file: by ``open`` if it is local, else by fsspec.

    Parameters
    ----------
    file
        The file.
    mode
        As for ``open``.
    ahead
        Bytes to fetch beyond those that are read, of files that are not local. By default what
        the file system likes for reading in turn, which for S3 is tens of megabytes.

    Raises
    ------
    FileNotFoundError
        If a file to be read has vanished since it was listed.
    SourceChanged
        If a file to be read has another size, time or mark than when it was listed; of files
        that are not local only those are looked at whose server tells the mark on opening.
    """
    if file.protocol != "file":
        try:
            fs, path = filesystem(file.path, file.options)
            fetch: dict[str, Any] = {}
            if ahead is not None:
                fetch = {"cache_type": "readahead", "block_size": ahead} if ahead else _EXACT
            opened: IO[Any] = fs.open(path, mode, **fetch)
            _homes[opened] = fs
        except FileNotFoundError:
            raise FileNotFoundError(_vanished(file)) from None
        # What the server said when it was asked to open the file, if it is one that says.
        now = getattr(opened, "details", None) if "r" in mode else None
        if isinstance(now, Mapping) and _etag(now) not in (None, file.etag):
            opened.close()
            raise SourceChanged(_changed(file, now.get("size")))
        return opened
    try:
        handle = open(file.path, mode)  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise FileNotFoundError(_vanished(file)) from None
    if "r" in mode:
        status = os.fstat(handle.fileno())
        if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime):
            handle.close()
            raise SourceChanged(_changed(file, status.st_size))
    return handle


def read_range(file: SourceFile, start: int = 0, stop: int | None = None) -> bytes:
    """Read the bytes ``start .. stop-1`` (to the end, if None): one request, nothing more.

    Raises
    ------
    FileNotFoundError
        If the file has vanished.
    SourceChanged
        If a local file has changed, or the range ends early though the file should be longer.
    """
    if file.protocol == "file":
        with open_file(file) as handle:
            handle.seek(start)
            data: bytes = handle.read(-1 if stop is None else max(0, stop - start))
    else:
        fs, path = filesystem(file.path, file.options)
        try:
            data = fs.cat_file(path, start=start, end=stop)
        except FileNotFoundError:
            raise FileNotFoundError(_vanished(file)) from None
    if file.size is not None:
        expected = (file.size if stop is None else min(stop, file.size)) - start
        if len(data) < expected:
            raise SourceChanged(_changed(file, start + len(data)))
    return data


def compression_of(file: SourceFile, compression: Any = "infer") -> str | None:
    """Name the compression of a file as pandas infers it from its name, or as it was given.

    Examples
    --------
    >>> compression_of(SourceFile("/data/a.csv.gz", 10)), compression_of(SourceFile("a.csv", 10))
    ('gzip', None)
    """
    if isinstance(compression, Mapping):
        compression = compression.get("method", "infer")
    if compression is None or compression != "infer":
        return None if compression is None else str(compression)
    name = file.name.lower()
    return next((what for end, what in _COMPRESSIONS.items() if name.endswith(end)), None)


def compression_for(file: SourceFile, compression: Any = "infer") -> Any:
    """What to tell pandas of a file's compression when it is given bytes instead of the name."""
    if isinstance(compression, Mapping) and compression.get("method", "infer") != "infer":
        return compression
    return compression_of(file, compression)
