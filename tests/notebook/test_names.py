"""Which names a cell reads and which it assigns."""

from __future__ import annotations

import pytest

from nbscale.notebook.names import altered_in, names_of, words_of_magics


@pytest.mark.parametrize(
    ("code", "read", "assigned"),
    [
        ("y = x", "x", "y"),
        ("x.y.z = 1; x[i] += 2", "i x", ""),
        ("x += 1", "x", "x"),
        ("def f(a, b=c):\n    d = a + e\n    return d", "c e", "f"),
        ("def f():\n    def g():\n        return deep\n    return g", "deep", "f"),
        ("def f():\n    global n\n    n = m", "m n", "f n"),
        ("[i * k for i in xs if i > low]", "k low xs", ""),
        ("f = lambda i: i + j", "j", "f"),
        ("class A(B):\n    x = x\n    def f(self):\n        return x", "B x", "A"),
        ("import numpy as np, os.path\nfrom a import b as c", "", "c np os"),
        ("with open(p) as f:\n    pass\nfor i, (a, b) in zs:\n    pass", "open p zs", "a b f i"),
        ("try:\n    pass\nexcept E as e:\n    pass", "E", "e"),
        ("(n := m)", "m", "n"),
        ("del x", "x", "x"),
        ("def f():\n    x = 1\n    x += 1", "", "f"),
        ("match v:\n    case {'a': w}:\n        pass", "v", "w"),
        ('f"{x!r:>{w}}"', "w x", ""),
        ("df.query('a > @low and b<@high')", "df high low", ""),
        ("df.query(f'a > @low + {x}'); 'me@home.org'", "df low x", ""),
    ],
)
def test_names(code, read, assigned):
    names = names_of(code)
    assert " ".join(names.read) == read
    assert " ".join(names.assigned) == assigned


def test_what_is_no_code():
    with pytest.raises(SyntaxError):
        names_of("a = = 1")


@pytest.mark.parametrize(
    ("code", "altered"),
    [
        ("x[0] = 1; y.a.b += 1; del z[1].c", "x y z"),
        ("x = y[0]; f(z).a = 1; x.append(1)", ""),
        ("for x[0] in y: pass", "x"),
        ("def f():\n    x[0] = 1", ""),
        ("if a:\n    (x[0], y), *z.b = c", "x z"),
    ],
)
def test_names_whose_parts_are_assigned(code, altered):
    assert " ".join(sorted(altered_in(code))) == altered


def test_words_that_magics_are_given():
    code = (
        "x = get_ipython().run_line_magic('time', 'f(a)'); get_ipython().system('cat {b}'); g('c')"
    )
    assert words_of_magics(code) == {"f", "a", "b", "cat"}
