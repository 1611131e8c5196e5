"""What stands in for a stream: text goes to the cell that asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["TextStream"]


class TextStream:
    """A file for text, all of which is given to a function at once.

    Parameters
    ----------
    write
        Called with ``"stdout"`` or ``"stderr"`` and the text.
    kind
        Which of them.
    name
        What it is called as a file.

    Examples
    --------
    >>> stream = TextStream(lambda kind, text: print(kind, repr(text)), "stderr", "<stderr>")
    >>> stream.write("no")
    stderr 'no'
    2
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, write: Callable[[str, str], object], kind: str, name: str) -> None:
        self._write = write
        self._kind = kind
        self.name = name

    def write(self, text: str) -> int:
        """Give text away; how many characters it had."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._write(self._kind, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of some texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: it is told soon."""

    def isatty(self) -> bool:
        """No."""
        return False

    def fileno(self) -> int:
        """What is the stream's in any process: for programs that are started here."""
        return 1 if self._kind == "stdout" else 2

    def writable(self) -> bool:
        """Yes."""
        return True
