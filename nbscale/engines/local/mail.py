"""What is to be sent to workers: gathered while news is taken, sent once all of it was."""

from __future__ import annotations

from typing import Any

from nbscale.engines.local.pool import Pool
from nbscale.engines.loop import Loop

__all__ = ["Mail", "Mails"]

_FORGET = 0.02
"""Seconds that workers may keep what nobody needs, for the next mail to take the news along."""


class Mail:
    """What is to be sent to a worker."""

    __slots__ = ("forget", "interrupt", "recall", "stages", "stop", "tasks")

    def __init__(self) -> None:
        self.stages: list[Any] = []
        self.tasks: list[Any] = []
        self.stop: list[tuple[int, int]] = []
        self.forget: tuple[list[int], list[int]] = ([], [])
        self.recall = 0
        self.interrupt = False

    @property
    def can_wait(self) -> bool:
        """Whether nothing comes of it."""
        return not (self.stages or self.tasks or self.stop or self.recall or self.interrupt)

    def messages(self) -> list[Any]:
        """It as the worker gets it: what it must know of first comes first."""
        found: list[Any] = list(self.stages)
        if self.forget[0] or self.forget[1]:
            found.append(("forget", *self.forget))
        if self.tasks:
            found.append(("tasks", self.tasks))
        if self.stop:
            found.append(("stop", self.stop))
        if self.recall:
            found.append(("recall", self.recall))
        return found


class Mails:
    """The mail of each worker of a pool.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    pool
        What sends it.
    """

    def __init__(self, loop: Loop, pool: Pool) -> None:
        self._loop = loop
        self._pool = pool
        self._mail: dict[int, Mail] = {}
        self._dawdling = False

    def to(self, number: int) -> Mail:
        """What is to be sent to a worker, to be added to."""
        mail = self._mail.get(number)
        if mail is None:
            mail = self._mail[number] = Mail()
        return mail

    def send(self, *, late: bool = False) -> None:
        """Send what is to be sent. What is only to be forgotten waits for other mail."""
        for number in list(self._mail):
            mail = self._mail[number]
            if mail.can_wait and not late:
                if not self._dawdling:
                    self._dawdling = True
                    self._loop.after(_FORGET, self._send_late)
                continue
            del self._mail[number]
            messages = mail.messages()
            if messages:
                self._pool.send(number, messages)
            if mail.interrupt:
                self._pool.interrupt(number)

    def _send_late(self) -> None:
        self._dawdling = False
        self.send(late=True)

    def drop(self, number: int) -> None:
        """Send nothing of it to a worker: it is dead."""
        self._mail.pop(number, None)

    def clear(self) -> None:
        """Send nothing of it to anybody."""
        self._mail.clear()
