"""Files that say who we are are renewed while the indexer runs: each connect takes them as they are."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nkeys
import pytest

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.connection.credentials import expiring
from precedent_indexer.settings import Settings

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def jwt(name: str, **claims: Any) -> str:
    """As a JWT looks; nobody here verifies it."""
    parts = ({"typ": "JWT"}, {"name": name, **claims}, {})
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)


def seed(number: int) -> str:
    """A user's nkey seed."""
    return str(nkeys.encode_seed(bytes([number]) * 32, nkeys.PREFIX_BYTE_USER).decode())


def creds(token: str, number: int = 1) -> str:
    """A credentials file."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed(number)}\n------END USER NKEY SEED------\n"
    )


class Strict:
    """A server that ends a connection when the test says so, by the words that it is told."""

    def __init__(self) -> None:
        self.connects: list[dict[str, Any]] = []
        self.ends = asyncio.Event()
        self.words = ""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        info = {"server_id": "x", "version": "2.15.0", "headers": True, "max_payload": 999, "nonce": "abc"}
        writer.write(f"INFO {json.dumps({**info, 'auth_required': True})}\r\n".encode())
        ending = asyncio.ensure_future(self._end(writer))
        while line := await reader.readline():
            if line.startswith(b"CONNECT"):
                self.connects.append(json.loads(line.removeprefix(b"CONNECT ")))
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        ending.cancel()
        writer.close()

    async def _end(self, writer: asyncio.StreamWriter) -> None:
        await self.ends.wait()
        self.ends.clear()
        writer.write(f"-ERR '{self.words}'\r\n".encode())
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Strict]:
    """One that listens."""
    made = Strict()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as listening:
        made.url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made


async def reconnected(server: Strict, bus: Bus, words: str) -> None:
    """The server ends the connection, and the indexer is back."""
    back = asyncio.Event()
    bus.on_reconnect.append(back.set)
    server.words = words
    server.ends.set()
    await back.wait()


@pytest.mark.parametrize("words", ["User Authentication Expired", "Account Authentication Expired"])
async def test_credentials_that_were_renewed_are_used_when_the_old_ones_expire(
    server: Strict, tmp_path: Path, words: str
) -> None:
    """The connection is not given up: it comes back with what the file holds by then."""
    path = tmp_path / "indexer.creds"
    path.write_text(creds(jwt("old")), encoding="utf-8")
    bus = await Bus.connect(Settings.model_validate({"nats_url": server.url, "nats_creds": path}), "t")
    path.write_text(creds(jwt("new")), encoding="utf-8")
    await reconnected(server, bus, words)
    assert [one["jwt"] for one in server.connects] == [jwt("old"), jwt("new")]
    assert not bus.closed.done()
    await bus.close()


async def test_a_seed_that_was_renewed_is_shown_with_its_own_public_key(server: Strict, tmp_path: Path) -> None:
    """The signature and the key that verifies it are of one file."""
    path = tmp_path / "indexer.nk"
    path.write_text(seed(1), encoding="utf-8")
    bus = await Bus.connect(Settings.model_validate({"nats_url": server.url, "nats_nkey": path}), "t")
    path.write_text(seed(2), encoding="utf-8")
    await reconnected(server, bus, "Stale Connection")
    keys = [nkeys.from_seed(bytearray(seed(number).encode())).public_key.decode() for number in (1, 2)]
    assert [one["nkey"] for one in server.connects] == keys
    await bus.close()


async def test_a_file_that_is_being_written_is_read_again(server: Strict, tmp_path: Path) -> None:
    """Half a file stops no other work, and is not the end: the next attempt reads it whole."""
    path = tmp_path / "indexer.creds"
    path.write_text(creds(jwt("old")), encoding="utf-8")
    bus = await Bus.connect(Settings.model_validate({"nats_url": server.url, "nats_creds": path}), "t")
    path.write_text("", encoding="utf-8")
    told = asyncio.Event()
    take = bus._admission.take

    def noted(error: Exception) -> None:
        take(error)
        if "has no line" in str(error):
            path.write_text(creds(jwt("new")), encoding="utf-8")
            told.set()

    bus._admission.take = noted  # type: ignore[method-assign] # a moment of the test's own
    await reconnected(server, bus, "User Authentication Expired")
    assert told.is_set()
    assert server.connects[-1]["jwt"] == jwt("new")
    await bus.close()


@pytest.mark.parametrize(
    ("lives", "left", "warned"),
    [
        (timedelta(days=365), timedelta(days=30), False),
        (timedelta(days=365), timedelta(days=6), True),
        (timedelta(days=365), timedelta(hours=-1), True),
        (timedelta(hours=1), timedelta(minutes=30), False),
        (timedelta(hours=1), timedelta(minutes=5), True),
    ],
)
def test_an_end_that_is_near_is_warned_of(tmp_path: Path, lives: timedelta, left: timedelta, warned: bool) -> None:
    """In the last week, and of what lives shortly in the last tenth."""
    end = NOW + left
    path = tmp_path / "indexer.creds"
    claims = {"iat": int((end - lives).timestamp()), "exp": int(end.timestamp())}
    path.write_text(creds(jwt("any", **claims)), encoding="utf-8")
    lines = expiring(Settings.model_validate({"nats_creds": path}), NOW)
    assert [str(path) in line and f"{end:%Y-%m-%d}" in line for line in lines] == [True] * warned


def test_what_says_no_end_is_not_warned_of(tmp_path: Path) -> None:
    """Credentials without an end, none at all, and a file that is no credentials file."""
    path = tmp_path / "indexer.creds"
    path.write_text(creds(jwt("any")), encoding="utf-8")
    assert expiring(Settings.model_validate({"nats_creds": path}), NOW) == []
    path.write_text("nothing of the kind", encoding="utf-8")
    assert expiring(Settings.model_validate({"nats_creds": path}), NOW) == []
    assert expiring(Settings.model_validate({}), NOW) == []


def test_the_end_of_a_certificate_is_seen(tmp_path: Path) -> None:
    """By the decoder of the standard library: one of the system's authorities stands for ours."""
    bundle = ssl.create_default_context().get_ca_certs(binary_form=True)
    path = tmp_path / "cert.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(bundle[0]), encoding="utf-8")
    assert expiring(Settings.model_validate({"nats_cert": path}), datetime(2200, 1, 1, tzinfo=UTC))
