"""What a filter means, in plain Python: an event is in the answer when every part that is given holds."""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final

from precedent_schemas import Filter, Outcome, StoredEvent
from precedent_schemas.fields import AttributeValue, Scalar
from precedent_schemas.matching import canonical, holds
from precedent_schemas.subjects import kind_prefixes


def matches(wanted: Filter | None, event: StoredEvent, outcome: Outcome | None) -> bool:
    """Whether `event`, with its latest `outcome`, passes the filter; none lets everything pass."""
    return wanted is None or all(holds(wanted, event, outcome) for holds in _PARTS)


def _kinds(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """A kind takes in the kinds below it: `auth` takes in `auth.brute_force`, and not `authz`."""
    return wanted.kinds is None or not set(wanted.kinds).isdisjoint(kind_prefixes(event.kind))


def _severity(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """Both ends are included."""
    if wanted.severity is None:
        return True
    least, most = wanted.severity.min, wanted.severity.max
    return (least is None or least <= event.severity) and (most is None or event.severity <= most)


def _names(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """An event without a source, user or address has none of those listed."""
    named = ((wanted.sources, event.source), (wanted.users, event.user), (wanted.ips, event.ip))
    return all(
        several is None or (one is not None and canonical(one) in map(canonical, several)) for several, one in named
    )


def _networks(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """A network matches addresses of its own version alone."""
    if wanted.networks is None:
        return True
    if event.ip is None:
        return False
    address = ipaddress.ip_address(event.ip)
    # `in` is false where the versions differ.
    return any(address in ipaddress.ip_network(network) for network in wanted.networks)


def _occurred_at(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """`after` is included and `before` is not, so that neighbouring ranges share no event."""
    if wanted.occurred_at is None:
        return True
    after, before = wanted.occurred_at.after, wanted.occurred_at.before
    return (after is None or after <= event.occurred_at) and (before is None or event.occurred_at < before)


def _attributes(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """Every key must hold the value, or one of the values; a stored list holds each of its members."""
    return all(_holds(event.attributes, key, values) for key, values in (wanted.attributes or {}).items())


def _holds(attributes: Mapping[str, AttributeValue], key: str, wanted: Scalar | list[Scalar]) -> bool:
    if key not in attributes:
        return False
    stored = attributes[key]
    held = stored if isinstance(stored, list) else [stored]
    values = wanted if isinstance(wanted, list) else [wanted]
    return any(_same(one, other) for one in held for other in values)


def _same(one: Scalar, other: Scalar) -> bool:
    """1 equals 1.0, true is no number, and texts are compared in one normal form."""
    if isinstance(one, str) and isinstance(other, str):
        return canonical(one) == canonical(other)
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _contains(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    """A substring of the text; case matters."""
    return wanted.contains is None or holds(wanted.contains)(event.text)


def _verdicts(wanted: Filter, _: StoredEvent, outcome: Outcome | None) -> bool:
    """An event about which nothing was decided has no verdict, not even `unknown`."""
    return wanted.verdicts is None or (outcome is not None and outcome.verdict in wanted.verdicts)


def _exclude_ids(wanted: Filter, event: StoredEvent, _: Outcome | None) -> bool:
    return event.id not in (wanted.exclude_ids or ())


_PARTS: Final[tuple[Callable[[Filter, StoredEvent, Outcome | None], bool], ...]] = (
    _kinds,
    _severity,
    _names,
    _networks,
    _occurred_at,
    _attributes,
    _contains,
    _verdicts,
    _exclude_ids,
)
