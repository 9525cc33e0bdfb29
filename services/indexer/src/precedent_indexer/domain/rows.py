"""Layout of a row: an event as flat metadata of the store, and back.

The set of keys is fixed: the store merges metadata, so a key that a new revision lacks must be set to None.
Attributes are one list of typed tokens. The event is also stored as JSON, without its text: the text is the document,
unless it has a NUL, after which the store's full-text index finds nothing.

Lists are short: with more than 5,461 values in the lists of one row, Chroma 1.5.9 fails to write the row, and then to
read anything. Sequences can be any number, so they are stored as one string.
"""

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, Final

from precedent_schemas.codec import dump
from precedent_schemas.events import Outcome, StoredEvent
from precedent_schemas.fields import Scalar
from precedent_schemas.matching import canonical
from precedent_schemas.subjects import kind_prefixes

INDEX_FORMAT: Final = 3
"""Incremented with every change of the layout; an index of another format is rebuilt from the log."""
READABLE_FORMATS: Final = frozenset({INDEX_FORMAT})
"""Formats that this version can read: an index in one of them answers until it is rebuilt."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HALF: Final = 1 << 64
_SIGNED: Final = 1 << 63
_MAX_TOKEN_CHARS: Final = 128
_MOST_TOKENS: Final = 1_000
"""Most attribute values that a row lists one by one."""
ANY_ATTRIBUTE: Final = "*"
"""Stands for more tokens than that: a filter on any attribute has to look at such an event."""
_NUL: Final = "\x00"

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The latest outcome of an event, its sequence, and all sequences that its outcomes ever had."""

    outcome: Outcome
    seq: int
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One event in the index: latest revision, all sequences that its id ever had, latest outcome."""

    event: StoredEvent
    seq: int
    seqs: tuple[int, ...]
    outcome: OutcomeRecord | None = None


def ip_halves(address: str) -> tuple[int, int]:
    """An address as two signed 64-bit integers, so that every network is a range.

    An IPv4 address counts as `::ffff:a.b.c.d`; each half is shifted by 2^63, which keeps the order.
    """
    parsed = ipaddress.ip_address(address)
    number = int(parsed) if parsed.version == 6 else (0xFFFF << 32) | int(parsed)  # noqa: PLR2004 -- IPv6
    return (number >> 64) - _SIGNED, number % _HALF - _SIGNED


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970 in UTC; exact, unlike a float of seconds."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def attribute_token(key: str, value: Scalar) -> str:
    """One value of an attribute as a token: 1 and 1.0 have equal tokens, true and 1 have not."""
    if isinstance(value, bool):
        return f"{key}=b:{str(value).lower()}"
    if isinstance(value, int | float):
        number = int(value) if isinstance(value, int) or value.is_integer() else value
        return f"{key}=n:{number!r}"
    text = canonical(value)
    if len(text) <= _MAX_TOKEN_CHARS:
        return f"{key}=s:{text}"
    return f"{key}=h:{hashlib.sha256(text.encode()).hexdigest()}"


def attribute_tokens(event: StoredEvent) -> list[str]:
    """Tokens of every attribute value; a list gives one token for each of its values."""
    tokens: list[str] = []
    for key, value in event.attributes.items():
        values = value if isinstance(value, list) else [value]
        tokens += [attribute_token(key, one) for one in values]
    return sorted(set(tokens))


def listed_tokens(event: StoredEvent) -> list[str] | None:
    """Attribute tokens that a row lists: `ANY_ATTRIBUTE` if there are too many, None if there are none."""
    tokens = attribute_tokens(event)
    return [ANY_ATTRIBUTE] if len(tokens) > _MOST_TOKENS else tokens or None


def written_seqs(seqs: Sequence[int]) -> str:
    """Sequences as one string: the first, then the difference of each to the one before."""
    return " ".join(map(str, [*seqs[:1], *(after - before for before, after in pairwise(seqs))]))


def read_seqs(written: str) -> tuple[int, ...]:
    """Parses the string that `written_seqs` made.

    Raises:
        ValueError: the string is malformed.
    """
    return tuple(accumulate(map(int, written.split())))


def row_metadata(row: Row) -> Metadata:
    """Metadata of a row: the fixed set of keys; absent values are None."""
    event = row.event
    high, low = ip_halves(event.ip) if event.ip else (None, None)
    body = event.model_dump(mode="json", exclude=None if _NUL in event.text else {"text"})
    return {
        "event": dump(body).decode(),
        "seq": row.seq,
        "seqs": written_seqs(row.seqs),
        "kinds": kind_prefixes(event.kind),
        "severity": event.severity,
        "source": canonical(event.source) if event.source else None,
        "user": canonical(event.user) if event.user else None,
        "ip": event.ip,
        "ip_high": high,
        "ip_low": low,
        "occurred_at_ms": milliseconds(event.occurred_at),
        "attributes": listed_tokens(event),
        **joined_metadata(row.outcome),
    }


def row_document(row: Row) -> str:
    """Text of an event for the store's full-text index."""
    return row.event.text.replace(_NUL, "\n")


def joined_metadata(record: OutcomeRecord | None) -> Metadata:
    """The metadata keys of a row that hold the event's outcome."""
    if record is None:
        return {"verdict": None, "outcome": None, "outcome_seq": None, "outcome_seqs": None}
    return {"verdict": str(record.outcome.verdict), **outcome_metadata(record)}


def outcome_metadata(record: OutcomeRecord) -> Metadata:
    """Metadata of an outcome in the collection of outcomes."""
    return {
        "outcome": dump(record.outcome.model_dump(mode="json")).decode(),
        "outcome_seq": record.seq,
        "outcome_seqs": written_seqs(record.seqs),
    }


def read_row(metadata: Mapping[str, Any], document: str) -> Row:
    """Parses a stored row."""
    event = StoredEvent.model_validate({"text": document} | json.loads(metadata["event"]))
    return Row(event, int(metadata["seq"]), read_seqs(metadata["seqs"]), read_outcome(metadata))


def read_outcome(metadata: Mapping[str, Any]) -> OutcomeRecord | None:
    """The outcome in the metadata of a row or of the collection of outcomes; None if there is none."""
    if metadata.get("outcome") is None:
        return None
    outcome = Outcome.model_validate(json.loads(metadata["outcome"]))
    return OutcomeRecord(outcome, int(metadata["outcome_seq"]), read_seqs(metadata["outcome_seqs"]))
