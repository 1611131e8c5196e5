from __future__ import annotations

import functools
import os
import pathlib
import zipfile

import fsspec
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.dataframe.read.files import (
    SourceFile,
    StorageOptions,
    check_unchanged,
    compression_of,
    open_file,
    read_range,
    resolve,
)
from nbscale.errors import SourceChanged


def names(files):
    return [f.name for f in files]


def test_glob_is_sorted_by_name(tmp_path):
    for name in ("c.csv", "a.csv", "b.csv", "z.txt"):
        (tmp_path / name).write_text("x")
    assert names(resolve(str(tmp_path / "*.csv"))) == ["a.csv", "b.csv", "c.csv"]
    assert names(resolve(tmp_path / "[ac].csv")) == ["a.csv", "c.csv"]


def test_double_star_goes_down(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("x")
    (tmp_path / "b.csv").write_text("x")
    assert names(resolve(tmp_path / "**" / "*.csv")) == ["b.csv", "a.csv"]


def test_list_keeps_its_order_and_repetitions(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x")
    files = resolve([tmp_path / "b.csv", str(tmp_path / "a.csv"), tmp_path / "b.csv"])
    assert names(files) == ["b.csv", "a.csv", "b.csv"]


def test_a_name_with_brackets_that_exists_is_no_glob(tmp_path):
    (tmp_path / "a[1].csv").write_text("x")
    assert names(resolve(tmp_path / "a[1].csv")) == ["a[1].csv"]


def test_relative_path_becomes_absolute(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    (file,) = resolve("a.csv")
    assert pathlib.Path(file.path) == tmp_path / "a.csv"


def test_nothing_matches_names_pattern_place_and_near_misses(tmp_path, monkeypatch):
    (tmp_path / "flights-2013.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="flights-2013") as error:
        resolve("flight-2013.csv")
    assert str(tmp_path) in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"no file matches 'q\*\.csv'"):
        resolve("q*.csv")
    with pytest.raises(FileNotFoundError, match="data/a"):
        resolve("data/a.csv")


def test_a_directory_is_refused_with_advice(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"\*"):
        resolve(tmp_path)


def test_wrong_arguments(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(ValueError, match="empty"):
        resolve([])
    with pytest.raises(TypeError, match="int"):
        resolve(3)
    with pytest.raises(TypeError, match="int"):
        resolve([3])
    with pytest.raises(ValueError, match="storage_options"):
        resolve(tmp_path / "a.csv", {"key": "k"})


def test_changed_and_vanished_files_are_not_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    (file,) = resolve(path)
    check_unchanged(file)
    os.utime(path, ns=(0, 5))
    for read in (check_unchanged, open_file, read_range):
        with pytest.raises(SourceChanged, match="time changed"):
            read(file)
    path.write_text("x\n1\n2\n")
    for read in (check_unchanged, open_file, read_range):
        with pytest.raises(SourceChanged, match="4 bytes became 6"):
            read(file)
    path.unlink()
    for read in (check_unchanged, open_file, read_range):
        with pytest.raises(FileNotFoundError, match="vanished"):
            read(file)


def test_source_changed_is_an_os_error():
    assert issubclass(SourceChanged, OSError)


def test_read_range(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"0123456789")
    (file,) = resolve(tmp_path / "a.csv")
    assert read_range(file) == b"0123456789"
    assert read_range(file, 3, 5) == b"34"
    assert read_range(file, 8, 50) == b"89"
    assert read_range(file, 8, 8) == b""


def test_urls(memory):
    memory.pipe({"/d/b.csv": b"12", "/d/a.csv": b"123"})
    files = resolve("memory://d/*.csv")
    assert [(f.name, f.size, f.protocol) for f in files] == [
        ("a.csv", 3, "memory"),
        ("b.csv", 2, "memory"),
    ]
    assert [read_range(f) for f in files] == [b"123", b"12"]
    assert read_range(files[0], 1, 2) == b"2"
    with open_file(files[0]) as handle:
        assert handle.read() == b"123"
    check_unchanged(files[0])
    memory.pipe("/d/a.csv", b"1234")
    with pytest.raises(SourceChanged):
        check_unchanged(files[0])
    memory.rm("/d/a.csv")
    for read in (check_unchanged, open_file, read_range):
        with pytest.raises(FileNotFoundError, match="vanished"):
            read(files[0])
    with pytest.raises(FileNotFoundError, match="memory://d/none"):
        resolve("memory://d/none.csv")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        resolve("memory://d/q*")


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()


def test_secrets_stay_out_of_the_repr():
    file = SourceFile("s3://b/a", 1, options=StorageOptions({"secret": "hush"}))
    assert "hush" not in repr(file)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("a.csv.gz", "infer", "gzip"),
        ("a.CSV.BZ2", "infer", "bz2"),
        ("a.csv.xz", "infer", "xz"),
        ("a.csv.zst", "infer", "zstd"),
        ("a.csv", "infer", None),
        ("a.csv.gz", None, None),
        ("a.csv", "gzip", "gzip"),
        ("a.csv", {"method": "zstd"}, "zstd"),
    ],
)
def test_compression(name, given, expected):
    assert compression_of(SourceFile(f"/d/{name}", 1), given) == expected


@pytest.mark.parametrize("read", ["csv", "parquet"])
@pytest.mark.parametrize(
    "url",
    ["file://{folder}/x.{kind}", "file://{folder}/*.{kind}", "zip://x.{kind}::{folder}/z.zip"],
)
def test_urls_of_this_machine(tmp_path, read, url):
    frame = pd.DataFrame({"a": range(10)})
    path = tmp_path / f"x.{read}"
    write = {"csv": functools.partial(frame.to_csv, index=False), "parquet": frame.to_parquet}
    write[read](path)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(path, path.name)
    found = getattr(nd, f"read_{read}")(url.format(folder=tmp_path, kind=read))
    pd.testing.assert_frame_equal(found.compute(), frame)


def test_the_name_of_a_file_in_a_chain():
    assert SourceFile("zip://in/x.csv::/data/z.zip", 1).name == "x.csv"
    assert SourceFile("simplecache::s3://bucket/y.csv", 1).name == "y.csv"
