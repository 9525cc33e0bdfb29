"""Where the command connects to: options, variables and contexts of the `nats` command, in this order."""

import json
from pathlib import Path
from typing import Any

import pytest

from precedent_backend_adapter import Config, Credentials, Misconfigured, Tls
from precedent_backend_adapter.cli.settings import connection

# As `nats context add` writes it, version 0.5.
EMPTY = {
    "description": "",
    "url": "",
    "socks_proxy": "",
    "token": "",
    "user": "",
    "password": "",
    "creds": "",
    "nkey": "",
    "cert": "",
    "key": "",
    "ca": "",
    "nsc": "",
    "jetstream_domain": "",
    "jetstream_api_prefix": "",
    "jetstream_event_prefix": "",
    "inbox_prefix": "",
    "user_jwt": "",
    "user_seed": "",
    "color_scheme": "",
    "tls_first": False,
    "windows_cert_store": "",
    "windows_cert_match_by": "",
    "windows_cert_match": "",
    "windows_ca_certs_match": None,
}


class Home:
    """A folder of configuration, with contexts."""

    def __init__(self, folder: Path) -> None:
        self.contexts = folder / "nats" / "context"
        self.contexts.mkdir(parents=True)
        self.environ = {"XDG_CONFIG_HOME": str(folder)}

    def add(self, name: str, *, select: bool = False, **fields: Any) -> None:
        """Make a context."""
        (self.contexts / f"{name}.json").write_text(json.dumps({**EMPTY, **fields}), encoding="utf-8")
        if select:
            (self.contexts.parent / "context.txt").write_text(name, encoding="utf-8")

    def asked(
        self, server: str | None = None, context: str | None = None, **variables: str
    ) -> tuple[list[str], Config]:
        """What the command makes of it."""
        return connection({**self.environ, **variables}, server, context)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One without any context."""
    return Home(tmp_path)


def test_without_anything_it_is_the_usual_server(home: Home) -> None:
    """No variable and no context: the local server, and a name that tells the command in its monitoring."""
    urls, config = home.asked()
    assert urls == ["nats://127.0.0.1:4222"]
    assert config == Config(name="precedent-cli")


def test_the_selected_context_is_used_whole(home: Home) -> None:
    """Every field that says how to connect counts, with ~ for the home directory."""
    home.add("prod", select=True, url="nats://a:1,nats://b:2", user="ana", password="s3", inbox_prefix="_INBOX.ana")
    urls, config = home.asked()
    assert urls == ["nats://a:1", "nats://b:2"]
    assert config.credentials == Credentials(user="ana", password="s3")
    assert config.inbox_prefix == "_INBOX.ana"
    home.add("prod", url="tls://a:1", creds="~/ana.creds", ca="/ca.pem", cert="/c.pem", key="/k.pem")
    _, config = home.asked()
    assert config.credentials == Credentials(creds_file=str(Path.home() / "ana.creds"))
    assert config.tls == Tls(ca_file="/ca.pem", cert_file="/c.pem", key_file="/k.pem")
    home.add("prod", nkey="/ana.nk")
    assert home.asked()[1].credentials == Credentials(nkey_seed_file="/ana.nk")


def test_variables_win_over_the_selected_context(home: Home) -> None:
    """What the environment says counts; what it leaves open is of the context."""
    home.add("prod", select=True, url="nats://context:1", inbox_prefix="_INBOX.context")
    urls, config = home.asked(NATS_URL="nats://variable:1")
    assert (urls, config.inbox_prefix) == (["nats://variable:1"], "_INBOX.context")


def test_an_identity_is_never_mixed_of_two(home: Home) -> None:
    """Where the environment says who we are, nothing of the context's identity is left."""
    home.add("prod", select=True, url="nats://context:1", creds="/context.creds")
    _, config = home.asked(NATS_USER="ana", NATS_PASSWORD="s3")
    assert config.credentials == Credentials(user="ana", password="s3")


def test_a_variable_that_is_empty_counts_as_absent(home: Home) -> None:
    """Setting a variable to nothing does not hide the context."""
    home.add("prod", select=True, url="nats://context:1")
    assert home.asked(NATS_URL="")[0] == ["nats://context:1"]


def test_nats_context_chooses_another_one(home: Home) -> None:
    """The variable that the nats command knows for it is known here."""
    home.add("prod", select=True, url="nats://prod:1")
    home.add("lab", url="nats://lab:1")
    assert home.asked(NATS_CONTEXT="lab")[0] == ["nats://lab:1"]


def test_a_context_that_is_asked_for_stands_alone(home: Home) -> None:
    """No variable reaches a server that was chosen by name: a password could go to the wrong one."""
    home.add("lab", url="nats://lab:1")
    urls, config = home.asked(context="lab", NATS_URL="nats://prod:1", NATS_USER="ana", NATS_PASSWORD="s3")
    assert urls == ["nats://lab:1"]
    assert config.credentials == Credentials()


def test_an_empty_context_is_none(home: Home) -> None:
    """With --context '' the selected one does not count."""
    home.add("prod", select=True, url="nats://prod:1")
    assert home.asked(context="")[0] == ["nats://127.0.0.1:4222"]
    assert home.asked(context="", NATS_URL="nats://variable:1")[0] == ["nats://variable:1"]


def test_the_server_option_wins_over_all(home: Home) -> None:
    """It replaces the URL alone; who we are is still of the context."""
    home.add("lab", url="nats://lab:1", user="ana", password="s3")
    urls, config = home.asked("nats://here:1, nats://there:1", "lab", NATS_URL="nats://prod:1")
    assert urls == ["nats://here:1", "nats://there:1"]
    assert config.credentials.user == "ana"


@pytest.mark.parametrize("field", ["token", "nsc", "user_jwt", "socks_proxy", "tls_first"])
def test_a_context_that_connects_in_an_unknown_way_is_refused(home: Home, field: str) -> None:
    """Rather than connecting otherwise than the context says, it names the field and the ways out."""
    home.add("odd", select=True, url="nats://a:1", **{field: "x"})
    with pytest.raises(Misconfigured, match=rf"'odd' sets {field}.*--context"):
        home.asked()


@pytest.mark.parametrize("name", ["nobody", "../secret", "a/b", "/etc/passwd"])
def test_a_context_that_is_not_there_is_named(home: Home, name: str) -> None:
    """The message names it and what to do, and a name never leaves the folder of contexts."""
    with pytest.raises(Misconfigured, match=f"context '{name}'"):
        home.asked(context=name)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_context_that_cannot_be_read_is_named(home: Home, content: bytes) -> None:
    """A broken file is named with its path."""
    (home.contexts / "broken.json").write_bytes(content)
    with pytest.raises(Misconfigured, match=r"broken\.json"):
        home.asked(context="broken")


def test_a_wrong_setting_says_that_a_context_made_it(home: Home) -> None:
    """Nobody looks for a variable that was never set; the password is not shown."""
    home.add("prod", select=True, url="nats://a:1", password="s3cret")
    with pytest.raises(Misconfigured, match=r"context 'prod' sets NATS_URL, NATS_PASSWORD") as caught:
        home.asked()
    assert "s3cret" not in str(caught.value)


def test_a_wrong_server_option_is_named_as_it_was_given(home: Home) -> None:
    """The message is about the option, not about a variable that nobody set."""
    with pytest.raises(Misconfigured, match="http://x") as caught:
        home.asked("http://x")
    assert "NATS_URL" not in str(caught.value)
