"""What is denied fails at once, and says which subject and what to do; nothing waits for a timeout.

Every timeout here is longer than a test may take, so that waiting for one would fail the test.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from closed_nats.certificates import Pair, make_authority, make_server
from closed_nats.roles import Role, permissions
from closed_nats.user_keys import new_seed
from harness.indexer_process import run_indexer_command
from harness.nats_server import NatsServer
from harness.waits import eventually
from precedent_backend_adapter import (
    Misconfigured,
    NotDelivered,
    NotDeliveredReason,
    NotPermitted,
    NotTrusted,
    Outcome,
    Precedent,
    PrecedentError,
    SecurityEvent,
    Unavailable,
    Verdict,
)
from precedent_schemas import catalogue, subjects
from security.closed_bus import NEVER, ClosedBus, closed_bus, init, log_of, make_keys, run_precedent, running

# Exit codes of both programs: a setting is wrong in itself, and what was refused.
WRONG = 2
REFUSED = 3
EVENT = SecurityEvent(kind="auth", text="failed login")
Question = Callable[[Precedent], Awaitable[object]]

QUESTIONS: dict[str, Question] = {
    "security.index.v1.incidents.search": lambda asking: asking.search("x"),
    "security.index.v1.incidents.recurrence": lambda asking: asking.recurrence("x"),
    "security.index.v1.incidents.get": lambda asking: asking.get(["a"]),
    "security.index.v1.incidents.list": lambda asking: asking.list_page(),
    "security.index.v1.incidents.stats": lambda asking: asking.collection_stats(),
    "security.index.v1.incidents.delete": lambda asking: asking.delete(["a"]),
    "security.index.v1.incidents.clear": lambda asking: asking.clear("incidents", confirm="incidents"),
    "security.index.v1.stats": lambda asking: asking.stats(),
    "security.deadletters.v1.list": lambda asking: anext(aiter(asking.dead_letters())),
    "security.deadletters.v1.get": lambda asking: asking.get_dead_letters([1]),
    "security.deadletters.v1.replay": lambda asking: asking.replay_dead_letters([1]),
    "security.deadletters.v1.drop": lambda asking: asking.drop_dead_letters([1]),
}


# -- the adapter


@pytest.mark.parametrize("subject", QUESTIONS)
async def test_a_question_that_is_denied(team_bus: ClosedBus, subject: str) -> None:
    """Each question of somebody who may only publish fails with the subject in its message."""
    async with team_bus.precedent("backend") as backend:
        with pytest.raises(NotPermitted) as caught:
            await QUESTIONS[subject](backend)
    assert subject in str(caught.value)
    assert "permit" in str(caught.value)


async def test_a_publish_that_is_denied(team_bus: ClosedBus) -> None:
    """Events and outcomes of somebody who may only ask fail with subject and remedy, and can be published later."""
    outcome = Outcome(event_id="a", verdict=Verdict.BENIGN)
    async with team_bus.precedent("agent") as agent:
        for publishing, subject in (
            (agent.publish(EVENT), "security.events.v1.incidents.auth"),
            (agent.publish_outcome(outcome), "security.outcomes.v1.incidents"),
        ):
            with pytest.raises(NotDelivered) as caught:
                await publishing
            assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED
            assert subject in str(caught.value)
            assert "permit" in str(caught.value)
            assert caught.value.pending.subject == subject


def another_key(folder: Path) -> dict[str, str]:
    """A key that is good and nobody's."""
    path = folder / "stranger.nk"
    path.write_bytes(new_seed())
    return {"NATS_NKEY": str(path)}


def another_authority(folder: Path) -> dict[str, str]:
    """An authority that has signed nothing here."""
    authority = Pair(folder / "other.pem", folder / "other.key")
    make_authority(authority)
    return {"NATS_CA": str(authority.cert)}


def no_authority(_folder: Path) -> dict[str, str]:
    """Only those that the machine trusts."""
    return {"NATS_CA": ""}


def no_key(folder: Path) -> dict[str, str]:
    """A file that holds something else."""
    path = folder / "noise.nk"
    path.write_text("nothing of the kind")
    return {"NATS_NKEY": str(path)}


def creds_without_jwt(folder: Path) -> dict[str, str]:
    """A creds file that somebody has cut in half."""
    path = folder / "half.creds"
    path.write_text("-----BEGIN USER NKEY SEED-----\nSUAA\n------END USER NKEY SEED------\n")
    return {"NATS_NKEY": "", "NATS_CREDS": str(path)}


def somebody_elses_inbox(_folder: Path) -> dict[str, str]:
    """The prefix that everybody has who is not told another."""
    return {"NATS_INBOX_PREFIX": "_INBOX"}


def nobody(_folder: Path) -> dict[str, str]:
    """No key at all."""
    return {"NATS_NKEY": ""}


MISTAKES: dict[str, tuple[Callable[[Path], dict[str, str]], type[PrecedentError], str, str, int]] = {
    "wrong key": (another_key, NotPermitted, "Authorization Violation", "NATS_NKEY", REFUSED),
    "no key": (nobody, NotPermitted, "Authorization Violation", "NATS_NKEY", REFUSED),
    "wrong authority": (another_authority, NotTrusted, "CERTIFICATE_VERIFY_FAILED", "NATS_CA", REFUSED),
    "no authority": (no_authority, NotTrusted, "CERTIFICATE_VERIFY_FAILED", "NATS_CA", REFUSED),
    "wrong inbox": (somebody_elses_inbox, NotPermitted, "inbox_prefix", "NATS_INBOX_PREFIX", REFUSED),
    "no key in the file": (no_key, Misconfigured, "credentials", "NATS_NKEY", WRONG),
    "creds without JWT": (creds_without_jwt, Misconfigured, "BEGIN NATS USER JWT", "NATS_CREDS", WRONG),
}
"""How it is made, what a client raises and says, the setting that the indexer names, and both programs' exit code."""


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_an_adapter_with_wrong_settings(team_bus: ClosedBus, tmp_path: Path, mistake: str) -> None:
    """The connect fails at once and names what is wrong."""
    make, expected, says, _, _ = MISTAKES[mistake]
    with pytest.raises(expected, match=f"(?i){says}"):
        async with team_bus.precedent("backend", **make(tmp_path)):
            pass


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_command_with_wrong_settings(team_bus: ClosedBus, tmp_path: Path, mistake: str) -> None:
    """One line with what is wrong, and an exit code that says that trying again does not help."""
    make, _, says, _, code = MISTAKES[mistake]
    settings = team_bus.settings("backend", **make(tmp_path))
    ended, out, err = await run_precedent("publish", "auth", "failed login", settings=settings)
    assert (ended, out) == (code, "")
    assert re.fullmatch(rf"precedent: [^\n]*(?i:{says})[^\n]*\n", err), err


# -- the indexer's start


async def ended(bus: ClosedBus, *words: str, user: str = "indexer", **changes: str) -> tuple[int, str]:
    """Run a command that must end by itself with a message, and without a traceback; its exit code, what it said."""
    settings = bus.settings(user, PRECEDENT_START_TIMEOUT_S=str(NEVER), PRECEDENT_LOG_FORMAT="json", **changes)
    done = await asyncio.to_thread(run_indexer_command, words, settings)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr


async def start(bus: ClosedBus, *words: str, user: str = "indexer", **changes: str) -> str:
    """Run a command that must be refused; what it said."""
    code, said = await ended(bus, *words, user=user, **changes)
    assert code == REFUSED, said
    return said


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_an_indexer_with_wrong_settings(team_bus: ClosedBus, tmp_path: Path, mistake: str) -> None:
    """The start is refused at once, with the setting to correct."""
    make, _, _, setting, code = MISTAKES[mistake]
    ending, said = await ended(team_bus, "init", **make(tmp_path))
    assert ending == code, said
    assert setting in said
    assert team_bus.url in said or setting == "NATS_CREDS"


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server that never heard of TLS."""
    with NatsServer(tmp_path / "plain") as server:
        yield server


async def test_tls_that_is_not_offered(team_bus: ClosedBus, plain_server: NatsServer) -> None:
    """Neither side says in clear who it is: where TLS is demanded and not asked for, nothing is sent."""
    changes = {"NATS_URL": plain_server.url, "NATS_NKEY": "", "NATS_USER": "u", "NATS_PASSWORD": "hunter2"}
    assert "TLS is demanded" in await start(team_bus, "init", **changes)
    with pytest.raises(NotTrusted, match="TLS is demanded"):
        async with team_bus.precedent("backend", **changes):
            pass


async def test_tls_that_is_not_asked_for(team_bus: ClosedBus) -> None:
    """Settings that know nothing of TLS, at a server that demands it: the authority is missing, and both say so."""
    changes = {"NATS_URL": team_bus.server.url, "NATS_CA": ""}
    assert "NATS_CA" in await start(team_bus, "init", **changes)
    with pytest.raises(NotTrusted, match=r"tls\.ca_file"):
        async with team_bus.precedent("backend", **changes):
            pass


async def test_an_expired_certificate(tmp_path: Path, team_plan: Path) -> None:
    """Both sides say that the server's certificate has expired, and go on no further."""
    keys = tmp_path / "keys"
    make_keys(keys, team_plan)
    server, authority = (Pair(keys / "tls" / f"{name}.pem", keys / "tls" / f"{name}.key") for name in ("server", "ca"))
    server.cert.unlink()
    server.key.unlink()
    make_server(server, authority, ["127.0.0.1"], days=-1)
    with running(keys, team_plan) as bus:
        assert "certificate has expired" in await start(bus, "init")
        with pytest.raises(NotTrusted, match="certificate has expired"):
            async with bus.precedent("backend"):
                pass


@pytest.mark.parametrize(
    ("command", "user", "subject"),
    [
        ("rebuild", "viewer", "security.index.v1.rebuild"),
        ("verify", "analyst", "security.index.v1.verify"),
        ("dead-letters list", "backend", "security.deadletters.v1.list"),
        ("dead-letters show 1", "viewer", "security.deadletters.v1.get"),
        ("dead-letters replay 1", "backend", "security.deadletters.v1.replay"),
        ("dead-letters drop 1", "analyst", "security.deadletters.v1.drop"),
    ],
)
async def test_a_command_that_is_denied(
    team_bus: ClosedBus, tmp_path: Path, command: str, user: str, subject: str
) -> None:
    """What the operator's key is for: with another, the command says which subject, nothing else, and does nothing."""
    index = tmp_path / "chroma"
    said = await start(team_bus, *command.split(), user=user, PRECEDENT_CHROMA_PATH=str(index))
    assert said.startswith(f"precedent-indexer: these credentials may not publish on {subject}: ")
    assert said.count("\n") == 1
    assert not index.exists()


async def test_init_of_another_role(team_bus: ClosedBus) -> None:
    """Who may not create streams is told the subject, on one line."""
    said = await start(team_bus, "init", user="indexer")
    assert "may not publish on $JS.API.STREAM.CREATE.SECURITY_EVENTS" in said
    assert said.count("\n") == 1


async def test_health_for_another_role(team_bus: ClosedBus) -> None:
    """Who may not ask learns that, and not that nobody answers."""
    settings = team_bus.settings("backend")
    done = await asyncio.to_thread(run_indexer_command, ["health", "--timeout", str(NEVER)], settings)
    assert (done.returncode, done.stderr) == (REFUSED, "")
    assert "may not publish on security.index.v1.stats" in done.stdout
    done = await asyncio.to_thread(run_indexer_command, ["health", "--live", "--timeout", str(NEVER)], settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "may not publish on $SRV.PING.indexer" in done.stdout


async def test_a_publisher_who_waits(keys: Path, team_plan: Path) -> None:
    """`publish --wait` asks the index: without that right the event is stored and told so, and then what is denied."""
    with running(keys, team_plan) as bus:
        settings = bus.settings("backend")
        code, out, err = await run_precedent("publish", "auth", "a", "--id", "x", settings=settings)
        assert (code, out, err) == (0, "stored x in incidents at 1\n", "")
        code, out, err = await run_precedent("publish", "auth", "a", "--id", "x", "--wait", settings=settings)
        assert (code, out) == (REFUSED, "stored x in incidents at 2\n")
        assert err.startswith("precedent: it is stored, at 2, but --wait failed: security.index.v1.incidents.search: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("backend", "$JS.API.STREAM.INFO.SECURITY_EVENTS"),
        ("viewer", "$JS.API.DIRECT.GET.SECURITY_EVENTS"),
        ("indexer", "$JS.API.STREAM.CREATE.SECURITY_EVENTS"),
    ],
)
async def test_an_indexer_of_another_role(team_bus: ClosedBus, tmp_path: Path, user: str, subject: str) -> None:
    """A key that may not do what a start takes is refused at once with the subject; so is one before `init` was run."""
    said = await start(team_bus, "serve", user=user, PRECEDENT_CHROMA_PATH=str(tmp_path / "chroma"))
    assert subject in said
    assert "permit" in said or "init" in said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, team_plan: Path) -> Path:
    """A deployment with the streams made, for others to copy."""
    directory = tmp_path_factory.mktemp("made") / "keys"
    with closed_bus(directory, team_plan) as bus:
        asyncio.run(init(bus))
    return directory


@pytest.fixture
def keys(made: Path, tmp_path: Path) -> Path:
    """A deployment of its own, with the streams made."""
    return shutil.copytree(made, tmp_path / "keys")


@pytest.mark.parametrize("line", ['"security.index.v1.*.search q"', '"$SRV.PING"'])
async def test_an_indexer_that_may_not_hear_questions(keys: Path, team_plan: Path, tmp_path: Path, line: str) -> None:
    """An indexer that would seem to serve and hear nothing does not start."""
    with running(keys, team_plan, without=(line,)) as bus:
        said = await start(bus, "serve", PRECEDENT_CHROMA_PATH=str(tmp_path / "chroma"))
    assert f"may not subscribe to {line.strip(chr(34)).removesuffix(' q')}" in said


# The indexer's key has these for the question what it may do, for the health command beside it, and for an index that
# replicas share.
NOT_NEEDED = {
    "$SYS.REQ.USER.INFO",
    catalogue.STATS.subject,
    *(f"$JS.API.STREAM.{verb}.{subjects.LEASES_STREAM}" for verb in ("INFO", "MSG.GET")),
    subjects.LEASE_SUBJECT,
    f"{subjects.REPLICAS_PREFIX}.>",
}
NEEDED = [f'"{subject}"' for subject in permissions(Role.INDEXER, "indexer").publish if subject not in NOT_NEEDED]


async def test_an_indexer_that_may_not_do_it_all(keys: Path, team_plan: Path, tmp_path: Path) -> None:
    """The start is refused with a list of every permission that is missing, and there is none that it does not need."""
    with running(keys, team_plan, without=NEEDED) as bus:
        said = await start(bus, "serve", PRECEDENT_CHROMA_PATH=str(tmp_path / "chroma"))
    listed = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert set(permissions(Role.INDEXER, "indexer").publish) >= NOT_NEEDED
    assert len(listed) == len(NEEDED)
    for subject, line in zip(sorted(listed), sorted(NEEDED), strict=True):
        assert subject.startswith(line.strip('"').rstrip(">*"))


# -- the indexer while it runs


UNASKED = '"$SYS.REQ.USER.INFO"'
"""Without it the indexer cannot ask what it may do, and starts all the same."""


async def test_an_indexer_that_is_denied_while_it_runs(keys: Path, team_plan: Path, tmp_path: Path) -> None:
    """Who asks for it is told at once that it cannot be, the log names the subject, and everything else goes on."""
    directory = tmp_path / "chroma"
    with running(keys, team_plan, without=(UNASKED, '"$JS.API.STREAM.MSG.DELETE.SECURITY_DEAD_LETTERS"')) as bus:
        async with (
            bus.indexer(directory),
            bus.client("backend") as (raw, _),
            bus.precedent("backend") as backend,
            bus.precedent("analyst") as analyst,
            bus.precedent("operator") as operator,
        ):
            bad = await raw.jetstream().publish("security.events.v1.incidents.auth", b"not json", timeout=30)
            receipt = await backend.publish(EVENT)
            await analyst.search("login", after=receipt, wait=30)
            with pytest.raises(Unavailable):
                await operator.drop_dead_letters([bad.seq])
            receipt = await backend.publish(EVENT)
            assert (await analyst.search("login", after=receipt, wait=30)).hits
    said = log_of(directory).read_text(encoding="utf-8")
    assert "permissions_unknown" in said
    assert "may not publish on $JS.API.STREAM.MSG.DELETE.SECURITY_DEAD_LETTERS" in said


async def test_what_nobody_waits_for_is_named(keys: Path, team_plan: Path, tmp_path: Path) -> None:
    """A denied request for messages has no answer to fail: the log says which subject, once and not every time."""
    directory = tmp_path / "chroma"
    line = '"$JS.API.CONSUMER.MSG.NEXT.SECURITY_EVENTS.indexer"'
    with running(keys, team_plan, without=(UNASKED, line)) as bus:
        async with bus.indexer(directory):

            def named() -> None:
                lines = log_of(directory).read_text(encoding="utf-8").splitlines()
                denied = [one for one in lines if "nats_denied" in one and ".MSG.NEXT." in one]
                assert len(denied) == 1

            await eventually(named, timeout=60)
