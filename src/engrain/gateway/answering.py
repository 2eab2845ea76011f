"""An answer on its way, whoever makes it: its pieces as they come, then its record."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from engrain.gateway.answer import Asked
from engrain.records import Interaction, Stamp


class Answering(ABC):
    """Goes on to its record whoever listens, and ends for the listener once that is on disk. Who makes it puts into `_out`."""

    def __init__(self, asked: Asked, base: str) -> None:
        self.asked = asked
        self.stamp = Stamp(base=base, adapter=asked.version, memory=asked.held)
        self._out: asyncio.Queue[str | Interaction | Exception] = asyncio.Queue()

    @abstractmethod
    async def begin(self) -> None:
        """Ask for it. What is refused is raised here, so that it has its own status."""

    @abstractmethod
    def logprobs(self) -> list[dict[str, Any]]:
        """Each token of the answer with its log-probability."""

    @abstractmethod
    def give_up(self) -> None:
        """Nobody listens any more; what has begun ends soon."""

    async def pieces(self) -> AsyncIterator[str | Interaction]:
        """The text as it comes, then its record; raises what went wrong. Who stops listening gives the answer up."""
        try:
            while True:
                item = await self._out.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Interaction):
                    return
        except BaseException:
            self.give_up()
            raise
