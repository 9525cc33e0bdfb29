"""What happens to a stack in the soak, one mishap at a time; each leaves both sides running, or about to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from pathlib import Path
from typing import Final, NoReturn

import nats.errors

from harness.child_process import ProcessFailedError
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.schedule import Mishap
from harness.waits import eventually
from harness.wire import CONSUMER, LOG, AnsweredWithError, Wire

_QUIET: Final = (AnsweredWithError, nats.errors.Error)
"""A request that comes in the middle of something else may go unanswered."""
_PASSING: Final = (AssertionError, *_QUIET)
_LOOK_EVERY_S: Final = 0.5
_END_S: Final = 60.0
"""Seconds for the indexer to end when it is told to, on a machine that is busy with other things."""
_COPIED: Final = "indexer stopped, and its index copied"


class Stack:
    """A server, and an indexer behind a link; what can be done to them.

    Args:
        server: running.
        relay: the indexer's link to it.
        indexer: running.
        wire: a connection of its own, past the link.
        copies: where copies of the index are kept.
        dice: how long, how hard.
        patience: seconds for the indexer to be ready.
    """

    first = _COPIED
    """What must happen before anything else can: the copy is what is restored later."""

    def __init__(
        self,
        server: NatsServer,
        relay: TcpRelay,
        indexer: IndexerProcess,
        wire: Wire,
        copies: Path,
        dice: random.Random,
        *,
        patience: float,
    ) -> None:
        self._server = server
        self._relay = relay
        self._indexer = indexer
        self._wire = wire
        self._copies = copies
        self._dice = dice
        self._patience = patience
        self._turn = asyncio.Lock()
        self.ended_by_itself = 0
        """How often the indexer ended although nobody ended it: its supervisor starts it again."""
        self.mishaps = {
            "indexer killed": Mishap(self._kill_indexer, 6),
            _COPIED: Mishap(self._copy, 2),
            "indexer frozen": Mishap(self._freeze_indexer, 2),
            "server killed": Mishap(self._kill_server, 3),
            "server frozen": Mishap(self._freeze_server, 2),
            "both killed": Mishap(self._kill_both, 2),
            "link cut": Mishap(self._cut_link, 4),
            "link stalled": Mishap(self._stall_link, 2),
            "consumer deleted": Mishap(self._delete_consumer, 3),
            "index deleted": Mishap(self._delete_index, rereads=True),
            "index deleted while running": Mishap(self._delete_index_running, rereads=True),
            "older copy restored": Mishap(self._restore_copy, rereads=True),
            "rebuild": Mishap(self._rebuild, rereads=True),
        }
        """What can happen, by name."""

    @property
    def indexer_state(self) -> str:
        """Whether it runs, in words."""
        code = self._indexer.returncode
        return "runs" if code is None else f"has ended with {code}"

    async def happen(self, name: str) -> None:
        """Do it."""
        async with self._turn:
            await self.mishaps[name].do()

    async def supervise(self) -> NoReturn:
        """As a supervisor does: start the indexer again where it ended by itself; until cancelled."""
        while True:
            async with self._turn:
                await self._revive()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _revive(self) -> None:
        if self._indexer.returncode is not None:
            self.ended_by_itself += 1
            await self._start()

    async def _start(self) -> None:
        self._indexer.start()
        if self._dice.random() < 0.7:
            try:
                await self._indexer.wait_ready(self._patience)
            except ProcessFailedError:
                # Where it ended by itself, its supervisor is who starts it again, and who counts.
                if self._indexer.returncode is None:
                    raise

    async def _moment(self, longest: float) -> None:
        await asyncio.sleep(self._dice.uniform(0, longest))

    async def _kill_indexer(self) -> None:
        self._indexer.kill()
        await self._moment(1)
        await self._start()

    async def _copy(self) -> None:
        await self._indexer.terminate(_END_S)
        # It may have been deleted a moment ago.
        if (self._indexer.chroma_path / "CURRENT").exists():
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
        async def index_there() -> None:
            await self._revive()
            assert (self._indexer.chroma_path / "CURRENT").exists()
            await self._wire.stats()

        # Were both lost at once, the next index would be another, and take no copy of this one for its own.
        await eventually(index_there, timeout=self._patience, attempt_timeout=self._patience, exceptions=_PASSING)
        with contextlib.suppress(*_QUIET):
            await self._wire.api(f"CONSUMER.DELETE.{LOG}.{CONSUMER}")

        async def made_again() -> None:
            await self._revive()
            assert "error" not in await self._wire.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}")

        await eventually(made_again, timeout=self._patience, attempt_timeout=self._patience, exceptions=_PASSING)

    async def _delete_index(self) -> None:
        self._indexer.kill()
        shutil.rmtree(self._indexer.chroma_path, ignore_errors=True)
        await self._start()

    async def _delete_index_running(self) -> None:
        # Somebody writes there meanwhile.
        shutil.rmtree(self._indexer.chroma_path, ignore_errors=True)

    async def _restore_copy(self) -> None:
        await self._indexer.terminate(_END_S)
        shutil.rmtree(self._indexer.chroma_path, ignore_errors=True)
        shutil.copytree(self._copies, self._indexer.chroma_path)
        await self._start()

    async def _rebuild(self) -> None:
        with contextlib.suppress(*_QUIET):
            await self._wire.ask("security.index.v1.rebuild")
