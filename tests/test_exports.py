"""The public names: all there, all documented, and the same to a type checker as to `dir()`."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import nbscale

SOURCE = Path(nbscale.__file__)


def typed_names():
    """The names imported in `nbscale/__init__.py` for type checkers only."""
    tree = ast.parse(SOURCE.read_text())
    [block] = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    return {alias.name for statement in block.body for alias in statement.names}


@pytest.mark.parametrize("name", nbscale.__all__)
def test_a_public_name_loads_and_is_documented(name):
    value = getattr(nbscale, name)
    assert inspect.getdoc(value)
    assert value is getattr(nbscale, name)


@pytest.mark.parametrize("name", nbscale.__all__)
def test_a_public_name_comes_from_where_it_is_said_to_live(name):
    value = getattr(nbscale, name)
    path, _, attribute = nbscale._HOMES[name].partition(":")
    home = importlib.import_module(path)
    assert value is (getattr(home, attribute) if attribute else home)
    assert attribute in {"", name}


def test_everyone_sees_the_same_names():
    assert set(nbscale.__all__) == set(nbscale._HOMES) == typed_names()
    assert set(nbscale.__all__) <= set(dir(nbscale))
    assert nbscale.__all__ == sorted(nbscale.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"nbscale.*'no_such_name'"):
        _ = nbscale.no_such_name


def test_delayed_is_the_function_though_its_module_was_imported_first():
    code = "import nbscale.delayed, nbscale; assert nbscale.delayed.__module__ == 'nbscale.delayed'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_that_of_the_package():
    assert importlib.metadata.version("nbscale") == nbscale.__version__
