"""The `NATS_*` variables, as programs read them."""

import pytest

from precedent_backend_adapter import Config, Credentials, Misconfigured, Tls
from precedent_backend_adapter.config.environment import DEFAULT_URL, NAMES, config_from_environment, split_urls


def test_an_empty_environment_is_the_usual_server_and_nothing_else() -> None:
    """Without any variable, and with variables set to nothing, the defaults hold."""
    assert config_from_environment({}) == ([DEFAULT_URL], Config())
    assert config_from_environment(dict.fromkeys(NAMES, "")) == ([DEFAULT_URL], Config())


def test_every_variable_has_its_place() -> None:
    """Each is read into the field that it is about; others are nobody's business."""
    urls, config = config_from_environment(
        {
            "NATS_URL": "nats://a:4222, tls://b:4222",
            "NATS_USER": "backend",
            "NATS_PASSWORD": "hunter2",
            "NATS_CA": "ca.pem",
            "NATS_CERT": "cert.pem",
            "NATS_KEY": "key.pem",
            "NATS_INBOX_PREFIX": "_INBOX.backend",
            "NATS_CONTEXT": "prod",
        }
    )
    assert urls == ["nats://a:4222", "tls://b:4222"]
    assert config == Config(
        credentials=Credentials(user="backend", password="hunter2"),
        tls=Tls(ca_file="ca.pem", cert_file="cert.pem", key_file="key.pem"),
        inbox_prefix="_INBOX.backend",
    )


@pytest.mark.parametrize(
    ("name", "credentials"),
    [("NATS_CREDS", Credentials(creds_file="a.file")), ("NATS_NKEY", Credentials(nkey_seed_file="a.file"))],
)
def test_a_file_of_credentials_is_taken_by_its_name(name: str, credentials: Credentials) -> None:
    """Creds and nkey files are told apart."""
    assert config_from_environment({name: "a.file"})[1] == Config(credentials=credentials)


def test_every_problem_is_named_with_the_variables_that_were_set_and_no_secret() -> None:
    """One error lists what is wrong with URLs and credentials alike, and where it came from."""
    with pytest.raises(Misconfigured) as caught:
        config_from_environment(
            {
                "NATS_URL": "http://user:hunter2@a,nats://b",
                "NATS_CREDS": "a.creds",
                "NATS_NKEY": "a.nk",
                "NATS_PASSWORD": "hunter2",
            }
        )
    said = str(caught.value)
    assert len(caught.value.found) == 4
    assert said.startswith("NATS_URL: url 'http://***@a' has the scheme 'http'")
    assert "NATS_URL, NATS_CREDS, NATS_NKEY, NATS_PASSWORD" in said
    assert "hunter2" not in said


def test_urls_are_split_at_commas_and_checked() -> None:
    """A gap between two commas is no server."""
    assert split_urls("nats://a , nats://b") == ["nats://a", "nats://b"]
    with pytest.raises(Misconfigured, match="url '' is not"):
        split_urls("nats://a,,nats://b")
