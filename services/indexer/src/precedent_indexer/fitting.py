"""Replies within what the server takes: beyond it the connection would be cut. What does not fit is told in numbers."""

from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import BaseModel

from precedent_indexer.errors import QuestionFailed
from precedent_schemas import answers, codec, questions
from precedent_schemas.dead_letters import DeadGetReply
from precedent_schemas.failures import ErrorReason
from precedent_schemas.limits import REPLY_SHARE_OF_MAX_PAYLOAD

_MARGIN_BYTES: Final = 1024
"""Of a page: its cursor and some punctuation."""


def room_of(max_payload: int) -> int:
    """Bytes below which a reply must stay."""
    return int(max_payload * REPLY_SHARE_OF_MAX_PAYLOAD)


def size_of(entry: BaseModel) -> int:
    """Bytes of one entry in a list, its comma included."""
    return len(codec.encode(entry)) + 1


class Page:
    """How full one page of a listing is; the first entry always has its place."""

    def __init__(self, max_payload: int, around: int = 0) -> None:
        """`around`: bytes of the reply that are no entries."""
        self._room = room_of(max_payload) - around - _MARGIN_BYTES
        self._used = 0

    def could_hold(self, size: int) -> bool:
        """Whether an entry of `size` bytes would fit if it were alone."""
        return size < self._room

    def take(self, size: int) -> bool:
        """Use up `size` bytes; False where the entry must wait for the next page."""
        if self._used and self._used + size >= self._room:
            return False
        self._used += size
        return True


def encoded(reply: BaseModel, request: BaseModel, max_payload: int) -> bytes:
    """The reply as it is sent.

    Raises:
        QuestionFailed: too large, with how much may be asked for.
    """
    data = codec.encode(reply)
    room = room_of(max_payload)
    if len(data) < room:
        return data
    sizes, what = _parts(reply, request)
    free = room - (len(data) - sum(sizes))
    fits = _leading(sizes, free)
    if fits == 0 and sizes:
        remedy = f"the first of them alone has {sizes[0]}: raise the server's max_payload"
    else:
        remedy = f"ask for at most {fits} {what}"
    raise QuestionFailed(
        ErrorReason.TOO_LARGE, f"the reply would have {len(data)} bytes, the server takes {room}: {remedy}"
    )


def _leading(sizes: Iterable[int], free: int) -> int:
    """How many of the first parts stay below `free` bytes."""
    count = 0
    for size in sizes:
        free -= size
        if free <= 0:
            break
        count += 1
    return count


def _parts(reply: BaseModel, request: BaseModel) -> tuple[Sequence[int], str]:
    """Bytes of what was asked for, in the order asked, and its name."""
    if isinstance(reply, answers.SearchReply):
        return [size_of(one) for one in reply.hits], "hits (k)"
    if isinstance(reply, answers.GetReply) and isinstance(request, questions.GetRequest):
        events = {one.event.id: size_of(one) for one in reply.events}
        return [events.get(one, len(codec.dump(one)) + 1) for one in dict.fromkeys(request.ids)], "ids"
    if isinstance(reply, DeadGetReply) and isinstance(request, questions.DeadSeqsRequest):
        letters = {one.seq: size_of(one) for one in reply.dead_letters}
        return [letters.get(one, len(str(one)) + 1) for one in dict.fromkeys(request.seqs)], "seqs"
    return [], "entries"
