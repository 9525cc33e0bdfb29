"""Addresses of servers: every form, and what is shown of it."""

import pytest
from url_forms import FORMS, SECRETS, Form

from precedent_schemas.servers import AddressError, ServerAddress, masked, parse_addresses

HOST = "127.0.0.1:4222"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.url)
def test_every_form_is_taken_as_the_nats_command_takes_it_or_refused_by_name(form: Form) -> None:
    """Scheme, host and port are kept, user, password and token are decoded; a refusal shows none of them."""
    url = form.url.replace("HOST", HOST)
    if form.refused is not None:
        with pytest.raises(AddressError, match=form.refused) as refused:
            parse_addresses(url)
        assert not [secret for secret in SECRETS if secret in str(refused.value)]
        return
    first = parse_addresses(url)[0]
    assert first.url == f"{'tls' if form.tls else 'nats'}://{HOST}"
    assert first.wants_tls is form.tls
    said = {"user": first.user, "pass": first.password, "auth_token": first.token}
    assert {key: value for key, value in said.items() if value is not None} == form.sent


def test_hosts_and_ports() -> None:
    """A port that is absent is 4222; an IPv6 address keeps its brackets; several servers keep their order."""
    assert [one.url for one in parse_addresses("a, nats://b:1,tls://[::1]")] == [
        "nats://a:4222",
        "nats://b:1",
        "tls://[::1]:4222",
    ]
    assert parse_addresses(["a:1", "b:2"]) == [ServerAddress("nats://a:1"), ServerAddress("nats://b:2")]


def test_secrets_are_in_no_repr() -> None:
    """An address may end up in a log line by its repr."""
    assert "s3cret" not in repr(parse_addresses("nats://anna:s3cret@h,nats://s3cret@h"))
    assert masked("nats://anna:s3cret@h:1,nats://h:2") == "nats://***@h:1,nats://h:2"
