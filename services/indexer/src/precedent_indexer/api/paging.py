"""Replies within what the server takes: beyond it the connection would be cut. What does not fit is told in numbers."""

import base64
import binascii
import bisect
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import BaseModel

from precedent_indexer.api.search import summary_of
from precedent_indexer.errors import QuestionFailed
from precedent_schemas import answers, codec, questions
from precedent_schemas.dead_letters import DeadGetReply
from precedent_schemas.failures import ErrorReason, FieldProblem
from precedent_schemas.limits import REPLY_SHARE_OF_MAX_PAYLOAD

_MARGIN_BYTES: Final = 1024
"""Of a page: its cursor and some punctuation."""
_CHECK_CHARS: Final = 16
_NARROWER: Final = "ask with a narrower filter or a wider bucket, or raise the server's max_payload"


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
    if isinstance(reply, answers.SearchReply):
        remedy = _fewer(_largest_k(reply, room), "hits (k)")
    else:
        sizes, what = _parts(reply, request)
        remedy = _fewer(_leading(sizes, room - (len(data) - sum(sizes))), what) if sizes else _NARROWER
    raise QuestionFailed(
        ErrorReason.TOO_LARGE, f"the reply would have {len(data)} bytes, the server takes {room}: {remedy}"
    )


def _fewer(fits: int, what: str) -> str:
    if fits == 0:
        return "the first of them alone is too large: raise the server's max_payload"
    return f"ask for at most {fits} {what}"


def _largest_k(reply: answers.SearchReply, room: int) -> int:
    """The most hits that fit, with the summary that these would have."""

    def size(k: int) -> int:
        hits = reply.hits[:k]
        return len(codec.encode(reply.model_copy(update={"hits": hits, "summary": summary_of(hits)})))

    return bisect.bisect_left(range(1, len(reply.hits) + 1), room, key=size)


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
    if isinstance(reply, answers.GetReply) and isinstance(request, questions.GetRequest):
        events = {one.event.id: size_of(one) for one in reply.events}
        return [events.get(one, len(codec.dump(one)) + 1) for one in dict.fromkeys(request.ids)], "ids"
    if isinstance(reply, DeadGetReply) and isinstance(request, questions.DeadSeqsRequest):
        letters = {one.seq: size_of(one) for one in reply.dead_letters}
        return [letters.get(one, len(str(one)) + 1) for one in dict.fromkeys(request.seqs)], "seqs"
    return [], ""


def write_cursor(listing: Sequence[object], seq: int) -> str:
    """The cursor of a page that ended with `seq`; `listing`: JSON values, all that makes it this listing."""
    tied = json.dumps([*listing, seq], sort_keys=True)
    check = hashlib.sha256(tied.encode()).hexdigest()[:_CHECK_CHARS]
    return base64.urlsafe_b64encode(f"{seq}.{check}".encode()).decode().rstrip("=")


def read_cursor(listing: Sequence[object], cursor: str) -> int:
    """The sequence that the page before ended with.

    Raises:
        QuestionFailed: it is no cursor of this listing.
    """
    try:
        said = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        seq = int(said.partition(b".")[0])
    except (ValueError, binascii.Error):
        seq = 0
    # Encoded again and compared, so that each cursor has one spelling: the decoder and `int` accept several.
    if seq < 1 or write_cursor(listing, seq) != cursor:
        raise QuestionFailed(
            ErrorReason.INVALID_REQUEST,
            "cursor is not one that this listing gave: repeat what was asked for the page before",
            [FieldProblem(field="cursor", message="belongs to another listing, or was changed")],
        )
    return seq
