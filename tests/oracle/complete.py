"""What has a row and what has none: the public names that a table of rows uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def public_names(cls: type) -> set[str]:
    """Names of a class that users see."""
    return {name for name in dir(cls) if not name.startswith("_")}


def recorded(member: Any, name: str, used: set[str]) -> Any:
    """The member of a class, noting in ``used`` that it is."""
    if isinstance(member, property):

        def get(self: Any) -> Any:
            used.add(name)
            return member.fget(self)

        return property(get)

    def call(*args: Any, **kwargs: Any) -> Any:
        used.add(name)
        return member(*args, **kwargs)

    return call if isinstance(member, Callable) else member


def not_tested(elsewhere: Mapping[str, str]) -> Iterable[str]:
    """Entries that name a file of tests which is not there, or does not know the name."""
    for name, where in elsewhere.items():
        for path in re.findall(r"tests/[\w/]+\.py", where):
            file = ROOT / path
            if not file.exists() or not re.search(rf"\b{name}\b", file.read_text()):
                yield f"{name}: {where}"
