"""The door to NATS: its table of exceptions, and what it does on a wire that is scripted byte by byte."""

import asyncio
import inspect
import json
from pathlib import Path

import nats.errors
import nats.js.errors
import pytest
from scripted import QUICK
from scripted_server import CUT, INFO, acknowledged, quiet, server

from precedent_backend_adapter import (
    Config,
    Credentials,
    DeliveryUnknown,
    Misconfigured,
    NotDelivered,
    NotDeliveredReason,
    NotPermitted,
    Precedent,
    SecurityEvent,
    Timeouts,
    Tls,
    Unavailable,
)
from precedent_backend_adapter._nats import refusals
from precedent_backend_adapter._nats.faults import API_CODES, TABLE, translated
from precedent_backend_adapter._nats.library import TcpTransport
from precedent_backend_adapter._nats.secure_client import SecureClient
from precedent_backend_adapter._transport import Fault, FaultKind

PATIENT = Config(timeouts=Timeouts(publish=30, publish_attempt=30))
EVENT = SecurityEvent(kind="auth", text="failed login")


# -- the table


def foreign() -> list[type[BaseException]]:
    """Every exception that the library defines, and those of a plain timeout."""
    modules = (nats.errors, nats.js.errors)
    found = {
        thing
        for module in modules
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, Exception)
    }
    return sorted(found | {TimeoutError, asyncio.TimeoutError}, key=lambda one: (one.__module__, one.__name__))


@pytest.mark.parametrize("error", foreign(), ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_every_exception_of_the_library_is_mapped(error: type[BaseException]) -> None:
    """None falls through to the last resort: each has an entry that somebody chose, if only its family's."""
    last_resort = (nats.errors.Error, Exception)
    chosen = next(known for known, _ in TABLE if issubclass(error, known))
    assert chosen not in last_resort or error is nats.errors.Error


def test_no_entry_hides_behind_an_earlier_one() -> None:
    """The table runs from special to general, so that every entry can be reached."""
    for place, (later, _) in enumerate(TABLE):
        assert not [earlier for earlier, _ in TABLE[:place] if issubclass(later, earlier)], later


@pytest.mark.parametrize("code", API_CODES)
def test_codes_of_jetstream_come_before_the_class(code: int) -> None:
    """A full log and a lost leader both come as 503; the code tells them apart."""
    error = nats.js.errors.ServiceUnavailableError(code=503, err_code=code, description="words")
    assert translated(error, "publish").kind is API_CODES[code]
    assert "words" in str(translated(error, "publish"))


def test_another_503_is_only_busy() -> None:
    """A server without a leader may take the message a moment later."""
    assert translated(nats.js.errors.ServiceUnavailableError(code=503, err_code=10008), "x").kind is FaultKind.BUSY


# -- the wire


async def test_a_publish_is_acknowledged() -> None:
    """The scripted wire is a wire: an acknowledgement becomes a receipt."""
    async with (
        server(lambda line, to: acknowledged(to, 3) if line.startswith(b"HPUB") else b"") as (url, _),
        Precedent.connect(url, config=QUICK) as precedent,
    ):
        assert (await precedent.publish(EVENT)).seq == 3


async def test_nobody_there_is_unavailable_and_shows_no_password() -> None:
    """A server that cannot be reached fails the connect, naming it without credentials."""
    async with server(quiet) as (url, _):
        pass
    with pytest.raises(Unavailable) as caught:
        async with Precedent.connect(url.replace("//", "//user:hunter2@"), config=QUICK):
            pass
    assert url.removeprefix("nats://") in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_never_greets_is_unavailable() -> None:
    """A connect is bounded also where the other side accepts and says nothing."""
    config = Config(timeouts=Timeouts(connect=0.2))
    async with server(None) as (url, _):
        with pytest.raises(Unavailable):
            async with Precedent.connect(url, config=config):
                pass


async def test_refused_credentials_are_not_permitted() -> None:
    """Wrong credentials are told apart from a server that is away: trying again would not help."""
    denied = b"-ERR 'Authorization Violation'\r\n"
    async with server(lambda line, _: denied if line == b"PING\r\n" else b"") as (url, _):
        with pytest.raises(NotPermitted, match="Authorization Violation"):
            async with Precedent.connect(url, config=QUICK):
                pass


@pytest.mark.parametrize("demanded", ["by the URL", "by the config"])
async def test_no_password_is_sent_in_clear_where_tls_is_demanded(demanded: str) -> None:
    """A server, or somebody between, that does not ask for TLS never sees the CONNECT."""
    config = Config(credentials=Credentials(user="u", password="hunter2"), tls=Tls() if "config" in demanded else None)
    async with server(quiet) as (url, heard):
        with pytest.raises(Misconfigured, match="TLS"):
            async with Precedent.connect(url.replace("nats:", "tls:" if "URL" in demanded else "nats:"), config=config):
                pass
    assert not [line for line in heard if b"hunter2" in line]


async def test_an_inbox_that_may_not_be_subscribed_fails_the_connect() -> None:
    """Otherwise every call would time out, with nothing to say why."""

    def deny(line: bytes, _: bytes) -> bytes:
        if line.startswith(b"SUB"):
            return b"-ERR 'Permissions Violation for Subscription to \"" + line.split()[1] + b"\"'\r\n"
        return b""

    async with server(deny) as (url, _):
        with pytest.raises(NotPermitted, match="inbox_prefix"):
            async with Precedent.connect(url, config=QUICK):
                pass


async def test_a_publish_that_is_not_permitted_fails_at_once() -> None:
    """The server's complaint decides the call in flight on that subject; it does not run into its timeout."""

    def deny(line: bytes, _: bytes) -> bytes:
        if line.startswith(b"HPUB"):
            return b"-ERR 'Permissions Violation for Publish to \"" + line.split()[1] + b"\"'\r\n"
        return b""

    async with server(deny) as (url, heard), Precedent.connect(url, config=PATIENT) as precedent:
        with pytest.raises(NotDelivered) as caught:
            await precedent.publish(EVENT)
        assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED
        assert len([line for line in heard if line.startswith(b"HPUB")]) == 1


async def test_a_connection_cut_during_a_publish_is_retried_on_the_next() -> None:
    """The second attempt goes over a new connection and its acknowledgement is the call's."""
    publishes: list[bytes] = []

    def cut_first(line: bytes, to: bytes) -> bytes:
        if line.startswith(b"HPUB"):
            publishes.append(line)
            return CUT if len(publishes) == 1 else acknowledged(to, 9)
        return b""

    async with server(cut_first) as (url, _), Precedent.connect(url, config=PATIENT) as precedent:
        assert (await precedent.publish(EVENT)).seq == 9
    assert len(publishes) == 2


async def test_a_connection_closed_for_good_is_opened_anew() -> None:
    """The library gives up on most errors that a server sends; a backend that runs for months must not."""
    said: list[bytes] = []

    def complain_first(line: bytes, to: bytes) -> bytes:
        if line.startswith(b"HPUB"):
            said.append(line)
            return b"-ERR 'User Authentication Expired'\r\n" if len(said) == 1 else acknowledged(to, 4)
        return b""

    async with server(complain_first) as (url, heard), Precedent.connect(url, config=PATIENT) as precedent:
        assert (await precedent.publish(EVENT)).seq == 4
    assert len([line for line in heard if line.startswith(b"CONNECT")]) == 2


class Gatekeeper:
    """Answers of a server that takes a client or refuses it, and can cut a connection at a publish."""

    def __init__(self) -> None:
        self.refuses = False
        self.cuts = b""
        """Said in the place of the next acknowledgement."""

    def __call__(self, line: bytes, to: bytes) -> bytes:
        """As an `Answer`."""
        if line == b"PING\r\n" and self.refuses:
            return b"-ERR 'Authorization Violation'\r\n"
        if line.startswith(b"HPUB"):
            said, self.cuts = self.cuts, b""
            return said or acknowledged(to, 5)
        return b""


def connects(heard: list[bytes]) -> int:
    """How often a client has introduced itself."""
    return len([line for line in heard if line.startswith(b"CONNECT")])


GONE = {"cut without a word": CUT, "told": b"-ERR 'Authorization Violation'\r\n"}
"""How a server parts with a client whose key is gone: on a reload, the real one does the first."""


@pytest.mark.parametrize("how", GONE)
async def test_a_key_that_is_taken_away_is_told_at_once(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Publishes and questions fail with the refusal, the log says it; a key that is given back works by itself."""
    gate = Gatekeeper()
    async with server(gate) as (url, _), Precedent.connect(url, config=PATIENT) as precedent:
        gate.refuses, gate.cuts = True, GONE[how]
        with pytest.raises((DeliveryUnknown, NotDelivered), match="Authorization Violation"):
            await precedent.publish(EVENT)
        with pytest.raises(NotDelivered, match="Authorization Violation") as caught:
            await precedent.publish(EVENT)
        assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED
        with pytest.raises(NotPermitted, match="Authorization Violation"):
            await precedent.stats(timeout=30)
        gate.refuses = False
        seq = 0
        while not seq:
            try:
                seq = (await precedent.publish(EVENT)).seq
            except NotDelivered as error:
                assert error.reason is NotDeliveredReason.NOT_PERMITTED  # noqa: PT017 -- of each but the last
                await asyncio.sleep(0.01)
    assert seq == 5
    assert "closed for good" in caplog.text or "ever more rarely" in caplog.text


@pytest.mark.parametrize("how", GONE)
async def test_who_is_refused_lets_the_server_rest(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that fail meanwhile bring no attempts of their own, whatever their number."""
    monkeypatch.setattr(refusals, "_FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(refusals, "_LONGEST_PAUSE_S", 3600.0)
    gate = Gatekeeper()
    async with server(gate) as (url, heard), Precedent.connect(url, config=PATIENT) as precedent:
        gate.refuses, gate.cuts = True, GONE[how]
        for _ in range(20):
            with pytest.raises((DeliveryUnknown, NotDelivered), match="Authorization Violation"):
                await precedent.publish(EVENT)
        assert connects(heard) == 2


def test_attempts_become_rarer_and_go_on() -> None:
    """No pause until every server has refused; then longer ones, up to some seconds and no further."""
    fault = Fault(FaultKind.NOT_PERMITTED, "no")
    refused = refusals.Refusals()
    assert [refused.take(fault, 2), refused.last, refused.pause_s()] == [False, None, 0]
    assert [refused.take(fault, 2), refused.take(fault, 2)] == [True, False]
    pauses = []
    for _ in range(100):
        refused.take(fault, 2)
        pauses.append(refused.pause_s())
    assert 0 < pauses[0] < min(pauses[20:])
    assert 2 < max(pauses) <= 5
    refused.forget()
    assert (refused.last, refused.pause_s()) == (None, 0)


async def test_everybody_gets_the_connection_that_is_opened_anew() -> None:
    """Also who asks for it while another call is opening it."""
    gate = Gatekeeper()
    gate.cuts = b"-ERR 'User Authentication Expired'\r\n"
    async with server(gate) as (url, heard), Precedent.connect(url, config=PATIENT) as precedent:
        first = asyncio.create_task(precedent.publish(EVENT))
        while connects(heard) < 2:  # noqa: ASYNC110 -- the very next moment is meant
            await asyncio.sleep(0)
        assert (await precedent.publish(EVENT)).seq == 5
        assert (await first).seq == 5


async def test_a_close_is_told_although_its_last_write_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server has gone before what is buffered could leave, whoever waits for the end is told all the same."""
    closed = asyncio.Event()

    async def note() -> None:
        closed.set()

    async def fail(_transport: TcpTransport) -> None:
        raise ConnectionResetError("Connection lost")

    async with server(quiet) as (url, _):
        client = SecureClient(lambda: 0.0)
        await client.connect(url, allow_reconnect=False, closed_cb=note)
        monkeypatch.setattr(TcpTransport, "drain", fail)
        await client.publish("a", b"never leaves")
        await client.close()
        assert client.is_closed
        await asyncio.wait_for(closed.wait(), 30)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of a connection on which nothing is said."""
    while not reader.at_eof():  # noqa: ASYNC110 -- two may wait for it
        await asyncio.sleep(0.001)


async def test_a_server_that_never_greets_again_costs_no_sockets() -> None:
    """Every attempt at a server that accepts and says nothing closes the connection of the one before."""
    connections: list[asyncio.StreamReader] = []
    handlers: list[asyncio.Task[None]] = []
    several = asyncio.Event()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(reader)
        handlers.append(asyncio.create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(connections) > 4:
            several.set()
        if len(connections) > 1:
            await ended(reader)
        else:
            writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
            while (line := await reader.readline()) and not line.startswith(b"HPUB"):
                writer.write(b"PONG\r\n" if line == b"PING\r\n" else b"")
        writer.close()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with Precedent.connect(url, config=Config(timeouts=Timeouts(connect=0.2))) as precedent:
        publishing = asyncio.create_task(precedent.publish(EVENT))
        await several.wait()
        # The last one is still being tried; of the others nothing is left.
        for reader in connections[1:3]:
            await ended(reader)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    await asyncio.gather(*handlers)
    listening.close()


async def test_silence_after_a_publish_leaves_its_fate_unknown() -> None:
    """No acknowledgement by the deadline: it was sent, so it may be stored."""
    async with server(quiet) as (url, _), Precedent.connect(url, config=QUICK) as precedent:
        with pytest.raises(DeliveryUnknown):
            await precedent.publish(EVENT)


async def test_leaving_fails_what_is_in_flight() -> None:
    """A call of another task ends when the client is left, and later ones fail at once."""
    sent = asyncio.Event()

    def note(line: bytes, _: bytes) -> bytes:
        if line.startswith(b"HPUB"):
            sent.set()
        return b""

    async with server(note) as (url, _):
        async with Precedent.connect(url, config=PATIENT) as precedent:
            flying = asyncio.create_task(precedent.publish(EVENT))
            await sent.wait()
        with pytest.raises(DeliveryUnknown):
            await flying
        with pytest.raises(NotDelivered):
            await precedent.publish(EVENT)
        with pytest.raises(Unavailable):
            await precedent.search("x")


@pytest.mark.parametrize("name", ["creds_file", "nkey_seed_file"])
@pytest.mark.parametrize("content", [None, "nothing of the kind"])
async def test_an_unusable_credentials_file_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    """A missing or empty file fails the connect instead of hanging the event loop."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    config = Config(
        credentials=Credentials(creds_file=path) if name == "creds_file" else Credentials(nkey_seed_file=path)
    )
    async with server(quiet) as (url, _):
        with pytest.raises(Misconfigured):
            async with Precedent.connect(url, config=config):
                pass


async def test_an_unusable_ca_file_is_named(tmp_path: Path) -> None:
    """The error names the file that cannot be read."""
    async with server(quiet) as (url, _):
        with pytest.raises(Misconfigured, match=r"ca\.pem"):
            async with Precedent.connect(url, config=Config(tls=Tls(ca_file=tmp_path / "ca.pem"))):
                pass
