"""Imports old items into the log: only items that the log does not have, and never over something newer.

The import reads from the log what it holds before it publishes anything. Every publish then names the sequence that the
log must end with: if another client has published or deleted meanwhile, the log refuses the publish, and the import
reads the new messages and decides about the item again. So a run needs no state of its own: an interrupted run is
simply repeated.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from precedent_indexer.cli.import_chroma.convert import Choices, Converted, NotConvertible, OldItem, convert, event_id
from precedent_indexer.domain.messages import LogMessage
from precedent_indexer.domain.operations import Delete, PutEvent, decode
from precedent_indexer.errors import BusUnavailable, ImportFailed, JetStreamRefused, NotPermitted

log = structlog.get_logger(__name__)

_READ_AT_ONCE: Final = 200
_ASKED_AT_ONCE: Final = 500
_MOST_CONFLICTS: Final = 200
"""Publishes in a row that lost against another client's; then the log is too busy for an import."""
_MOST_RETRIES: Final = 20
_RETRY_S: Final = 1.0
_SAMPLES: Final = 3

ALREADY: Final = "the log or the index has it already"
DELETED: Final = "it was deleted; --include-deleted brings it back"
CLEARED: Final = "the collection was cleared since; --include-cleared imports it all the same"


class Source(Protocol):
    """The old collection; blocking, called in threads."""

    def ids(self) -> Sequence[str]:
        """Every id, in the order in which the items were added."""

    def items(self, ids: Sequence[str]) -> list[OldItem]:
        """These items, in the order of `ids`."""


class Target(Protocol):
    """One collection in the log."""

    async def end(self) -> tuple[int, bool]:
        """The log's last sequence, and whether it still has every message that it ever stored."""

    def since(self, seq: int) -> AsyncIterator[LogMessage]:
        """Every event and deletion of the collection after `seq`."""

    async def append(self, kind: str, event_id: str, data: bytes, after: int) -> int | None:
        """Publish right after sequence `after`; the new sequence, or None if the log does not end there."""

    async def in_index(self, ids: Sequence[str]) -> dict[str, int]:
        """Sequences of those of `ids` that the index has, by id."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Options of a run.

    Attributes:
        dry_run: publish nothing, only report.
        include_deleted: also import items that were deleted by id.
        include_cleared: also import items that the log had before the collection was cleared.
    """

    dry_run: bool = False
    include_deleted: bool = False
    include_cleared: bool = False


@dataclass(slots=True)
class Report:
    """What a run did, or would do in a dry run."""

    total: int = 0
    published: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    samples: list[Converted] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Number of items that were published or skipped."""
        return self.published + self.skipped.total()


class Known:
    """What the log holds of the ids of the import."""

    def __init__(self, wanted: set[str], rules: Rules) -> None:
        self._wanted = wanted
        self._rules = rules
        self._present: dict[str, int] = {}
        self._deleted: dict[str, int] = {}
        self._cleared = 0

    def observe(self, message: LogMessage) -> None:
        """Add a message; in any order, and repeatedly without effect."""
        operation = decode(message)
        if isinstance(operation, PutEvent):
            self.has(operation.event.id, operation.seq)
        elif isinstance(operation, Delete):
            if operation.ids is None:
                self._cleared = max(self._cleared, operation.seq)
            for one in self._wanted.intersection(operation.ids or ()):
                self._deleted[one] = max(self._deleted.get(one, 0), operation.seq)

    def has(self, one: str, seq: int) -> None:
        """Note that an event with this id exists."""
        if one in self._wanted:
            self._present[one] = max(self._present.get(one, 0), seq)

    def objection(self, one: str) -> str | None:
        """Why the item with this id must not be published; None if it may."""
        present, deleted = self._present.get(one, 0), self._deleted.get(one, 0)
        if deleted > present and not self._rules.include_deleted:
            return DELETED
        if self._cleared > present and not self._rules.include_cleared:
            return CLEARED
        return ALREADY if present > max(deleted, self._cleared) else None


class Import:
    """One run of the import."""

    def __init__(
        self, source: Source, target: Target, choices: Choices, rules: Rules, *, retry_s: float = _RETRY_S
    ) -> None:
        """`retry_s`: seconds between two attempts to reach a log that does not answer."""
        self._retry_s = retry_s
        self._source = source
        self._target = target
        self._choices = choices
        self._rules = rules
        self._seq = 0
        self.report = Report()

    async def run(self, on_progress: Callable[[Report], None]) -> Report:
        """Import every item that may be imported; `on_progress` is called after every item.

        Raises:
            ImportFailed: the run cannot continue; published items stay, and another run continues from there.
        """
        ids = await asyncio.to_thread(self._source.ids)
        self.report.total = len(ids)
        known = Known({event_id(one) for one in ids}, self._rules)
        await self._look_at_everything(known, ids)
        for part in _parts(ids, _READ_AT_ONCE):
            for item in await asyncio.to_thread(self._source.items, part):
                await self._settle(item, known)
                on_progress(self.report)
                _leave_if_told()
        return self.report

    async def _look_at_everything(self, known: Known, ids: Sequence[str]) -> None:
        if await self._catch_up_patiently(known):
            return
        # Retention or a purge may have removed events from the log that the index still has.
        open_ids = [one for one in map(event_id, ids) if known.objection(one) is None]
        for part in _parts(list(dict.fromkeys(open_ids)), _ASKED_AT_ONCE):
            try:
                found = await self._target.in_index(part)
            except NotPermitted:
                raise
            except BusUnavailable as error:
                raise ImportFailed(
                    "the log no longer has every message that it ever stored, so the index must be asked what it has, "
                    f"and it does not answer ({error}): start the indexer and run this again"
                ) from error
            for one, seq in found.items():
                known.has(one, seq)

    async def _catch_up(self, known: Known) -> bool:
        end, whole = await self._target.end()
        async for message in self._target.since(self._seq):
            known.observe(message)
        # The end before the read: if messages arrived since, the publish is refused and they are read then.
        self._seq = end
        return whole

    async def _settle(self, item: OldItem, known: Known) -> None:
        objection = known.objection(event_id(item.id))
        if objection is None:
            try:
                converted = convert(item, self._choices)
            except NotConvertible as error:
                log.warning("item_skipped", id=item.id, why=str(error))
                objection = "it is too large for the log, however much of it is cut"
            else:
                objection = await self._publish(converted, known)
        if objection is not None:
            self.report.skipped[objection] += 1

    async def _publish(self, converted: Converted, known: Known) -> str | None:
        """Publish an event unless there is an objection; the objection."""
        if self._rules.dry_run:
            if len(self.report.samples) < _SAMPLES:
                self.report.samples.append(converted)
            self._note_published(converted, known, self._seq + 1)
            return None
        conflicts = 0
        while (objection := known.objection(converted.id)) is None:
            seq = await self._append(converted)
            if seq is not None:
                self._seq = seq
                self._note_published(converted, known, seq)
                return None
            conflicts += 1
            if conflicts > _MOST_CONFLICTS:
                raise ImportFailed(
                    f"others published before the import {conflicts} times in a row at item {converted.id}: "
                    f"the log is too busy; {self._remedy()}, at a quieter time or nearer to the server"
                )
            await self._catch_up_patiently(known)
        return objection

    def _note_published(self, converted: Converted, known: Known, seq: int) -> None:
        known.has(converted.id, seq)
        self.report.published += 1
        self.report.changed.update(converted.changes)

    async def _append(self, converted: Converted) -> int | None:
        try:
            return await self._target.append(converted.kind, converted.id, converted.data, self._seq)
        except JetStreamRefused as error:
            raise ImportFailed(f"the log does not take item {converted.id}: {error}; {self._remedy()}") from error
        except NotPermitted:
            raise
        except BusUnavailable as error:
            # It may be stored nevertheless: the log is read again, as after a conflict.
            log.warning("publish_unanswered", id=converted.id, error=str(error))
            return None

    async def _catch_up_patiently(self, known: Known) -> bool:
        """Read new messages, with retries during an outage; whether the log still has every message."""
        for _ in range(_MOST_RETRIES):
            try:
                return await self._catch_up(known)
            except NotPermitted:
                raise
            except BusUnavailable as error:
                log.warning("log_unavailable", error=str(error), retry_in_s=self._retry_s)
                failure = error
                await asyncio.sleep(self._retry_s)
        raise ImportFailed(f"the log cannot be read: {failure}; {self._remedy()}") from failure

    def _remedy(self) -> str:
        return f"{self.report.published} are published; run this again, and it goes on from there"


def _leave_if_told() -> None:
    # Before Python 3.12, asyncio.wait_for swallows a cancellation that arrives together with its result.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
