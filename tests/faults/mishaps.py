"""What happens to a stack in the soak, one mishap at a time; each leaves both sides running, or about to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import nats.errors

from harness.indexer_process import READY_SECONDS, IndexerProcess
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.waits import eventually
from harness.wire import CONSUMER, LOG, AnsweredWithError, Wire

_QUIET: Final = (AnsweredWithError, nats.errors.Error)
"""A request that comes in the middle of something else may go unanswered."""


class Stack:
    """A server, and an indexer behind a link; what can be done to them.

    Args:
        server: running.
        relay: the indexer's link to it.
        indexer: running.
        wire: a connection of its own, past the link.
        copies: where copies of the index are kept.
        dice: how long, how hard.
    """

    def __init__(
        self,
        server: NatsServer,
        relay: TcpRelay,
        indexer: IndexerProcess,
        wire: Wire,
        copies: Path,
        dice: random.Random,
    ) -> None:
        self._server = server
        self._relay = relay
        self._indexer = indexer
        self._wire = wire
        self._copies = copies
        self._dice = dice
        self.ended_by_itself = 0
        """How often the indexer ended although nobody ended it: its supervisor starts it again."""
        self.mishaps: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "indexer killed": (6, self._kill_indexer),
            "indexer stopped": (2, self._stop_indexer),
            "indexer frozen": (2, self._freeze_indexer),
            "server killed": (3, self._kill_server),
            "server frozen": (2, self._freeze_server),
            "both killed": (2, self._kill_both),
            "link cut": (4, self._cut_link),
            "link stalled": (2, self._stall_link),
            "consumer deleted": (3, self._delete_consumer),
            "index deleted": (1, self._delete_index),
            "index deleted while running": (1, self._delete_index_running),
            "older copy restored": (2, self._restore_copy),
            "rebuild": (2, self._rebuild),
        }
        """By name: how often among the others, and what is done."""

    async def supervise(self) -> None:
        """As a supervisor does: start the indexer again where it ended by itself."""
        if self._indexer.returncode is not None:
            self.ended_by_itself += 1
            await self._start()

    async def _start(self) -> None:
        self._indexer.start()
        if self._dice.random() < 0.7:
            await self._indexer.wait_ready(2 * READY_SECONDS)

    async def _moment(self, longest: float) -> None:
        await asyncio.sleep(self._dice.uniform(0, longest))

    async def _kill_indexer(self) -> None:
        self._indexer.kill()
        await self._moment(1)
        await self._start()

    async def _stop_indexer(self) -> None:
        await self._indexer.terminate(30)
        shutil.rmtree(self._copies, ignore_errors=True)
        shutil.copytree(self._indexer.chroma_path, self._copies)
        await self._start()

    async def _freeze_indexer(self) -> None:
        self._indexer.pause()
        await self._moment(5)
        self._indexer.resume()

    async def _kill_server(self) -> None:
        self._server.kill()
        await self._moment(2)
        await asyncio.to_thread(self._server.start)

    async def _freeze_server(self) -> None:
        self._server.pause()
        await self._moment(15)
        self._server.resume()

    async def _kill_both(self) -> None:
        self._indexer.kill()
        self._server.kill()
        await asyncio.to_thread(self._server.start)
        await self._start()

    async def _cut_link(self) -> None:
        await self._relay.cut()
        await self._moment(3)
        await self._relay.restore()

    async def _stall_link(self) -> None:
        self._relay.stall()
        await self._moment(8)
        self._relay.resume()

    async def _delete_consumer(self) -> None:
        with contextlib.suppress(*_QUIET):
            await self._wire.api(f"CONSUMER.DELETE.{LOG}.{CONSUMER}")

        async def made_again() -> None:
            await self.supervise()
            assert "error" not in await self._wire.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}")

        # Were the index lost as well, the next one would be another, and take no copy of this one for its own.
        await eventually(made_again, timeout=2 * READY_SECONDS, exceptions=(AssertionError, *_QUIET))

    async def _delete_index(self) -> None:
        self._indexer.kill()
        shutil.rmtree(self._indexer.chroma_path)
        await self._start()

    async def _delete_index_running(self) -> None:
        # Somebody writes there meanwhile.
        shutil.rmtree(self._indexer.chroma_path, ignore_errors=True)

    async def _restore_copy(self) -> None:
        await self._indexer.terminate(30)
        if self._copies.exists():
            shutil.rmtree(self._indexer.chroma_path, ignore_errors=True)
            shutil.copytree(self._copies, self._indexer.chroma_path)
        await self._start()

    async def _rebuild(self) -> None:
        with contextlib.suppress(*_QUIET):
            await self._wire.ask("security.index.v1.rebuild")
