"""The dead-letter stream: what was refused, with its original bytes.

Which original has which dead letters is kept in memory, read from the stream at start and on from there: so that
a message that is refused again, on a rebuild, is not written again, and callers see each original once.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Final

from precedent_indexer.adapters.jetstream_log import next_message, read_stream
from precedent_indexer.adapters.nats_io import Bus
from precedent_indexer.errors import JetStreamRefused
from precedent_indexer.ports import LogMessage, Refusal
from precedent_schemas import subjects
from precedent_schemas.codec import dump
from precedent_schemas.dead_letters import DeadLetter
from precedent_schemas.failures import DeadReason, ascii_detail

_GONE: Final = frozenset({10037, 10043})
"""JetStream's codes for a message that is not there."""


class JetStreamDeadLetters:
    """Where refused messages go, and where they are found again."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._of_original: dict[int, list[int]] = {}
        self._refusals: dict[int, Refusal] = {}
        self._read_up_to = 0

    async def put(self, message: LogMessage, refusal: Refusal) -> None:
        """Store it durably; the same message twice is one dead letter."""
        await self.refresh()
        if message.seq in self._of_original:
            return
        original = {name: values for name, values in message.headers.items() if not name.lower().startswith("nats-")}
        headers = {
            subjects.MSG_ID_HEADER: f"dead:{message.seq}",
            subjects.REASON_HEADER: str(refusal.reason),
            subjects.DETAIL_HEADER: ascii_detail(refusal.detail),
            subjects.STREAM_SEQ_HEADER: str(message.seq),
            subjects.SUBJECT_HEADER: "".join(char if "!" <= char <= "~" else "?" for char in message.subject),
            subjects.DELIVERIES_HEADER: str(message.deliveries),
            subjects.ORIGINAL_HEADERS_HEADER: base64.b64encode(dump(original)).decode(),
        }
        collection = subjects.collection_of(message.subject)
        await self._bus.publish_to_stream(
            subjects.dead_letter_subject(collection, refusal.reason), message.data, headers
        )

    async def count(self) -> int:
        """Messages in the dead-letter stream."""
        return (await self._state())["messages"]

    async def refresh(self) -> None:
        """Take note of what the stream has got since the last time."""
        last = (await self._state())["last_seq"]
        async for letter in read_stream(self._bus, subjects.DEAD_LETTERS_STREAM, self._read_up_to + 1, last):
            original = _original_seq(letter.headers)
            if original is not None:
                self._of_original.setdefault(original, []).append(letter.seq)
                self._refusals[original] = Refusal(
                    _reason(letter.headers), _header(letter.headers, subjects.DETAIL_HEADER)
                )
        self._read_up_to = max(self._read_up_to, last)

    def refusals(self) -> Mapping[int, Refusal]:
        """Why each original was refused, by its sequence."""
        return self._refusals

    def originals(self) -> list[int]:
        """Sequences of the originals that have a dead letter, newest first."""
        return sorted(self._of_original, reverse=True)

    async def letter(self, original: int) -> DeadLetter | None:
        """The dead letter of one original, if it is still there."""
        for seq in self._of_original.get(original, ()):
            found = await next_message(self._bus, subjects.DEAD_LETTERS_STREAM, seq)
            if found is not None and found.seq == seq:
                return _dead_letter(found)
        self._forget([original])
        return None

    async def remove(self, original: int) -> None:
        """Erase the dead letters of one original."""
        for seq in self._of_original.get(original, ()):
            try:
                await self._bus.api(f"STREAM.MSG.DELETE.{subjects.DEAD_LETTERS_STREAM}", {"seq": seq})
            except JetStreamRefused as error:
                if error.err_code not in _GONE:
                    raise
        self._forget([original])

    def _forget(self, originals: Iterable[int]) -> None:
        for original in originals:
            self._of_original.pop(original, None)
            self._refusals.pop(original, None)

    async def _state(self) -> dict[str, int]:
        info = await self._bus.api(f"STREAM.INFO.{subjects.DEAD_LETTERS_STREAM}")
        state: dict[str, int] = info["state"]
        return state


def _header(headers: Mapping[str, list[str]], name: str) -> str:
    return headers.get(name, [""])[0]


def _original_seq(headers: Mapping[str, list[str]]) -> int | None:
    text = _header(headers, subjects.STREAM_SEQ_HEADER)
    return int(text) if text.isascii() and text.isdigit() and int(text) else None


def _reason(headers: Mapping[str, list[str]]) -> DeadReason:
    text = _header(headers, subjects.REASON_HEADER)
    return DeadReason(text) if text in set(DeadReason) else DeadReason.UNPROCESSABLE


def _dead_letter(letter: LogMessage) -> DeadLetter:
    deliveries = _header(letter.headers, subjects.DELIVERIES_HEADER)
    return DeadLetter(
        seq=_original_seq(letter.headers) or 1,
        reason=_reason(letter.headers),
        detail=_header(letter.headers, subjects.DETAIL_HEADER),
        subject=_header(letter.headers, subjects.SUBJECT_HEADER),
        headers=_original_headers(letter.headers),
        data=base64.b64encode(letter.data).decode(),
        deliveries=int(deliveries) if deliveries.isascii() and deliveries.isdigit() else 0,
        dead_at=letter.stored_at,
    )


def _original_headers(headers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    try:
        found = json.loads(base64.b64decode(_header(headers, subjects.ORIGINAL_HEADERS_HEADER)))
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): [str(one) for one in values] for name, values in found.items()}
