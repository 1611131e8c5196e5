"""Files in buckets of S3, as moto's server on the loopback plays it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd
from nbscale import config
from nbscale.errors import SourceChanged
from nbscale.events import RunEnded
from nbscale.session import current

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

KEY, SECRET = "AKIAEXAMPLEOFAKEY", "example-of-a-secret"
ROWS = 1000
SECONDS = 5
"""What goes wrong says so in less. It is not what is tested, but what a hang is told by."""


@pytest.fixture(scope="module")
def options():
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-west-2"}
    yield {"key": KEY, "secret": SECRET, "client_kwargs": endpoint}
    server.stop()


def part(i):
    """One of several files: the third column is wide, so that columns differ in what they cost."""
    numbers = np.arange(i * ROWS, (i + 1) * ROWS)
    return pd.DataFrame({"a": numbers, "b": numbers % 7, "text": [f"t{n:040d}" for n in numbers]})


@pytest.fixture(scope="module")
def fs(options):
    fs = s3fs.S3FileSystem(**options)
    fs.mkdir("bucket")
    for i in range(3):
        fs.pipe(f"bucket/csv/part-{i}.csv", part(i).to_csv(index=False).encode())
        data = io.BytesIO()
        part(i).to_parquet(data)
        fs.pipe(f"bucket/parquet/part-{i}.parquet", data.getvalue())
    return fs


WHOLE = pd.concat([part(i) for i in range(3)], ignore_index=True)


@pytest.fixture(params=["inline", "local"])
def engine(request):
    with config.set(engine=request.param):
        yield request.param


@pytest.mark.parametrize("blocksize", [None, 10_000], ids=["whole", "ranges"])
def test_csv_files_of_a_glob(fs, options, engine, blocksize):
    df = nd.read_csv("s3://bucket/csv/*.csv", storage_options=options, blocksize=blocksize)
    assert (df.npartitions == 3) == (blocksize is None)
    pd.testing.assert_frame_equal(df.compute(), WHOLE)
    assert ns.runs()[-1].engine == engine


def test_csv_files_of_a_list_keep_its_order(fs, options, engine):
    paths = [f"s3://bucket/csv/part-{i}.csv" for i in (2, 0)]
    done = nd.read_csv(paths, storage_options=options).compute()
    pd.testing.assert_frame_equal(done, pd.concat([part(2), part(0)], ignore_index=True))


@pytest.mark.parametrize(
    "path", ["parquet", "parquet/", "parquet/*.parquet", "parquet/part-1.parquet"]
)
def test_parquet_files(fs, options, engine, path):
    done = nd.read_parquet(f"s3://bucket/{path}", storage_options=options).compute()
    pd.testing.assert_frame_equal(done, part(1) if "1" in path else WHOLE)


def test_csv_is_read_by_ranges(fs, options, monkeypatch):
    asked = []
    call = s3fs.S3FileSystem._call_s3

    async def recorded(self, method, *args, **more):
        if method == "get_object":
            start, _, last = more["Range"].removeprefix("bytes=").partition("-")
            asked.append(int(last) + 1 - int(start))
        return await call(self, method, *args, **more)

    data = pd.concat([part(i) for i in range(40)])
    text = data.to_csv(index=False).encode()
    fs.pipe("bucket/long/one.csv", text)
    df = nd.read_csv("s3://bucket/long/one.csv", storage_options=options, blocksize=500_000)
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", recorded)
    with config.set(engine="inline"):
        assert df.a.sum().compute() == data.a.sum()
    # A block reads on to the end of its last row.
    assert df.npartitions >= len(text) // 500_000
    assert max(asked) < 700_000
    assert len(text) <= sum(asked) <= 1.5 * len(text)


def test_parquet_reads_the_columns_that_are_used(fs, options, monkeypatch):
    fetched = []
    fetch = s3fs.core.S3File._fetch_range

    def recorded(self, start, end):
        fetched.append(end - start)
        return fetch(self, start, end)

    data = io.BytesIO()
    wide = pd.DataFrame({"a": np.arange(50_000.0), "w": np.random.default_rng(0).random(50_000)})
    wide["v"] = wide.w[::-1].to_numpy()
    wide.to_parquet(data)
    fs.pipe("bucket/wide/one.parquet", data.getvalue())
    df = nd.read_parquet("s3://bucket/wide/one.parquet", storage_options=options)
    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", recorded)
    with config.set(engine="inline"):
        assert df.a.sum().compute() == wide.a.sum()
    assert 0 < sum(fetched) < 0.7 * len(data.getvalue())


def test_parquet_is_written_and_read_again(fs, options, engine):
    where = f"s3://bucket/written-{engine}"
    nd.from_pandas(WHOLE, npartitions=4).to_parquet(where, storage_options=options)
    names = [name.rpartition("/")[2] for name in fs.find(where, refresh=True)]
    assert names == [f"part.{i:05d}.parquet" for i in range(4)]
    done = nd.read_parquet(where, storage_options=options).compute()
    pd.testing.assert_frame_equal(done, WHOLE)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        nd.from_pandas(WHOLE, npartitions=2).to_parquet(where, storage_options=options)
    # Other files now, written by another process: what was listed before must not be believed.
    fewer = nd.from_pandas(WHOLE[:10], npartitions=2)
    fewer.to_parquet(where, storage_options=options, overwrite=True)
    done = nd.read_parquet(where, storage_options=options).compute()
    pd.testing.assert_frame_equal(done, WHOLE[:10])


def in_worker(options):
    """Whether a worker has a loop whose thread runs in another process; and what it reads."""
    asyn = sys.modules.get("fsspec.asyn")
    thread = asyn.iothread[0] if asyn else None
    inherited = thread is not None and not thread.is_alive()
    own = s3fs.S3FileSystem(**options)
    return os.getpid(), inherited, len(own.cat_file("bucket/csv/part-0.csv"))


def test_workers_inherit_no_event_loop(fs, options):
    current().close()  # so that the pool starts when the kernel has a loop, and its thread
    size = fs.info("bucket/csv/part-0.csv", refresh=True)["size"]
    told = ns.compute(*[ns.delayed(in_worker)(options) for _ in range(4)], engine="local")
    assert all(pid != os.getpid() for pid, _, _ in told)
    assert [(inherited, read) for _, inherited, read in told] == [(False, size)] * 4


# What goes wrong ----------------------------------------------------------------------------


@contextlib.contextmanager
def raised(kind, match):
    begun = time.monotonic()
    with pytest.raises(kind, match=match) as info:
        yield info
    assert time.monotonic() - begun < SECONDS
    assert_no_secret("".join(traceback.format_exception(info.value)))


def assert_no_secret(text):
    assert KEY not in text
    assert SECRET not in text


@pytest.mark.parametrize("read", [nd.read_csv, nd.read_parquet])
@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("nowhere/a.csv", "there is no file 's3://nowhere/a.csv'; there is no bucket 'nowhere'"),
        ("nowhere/*.csv", r"no file matches 's3://nowhere/\*.csv'; there is no bucket 'nowhere'"),
        ("bucket/csv/part-9.csv", "there is no file 's3://bucket/csv/part-9.csv'$"),
        ("bucket/csv/q*.csv", r"no file matches 's3://bucket/csv/q\*.csv'$"),
    ],
)
def test_what_is_not_there(fs, options, read, path, match):
    with raised(FileNotFoundError, match):
        read(f"s3://{path}", storage_options=options)


def test_a_bucket_is_not_made_by_a_mistyped_name(fs, options):
    df = nd.from_pandas(WHOLE, npartitions=2)
    with raised(FileNotFoundError, "there is no bucket 'bukcet'"):
        df.to_parquet("s3://bukcet/a", storage_options=options)
    assert not fs.exists("bukcet")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_vanished(fs, options, engine, kind):
    path = f"bucket/gone/{engine}.{kind}"
    fs.pipe(path, fs.cat_file(f"bucket/{kind}/part-0.{kind}"))
    read = nd.read_csv if kind == "csv" else nd.read_parquet
    df = read(f"s3://{path}", storage_options=options)
    fs.rm_file(path)
    with raised(FileNotFoundError, "vanished between"):
        df.compute()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_became_shorter(fs, options, engine, kind):
    path = f"bucket/changed/{engine}.{kind}"
    fs.pipe(path, fs.cat_file(f"bucket/{kind}/part-0.{kind}"))
    read = nd.read_csv if kind == "csv" else nd.read_parquet
    df = read(f"s3://{path}", storage_options=options)
    fs.pipe(path, fs.cat_file(f"bucket/{kind}/part-0.{kind}")[:300])
    with raised(SourceChanged, "changed between"):
        df.compute()


def test_secrets_are_shown_nowhere(fs, options, engine, monkeypatch):
    events = []
    ends = threading.Semaphore(0)

    def observe(event):
        events.append(event)
        if isinstance(event, RunEnded):
            ends.release()

    monkeypatch.setattr(current(), "_observers", [observe])
    df = nd.read_csv("s3://bucket/csv/*.csv", storage_options=options)
    df.compute()
    where = f"s3://bucket/secrets-{engine}"
    written = df.to_parquet(where, storage_options=options, compute=False)
    written.compute()
    assert all(ends.acquire(timeout=60) for _ in range(2))
    nodes = [df._node, written._node]
    while nodes:
        node = nodes.pop()
        nodes += node.inputs
        kernels = [getattr(node, name)() for name in ("kernel", "final") if hasattr(node, name)]
        assert_no_secret("\n".join(map(repr, [node, node.label, node.key, *kernels])))
    shown = [df, df._repr_html_(), written, df.explain(), written.explain(), ns.runs(), *events]
    assert_no_secret("\n".join(map(repr, shown)))


def test_without_s3fs_the_extra_is_named(options):
    script = (
        "import sys; sys.modules['s3fs'] = None\n"
        "import nbscale.dataframe as nd\n"
        "for read in (nd.read_csv, nd.read_parquet):\n"
        "    try: read('s3://bucket/a*')\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count("pip install 'nbscale[s3]'") == 2


def test_s3fs_is_not_imported_for_other_files(tmp_path):
    part(0).to_csv(tmp_path / "a.csv", index=False)
    script = (
        "import sys, nbscale.dataframe as nd\n"
        f"nd.read_csv({str(tmp_path / 'a.csv')!r}).compute(engine='inline')\n"
        "import fsspec; fsspec.filesystem('memory').pipe('/d/a.csv', b'a\\n1\\n')\n"
        "nd.read_csv('memory://d/a.csv').compute(engine='inline')\n"
        "assert 's3fs' not in sys.modules and 'aiobotocore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
