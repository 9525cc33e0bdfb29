"""Hypothesis strategies for everything that crosses the bus: legal, nearly legal, and none of both.

For the tests of every project and for the fuzz targets. A message is a plain JSON value, as somebody without our
models would write it; `requests` has one strategy for each endpoint of the catalogue.
"""

import string
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from hypothesis import strategies as st

from precedent_schemas import codec
from precedent_schemas.events import Verdict
from precedent_schemas.fields import SEQ_ID_PREFIX
from precedent_schemas.limits import INT64_MAX, INT64_MIN, MAX_K, MAX_WAIT_MS

Strategy = st.SearchStrategy[Any]


def _shows(text: str) -> bool:
    """Whether a text holds a letter, a digit, a sign or a symbol."""
    return any(unicodedata.category(character)[0] in "LNPS" for character in text)


texts = st.text(min_size=1, max_size=200).filter(_shows)
labels = st.text(min_size=1, max_size=256)
stored_ids = st.text(string.ascii_letters + string.digits + "._:@/+=-", min_size=1, max_size=128)
event_ids = stored_ids.filter(lambda name: not name.startswith(SEQ_ID_PREFIX))
collections = st.from_regex(r"[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]", fullmatch=True)
kinds = st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z0-9_-]{1,20}){0,3}", fullmatch=True)
severities = st.integers(1, 5)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001 -- hypothesis adds them
times = moments.map(datetime.isoformat)
addresses = st.ip_addresses().map(str)
networks = st.tuples(addresses, st.integers(0, 128)).map(
    lambda pair: f"{pair[0]}/{pair[1] if ':' in pair[0] else pair[1] % 33}"
)
integers = st.integers(INT64_MIN, INT64_MAX)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = integers | floats
scalars = st.text() | numbers | st.booleans()
keys = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=64)
values = st.one_of(
    st.text(), numbers, st.booleans(), st.lists(st.text()), st.lists(numbers), st.lists(st.booleans())
)  # fmt: skip
attributes = st.dictionaries(keys, values, max_size=64)
verdicts = st.sampled_from([str(verdict) for verdict in Verdict])
similarities = st.floats(-1, 1)
sequences = st.integers(1, INT64_MAX)

event_fields: Final[dict[str, Strategy]] = {
    "id": event_ids,
    "occurred_at": times,
    "severity": severities,
    "source": labels.filter(lambda name: name.splitlines() == [name]),
    "user": labels,
    "ip": addresses,
    "attributes": attributes,
}
events = st.fixed_dictionaries({"text": texts}, optional=event_fields)
outcomes = st.fixed_dictionaries(
    {"event_id": stored_ids, "verdict": verdicts},
    optional={"mitigation": labels, "note": st.text(max_size=1000), "by": labels, "decided_at": times},
)
deletions = st.fixed_dictionaries({"ids": st.lists(stored_ids, min_size=1, max_size=5)}) | st.just({"all": True})


def _several(one: Strategy) -> Strategy:
    return st.lists(one, min_size=1, max_size=5)


filter_parts: Final[dict[str, Strategy]] = {
    "kinds": _several(kinds),
    "severity": st.fixed_dictionaries({}, optional={"min": severities, "max": severities}),
    "sources": _several(labels),
    "users": _several(labels),
    "ips": _several(addresses),
    "networks": _several(networks),
    "occurred_at": st.fixed_dictionaries({}, optional={"after": times, "before": times}),
    "attributes": st.dictionaries(keys, scalars | _several(scalars), max_size=5),
    "contains": st.text(min_size=1, max_size=100),
    "verdicts": _several(verdicts),
    "exclude_ids": st.lists(stored_ids, max_size=5),
}
filters = st.fixed_dictionaries({}, optional=filter_parts)

_about = st.fixed_dictionaries({"text": texts}) | st.fixed_dictionaries({"id": stored_ids})


def _asking(optional: dict[str, Strategy]) -> Strategy:
    """A question about a text or an event, with some of the other fields."""
    more = st.fixed_dictionaries({}, optional={"filter": filters, **optional})
    return st.tuples(_about, more).map(lambda pair: pair[0] | pair[1])


_ids = st.fixed_dictionaries({"ids": _several(stored_ids)})
_seqs = st.fixed_dictionaries({"seqs": _several(sequences)})
_cursors = st.text(min_size=1, max_size=512)
_limits = st.integers(1, MAX_K)

requests: Final[Mapping[str, Strategy]] = {
    "search": _asking(
        {
            "k": st.integers(1, MAX_K),
            "min_similarity": similarities,
            "min_seq": sequences,
            "wait_ms": st.integers(0, MAX_WAIT_MS),
        }
    ),
    "recurrence": _asking({"min_similarity": similarities, "bucket": st.sampled_from(("minute", "hour", "day"))}),
    "get": _ids,
    "list": st.fixed_dictionaries(
        {},
        optional={
            "filter": filters,
            "order": st.sampled_from(("newest", "oldest")),
            "limit": _limits,
            "cursor": _cursors,
        },
    ),
    "delete": _ids,
    "clear": st.fixed_dictionaries({"confirm": collections}),
    "collection-stats": st.just({}),
    "stats": st.just({}),
    "rebuild": st.just({}),
    "verify": st.fixed_dictionaries({}, optional={"repair": st.booleans()}),
    "dead-list": st.fixed_dictionaries({}, optional={"limit": _limits, "cursor": _cursors}),
    "dead-get": _seqs,
    "dead-replay": st.tuples(_seqs, st.fixed_dictionaries({}, optional={"force": st.booleans()})).map(
        lambda pair: pair[0] | pair[1]
    ),
    "dead-drop": _seqs,
}
"""A legal request for each endpoint, by its name."""

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text() | st.sampled_from(("$where", "$ne", "*", ">")),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=5,
)
"""Any JSON value."""


def spoiled(message: Strategy) -> Strategy:
    """The same with some fields of another type, some left out, and some that nobody knows."""

    def spoil(pair: tuple[dict[str, Any], dict[str, Any], list[str]]) -> dict[str, Any]:
        whole, more, dropped = pair
        return {name: value for name, value in (whole | more).items() if name not in dropped}

    names = st.sampled_from(
        ("text", "id", "ids", "filter", "k", "limit", "cursor", "seqs", "min_seq", "severity", "$where", "attributes")
    )
    more = st.dictionaries(names | st.text(max_size=5), junk, max_size=2)
    return st.tuples(message, more, st.lists(names)).map(spoil)


def payloads(message: Strategy) -> st.SearchStrategy[bytes]:
    """Bytes: `message` as JSON, spoiled, cut, with a byte changed, or nothing of the kind."""
    whole = (message | spoiled(message) | junk).map(codec.dump)
    changed = st.tuples(whole, st.integers(0, 1000), st.binary(max_size=3)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
    )
    return whole | changed | st.binary(max_size=200)
