"""The table of roles, cell by cell: every subject of Precedent and of JetStream's API, tried by every role."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from closed_nats.roles import combined
from precedent_schemas import catalogue
from security.closed_bus import settled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from security.closed_bus import ClosedBus

# -- who there is: users of the plan that is shipped, and the importer
BACKEND = "backend"  # publisher of everything
RULES_EDITOR = "rules-editor"  # publisher, narrowed to a collection
FIREWALL = "firewall"  # publisher, narrowed to a source, in an account of its own
ANALYST = "analyst"  # asks everything, and records outcomes
TOOL = "tool"  # publishes and asks everything
AGENT = "agent"  # asker of everything
ON_CALL = "on-call"  # two roles in one key: operator and analyst
RULES_READER = "rules-reader"  # asker, narrowed to a collection
INDEXER = "indexer"
OPERATOR = "operator"
BACKUP = "backup"
IMPORTER = "importer"
VIEWER = "viewer"
AUDITOR = "auditor"  # viewer who may read messages
USERS = (
    *(BACKEND, RULES_EDITOR, FIREWALL, ANALYST, TOOL, AGENT, RULES_READER),
    *(INDEXER, OPERATOR, ON_CALL, BACKUP, IMPORTER, VIEWER, AUDITOR),
)

NOBODY: frozenset[str] = frozenset()
LOOKING = frozenset({OPERATOR, ON_CALL, VIEWER, AUDITOR})
ASKING = frozenset({ANALYST, TOOL, AGENT, ON_CALL})
OPERATING = frozenset({OPERATOR, ON_CALL})
LOG, DEAD = "SECURITY_EVENTS", "SECURITY_DEAD_LETTERS"
OTHER = "KV_somebody-elses"
"""A stream of another application in the same account."""


def only(*users: str) -> frozenset[str]:
    """These, and no others."""
    return frozenset(users)


# Spelled out by heart, on purpose: a name that is wrong in the schemas or in the roles is noticed here.
PUBLISH: dict[str, frozenset[str]] = {
    # -- the log
    "security.events.v1.incidents.auth": only(BACKEND, TOOL, INDEXER, IMPORTER),
    "security.events.v1.incidents.auth.brute_force": only(BACKEND, TOOL, INDEXER, IMPORTER),
    "security.events.v1.incidents.firewall": only(BACKEND, TOOL, INDEXER, IMPORTER, FIREWALL),
    "security.events.v1.incidents.firewall.drop": only(BACKEND, TOOL, INDEXER, IMPORTER, FIREWALL),
    "security.events.v1.incidents.firewalls": only(BACKEND, TOOL, INDEXER, IMPORTER),
    "security.events.v1.rules.auth": only(BACKEND, TOOL, INDEXER, IMPORTER, RULES_EDITOR),
    "security.events.v1.rules.firewall": only(BACKEND, TOOL, INDEXER, IMPORTER, RULES_EDITOR),
    "security.events.v1.rules": only(INDEXER),  # without a kind: only to be replayed where it died
    "security.events.v1": NOBODY,
    "security.events.v2.incidents.auth": NOBODY,
    "security.outcomes.v1.incidents": only(BACKEND, TOOL, ANALYST, ON_CALL, INDEXER),
    "security.outcomes.v1.rules": only(BACKEND, TOOL, ANALYST, ON_CALL, INDEXER, RULES_EDITOR),
    "security.deletions.v1.incidents": only(INDEXER),
    "security.deletions.v1.rules": only(INDEXER),
    "security.dead.v1.incidents.malformed": only(INDEXER),
    "security.dead.v1._.unprocessable": only(INDEXER),
    # -- questions
    "security.index.v1.incidents.search": ASKING,
    "security.index.v1.incidents.recurrence": ASKING,
    "security.index.v1.incidents.get": ASKING | only(IMPORTER),
    "security.index.v1.incidents.list": ASKING,
    "security.index.v1.incidents.stats": ASKING | LOOKING,
    "security.index.v1.incidents.delete": OPERATING,
    "security.index.v1.incidents.clear": OPERATING,
    "security.index.v1.rules.search": ASKING | only(RULES_READER),
    "security.index.v1.rules.recurrence": ASKING | only(RULES_READER),
    "security.index.v1.rules.get": ASKING | only(RULES_READER, IMPORTER),
    "security.index.v1.rules.list": ASKING | only(RULES_READER),
    "security.index.v1.rules.stats": ASKING | only(RULES_READER) | LOOKING,
    "security.index.v1.rules.delete": OPERATING,
    "security.index.v1.rules.clear": OPERATING,
    "security.index.v1.stats": ASKING | only(INDEXER) | LOOKING,
    "security.index.v1.rebuild": OPERATING,
    "security.index.v1.verify": OPERATING,
    "security.deadletters.v1.list": OPERATING,
    "security.deadletters.v1.get": OPERATING,
    "security.deadletters.v1.replay": OPERATING,
    "security.deadletters.v1.drop": OPERATING,
    # -- discovery of services
    "$SRV.PING": LOOKING,
    "$SRV.INFO": LOOKING,
    "$SRV.STATS": LOOKING,
    "$SRV.PING.indexer": LOOKING | only(INDEXER),
    "$SRV.INFO.indexer": LOOKING,
    "$SRV.STATS.indexer": LOOKING,
    "$SRV.PING.indexer.xyz": LOOKING,
    "$SRV.INFO.indexer.xyz": LOOKING,
    "$SRV.STATS.indexer.xyz": LOOKING,
    "$SRV.INFO.somebody-elses": NOBODY,
    # -- JetStream: looking
    "$JS.API.INFO": LOOKING,
    "$JS.API.STREAM.LIST": LOOKING,
    "$JS.API.STREAM.NAMES": LOOKING,
    f"$JS.API.STREAM.INFO.{LOG}": LOOKING | only(INDEXER, IMPORTER, BACKUP),
    f"$JS.API.STREAM.INFO.{DEAD}": LOOKING | only(INDEXER, BACKUP),
    f"$JS.API.CONSUMER.LIST.{LOG}": LOOKING,
    f"$JS.API.CONSUMER.LIST.{DEAD}": LOOKING,
    f"$JS.API.CONSUMER.NAMES.{LOG}": LOOKING,
    f"$JS.API.CONSUMER.NAMES.{DEAD}": LOOKING,
    f"$JS.API.CONSUMER.INFO.{LOG}.indexer": LOOKING | only(INDEXER),
    f"$JS.API.CONSUMER.INFO.{LOG}.other": NOBODY,
    # -- JetStream: reading messages
    f"$JS.API.DIRECT.GET.{LOG}": only(INDEXER, IMPORTER, AUDITOR),
    f"$JS.API.DIRECT.GET.{DEAD}": only(INDEXER, AUDITOR),
    f"$JS.API.DIRECT.GET.{LOG}.security.events.v1.incidents.auth": NOBODY,
    f"$JS.API.STREAM.MSG.GET.{LOG}": only(INDEXER, IMPORTER, AUDITOR),
    f"$JS.API.STREAM.MSG.GET.{DEAD}": only(INDEXER, AUDITOR),
    f"$JS.API.CONSUMER.MSG.NEXT.{LOG}.indexer": only(INDEXER),
    f"$JS.API.CONSUMER.MSG.NEXT.{LOG}.other": NOBODY,
    f"$JS.ACK.{LOG}.indexer.1.2.3.1700000000000000000.0": only(INDEXER),
    f"$JS.ACK.{LOG}.other.1.2.3.1700000000000000000.0": NOBODY,
    # -- JetStream: changing
    f"$JS.API.STREAM.CREATE.{LOG}": OPERATING,
    f"$JS.API.STREAM.CREATE.{DEAD}": OPERATING,
    f"$JS.API.STREAM.UPDATE.{LOG}": OPERATING,
    f"$JS.API.STREAM.UPDATE.{DEAD}": OPERATING,
    f"$JS.API.STREAM.PURGE.{LOG}": only(INDEXER),
    f"$JS.API.STREAM.PURGE.{DEAD}": NOBODY,
    f"$JS.API.STREAM.MSG.DELETE.{LOG}": only(INDEXER),
    f"$JS.API.STREAM.MSG.DELETE.{DEAD}": only(INDEXER),
    f"$JS.API.CONSUMER.CREATE.{LOG}.indexer": OPERATING | only(INDEXER),
    f"$JS.API.CONSUMER.DELETE.{LOG}.indexer": OPERATING | only(INDEXER),
    # -- JetStream: saving streams whole, and putting them back
    f"$JS.API.STREAM.SNAPSHOT.{LOG}": only(BACKUP),
    f"$JS.API.STREAM.SNAPSHOT.{DEAD}": only(BACKUP),
    f"$JS.API.STREAM.RESTORE.{LOG}": only(BACKUP),
    f"$JS.API.STREAM.RESTORE.{DEAD}": only(BACKUP),
    f"$JS.SNAPSHOT.ACK.{LOG}.x": only(BACKUP),
    f"$JS.SNAPSHOT.ACK.{DEAD}.x": only(BACKUP),
    f"$JS.SNAPSHOT.RESTORE.{LOG}.x": only(BACKUP),
    f"$JS.SNAPSHOT.RESTORE.{DEAD}.x": only(BACKUP),
    f"$JS.SNAPSHOT.ACK.{OTHER}.x": NOBODY,
    f"$JS.SNAPSHOT.RESTORE.{OTHER}.x": NOBODY,
    # -- an index that replicas share
    "$KV.PRECEDENT_LEASES.indexer": only(INDEXER),
    "$KV.PRECEDENT_LEASES.other": NOBODY,
    "security.replicas.v1.incidents.delete.7": only(INDEXER),
    "$JS.API.STREAM.INFO.KV_PRECEDENT_LEASES": OPERATING | only(INDEXER),
    "$JS.API.STREAM.MSG.GET.KV_PRECEDENT_LEASES": only(INDEXER),
    "$JS.API.STREAM.CREATE.KV_PRECEDENT_LEASES": OPERATING,
    "$JS.API.STREAM.UPDATE.KV_PRECEDENT_LEASES": OPERATING,
    "$JS.API.STREAM.DELETE.KV_PRECEDENT_LEASES": NOBODY,
    "$JS.API.STREAM.PURGE.KV_PRECEDENT_LEASES": NOBODY,
    "$JS.API.STREAM.MSG.DELETE.KV_PRECEDENT_LEASES": NOBODY,
    # -- JetStream: what nobody here needs
    **{
        f"$JS.API.{operation}": NOBODY
        for stream in (LOG, DEAD)
        for operation in (
            f"STREAM.DELETE.{stream}",
            f"STREAM.PEER.REMOVE.{stream}",
            f"STREAM.LEADER.STEPDOWN.{stream}",
            f"CONSUMER.CREATE.{stream}",
            f"CONSUMER.CREATE.{stream}.other",
            f"CONSUMER.CREATE.{stream}.indexer.security.events.v1.rules.auth",
            f"CONSUMER.DURABLE.CREATE.{stream}.indexer",
            f"CONSUMER.DELETE.{stream}.other",
            f"CONSUMER.PAUSE.{stream}.indexer",
            f"CONSUMER.UNPIN.{stream}.indexer",
            f"CONSUMER.LEADER.STEPDOWN.{stream}.indexer",
        )
    },
    **{
        f"$JS.API.{operation}.{OTHER}": NOBODY
        for operation in (
            "STREAM.CREATE",
            "STREAM.UPDATE",
            "STREAM.INFO",
            "STREAM.DELETE",
            "STREAM.PURGE",
            "STREAM.SNAPSHOT",
            "STREAM.RESTORE",
            "STREAM.MSG.GET",
            "STREAM.MSG.DELETE",
            "DIRECT.GET",
            "CONSUMER.LIST",
            "CONSUMER.CREATE",
        )
    },
    "$JS.API.META.LEADER.STEPDOWN": NOBODY,
    "$JS.API.SERVER.REMOVE": NOBODY,
    "$JS.API.ACCOUNT.PURGE.SOUTH": NOBODY,
    "$JS.FC.SECURITY_EVENTS.indexer.x": NOBODY,
    "$KV.somebody-elses.key": NOBODY,
    # -- the server itself
    "$SYS.REQ.USER.INFO": only(INDEXER) | LOOKING,
    "$SYS.REQ.ACCOUNT.PING.CONNZ": NOBODY,
    "$SYS.REQ.SERVER.PING": NOBODY,
    # -- answers that nobody has asked for
    "_INBOX.somebody.1": NOBODY,
    **{f"_INBOX_{user}.forged.1": NOBODY for user in USERS},
    "anything.else": NOBODY,
}

QUESTIONS = (
    "security.index.v1.*.search",
    "security.index.v1.*.recurrence",
    "security.index.v1.*.get",
    "security.index.v1.*.list",
    "security.index.v1.*.delete",
    "security.index.v1.*.clear",
    "security.index.v1.*.stats",
    "security.index.v1.stats",
    "security.index.v1.rebuild",
    "security.index.v1.verify",
    "security.deadletters.v1.list",
    "security.deadletters.v1.get",
    "security.deadletters.v1.replay",
    "security.deadletters.v1.drop",
)
SUBSCRIBE: dict[str, frozenset[str]] = {
    # -- each hears its own answers, and nobody else's
    **{f"_INBOX_{user}.answer.*": only(user) for user in USERS},
    "*.answer.*": NOBODY,
    "_INBOX.>": NOBODY,
    "_INBOX.somebody.*": NOBODY,
    "_R_.>": NOBODY,
    ">": NOBODY,
    # -- nobody reads the log beside the log
    "security.>": NOBODY,
    "security.events.v1.>": NOBODY,
    "security.events.v1.incidents.auth": NOBODY,
    "security.outcomes.v1.*": NOBODY,
    "security.deletions.v1.*": NOBODY,
    "security.dead.v1.>": NOBODY,
    # -- only the replicas of an indexer hand on questions
    "security.replicas.v1.>": only(INDEXER),
    "security.replicas.v1.*.*.7": only(INDEXER),
    "$KV.PRECEDENT_LEASES.>": NOBODY,
    # -- only the indexer answers questions, and only as one of its replicas
    **{f"{question} q": only(INDEXER) for question in QUESTIONS},
    **dict.fromkeys(QUESTIONS, NOBODY),
    **{f"{question} mine": NOBODY for question in QUESTIONS},
    "security.index.v1.incidents.search": NOBODY,
    "security.index.v1.>": NOBODY,
    "security.deadletters.v1.>": NOBODY,
    **{
        f"$SRV.{verb}{of}": only(INDEXER) for verb in ("PING", "INFO", "STATS") for of in ("", ".indexer", ".indexer.x")
    },
    "$SRV.>": NOBODY,
    # -- the server's own
    "$JS.API.>": NOBODY,
    "$JS.SNAPSHOT.>": NOBODY,
    "$JS.ACK.>": NOBODY,
    "$JS.EVENT.ADVISORY.>": NOBODY,
    "$SYS.>": NOBODY,
    "$SYS.ACCOUNT.>": NOBODY,
    "$KV.>": NOBODY,
}

_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"(?: using queue "([^"]*)")?')


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the server let each user do; subjects in lower case, as the client passes the server's words on."""

    publish: dict[str, set[str]]
    subscribe: dict[str, set[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def verdicts(team_bus: ClosedBus) -> Verdicts:
    """Every cell, tried: what the server did not complain about was let through."""
    found = Verdicts({one.lower(): set() for one in PUBLISH}, {one.lower(): set() for one in SUBSCRIBE})
    for user in USERS:
        async with team_bus.client(user) as (client, complaints):
            for subject in PUBLISH:
                await client.publish(subject)
            for subject in SUBSCRIBE:
                name, _, queue = subject.partition(" ")
                await client.subscribe(name, queue=queue)
            await settled(client)
            refused = {match.groups() for match in map(_VIOLATION.search, complaints) if match}
            assert len(refused) == len(complaints)
        for subject in found.publish:
            if ("publish", subject, None) not in refused:
                found.publish[subject].add(user)
        for subject in found.subscribe:
            name, _, queue = subject.partition(" ")
            if ("subscription", name, queue or None) not in refused:
                found.subscribe[subject].add(user)
    return found


@pytest.mark.parametrize("subject", PUBLISH)
@pytest.mark.asyncio(loop_scope="module")
async def test_publish(verdicts: Verdicts, subject: str) -> None:
    """Exactly the users of the table may publish on the subject."""
    assert verdicts.publish[subject.lower()] == PUBLISH[subject]


@pytest.mark.parametrize("subject", SUBSCRIBE)
@pytest.mark.asyncio(loop_scope="module")
async def test_subscribe(verdicts: Verdicts, subject: str) -> None:
    """Exactly the users of the table may listen to the subject, in its queue group where it names one."""
    assert verdicts.subscribe[subject.lower()] == SUBSCRIBE[subject]


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject, or a narrower pattern, lies within a pattern of NATS."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for place, one in enumerate(wanted):
        if one == ">":
            return len(tokens) > place
        if place >= len(tokens) or one not in ("*", tokens[place]):
            return False
    return len(wanted) == len(tokens)


def untried(patterns: Iterable[str], cells: dict[str, frozenset[str]], user: str) -> list[str]:
    """What a user is permitted and no cell of the table says so."""
    allowed = [subject for subject, users in cells.items() if user in users]
    return [one for one in patterns if not any(covers(one, subject) for subject in allowed)]


def test_the_table_is_complete(team_bus: ClosedBus) -> None:
    """There is no permission of any role that the table does not list, and no question that it leaves out."""
    for user, one in team_bus.plan.accounts["PRECEDENT"].users.items():
        granted = combined(one.role, user, one.scope)
        assert untried(granted.publish, PUBLISH, user) == []
        assert untried(granted.subscribe, SUBSCRIBE, user) == []
    assert set(team_bus.plan.accounts["PRECEDENT"].users) == set(USERS)
    assert {endpoint.subject for endpoint in catalogue.ENDPOINTS} == set(QUESTIONS)
