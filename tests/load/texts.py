"""Texts and events of a backend, drawn deterministically: about 40 word pieces each, all different unless repeated."""

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from precedent_backend_adapter import SecurityEvent

SPAN: Final = timedelta(days=30)
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
USERS: Final = 100
"""Each event has one of so many users: a filter on one of them lets 1% pass."""
SOURCES: Final = ("edge", "core")
"""Each event has one of these sources: a filter on one of them lets 50% pass."""
_BITS_OF_TIME: Final = 32

_HAPPENED: Final[dict[str, tuple[str, ...]]] = {
    "auth.brute_force": (
        "{n} failed logins for account {user} within {s} seconds from {ip}, the password list looks automated",
        "Repeated login failures for {user} at the {app}, {n} attempts, source {ip}, account locked after {s} seconds",
    ),
    "auth.impossible_travel": (
        "{user} signed in to the {app} from {place} and {s} minutes later from {place2}, address {ip}",
    ),
    "network.scan": (
        "Host {ip} probed {n} ports of {host} in {s} seconds, mostly SMB and RDP, no connection was completed",
        "Horizontal scan for port {n} from {ip} across the subnet of {host}, {s} addresses answered",
    ),
    "malware.execution": (
        "{host} started {tool} with an encoded command line as {user}, parent winword, beacon to {ip} every {s} s",
    ),
    "exfiltration.upload": (
        "{user} uploaded {n} MB from {host} to an unknown storage bucket at {ip} in {s} minutes, outside of hours",
    ),
    "cloud.privilege": (
        "Role of {user} in the {app} was raised to owner by a service principal, then {n} keys were listed from {ip}",
    ),
    "web.injection": (
        "Request to the {app} from {ip} carried a union select in parameter id, {n} rows of {host} were returned",
        "Path traversal towards /etc/passwd in the {app}, {n} requests from {ip}, blocked by the firewall in {s} ms",
    ),
    "phishing.report": (
        "{user} reported a mail that copies the login page of the {app}; {n} others have it, {s} clicked, sent by {ip}",
    ),
}
_ENDINGS: Final = (
    "Ticket {ticket}.",
    "Seen by sensor {ticket}.",
    "Correlation {ticket}.",
    "Matched rule {ticket}.",
)
_APPS: Final = ("customer portal", "payroll system", "VPN gateway", "mail server", "build server", "trading desk")
_TOOLS: Final = ("powershell", "rundll32", "certutil", "mshta", "wmic", "regsvr32")
_PLACES: Final = ("Athens", "Nairobi", "Lima", "Oslo", "Hanoi", "Toronto", "Porto", "Jakarta")
_QUESTIONS: Final = (
    "many failed logins for one account from {ip}",
    "sign-in from two countries within minutes, {user}",
    "port scan against {host}",
    "encoded command line started by an office program on {host}",
    "large upload to unknown storage by {user}",
    "SQL injection against the {app}",
    "phishing page that imitates the {app}",
    "somebody became owner in the {app}",
)


def distinct_texts(count: int, seed: int) -> list[str]:
    """`count` texts, no two alike."""
    draw = random.Random(seed)
    return [_text(draw, number) for number in range(count)]


def with_repeats(count: int, share: float, seed: int) -> list[str]:
    """`count` texts of which `share` are copies of an earlier one, spread evenly."""
    draw = random.Random(seed)
    fresh = iter(distinct_texts(count, seed + 1))
    texts: list[str] = []
    copies = 0
    for number in range(count):
        if texts and copies < share * (number + 1) - 0.5:
            texts.append(draw.choice(texts))
            copies += 1
        else:
            texts.append(next(fresh))
    return texts


def questions(seed: int) -> Iterator[str]:
    """Questions of an analyst without end; none comes twice, so that nobody can remember the answer."""
    draw = random.Random(seed)
    for number in itertools.count():
        yield f"{draw.choice(_QUESTIONS).format(**_slots(draw))}, as in case {seed}-{number}"


def events(texts: Sequence[str], prefix: str) -> Iterator[SecurityEvent]:
    """One event for each text; user, source and time have nothing to do with the text.

    Args:
        texts: what happened.
        prefix: of the ids.
    """
    for number, text in enumerate(texts):
        # Not the order of the log: a range of time must not be a range of sequences.
        spread = (number * 2_654_435_761) % 2**_BITS_OF_TIME / 2**_BITS_OF_TIME
        yield SecurityEvent(
            id=f"{prefix}-{number}",
            text=text,
            kind=_kind(text),
            occurred_at=FIRST + spread * SPAN,
            severity=1 + number % 5,
            source=SOURCES[(number // 3) % 2],
            user=f"user-{(number * 37) % USERS:03d}",
            ip=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            attributes={"sensor": number % 17, "site": f"site-{number % 5}"},
        )


def _kind(text: str) -> str:
    kinds = list(_HAPPENED)
    return kinds[sum(text.encode()) % len(kinds)]


def _text(draw: random.Random, number: int) -> str:
    happened = draw.choice(draw.choice(list(_HAPPENED.values())))
    # The number makes it different from every other.
    ticket = f"{draw.choice('ABCDEFGH')}{number:05d}"
    return f"{happened}. {draw.choice(_ENDINGS)}".replace("{ticket}", ticket).format(**_slots(draw))


def _slots(draw: random.Random) -> dict[str, object]:
    return {
        "n": draw.randint(3, 9_999),
        "s": draw.randint(2, 600),
        "user": f"{draw.choice('abcdefghijklmnoprstvw')}.{draw.choice(_NAMES)}",
        "ip": f"{draw.choice((198, 203, 192))}.{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}",
        "host": f"{draw.choice(('srv', 'ws', 'db', 'edge'))}-{draw.randint(1, 400)}",
        "app": draw.choice(_APPS),
        "tool": draw.choice(_TOOLS),
        "place": draw.choice(_PLACES),
        "place2": draw.choice(_PLACES),
    }


_NAMES: Final = ("okafor", "lindqvist", "moreau", "tanaka", "papadakis", "silva", "novak", "haddad", "keller", "ruiz")
