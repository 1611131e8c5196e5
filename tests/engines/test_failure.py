"""Exceptions on their way between processes."""

from __future__ import annotations

import traceback

from nbscale.engines.failure import pack, unpack
from nbscale.errors import RemoteError


class Two(Exception):
    """Made of two arguments, of which it passes on one."""

    def __init__(self, first, second):
        super().__init__(f"{first}!")
        self.second = second


class Changing(Exception):
    """Its text would grow each time it is made again."""

    def __init__(self, text):
        super().__init__(f"<{text}>")


class Never(Exception):
    def __init__(self):
        self.held = (n for n in ())


def raised(error):
    try:
        raise error
    except type(error) as found:
        return found


def test_exceptions_with_arguments_of_their_own_keep_type_text_and_attributes():
    again = unpack(pack(raised(Two(1, 2))))
    assert type(again) is Two
    assert (str(again), again.second) == ("1!", 2)
    again = unpack(pack(raised(Changing("a"))))
    assert (type(again), str(again)) == (Changing, "<a>")


def test_what_cannot_be_brought_is_told():
    again = unpack(pack(raised(Never())))
    assert type(again) is RemoteError
    assert "Never" in str(again)


def test_traces_keep_files_names_and_lines():
    error = raised(KeyError("a"))
    before = traceback.extract_tb(error.__traceback__)
    after = traceback.extract_tb(unpack(pack(error)).__traceback__)
    assert [(f.filename, f.name, f.lineno) for f in after] == [
        (f.filename, f.name, f.lineno) for f in before
    ]
    first = unpack(pack(error)).__traceback__.tb_frame.f_code.co_firstlineno
    assert first == raised.__code__.co_firstlineno
