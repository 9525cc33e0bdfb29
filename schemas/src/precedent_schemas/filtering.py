"""What a filter means: whether an event, with its latest outcome, passes. Every part that is given must hold."""

import bisect
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from precedent_schemas.events import Outcome, StoredEvent
from precedent_schemas.fields import Scalar
from precedent_schemas.matching import canonical, holds
from precedent_schemas.questions import Filter, SeverityRange, TimeRange
from precedent_schemas.subjects import kind_prefixes

Predicate = Callable[[StoredEvent, Outcome | None], bool]
Part = Callable[[StoredEvent], bool]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def predicate(wanted: Filter | None) -> Predicate | None:
    """The filter, prepared once for many events; None if it lets everything pass."""
    parts = list(_parts(wanted)) if wanted is not None else []
    if wanted is None or wanted.verdicts is None:
        return (lambda event, _: all(part(event) for part in parts)) if parts else None
    verdicts = frozenset(wanted.verdicts)

    def passes(event: StoredEvent, outcome: Outcome | None) -> bool:
        # An event about which nothing was decided has no verdict, not even `unknown`.
        return outcome is not None and outcome.verdict in verdicts and all(part(event) for part in parts)

    return passes


def _parts(wanted: Filter) -> Iterator[Part]:
    if wanted.kinds is not None:
        yield _kinds(frozenset(wanted.kinds))
    if wanted.severity is not None and wanted.severity != SeverityRange():
        yield _between(wanted.severity.min, wanted.severity.max)
    named = ((wanted.sources, "source"), (wanted.users, "user"), (wanted.ips, "ip"))
    yield from (_named(names, field) for names, field in named if names is not None)
    if wanted.networks is not None:
        yield _networks(wanted.networks)
    if wanted.occurred_at is not None and wanted.occurred_at != TimeRange():
        yield _occurred(wanted.occurred_at.after, wanted.occurred_at.before)
    for key, values in (wanted.attributes or {}).items():
        yield _attribute(key, values if isinstance(values, list) else [values])
    if wanted.contains is not None:
        in_text = holds(wanted.contains)
        yield lambda event: in_text(event.text)
    if wanted.exclude_ids:
        excluded = frozenset(wanted.exclude_ids)
        yield lambda event: event.id not in excluded


def _kinds(allowed: frozenset[str]) -> Part:
    """A kind takes in the kinds below it: `auth` takes in `auth.brute_force`, and not `authz`."""
    return lambda event: not allowed.isdisjoint(kind_prefixes(event.kind))


def _between(least: int | None, most: int | None) -> Part:
    """Both ends are included."""
    return lambda event: (least is None or least <= event.severity) and (most is None or event.severity <= most)


def _named(names: Sequence[str], field: str) -> Part:
    """An event without a source, user or address has none of those listed; texts are compared in one normal form."""
    allowed = frozenset(map(canonical, names))

    def passes(event: StoredEvent) -> bool:
        name = getattr(event, field)
        return name is not None and canonical(name) in allowed

    return passes


def _occurred(after: datetime | None, before: datetime | None) -> Part:
    """`after` is included and `before` is not, so that neighbouring ranges share no event."""
    return lambda event: (
        (after is None or after <= event.occurred_at) and (before is None or event.occurred_at < before)
    )


def _attribute(key: str, values: Sequence[Scalar]) -> Part:
    """The key must hold one of the values; a stored list holds each of its members."""
    allowed = frozenset(map(_comparable, values))

    def passes(event: StoredEvent) -> bool:
        if key not in event.attributes:
            return False
        stored = event.attributes[key]
        return not allowed.isdisjoint(map(_comparable, stored if isinstance(stored, list) else [stored]))

    return passes


def _comparable(value: Scalar) -> tuple[bool, Scalar]:
    """1 equals 1.0, true is no number, and texts are compared in one normal form."""
    return isinstance(value, bool), canonical(value) if isinstance(value, str) else value


def _networks(networks: Sequence[str]) -> Part:
    """A network matches addresses of its own version alone."""
    # A thousand networks must not be walked through for each of a hundred thousand events.
    ranges = {
        version: [(int(one[0]), int(one[-1])) for one in merged_networks(networks) if one.version == version]
        for version in (4, 6)
    }

    def passes(event: StoredEvent) -> bool:
        if event.ip is None:
            return False
        address = ipaddress.ip_address(event.ip)
        same_version = ranges[address.version]
        at = bisect.bisect_right(same_version, int(address), key=lambda ends: ends[0])
        return at > 0 and int(address) <= same_version[at - 1][1]

    return passes


def merged_networks(networks: Sequence[str]) -> list[Network]:
    """The networks in order, those of IPv4 first, without overlaps."""
    parsed = [ipaddress.ip_network(one) for one in networks]
    return [
        *ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv6Network)),
    ]
