"""Settings: read once, checked at once, secrets masked."""

import re
from pathlib import Path

import pytest

from precedent_indexer.errors import StartRefused
from precedent_indexer.settings import Settings, describe, load, unknown_variables, without_secrets


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_without_an_environment_the_defaults_hold() -> None:
    """The documented defaults; an empty variable is as good as none."""
    settings = load()
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.precedent_chroma_path == Path("data/chroma")
    assert settings.precedent_metrics_port == 0
    assert (settings.precedent_log_level, settings.precedent_log_format) == ("info", "console")


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and unit files set variables to nothing; the default holds then."""
    monkeypatch.setenv("NATS_CREDS", "")
    monkeypatch.setenv("PRECEDENT_BATCH_SIZE", "")
    assert load() == Settings.model_validate({})


def test_every_problem_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message names every wrong variable by the name that it has in the environment."""
    monkeypatch.setenv("PRECEDENT_BATCH_SIZE", "0")
    monkeypatch.setenv("PRECEDENT_LOG_LEVEL", "loud")
    monkeypatch.setenv("NATS_CREDS", "no-such-file")
    monkeypatch.setenv("PRECEDENT_START_TIMEOUT_S", "soon")
    with pytest.raises(StartRefused) as refused:
        load()
    for name in ("PRECEDENT_BATCH_SIZE", "PRECEDENT_LOG_LEVEL", "NATS_CREDS", "PRECEDENT_START_TIMEOUT_S"):
        assert re.search(rf"^  {name}: .+", str(refused.value), re.MULTILINE), name
    assert "no-such-file" in str(refused.value)


def test_metrics_are_off_and_nobodys_but_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unasked, nothing listens; asked for a port, only this machine can scrape it."""
    assert load().precedent_metrics_port == 0
    monkeypatch.setenv("PRECEDENT_METRICS_PORT", "9464")
    assert (load().precedent_metrics_port, load().precedent_metrics_host) == (9464, "127.0.0.1")


def test_unknown_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of a later version is no reason to refuse."""
    monkeypatch.setenv("PRECEDENT_OF_A_LATER_VERSION", "1")
    assert load() == Settings.model_validate({})


def test_unknown_variables_are_named_with_the_settings_they_may_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen is found with its correction; what Kubernetes sets for a service beside us is no slip."""
    for name in ("PRECEDENT_BATCHSIZE", "PRECEDENT_CROMA_PATH", "PRECEDENT_COLOUR", "PRECEDENT_METRICS_PORT"):
        monkeypatch.setenv(name, "1")
    for tail in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8000_TCP_ADDR"):
        monkeypatch.setenv(f"PRECEDENT_CHROMA_{tail}", "10.0.0.1")
    found = unknown_variables()
    assert list(found) == ["PRECEDENT_BATCHSIZE", "PRECEDENT_COLOUR", "PRECEDENT_CROMA_PATH"]
    assert found["PRECEDENT_BATCHSIZE"][0] == "PRECEDENT_BATCH_SIZE"
    assert found["PRECEDENT_CROMA_PATH"][0] == "PRECEDENT_CHROMA_PATH"
    assert found["PRECEDENT_COLOUR"] == []


def test_secrets_are_masked_wherever_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the table, nor a repr, nor an error shows a password, also not one within the server's address."""
    monkeypatch.setenv("NATS_USER", "anna")
    monkeypatch.setenv("NATS_PASSWORD", "s3cret")
    monkeypatch.setenv("NATS_URL", "nats://anna:s3cret@10.0.0.1:4222,tls://t0ken@10.0.0.2")
    settings = load()
    assert settings.nats_password is not None
    assert settings.nats_password.get_secret_value() == "s3cret"
    shown = str(describe(settings))
    assert "s3cret" not in shown
    assert "t0ken" not in shown
    assert "10.0.0.1:4222" in shown
    assert "s3cret" not in repr(settings.nats_password)
    monkeypatch.setenv("PRECEDENT_BATCH_SIZE", "0")
    with pytest.raises(StartRefused) as refused:
        load()
    assert "s3cret" not in str(refused.value)


def test_an_address_without_secrets_is_shown_as_it_is() -> None:
    """Masking takes user, password and token, and nothing else."""
    plain = "nats://127.0.0.1:4222,ws://host/path"
    assert without_secrets(plain) == plain
    assert without_secrets("nats://a:b@h:1,nats://h:2") == "nats://***@h:1,nats://h:2"


@pytest.mark.parametrize(
    "url",
    [
        "nats://anna:s3cret@h",
        "nats://anna:p@s3cret@h",
        "nats://anna:p/s3cret@h",
        "nats://s3cret@h",
        "anna:s3cret@h",
        "nats://h:1,nats://anna:p/s3cret@h:2",
        "nats://anna:p,s3cret@h",
        "nats://h:1, tls://anna:s3cret@h:2",
        "nats://anna:\ns3cret@h",
    ],
)
def test_no_part_of_a_secret_stays_in_an_address(url: str) -> None:
    """Whatever characters a password is made of, also those that end an address elsewhere."""
    shown = without_secrets(url)
    assert "s3cret" not in shown
    assert "anna" not in shown
    assert shown.endswith(("@h", "@h:2"))


def test_every_setting_is_described() -> None:
    """Each has a row with its variable's name, its default and a sentence; values only where settings are given."""
    rows = describe()
    assert [one["name"] for one in rows] == [field.upper() for field in Settings.model_fields]
    assert all(one["description"] and "value" not in one for one in rows)
    assert all(re.match(r"NATS_|PRECEDENT_", one["name"]) for one in rows)
    with_values = {one["name"]: one["value"] for one in describe(load())}
    assert with_values["PRECEDENT_BATCH_SIZE"] == str(load().precedent_batch_size)
    assert with_values["NATS_CREDS"] == ""
