"""The images that ours are built on: pulled, or, where no registry can be reached, stood in for.

A stand-in carries the real image's name and offers what the Dockerfiles and the compose file use of it: Debian with
its own Python in the places of `python:3.11-slim-bookworm`, and nats-server with a `wget` in those of `nats:…-alpine`.
Of the images of profiles, nats-box and Prometheus are stood in for where this machine has their program (`make
nats-cli`; Debian's package prometheus); Grafana is not.
It also carries this machine's certificate authorities and the settings of its pip, as far as they mean anything in a
container, so that a build inside reaches the package index that this machine reaches.
"""

from __future__ import annotations

import ast
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.engine import Engine, EngineError
from harness.nats_server import find_nats_server

if TYPE_CHECKING:
    from collections.abc import Mapping

# Says of an image that it is none of the registry's.
STAND_IN_LABEL = "precedent.stand-in"

_SUITE = "bookworm"
_PACKAGES = "python3.11,python3.11-venv,python3-pip,python3-setuptools,ca-certificates,busybox"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PULL_SECONDS = 900.0
_BUILD_SECONDS = 900.0
_CONNECT_SECONDS = 5.0
_REGISTRY_PORT = 443

# What `make nats-cli` builds.
_NATS_COMMAND = Path(__file__).parents[2] / "build/bin/nats"

# Paths of this machine, which a container does not have.
_LOCAL_PIP_SETTINGS = {"find-links", "cert", "client-cert", "cache-dir", "log", "target", "prefix", "no-index"}


def ensure_base_images(engine: Engine, versions: Mapping[str, str], folder: Path) -> list[str]:
    """Have every base image, and those of the profiles that can be had; return the names of those that are stand-ins.

    Args:
        engine: Where they are needed.
        versions: The entries of deploy/versions.env.
        folder: For what is built on the way; it needs half a gigabyte.

    Raises:
        EngineError: A registry can be reached and does not have one, or a stand-in cannot be built.
    """
    python, nats = versions["PYTHON_IMAGE"], versions["NATS_IMAGE"]
    if not _is_had(engine, python):
        _stand_in_for_python(engine, python, folder)
    if not _is_had(engine, nats):
        _stand_in_for_nats(engine, nats, folder, python)
    stand_in_by_name: list[tuple[str, Path | None]] = [
        (versions["NATS_BOX_IMAGE"], _NATS_COMMAND if _NATS_COMMAND.exists() else None),
        (versions["PROMETHEUS_IMAGE"], _found("prometheus")),
        (versions["GRAFANA_IMAGE"], None),
    ]
    had = [python, nats]
    for name, program in stand_in_by_name:
        if _is_had(engine, name):
            had.append(name)
        elif program is not None:
            _stand_in_for_program(engine, name, folder, python, program)
            had.append(name)
    label = f'{{{{index .Config.Labels "{STAND_IN_LABEL}"}}}}'
    return [name for name in had if engine.docker("image", "inspect", "--format", label, name)]


def _is_had(engine: Engine, name: str) -> bool:
    if engine.has_image(name):
        return True
    try:
        engine.docker("pull", name, timeout=_PULL_SECONDS)
    except EngineError:
        if _registry_is_reachable(engine):
            raise
        return False
    return True


def _registry_is_reachable(engine: Engine) -> bool:
    host = urlsplit(engine.docker("info", "--format", "{{.IndexServerAddress}}")).hostname or ""
    try:
        socket.create_connection((host, _REGISTRY_PORT), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _stand_in_for_python(engine: Engine, name: str, folder: Path) -> None:
    root = folder / "debian"
    _run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root, *_debian_mirror()])
    for path in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / path, ignore_errors=True)
    for link, target in (("python", "python3.11"), ("python3", "python3.11"), ("pip", "pip3")):
        (root / "usr/local/bin" / link).symlink_to(f"/usr/bin/{target}")
    shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
    (root / "etc/pip.conf").write_text(_pip_configuration(), encoding="utf-8")
    archive = folder / "debian.tar"
    _run(["tar", "--create", "--file", archive, "--directory", root, "."])
    shutil.rmtree(root)
    path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    label = f"LABEL {STAND_IN_LABEL}={name}"
    engine.docker("import", "--change", path, "--change", label, archive, name, timeout=_BUILD_SECONDS)
    archive.unlink()


def _stand_in_for_nats(engine: Engine, name: str, folder: Path, debian: str) -> None:
    root = folder / "nats"
    root.mkdir()
    shutil.copy(find_nats_server(), root / "nats-server")
    dockerfile = f"""\
FROM {debian}
COPY nats-server /usr/local/bin/nats-server
RUN ln -s /bin/busybox /usr/local/bin/wget
LABEL {STAND_IN_LABEL}={name}
ENTRYPOINT ["nats-server"]
"""
    (root / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    engine.docker("build", "--tag", name, root, timeout=_BUILD_SECONDS)


def _stand_in_for_program(engine: Engine, name: str, folder: Path, debian: str, program: Path) -> None:
    """Debian with one program of this machine, under its own name."""
    # Not by the program's name alone: the server's folder is `nats`.
    root = folder / f"program-{program.name}"
    root.mkdir()
    shutil.copy(program, root / program.name)
    dockerfile = f"""\
FROM {debian}
COPY {program.name} /usr/local/bin/{program.name}
RUN ln -s /bin/busybox /usr/local/bin/wget && install -d -o nobody -g nogroup /prometheus
LABEL {STAND_IN_LABEL}={name}
USER nobody
"""
    (root / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    engine.docker("build", "--tag", name, root, timeout=_BUILD_SECONDS)


def _found(program: str) -> Path | None:
    path = shutil.which(program)
    return Path(path) if path else None


def _debian_mirror() -> list[str]:
    """Where this machine's own packages come from, if it is a Debian: what it can reach."""
    if shutil.which("apt-get") is None:
        return []
    form = "$(CODENAME) $(ORIGIN) $(REPO_URI)"
    for line in _run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines():
        codename, origin, mirror = line.split(maxsplit=2)
        if (codename, origin) == (_SUITE, "Debian"):
            return [mirror]
    return []


def _pip_configuration() -> str:
    lines = [f"cert = {_CERTIFICATES}"]
    for line in _run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        key, _, value = line.partition("=")
        setting = key.rpartition(".")[2]
        if setting not in _LOCAL_PIP_SETTINGS:
            lines.append(f"{setting} = {ast.literal_eval(value)}")
    return "\n".join(["[global]", *lines, ""])


def _run(command: list[str | Path]) -> str:
    words = " ".join(map(str, command))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    except FileNotFoundError as error:
        raise EngineError(f"there is no `{command[0]}`, and no image registry: install Debian's package") from error
    if done.returncode != 0:
        raise EngineError(f"`{words}` ended with {done.returncode}; it said:\n{done.stdout}{done.stderr}"[-4000:])
    return done.stdout
