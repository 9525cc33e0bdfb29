"""What the indexer sends to a server, by the form of its URL and by its settings."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from url_forms import FORMS, NOBODY, SECRETS, Form

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.errors import SettingsWrong, StartRefused
from precedent_indexer.settings import Settings, load


class Recorder:
    """A server that asks who we are, and keeps what it is told; `named` are further servers of its cluster."""

    def __init__(self) -> None:
        self.connects: list[dict[str, Any]] = []
        self.port = 0
        self.named: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        info = {"server_id": "fake", "version": "2.15.0", "headers": True, "max_payload": 1000, "auth_required": True}
        writer.write(f"INFO {json.dumps({**info, 'connect_urls': self.named})}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"CONNECT"):
                self.connects.append(json.loads(line.removeprefix(b"CONNECT ")))
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """One that listens."""
    made = Recorder()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def identity(connect: dict[str, Any]) -> dict[str, Any]:
    """What a CONNECT says of us."""
    return {key: connect[key] for key in ("user", "pass", "auth_token") if key in connect}


async def connected(recorder: Recorder, url: str, **settings: Any) -> dict[str, Any]:
    """Who we were for the server."""
    address = url.replace("HOST", f"127.0.0.1:{recorder.port}")
    given = {"nats_url": address, "precedent_start_timeout_s": 5, **settings}
    bus = await Bus.connect(Settings.model_validate(given), "t")
    await bus.close()
    return identity(recorder.connects[-1])


@pytest.mark.parametrize(
    "form", [one for one in FORMS if one.sent is not None and not one.tls], ids=lambda one: one.url
)
async def test_user_password_and_token_are_sent_decoded(recorder: Recorder, form: Form) -> None:
    """As the nats command sends them."""
    assert await connected(recorder, form.url) == form.sent


@pytest.mark.parametrize("form", [one for one in FORMS if one.tls], ids=lambda one: one.url)
async def test_nothing_is_sent_in_clear_where_the_url_demands_tls(recorder: Recorder, form: Form) -> None:
    """A server that does not ask for TLS is left before CONNECT, which may hold a password."""
    with pytest.raises(StartRefused, match="TLS is demanded"):
        await connected(recorder, form.url)
    assert recorder.connects == []


@pytest.mark.parametrize("form", [one for one in FORMS if one.refused is not None], ids=lambda one: one.url)
def test_other_forms_are_refused_before_anything_is_sent(
    form: Form, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a wrong setting, by name, and without a secret in the message."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError):
        Settings.model_validate({"nats_url": form.url})
    if form.url:
        monkeypatch.setenv("NATS_URL", form.url.replace("HOST", "127.0.0.1:4222"))
        with pytest.raises(SettingsWrong, match=f"NATS_URL.*{form.refused}") as refused:
            load()
        assert not [secret for secret in SECRETS if secret in str(refused.value)]


async def test_a_token_of_the_settings(recorder: Recorder) -> None:
    """`NATS_TOKEN` is sent as it is, and what the settings say of us counts before what the URL says."""
    assert await connected(recorder, "nats://HOST", nats_token="s3cr%3Dt") == {"auth_token": "s3cr%3Dt"}
    assert await connected(recorder, "nats://anna:b@HOST", nats_token="t") == {"auth_token": "t"}
    assert await connected(recorder, "nats://HOST") == NOBODY


async def test_a_server_that_the_cluster_names_is_told_who_we_are(recorder: Recorder) -> None:
    """It is connected to when the given one is lost; without the URL's user it would refuse us for good."""
    other = Recorder()
    async with await asyncio.start_server(other.serve, "127.0.0.1", 0) as server:
        recorder.named = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]
        first = asyncio.Event()

        async def serve_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = asyncio.ensure_future(recorder.serve(reader, writer))
            await first.wait()
            serving.cancel()
            writer.close()

        given = await asyncio.start_server(serve_once, "127.0.0.1", 0)
        async with given:
            url = f"nats://anna:p%40ss@127.0.0.1:{given.sockets[0].getsockname()[1]}"
            bus = await Bus.connect(Settings.model_validate({"nats_url": url}), "t")
            back = asyncio.Event()
            bus.on_reconnect.append(back.set)
            given.close()
            first.set()
            await back.wait()
        await bus.close()
    assert identity(other.connects[-1]) == {"user": "anna", "pass": "p@ss"}
