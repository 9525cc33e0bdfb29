"""Cursors: where a page ended, as a string that says nothing to callers and fits nothing but its own listing.

No secret is in it: whoever makes one up can at best begin a listing, which he may ask for anyhow, somewhere else.
What it keeps out is the mistake: a cursor of another collection, order or filter, or of a log that is gone.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Final

from precedent_indexer.errors import QuestionFailed
from precedent_schemas.failures import ErrorReason, FieldProblem

_CHECK_CHARS: Final = 16


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
    # Written anew, so that there is one spelling: neither the decoder nor `int` minds what stands in between.
    if seq < 1 or write_cursor(listing, seq) != cursor:
        raise QuestionFailed(
            ErrorReason.INVALID_REQUEST,
            "cursor is not one that this listing gave: repeat what was asked for the page before",
            [FieldProblem(field="cursor", message="belongs to another listing, or was changed")],
        )
    return seq
