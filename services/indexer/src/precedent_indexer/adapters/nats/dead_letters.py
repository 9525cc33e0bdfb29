"""The dead-letter stream: refused messages with their original bytes.

An index from original message to dead letters is kept in memory, and read from the stream at the start and on from
there. So a message that is refused again in a rebuild is not written again, and callers see each original once.
"""

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.log import next_message, parse_time, read_stream
from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.operations import named_event
from precedent_indexer.errors import MESSAGE_GONE, DeadLettersRefused, JetStreamRefused
from precedent_schemas import subjects
from precedent_schemas.codec import dump
from precedent_schemas.dead_letters import DeadLetter
from precedent_schemas.failures import DeadReason, ascii_detail
from precedent_schemas.limits import MAX_DEAD_LETTER_BYTES

_MAX_SUBJECT_CHARS: Final = 4_096
_MAX_PACKED_CHARS: Final = 32_768
"""Characters of the original headers in base64: the server takes 64 KiB of headers in all."""
_MARGIN_BYTES: Final = 1_024
_MAX_DIGITS: Final = 19


class JetStreamDeadLetters:
    """`DeadLetters` in a stream, and their lookup."""

    def __init__(self, bus: Bus, log_created: str, log_began_at: datetime | None) -> None:
        """Dead letters older than the log belong to an earlier log, and are ignored.

        Args:
            bus: the connection.
            log_created: creation time of the log.
            log_began_at: when the log stored its first message, which is before its creation if it was restored from
                a backup; None if it is empty.
        """
        self._bus = bus
        self._log_created = log_created
        self._since = min(parse_time(log_created), log_began_at or parse_time(log_created))
        self._of_original: dict[int, list[int]] = {}
        self._refusals: dict[int, Refusal] = {}
        self._events: dict[int, tuple[str, str]] = {}
        self._read_up_to = 0

    async def put(self, message: LogMessage, refusal: Refusal) -> None:
        """Store a message as a dead letter, durable on return; the same message twice gives one dead letter."""
        await self.refresh()
        if message.seq in self._of_original:
            return
        headers = {
            subjects.MSG_ID_HEADER: f"dead:{message.seq}",
            subjects.REASON_HEADER: str(refusal.reason),
            subjects.DETAIL_HEADER: ascii_detail(refusal.detail),
            subjects.STREAM_SEQ_HEADER: str(message.seq),
            subjects.SUBJECT_HEADER: _printable(message.subject)[:_MAX_SUBJECT_CHARS],
            subjects.DELIVERIES_HEADER: str(message.deliveries),
            subjects.ORIGINAL_HEADERS_HEADER: _packed(message.headers),
        }
        subject = subjects.dead_letter_subject(subjects.collection_of(message.subject), refusal.reason)
        data = message.data
        if len(data) + sum(len(name) + len(value) + 4 for name, value in headers.items()) > self._room:
            # The server would close the connection over such a message each time, so its bytes stay in the log alone.
            data = b""
            headers[subjects.DETAIL_HEADER] = ascii_detail(
                f"[larger than the server's max_payload: the bytes are in the log alone] {refusal.detail}"
            )
        _, had_one = await self._store(subject, data, headers)
        if had_one and not await self._is_known(message.seq):
            # The duplicate was a message of an earlier log with this sequence: publish with another message id.
            headers[subjects.MSG_ID_HEADER] = f"dead:{message.seq}:{self._log_created}"
            await self._store(subject, data, headers)

    async def _store(self, subject: str, data: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        try:
            return await self._bus.publish_once(subject, data, headers)
        except JetStreamRefused as error:
            raise DeadLettersRefused(f"the dead-letter stream refuses a message: {error}") from error

    @property
    def _room(self) -> int:
        """Bytes of headers and payload that one dead letter may have."""
        return min(MAX_DEAD_LETTER_BYTES, self._bus.max_payload) - _MARGIN_BYTES

    async def _is_known(self, original: int) -> bool:
        await self.refresh()
        return original in self._of_original

    async def count(self) -> int:
        """Messages in the dead-letter stream."""
        return (await self._state())["messages"]

    async def refresh(self) -> None:
        """Read the dead letters that were written since the last call."""
        last = (await self._state())["last_seq"]
        async for letter in read_stream(self._bus, subjects.DEAD_LETTERS_STREAM, self._read_up_to + 1, last):
            original = _original_seq(letter.headers)
            if original is not None and letter.stored_at >= self._since:
                self._of_original.setdefault(original, []).append(letter.seq)
                self._refusals[original] = Refusal(
                    _reason(letter.headers), _header(letter.headers, subjects.DETAIL_HEADER)
                )
                subject = _header(letter.headers, subjects.SUBJECT_HEADER)
                if event := named_event(replace(letter, seq=original, subject=subject)):
                    self._events[original] = event
        self._read_up_to = max(self._read_up_to, last)

    def refusals(self) -> Mapping[int, Refusal]:
        """Reasons of the refusals, by the sequence of the original message."""
        return self._refusals

    def about(self, collection: str, ids: Collection[str]) -> list[int]:
        """Sequences of original messages that name one of these events, oldest first."""
        wanted = {(collection, one) for one in ids}
        return sorted(original for original, event in self._events.items() if event in wanted)

    def originals(self) -> list[int]:
        """Sequences of the original messages, newest first."""
        return sorted(self._of_original, reverse=True)

    async def letter(self, original: int) -> DeadLetter | None:
        """The dead letter of one original message; None if it is gone."""
        for seq in self._of_original.get(original, ()):
            found = await next_message(self._bus, subjects.DEAD_LETTERS_STREAM, seq)
            if found is not None and found.seq == seq:
                return _dead_letter(found)
        self._forget([original])
        return None

    async def remove(self, original: int) -> None:
        """Erase the dead letters of one original message."""
        for seq in self._of_original.get(original, ()):
            try:
                await self._bus.api(f"STREAM.MSG.DELETE.{subjects.DEAD_LETTERS_STREAM}", {"seq": seq})
            except JetStreamRefused as error:
                if error.err_code not in MESSAGE_GONE:
                    raise
        self._forget([original])

    def _forget(self, originals: Iterable[int]) -> None:
        for original in originals:
            self._of_original.pop(original, None)
            self._refusals.pop(original, None)
            self._events.pop(original, None)

    async def _state(self) -> dict[str, int]:
        info = await self._bus.api(f"STREAM.INFO.{subjects.DEAD_LETTERS_STREAM}")
        state: dict[str, int] = info["state"]
        return state


def _printable(text: str) -> str:
    return "".join(char if "!" <= char <= "~" else "?" for char in text)


def _packed(headers: Mapping[str, list[str]]) -> str:
    """The original headers in base64; if they are too large, the largest are left out."""
    kept = {name: values for name, values in headers.items() if not name.lower().startswith("nats-")}
    while len(packed := base64.b64encode(dump(kept))) > _MAX_PACKED_CHARS:
        del kept[max(kept, key=lambda name: len(name) + sum(map(len, kept[name])))]
    return packed.decode()


def _header(headers: Mapping[str, list[str]], name: str) -> str:
    return headers.get(name, [""])[0]


def _original_seq(headers: Mapping[str, list[str]]) -> int | None:
    return _number(_header(headers, subjects.STREAM_SEQ_HEADER)) or None


def _number(text: str) -> int:
    """A number of at most 63 bits, or 0 if it is malformed: without roles, any client may write a dead letter."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else 0


def _reason(headers: Mapping[str, list[str]]) -> DeadReason:
    text = _header(headers, subjects.REASON_HEADER)
    return DeadReason(text) if text in set(DeadReason) else DeadReason.UNPROCESSABLE


def _dead_letter(letter: LogMessage) -> DeadLetter:
    return DeadLetter(
        seq=_original_seq(letter.headers) or 1,
        reason=_reason(letter.headers),
        detail=_header(letter.headers, subjects.DETAIL_HEADER),
        subject=_header(letter.headers, subjects.SUBJECT_HEADER),
        headers=_original_headers(letter.headers),
        data=base64.b64encode(letter.data).decode(),
        deliveries=_number(_header(letter.headers, subjects.DELIVERIES_HEADER)),
        dead_at=letter.stored_at,
    )


def _original_headers(headers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    try:
        found = json.loads(base64.b64decode(_header(headers, subjects.ORIGINAL_HEADERS_HEADER)))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: [str(one) for one in values] for name, values in found.items() if isinstance(values, list)}
