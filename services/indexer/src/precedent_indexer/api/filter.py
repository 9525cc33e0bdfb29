"""A caller's filter, compiled twice: into what the store can narrow by, and into the exact definition.

The store's part may let too much through (never too little), where its own operators are slow, limited or wrong;
the predicate decides. Nothing of a request reaches the store but values put into clauses that are built here.
"""

import bisect
import ipaddress
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from precedent_indexer.domain.index_state import Where
from precedent_indexer.domain.rows import ANY_ATTRIBUTE, Row, attribute_token, attribute_tokens, ip_halves, milliseconds
from precedent_schemas.fields import Scalar
from precedent_schemas.matching import canonical, holds
from precedent_schemas.questions import Filter, SeverityRange, TimeRange
from precedent_schemas.subjects import kind_prefixes

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
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """What the store narrows by (None: nothing), and whether a row passes."""

    where: Where | None
    matches: Predicate


def compile_filter(wanted: Filter | None) -> CompiledFilter | None:
    """The filter ready for use; None where it lets everything pass."""
    if wanted is None:
        return None
    clauses: list[Clause] = []
    predicates: list[Predicate] = []
    for clause, predicate in _parts(wanted):
        predicates.append(predicate)
        if clause is not None:
            clauses.append(clause)
    document = None
    if wanted.contains is not None:
        needle = wanted.contains
        in_text = holds(needle)
        predicates.append(lambda row: in_text(row.event.text))
        document = _piece(needle)
    if wanted.exclude_ids:
        excluded = frozenset(wanted.exclude_ids)
        predicates.append(lambda row: row.event.id not in excluded)
    if not predicates:
        return None
    metadata = _all_of(clauses)
    where = Where(metadata, document) if metadata is not None or document is not None else None
    return CompiledFilter(where, lambda row: all(predicate(row) for predicate in predicates))


def _parts(wanted: Filter) -> list[tuple[Clause | None, Predicate]]:
    parts: list[tuple[Clause | None, Predicate]] = []
    if wanted.kinds is not None:
        parts.append(_kinds(wanted.kinds))
    if wanted.severity is not None:
        parts += _severity(wanted.severity)
    if wanted.sources is not None:
        parts.append(_one_name("source", wanted.sources, lambda row: row.event.source))
    if wanted.users is not None:
        parts.append(_one_name("user", wanted.users, lambda row: row.event.user))
    if wanted.ips is not None:
        parts.append(_one_of("ip", wanted.ips, lambda row: row.event.ip))
    if wanted.networks is not None:
        parts.append(_networks(wanted.networks))
    if wanted.occurred_at is not None:
        parts += _times(wanted.occurred_at)
    if wanted.attributes is not None:
        parts += [_attribute(key, values) for key, values in wanted.attributes.items()]
    if wanted.verdicts is not None:
        verdicts = [str(verdict) for verdict in wanted.verdicts]
        parts.append(
            _one_of("verdict", verdicts, lambda row: str(row.outcome.outcome.verdict) if row.outcome else None)
        )
    return parts


def _one_of(key: str, values: Sequence[str], read: Callable[[Row], str | None]) -> tuple[Clause | None, Predicate]:
    allowed = frozenset(values)
    return {key: {"$in": sorted(allowed)}}, lambda row: read(row) in allowed


def _one_name(key: str, values: Sequence[str], read: Callable[[Row], str | None]) -> tuple[Clause | None, Predicate]:
    """The same for what people type: the store has it in normal form, the event as it came."""

    def canonical_name(row: Row) -> str | None:
        name = read(row)
        return None if name is None else canonical(name)

    return _one_of(key, [canonical(value) for value in values], canonical_name)


def _kinds(kinds: Sequence[str]) -> tuple[Clause | None, Predicate]:
    allowed = frozenset(kinds)
    clause = _any_of([{"kinds": {"$contains": kind}} for kind in sorted(allowed)])
    return clause, lambda row: not allowed.isdisjoint(kind_prefixes(row.event.kind))


def _severity(wanted: SeverityRange) -> list[tuple[Clause | None, Predicate]]:
    parts: list[tuple[Clause | None, Predicate]] = []
    if wanted.min is not None:
        least = wanted.min
        parts.append(({"severity": {"$gte": least}}, lambda row: row.event.severity >= least))
    if wanted.max is not None:
        most = wanted.max
        parts.append(({"severity": {"$lte": most}}, lambda row: row.event.severity <= most))
    return parts


def _times(wanted: TimeRange) -> list[tuple[Clause | None, Predicate]]:
    parts: list[tuple[Clause | None, Predicate]] = []
    if wanted.after is not None:
        first = milliseconds(wanted.after)
        parts.append(({"occurred_at_ms": {"$gte": first}}, lambda row: milliseconds(row.event.occurred_at) >= first))
    if wanted.before is not None:
        end = milliseconds(wanted.before)
        parts.append(({"occurred_at_ms": {"$lt": end}}, lambda row: milliseconds(row.event.occurred_at) < end))
    return parts


def _attribute(key: str, values: Scalar | list[Scalar]) -> tuple[Clause | None, Predicate]:
    tokens = frozenset(attribute_token(key, one) for one in (values if isinstance(values, list) else [values]))
    clause = _any_of([{"attributes": {"$contains": token}} for token in (ANY_ATTRIBUTE, *sorted(tokens))])
    return clause, lambda row: not tokens.isdisjoint(attribute_tokens(row.event))


def _networks(networks: Sequence[str]) -> tuple[Clause | None, Predicate]:
    parsed = [ipaddress.ip_network(one) for one in networks]
    merged: list[Network] = [
        *ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv6Network)),
    ]

    # A thousand networks must not be walked through for each of a hundred thousand rows.
    ranges = {version: [(int(one[0]), int(one[-1])) for one in merged if one.version == version] for version in (4, 6)}

    def matches(row: Row) -> bool:
        if row.event.ip is None:
            return False
        address = ipaddress.ip_address(row.event.ip)
        same_family = ranges[address.version]
        at = bisect.bisect_right(same_family, int(address), key=lambda ends: ends[0])
        return at > 0 and int(address) <= same_family[at - 1][1]

    return _any_of([_network_clause(one) for one in merged]), matches


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


def _any_of(clauses: list[Clause]) -> Clause | None:
    if len(clauses) > _MAX_BRANCHES:
        return None
    return clauses[0] if len(clauses) == 1 else {"$or": clauses}


def _all_of(clauses: list[Clause]) -> Clause | None:
    if not clauses:
        return None
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}
