"""Every method of a bag against plain Python, over many partitionings, some with empty partitions."""

from __future__ import annotations

import datetime as dt
import functools
import gzip
import inspect
import itertools
import math
import operator
import statistics
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

import nbscale as ns
import nbscale.bag as nb
from nbscale.bag.hashing import stable_hash
from nbscale.bag.node import BagHeld
from nbscale.collection import wrap
from nbscale.expr.token import nonce

NUMBERS = [5, 3, 8, 3, -1, 0, 8, 2, 7, 7, 3, 12, 4]
WORDS = ["ant", "bee", "cat", "ant", "dog", "bat", "cow", "ape", "ant", "bee", "cub", "doe", "elk"]
# Where the 13 items are cut: neighbours that are equal make empty partitions.
CUTS = {
    "one": (),
    "two": (6,),
    "empty first": (0, 4),
    "empty between and last": (2, 2, 9, 13),
    "singles": tuple(range(1, 13)),
}


def cut(items, cuts):
    edges = [0, *cuts, len(items)]
    return wrap(
        BagHeld(tuple(items[a:b] for a, b in itertools.pairwise(edges)), nonce(), "bag", "cut")
    )


@pytest.fixture(params=CUTS.values(), ids=CUTS)
def cuts(request):
    return request.param


def is_odd(x):
    return x % 2 == 1


def group(items, key):
    groups = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def top(items, k, key=None):
    return sorted(items, key=key, reverse=True)[:k]


# Each row: the method on a lazy bag of numbers, and the same on the list. The order is compared.
ORDERED = {
    "map": (lambda b: b.map(lambda x: x * 2), lambda v: [x * 2 for x in v]),
    "map of constants": (lambda b: b.map(pow, 2), lambda v: [x**2 for x in v]),
    "map by name": (lambda b: b.map(round, ndigits=-1), lambda v: [round(x, -1) for x in v]),
    "map of bags": (lambda b: b.map(operator.add, b.map(abs)), lambda v: [x + abs(x) for x in v]),
    "map of items": (lambda b: b.map(operator.sub, b.max()), lambda v: [x - max(v) for x in v]),
    "function map": (lambda b: nb.map(operator.mul, b, b), lambda v: [x * x for x in v]),
    "constant before": (lambda b: nb.map(operator.sub, 1, b), lambda v: [1 - x for x in v]),
    "item before": (lambda b: nb.map(operator.sub, b.min(), b), lambda v: [min(v) - x for x in v]),
    "filter": (lambda b: b.filter(is_odd), lambda v: [x for x in v if is_odd(x)]),
    "remove": (lambda b: b.remove(is_odd), lambda v: [x for x in v if not is_odd(x)]),
    "starmap": (
        lambda b: nb.zip(b, b).starmap(operator.mul),
        lambda v: [x * x for x in v],
    ),
    "flatten": (
        lambda b: b.map(lambda x: [x] * (x % 3)).flatten(),
        lambda v: [y for x in v for y in [x] * (x % 3)],
    ),
    "pluck": (lambda b: b.map(lambda x: (x, -x)).pluck(1), lambda v: [-x for x in v]),
    "pluck several": (
        lambda b: b.map(lambda x: {"a": x, "b": 0}).pluck(["b", "a"]),
        lambda v: [(0, x) for x in v],
    ),
    "pluck default": (
        lambda b: b.map(lambda x: {x: 1}).pluck(3, default=None),
        lambda v: [1 if x == 3 else None for x in v],
    ),
    "unzip": (lambda b: b.map(lambda x: (x, -x)).unzip(2)[1], lambda v: [-x for x in v]),
    "zip": (lambda b: nb.zip(b, b.map(str)), lambda v: list(zip(v, map(str, v), strict=True))),
    "concat": (lambda b: nb.concat([b, b.map(abs)]), lambda v: [*v, *map(abs, v)]),
    "accumulate": (
        lambda b: b.accumulate(lambda a, x: a * 2 - x),
        lambda v: list(itertools.accumulate(v, lambda a, x: a * 2 - x)),
    ),
    "accumulate from": (
        lambda b: b.accumulate(operator.sub, initial=9),
        lambda v: list(itertools.accumulate(v, operator.sub, initial=9)),
    ),
    "repartition to 1": (lambda b: b.repartition(1), list),
    "repartition to 4": (lambda b: b.repartition(4), list),
    "repartition to 30": (lambda b: b.repartition(30), list),
    "topk": (lambda b: b.topk(4), lambda v: top(v, 4)),
    "topk by key": (lambda b: b.topk(5, key=abs), lambda v: top(v, 5, abs)),
    "take": (lambda b: b.take(5, npartitions=-1, compute=False), lambda v: v[:5]),
    "join of a list": (
        lambda b: b.join([1, 2, 4], is_odd),
        lambda v: [(y, x) for x in v for y in [1, 2, 4] if is_odd(y) == is_odd(x)],
    ),
    "join of a lone bag": (
        lambda b: b.join(nb.from_sequence([1, 2, 4], npartitions=1), is_odd),
        lambda v: [(y, x) for x in v for y in [1, 2, 4] if is_odd(y) == is_odd(x)],
    ),
    "from_delayed": (lambda b: nb.from_delayed(b.to_delayed()), list),
    "frequencies sorted": (
        lambda b: b.frequencies(sort=True).pluck(1),
        lambda v: [n for _, n in Counter(v).most_common()],
    ),
}

# The order of these is no promise.
UNORDERED = {
    "frequencies": (lambda b: b.frequencies(), lambda v: Counter(v).items()),
    "distinct": (lambda b: b.distinct(), set),
    "distinct by key": (
        lambda b: b.distinct(key=is_odd),
        lambda v: [g[0] for g in group(v, is_odd).values()],
    ),
    "groupby": (lambda b: b.groupby(lambda x: x % 3), lambda v: group(v, lambda x: x % 3).items()),
    "groupby to 2": (
        lambda b: b.groupby(is_odd, npartitions=2),
        lambda v: group(v, is_odd).items(),
    ),
    "foldby": (
        lambda b: b.foldby(is_odd, operator.add),
        lambda v: [(k, sum(g)) for k, g in group(v, is_odd).items()],
    ),
    "foldby from": (
        lambda b: b.foldby(is_odd, lambda n, _: n + 1, 0, operator.add, 100),
        lambda v: [(k, len(g) + 100) for k, g in group(v, is_odd).items()],
    ),
    "foldby combine": (
        lambda b: b.foldby(is_odd, lambda n, _: n + 1, 0, operator.add),
        lambda v: [(k, len(g)) for k, g in group(v, is_odd).items()],
    ),
    "product": (lambda b: b.product(b.map(str)), lambda v: itertools.product(v, map(str, v))),
    "join": (
        lambda b: b.join(nb.from_sequence([1, 2, 4, 6], npartitions=3), is_odd, lambda y: y % 4),
        lambda v: [(y, x) for x in v for y in [1, 2, 4, 6] if y % 4 == is_odd(x)],
    ),
}

SCALARS = {
    "sum": (lambda b: b.sum(), sum),
    "count": (lambda b: b.count(), len),
    "max": (lambda b: b.max(), max),
    "min": (lambda b: b.min(), min),
    "any": (lambda b: b.any(), any),
    "all": (lambda b: b.all(), all),
    "mean": (lambda b: b.mean(), statistics.fmean),
    "fold": (lambda b: b.fold(operator.add), sum),
    "fold from": (
        lambda b: b.fold(lambda n, _: n + 1, operator.add, initial=0),
        len,
    ),
    "reduction": (lambda b: b.reduction(len, sum), len),
    "apply": (lambda b: b.sum().apply(str), lambda v: str(sum(v))),
}


@pytest.mark.parametrize(("lazy", "plain"), ORDERED.values(), ids=ORDERED)
def test_items_in_order(lazy, plain, cuts):
    assert lazy(cut(NUMBERS, cuts)).compute(engine="inline") == plain(NUMBERS)


@pytest.mark.parametrize(("lazy", "plain"), UNORDERED.values(), ids=UNORDERED)
def test_items_in_any_order(lazy, plain, cuts):
    got = lazy(cut(NUMBERS, cuts)).compute(engine="inline")
    assert sorted(got) == sorted(plain(NUMBERS))


@pytest.mark.parametrize(("lazy", "plain"), SCALARS.values(), ids=SCALARS)
def test_one_value(lazy, plain, cuts):
    got, want = lazy(cut(NUMBERS, cuts)).compute(engine="inline"), plain(NUMBERS)
    assert type(got) is type(want)
    assert got == want


@pytest.mark.parametrize("ddof", [0, 1])
def test_spread(cuts, ddof):
    want = [statistics.pvariance, statistics.variance][ddof](NUMBERS)
    bag = cut(NUMBERS, cuts)
    assert bag.var(ddof).compute(engine="inline") == pytest.approx(want, rel=1e-12)
    assert bag.std(ddof).compute(engine="inline") == pytest.approx(math.sqrt(want), rel=1e-12)


@pytest.mark.parametrize("name", ["max", "min", "mean", "var", "std"])
def test_nothing_has_no_value(name):
    with pytest.raises(ValueError, match="no value"):
        getattr(cut([], (0,)), name)().compute(engine="inline")


def test_every_method_agrees_on_the_pool_with_text_as_keys():
    bag = cut(WORDS, (3, 3, 8))
    first = bag.groupby(operator.itemgetter(0)).compute(engine="local")
    assert sorted(first) == sorted(group(WORDS, lambda w: w[0]).items())
    assert sorted(bag.frequencies().compute(engine="local")) == sorted(Counter(WORDS).items())
    assert bag.str.upper().compute(engine="local") == [w.upper() for w in WORDS]
    want = list(itertools.accumulate(WORDS, lambda a, w: a + w[0]))
    assert bag.accumulate(lambda a, w: a + w[0]).compute(engine="local") == want


def test_strings():
    bag = cut(WORDS, (5,))
    assert bag.str.match("?o*").compute() == [w for w in WORDS if w[1] == "o"]
    assert bag.str.replace("a", "o").compute() == [w.replace("a", "o") for w in WORDS]
    with pytest.raises(AttributeError, match="no_such"):
        _ = bag.str.no_such


def test_taking_reads_no_more_partitions_than_asked():
    def explode(part):
        if 3 in part:
            raise AssertionError
        return part

    bag = cut([1, 2, 3], (1, 2)).map_partitions(explode)
    assert bag.take(1) == (1,)
    assert bag.take(2, npartitions=2) == (1, 2)
    with pytest.warns(UserWarning, match=r"only 1 of 2 items"):
        assert bag.take(2) == (1,)
    with pytest.raises(ValueError, match="npartitions"):
        bag.take(1, npartitions=4)


def test_a_sample_is_the_same_whenever_it_is_computed(cuts):
    bag = cut(NUMBERS * 40, [c * 40 for c in cuts]).random_sample(0.5, random_state=7)
    found = bag.compute(engine="inline")
    assert found == bag.compute(engine="inline")
    assert 0.35 < len(found) / (len(NUMBERS) * 40) < 0.65
    assert cut(NUMBERS, cuts).random_sample(1).compute() == NUMBERS
    with pytest.raises(ValueError, match="prob"):
        bag.random_sample(2)


def test_bags_that_do_not_fit_are_refused():
    two, three = nb.range(6, 2), nb.range(6, 3)
    for wrong in (lambda: two.map(operator.add, three), lambda: nb.zip(two, three)):
        with pytest.raises(ValueError, match="partitions"):
            wrong()
    shorter = two.filter(is_odd)
    with pytest.raises(ValueError, match="equal lengths"):
        two.map(operator.add, shorter).compute()
    with pytest.raises(TypeError, match="bag"):
        nb.map(operator.add, 1, 2)


@pytest.mark.parametrize("npartitions", [1, 2, 3, 13, 40])
def test_making_bags(npartitions):
    assert nb.range(13, npartitions).compute() == list(range(13))
    assert nb.from_sequence(iter(WORDS), npartitions=npartitions).compute() == WORDS
    assert nb.from_sequence(WORDS, partition_size=npartitions).compute() == WORDS
    assert nb.from_sequence(WORDS, npartitions=npartitions).npartitions <= npartitions


def test_empty_bags():
    assert (
        nb.from_sequence([]).compute() == nb.range(0, 3).compute() == nb.concat([]).compute() == []
    )
    assert nb.from_sequence([]).sum().compute() == 0


def test_with_delayed_functions():
    @ns.delayed
    def total(items):
        return sum(items)

    bag = nb.range(6, 2)
    assert total(bag).compute() == 15
    assert [total(part).compute() for part in bag.to_delayed()] == [3, 12]
    assert nb.from_delayed([ns.delayed([1, 2]), ns.delayed((3,))]).compute() == [1, 2, 3]
    with pytest.raises(TypeError, match="delayed"):
        nb.from_delayed([[1]])


def test_persisted_bags_and_items_are_the_same():
    bag = nb.range(6, 2).map(lambda x: x + 1).persist()
    assert bag.compute() == list(bag) == [1, 2, 3, 4, 5, 6]
    assert bag.npartitions == 2
    assert int(bag.sum().persist()) == 21
    with pytest.raises(TypeError, match="truth"):
        bool(bag)


def test_text_there_and_back(tmp_path, cuts):
    bag = cut(WORDS, cuts)
    paths = bag.to_textfiles(tmp_path / "out", last_endline=True)
    assert len(paths) == bag.npartitions
    assert [w.strip() for w in nb.read_text(str(tmp_path / "out/*"))] == WORDS
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]
    bag.to_textfiles(str(tmp_path / "zip/*.txt.gz"), last_endline=True)
    got = nb.read_text(str(tmp_path / "zip/*.txt.gz"), files_per_partition=2)
    assert "".join(got) == "".join(w + "\n" for w in WORDS)
    assert got.npartitions == math.ceil(bag.npartitions / 2)


@pytest.mark.parametrize("blocksize", [1, 3, 4, 5, 17, "1kB"])
@pytest.mark.parametrize("text", ["ant\nbee\n\ncat", "ant\r\nbee\r\n", "\n\n", "", "ä\nöü\n"])
def test_blocks_have_the_lines_that_the_file_has(tmp_path, text, blocksize):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    with path.open(encoding="utf-8") as file:
        want = list(file)
    assert nb.read_text(path, blocksize=blocksize).compute(engine="inline") == want


def test_text_with_a_delimiter_and_paths(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ant;bee;cat")
    for blocksize in (None, 5):
        got = nb.read_text(path, linedelimiter=";", blocksize=blocksize).compute()
        assert got == ["ant;", "bee;", "cat"]
    [(line, where)] = nb.read_text(path, include_path=True).compute()
    assert line == "ant;bee;cat"
    assert where.endswith("a.txt")
    assert [p.compute() for p in nb.read_text(path, collection=False)] == [["ant;bee;cat"]]


def test_text_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        nb.read_text(str(tmp_path / "nothing*.txt"))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a"))
    with pytest.raises(ValueError, match="gzip"):
        nb.read_text(tmp_path / "a.gz", blocksize=10)
    (tmp_path / "a.txt").write_text("a", encoding="utf-16")
    with pytest.raises(ValueError, match="utf-16"):
        nb.read_text(tmp_path / "a.txt", blocksize=10, encoding="utf-16")
    assert nb.read_text(tmp_path / "a.txt", encoding="utf-16").compute() == ["a"]


def test_names_of_files_must_fit(tmp_path):
    bag = nb.from_sequence(WORDS, npartitions=3)
    named = bag.to_textfiles(tmp_path / "*.txt", name_function=lambda i: "abc"[i], compute=False)
    assert not list(tmp_path.iterdir())
    assert [p[-5:] for p in named.compute()] == ["a.txt", "b.txt", "c.txt"]
    with pytest.raises(ValueError, match="one name"):
        bag.to_textfiles(tmp_path / "*.txt", name_function=lambda _: "a")
    with pytest.raises(ValueError, match="2 paths"):
        bag.to_textfiles([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(ValueError, match="more than one"):
        bag.to_textfiles(tmp_path / "*/*.txt")


@pytest.mark.parametrize(
    "equal",
    [
        (1, 1.0, True, Fraction(1), np.int8(1), np.float64(1), np.True_),
        ((1, "a"), (1.0, "a")),
        ("a", np.str_("a")),
        (frozenset("ab"), frozenset("ba")),
        (b"a", bytearray(b"a")),
        (dt.date(2020, 1, 1), dt.date(2020, 1, 1)),
    ],
)
def test_equal_keys_have_equal_hashes(equal):
    assert len({stable_hash(key) for key in equal}) == 1


def test_hashes_spread():
    assert len({stable_hash(str(i)) % 16 for i in range(200)}) == 16
    assert len({stable_hash((i, "a")) % 16 for i in range(200)}) == 16


def test_the_methods_of_dask_are_there():
    bag = pytest.importorskip("dask.bag")
    public = {n for n in dir(bag.Bag) if not n.startswith("_")}
    # `dask` is the inside of its graphs; a frame of a bag and Avro are not there.
    assert public - set(dir(nb.Bag)) == {"dask", "to_avro", "to_dataframe"} & public
    for name in public & set(dir(nb.Bag)) - {"compute", "persist", "visualize", "str"}:
        theirs = inspect.signature(getattr(bag.Bag, name)).parameters
        ours = inspect.signature(getattr(nb.Bag, name)).parameters
        lacks = {p for p in theirs if p not in ours and p != "b"} - {"kwargs"}
        assert not lacks, (name, lacks)


def test_folding_agrees_with_dask(cuts):
    db = pytest.importorskip("dask.bag")
    ours = cut(NUMBERS, cuts).foldby(is_odd, max, -1, min, 99).compute(engine="inline")
    edges = [0, *cuts, len(NUMBERS)]
    parts = [NUMBERS[a:b] for a, b in itertools.pairwise(edges)]
    theirs = db.from_sequence(range(len(parts)), partition_size=1)
    theirs = theirs.map(functools.partial(operator.getitem, parts)).flatten()
    want = theirs.foldby(is_odd, max, -1, min, 99).compute(scheduler="sync")
    assert sorted(ours) == sorted(want)
