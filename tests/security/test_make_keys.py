"""`make keys`: what it writes, who may read it, and what it leaves alone."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from security.closed_bus import NATS, ONE_TEAM, make_keys, read_settings

SECRETS = ("*.nk", "*.key")


def contents(directory: Path) -> dict[str, bytes]:
    """Every file, by its path."""
    return {str(one.relative_to(directory)): one.read_bytes() for one in directory.rglob("*") if one.is_file()}


def test_secrets_are_the_owners(tmp_path: Path) -> None:
    """Keys have mode 0600 in directories of mode 0700, and no seed is in any other file."""
    make_keys(tmp_path / "keys", ONE_TEAM)
    secret = [one for pattern in SECRETS for one in (tmp_path / "keys").rglob(pattern)]
    assert {stat.S_IMODE(one.stat().st_mode) for one in secret} == {0o600}
    assert {stat.S_IMODE(one.parent.stat().st_mode) for one in secret} == {0o700}
    seeds = [one.read_bytes().strip() for one in secret if one.suffix == ".nk"]
    assert len(set(seeds)) == len(seeds) > 0
    for one in set((tmp_path / "keys").rglob("*.*")) - set(secret):
        assert not [seed for seed in seeds if seed in one.read_bytes()], one


def test_made_again_nothing_changes(tmp_path: Path) -> None:
    """A second run keeps every key and certificate, and writes the same configuration."""
    make_keys(tmp_path / "keys", ONE_TEAM)
    before = contents(tmp_path / "keys")
    make_keys(tmp_path / "keys", ONE_TEAM)
    assert contents(tmp_path / "keys") == before


def test_a_new_user_changes_nobody_elses_key(tmp_path: Path) -> None:
    """One more line in the plan is one more key, settings file and entry in the configuration."""
    make_keys(tmp_path / "keys", ONE_TEAM)
    before = contents(tmp_path / "keys")
    plan = tmp_path / "plan.toml"
    plan.write_text(ONE_TEAM.read_text() + 'ids = { role = "publisher", kinds = ["ids"] }\n')
    make_keys(tmp_path / "keys", plan)
    after = contents(tmp_path / "keys")
    assert {name for name in after if after[name] != before.get(name)} == {
        "server.conf",
        "PRECEDENT/ids.nk",
        "PRECEDENT/ids.env",
    }


def test_a_configuration_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """What a role may do since is permitted after a second run with the same plan, to the keys that are there."""
    make_keys(tmp_path / "keys", ONE_TEAM)
    before = contents(tmp_path / "keys")
    configuration = tmp_path / "keys" / "server.conf"
    lines = configuration.read_text().splitlines(keepends=True)
    configuration.write_text("".join(line for line in lines if "STREAM.MSG.GET" not in line))
    assert contents(tmp_path / "keys") != before
    make_keys(tmp_path / "keys", ONE_TEAM)
    assert contents(tmp_path / "keys") == before


def test_a_user_who_is_taken_out_keeps_the_files(tmp_path: Path) -> None:
    """Nobody's secret is removed by a line that is missing; but the server does not know the key any more."""
    make_keys(tmp_path / "keys", ONE_TEAM)
    before = contents(tmp_path / "keys")
    plan = tmp_path / "plan.toml"
    plan.write_text(ONE_TEAM.read_text().replace('analyst = { role = "analyst" }\n', ""))
    make_keys(tmp_path / "keys", plan)
    after = contents(tmp_path / "keys")
    assert {name for name in before if after.get(name) != before[name]} == {"server.conf"}
    assert b"_INBOX_analyst" not in after["server.conf"]


def test_certificates_that_are_brought_are_kept(tmp_path: Path) -> None:
    """An authority without its key is one's own: its certificates are used, and what is missing is asked for."""
    make_keys(tmp_path / "made", ONE_TEAM)
    tls = tmp_path / "keys" / "tls"
    tls.mkdir(parents=True)
    for name in ("ca.pem", "server.pem", "server.key"):
        (tls / name).write_bytes((tmp_path / "made" / "tls" / name).read_bytes())
    make_keys(tmp_path / "keys", ONE_TEAM)
    assert sorted(one.name for one in tls.iterdir()) == ["ca.pem", "server.key", "server.pem"]
    (tls / "server.pem").unlink()
    with pytest.raises(AssertionError, match=r"server\.pem and server\.key are missing"):
        make_keys(tmp_path / "keys", ONE_TEAM)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('x = { role = "admin" }', "users.x.role"),
        ('x = { role = "indexer", collections = ["rules"] }', "cannot be narrowed"),
        ('x = { role = "asker", kinds = ["auth"] }', "cannot be narrowed"),
        ('x = { role = "publisher", kinds = ["Auth.*"] }', "kind 'Auth.*' is none"),
        ('x = { role = "publisher", collections = ["*"] }', "collections"),
        ("x = { role = [] }", "users.x.role"),
        ('x = { role = ["asker", "admin"] }', "users.x.role"),
        ('x = { role = ["publisher", "viewer"], collections = ["rules"] }', "role viewer cannot be narrowed"),
        ('x = { role = "analyst", kinds = ["auth"] }', "role analyst cannot be narrowed"),
        ('x = { role = ["publisher", "analyst"], kinds = ["auth"] }', "role analyst cannot be narrowed"),
        ('x = { role = ["asker", "tool"], payloads = true }', "only role viewer"),
        (
            'x = { role = ["asker", "operator"], limits = { max_connections = 1, max_subscriptions = 1 } }',
            "role operator works inside",
        ),
        ('x = { role = "asker", payloads = true }', "only role viewer"),
        ('"x.>" = { role = "asker" }', "users"),
        ('x = { role = "operator", limits = { max_connections = 1, max_subscriptions = 1 } }', "limits"),
    ],
)
def test_a_plan_that_cannot_be(tmp_path: Path, line: str, says: str) -> None:
    """What the server could not enforce, or would take for a wildcard, is refused with its place in the plan."""
    plan = tmp_path / "plan.toml"
    plan.write_text(ONE_TEAM.read_text() + line + "\n")
    command = [sys.executable, str(NATS / "make_keys.py"), "--dir", str(tmp_path / "keys"), "--plan", str(plan)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert says in done.stderr
    assert not (tmp_path / "keys").exists()


def test_settings_name_files_that_are_there(tmp_path: Path) -> None:
    """Each user's settings are complete: key, authority, inbox."""
    make_keys(tmp_path / "keys", ONE_TEAM)
    for path in (tmp_path / "keys" / "PRECEDENT").glob("*.env"):
        settings = read_settings(path)
        assert settings["NATS_INBOX_PREFIX"] == f"_INBOX_{path.stem}"
        assert Path(settings["NATS_NKEY"]).name == f"{path.stem}.nk"
        assert Path(settings["NATS_CA"]).is_file()
