"""Settings: every problem at once, and no secret in a repr or an error."""

import pytest

from precedent_backend_adapter import Config, Credentials, Misconfigured, Precedent, Timeouts, Tls
from precedent_backend_adapter.config import Backoff, check_urls


def test_every_problem_is_named_at_once() -> None:
    """One error lists what is wrong in all parts, so that nobody fixes them one by one."""
    with pytest.raises(ValueError, match=r".") as caught:
        Config(
            credentials=Credentials(creds_file="a.creds", user="backend"),
            tls=Tls(cert_file="cert.pem"),
            timeouts=Timeouts(connect=0, publish=float("nan")),
            backoff=Backoff(cap=-1),
            name="",
            inbox_prefix="_INBOX.>",
        )
    assert isinstance(caught.value, Misconfigured)
    assert [one.split(" ")[0] for one in caught.value.found] == [
        "credentials:",
        "credentials:",
        "tls:",
        "timeouts:",
        "timeouts:",
        "backoff:",
        "name",
        "inbox_prefix",
    ]
    assert all(one in str(caught.value) for one in caught.value.found)


def test_a_password_is_masked_in_every_repr() -> None:
    """A config can be logged."""
    config = Config(credentials=Credentials(user="backend", password="hunter2"))
    assert "hunter2" not in repr(config) + str(config)
    assert "user='backend', password='***'" in repr(config)


@pytest.mark.parametrize("url", [[], "", "wss://host", "http://host", "nats://", "nats://host:99999", "nats://[::1"])
def test_a_url_that_is_none_is_named(url: str | list[str]) -> None:
    """A URL that cannot work is refused before anything is tried."""
    with pytest.raises(Misconfigured, match="url"):
        check_urls(url)


def test_the_url_of_an_http_service_is_refused_with_what_to_set() -> None:
    """The error says what this address is, and which is wanted instead."""
    with pytest.raises(Misconfigured, match=r"scheme 'http'.*nats://host:4222.*HTTP service.*NATS server"):
        check_urls("http://localhost:9000")


def test_several_urls_are_kept_in_order() -> None:
    """A cluster may be given as a list, or separated by commas as in `NATS_URL`."""
    assert check_urls(["nats://a", "tls://b:1"]) == check_urls("nats://a, tls://b:1") == ["nats://a", "tls://b:1"]


async def test_connect_refuses_bad_urls_without_showing_secrets() -> None:
    """The error names every bad URL and no password."""
    with pytest.raises(Misconfigured) as caught:
        async with Precedent.connect(["http://user:hunter2@a", "nats://"]):
            pass
    assert len(caught.value.found) == 2
    assert "hunter2" not in str(caught.value)
