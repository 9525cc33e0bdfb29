"""A caller's filter, compiled twice: into what the store can narrow by, and into the exact definition.

The store's part may let too much through (never too little), where its own operators are slow, limited or wrong;
the predicate decides. Nothing of a request reaches the store but values put into clauses that are built here.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from precedent_indexer.domain.index_state import Where
from precedent_indexer.domain.rows import ANY_ATTRIBUTE, Row, attribute_token, ip_halves, milliseconds
from precedent_schemas.filtering import Network, merged_networks, predicate
from precedent_schemas.matching import canonical
from precedent_schemas.questions import Filter

_MAX_BRANCHES: Final = 32
"""Alternatives that the store is asked for; each costs it a scan, and a thousand break SQLite's parser."""
_MIN_PIECE: Final = 3
"""The store's full-text index knows pieces of three characters and more."""

_PLANES: Final = 0x30000
"""The planes of Unicode that hold every character with another normal form; those above are not looked through."""
_BREAK: Final = "\x00"
_BREAKING: Final = frozenset("%_\x00").union(
    *(
        unicodedata.normalize("NFC", char)
        for char in map(chr, range(_PLANES))
        if not unicodedata.is_normalized("NFC", char)
    )
)
"""Patterns of the store, and what stands in normal form C for another character: `K` for the Kelvin sign."""

Clause = dict[str, Any]
Predicate = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """What the store narrows by (None: nothing), and whether a row passes."""

    where: Where | None
    matches: Predicate


def compile_filter(wanted: Filter | None) -> CompiledFilter | None:
    """The filter ready for use; None where it lets everything pass."""
    passes = predicate(wanted)
    if wanted is None or passes is None:
        return None
    metadata = _all_of(list(_clauses(wanted)))
    document = None if wanted.contains is None else _piece(wanted.contains)
    where = Where(metadata, document) if metadata is not None or document is not None else None
    return CompiledFilter(where, lambda row: passes(row.event, row.outcome.outcome if row.outcome else None))


def _clauses(wanted: Filter) -> Iterator[Clause]:
    if wanted.kinds is not None:
        yield from _any_of([{"kinds": {"$contains": kind}} for kind in sorted(set(wanted.kinds))])
    if wanted.severity is not None:
        yield from _range("severity", "$lte", wanted.severity.min, wanted.severity.max)
    if wanted.sources is not None:
        yield _one_of("source", map(canonical, wanted.sources))
    if wanted.users is not None:
        yield _one_of("user", map(canonical, wanted.users))
    if wanted.ips is not None:
        yield _one_of("ip", wanted.ips)
    if wanted.networks is not None:
        yield from _any_of([_network_clause(one) for one in merged_networks(wanted.networks)])
    if wanted.occurred_at is not None:
        after, before = wanted.occurred_at.after, wanted.occurred_at.before
        first = None if after is None else milliseconds(after)
        yield from _range("occurred_at_ms", "$lt", first, None if before is None else milliseconds(before))
    for key, values in (wanted.attributes or {}).items():
        tokens = {attribute_token(key, one) for one in (values if isinstance(values, list) else [values])}
        yield from _any_of([{"attributes": {"$contains": token}} for token in (ANY_ATTRIBUTE, *sorted(tokens))])
    if wanted.verdicts is not None:
        yield _one_of("verdict", map(str, wanted.verdicts))


def _one_of(key: str, values: Iterable[str]) -> Clause:
    """What people type is stored in normal form."""
    return {key: {"$in": sorted(set(values))}}


def _range(key: str, below: str, least: int | None, end: int | None) -> Iterator[Clause]:
    if least is not None:
        yield {key: {"$gte": least}}
    if end is not None:
        yield {key: {below: end}}


def _network_clause(network: Network) -> Clause:
    """A range on one half of the address: the low half says enough for a prefix beyond 64 bit, or IPv4.

    The other half is left to the predicate: asking the store for it costs more than it saves.
    """
    first, last = ip_halves(str(network.network_address)), ip_halves(str(network.broadcast_address))
    in_high = network.version == 6 and network.prefixlen <= 64  # noqa: PLR2004 -- IPv6, its half
    key, half = ("ip_high", 0) if in_high else ("ip_low", 1)
    return {"$and": [{key: {"$gte": first[half]}}, {key: {"$lte": last[half]}}]}


def _piece(needle: str) -> str | None:
    """The longest piece of `needle` that the store's full-text index finds without fail in every text that passes.

    Its pattern characters `%` and `_` are not escaped there, and pieces below three characters are not indexed. The
    store searches texts as they came, in any normal form.
    """
    pieces = "".join(char if _is_steady(char) else _BREAK for char in canonical(needle)).split(_BREAK)
    longest = max(pieces, key=len)
    return longest if len(longest) >= _MIN_PIECE else None


def _is_steady(char: str) -> bool:
    """Whether a text in normal form C has `char` only where the text had it before, next to the same neighbours."""
    return char not in _BREAKING and not unicodedata.combining(char) and unicodedata.is_normalized("NFD", char)


def _any_of(clauses: list[Clause]) -> Iterator[Clause]:
    if len(clauses) <= _MAX_BRANCHES:
        yield clauses[0] if len(clauses) == 1 else {"$or": clauses}


def _all_of(clauses: list[Clause]) -> Clause | None:
    if not clauses:
        return None
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}
