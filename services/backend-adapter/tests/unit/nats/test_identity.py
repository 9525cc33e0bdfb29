"""Who a connection says that it is: what the server is told for each form of URL and of credentials."""

import json

import pytest
from scripted import QUICK
from scripted_server import quiet, server

from precedent_backend_adapter import Config, Credentials, Precedent
from precedent_backend_adapter.config.environment import config_from_environment

BY_TOKEN = Credentials(token="s3cret")


@pytest.mark.parametrize(
    ("user_info", "credentials", "told"),
    [
        ("", Credentials(), {}),
        ("backend:hunter2@", Credentials(), {"user": "backend", "pass": "hunter2"}),
        ("back%40end:p%2Fw%3A%25@", Credentials(), {"user": "back@end", "pass": "p/w:%"}),
        ("t%2Fk@", Credentials(), {"auth_token": "t/k"}),
        ("", BY_TOKEN, {"auth_token": "s3cret"}),
        ("backend:hunter2@", BY_TOKEN, {"auth_token": "s3cret"}),
        ("other:other@", Credentials(user="back%40end", password="p%2F"), {"user": "back%40end", "pass": "p%2F"}),
    ],
)
async def test_the_server_is_told_who_we_are(user_info: str, credentials: Credentials, told: dict[str, str]) -> None:
    """A URL is percent-decoded, a setting is taken as it is, and a setting wins over the URL."""
    async with server(quiet) as (url, heard):
        config = Config(credentials=credentials, timeouts=QUICK.timeouts)
        async with Precedent.connect(url.replace("//", f"//{user_info}"), config=config):
            pass
    [command] = [line for line in heard if line.startswith(b"CONNECT")]
    said = json.loads(command.removeprefix(b"CONNECT "))
    assert {name: said[name] for name in ("user", "pass", "auth_token") if said.get(name)} == told


def test_the_token_comes_from_the_environment() -> None:
    """`NATS_TOKEN`, as the nats command and the indexer have it."""
    assert config_from_environment({"NATS_TOKEN": "s3cret"})[1].credentials == BY_TOKEN
    assert "s3cret" not in repr(BY_TOKEN)
