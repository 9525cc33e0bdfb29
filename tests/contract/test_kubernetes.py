"""What the Kubernetes manifests say of the indexer is so: settings, ports, paths, keys, and the time that it takes."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from closed_nats.roles import inbox_prefix
from harness.compose import DEPLOY, read_versions
from harness.indexer_process import TERMINATE_SECONDS, run_indexer_command

MANIFESTS = DEPLOY / "k8s"
DOCKERFILE = (DEPLOY / "docker" / "indexer.Dockerfile").read_text(encoding="utf-8")
SERVING = {
    "embedded": MANIFESTS / "overlays" / "embedded" / "stateful-set.yaml",
    "chroma-server": MANIFESTS / "overlays" / "chroma-server" / "deployment.yaml",
}
PODS = {**SERVING, "init": MANIFESTS / "init" / "job.yaml"}
KUSTOMIZATIONS = sorted(MANIFESTS.rglob("kustomization.yaml"))
SELECTING = sorted(
    path for kind in ("service", "pod-disruption-budget", "network-policy") for path in MANIFESTS.rglob(f"{kind}.yaml")
)

each_pod = pytest.mark.parametrize("which", PODS)
each_serving = pytest.mark.parametrize("which", SERVING)


def read(path: Path) -> Any:
    """The one document of a file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pod(which: str) -> dict[str, Any]:
    """The pod that a workload runs."""
    spec: dict[str, Any] = read(PODS[which])["spec"]["template"]["spec"]
    return spec


def container(which: str) -> dict[str, Any]:
    """The one container of it."""
    [found] = pod(which)["containers"]
    assert isinstance(found, dict)
    return found


def settings(which: str) -> dict[str, str]:
    """The environment that it gets."""
    lines = (MANIFESTS / "base" / "settings.env").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if not line.startswith("#")]
    common = {name: value for name, _, value in pairs}
    return common | {one["name"]: one["value"] for one in container(which).get("env", [])}


def literals() -> set[str]:
    """Names of the settings that overlays add."""
    maps = [one for path in KUSTOMIZATIONS for one in read(path).get("configMapGenerator", [])]
    return {literal.partition("=")[0] for one in maps for literal in one.get("literals", [])}


def test_every_setting_is_one() -> None:
    """Each name in the environment of a pod is a setting of the indexer: a misspelt one would be ignored in silence."""
    known = {one["name"] for one in json.loads(run_indexer_command(["settings", "--format", "json"]).stdout)}
    given = set().union(*(settings(which) for which in PODS), literals())
    assert {"NATS_URL", "PRECEDENT_REPLICAS", "PRECEDENT_CHROMA_URL"} <= given
    assert given <= known, f"no settings: {sorted(given - known)}"


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_the_image_has_the_version_of_the_others(path: Path) -> None:
    """Whatever runs a pod runs the image that compose builds, by its name and tag."""
    images = {one["name"]: one["newTag"] for one in read(path).get("images", [])}
    assert images == ({} if path.parent.name == "base" else {"precedent-indexer": read_versions()["PRECEDENT_VERSION"]})
    assert "image: precedent-indexer:" in (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


@each_pod
def test_a_pod_is_closed(which: str) -> None:
    """Not root, nothing writable but what is mounted, no capability, no token, and limits for everything."""
    user, group = map(int, DOCKERFILE.partition("\nUSER ")[2].partition("\n")[0].split(":"))
    identity = pod(which)["securityContext"]
    assert (identity["runAsUser"], identity["runAsGroup"], identity["fsGroup"]) == (user, group, group)
    assert identity["runAsNonRoot"]
    assert identity["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(which)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(which)["automountServiceAccountToken"] is False
    assert {"cpu", "memory", "ephemeral-storage"} <= set(container(which)["resources"]["limits"])
    assert "/tmp" in {one["mountPath"] for one in container(which)["volumeMounts"]}
    assert f'ENTRYPOINT ["{container("embedded")["startupProbe"]["exec"]["command"][0]}"]' in DOCKERFILE


@each_serving
def test_it_has_time_to_leave(which: str) -> None:
    """Kubernetes waits longer than a soft stop may take."""
    assert pod(which)["terminationGracePeriodSeconds"] > TERMINATE_SECONDS


@each_serving
def test_only_an_indexer_that_answers_no_more_is_ended(which: str) -> None:
    """The probe that kills does not ask how far the index is; an embedded index that lags is not ready."""
    one = container(which)
    live = ["precedent-indexer", "health", "--live"]
    assert one["startupProbe"]["exec"]["command"] == one["livenessProbe"]["exec"]["command"] == live
    assert one["readinessProbe"]["exec"]["command"] == (live[:2] if which == "embedded" else live)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        # The command waits three seconds for answers.
        assert one[probe]["timeoutSeconds"] > 3


@each_serving
def test_the_model_has_as_many_threads_as_processors(which: str) -> None:
    """More would take turns on what the limit leaves them."""
    assert settings(which)["PRECEDENT_EMBED_THREADS"] == container(which)["resources"]["limits"]["cpu"]


@each_serving
def test_metrics_are_served_where_they_are_scraped(which: str) -> None:
    """The port named `metrics` is the one of the setting, on every address of the pod."""
    port = int(settings(which)["PRECEDENT_METRICS_PORT"])
    assert container(which)["ports"] == [{"name": "metrics", "containerPort": port}]
    assert settings(which)["PRECEDENT_METRICS_HOST"] == "0.0.0.0"
    service = read(MANIFESTS / "overlays" / "embedded" / "service.yaml")
    assert service["spec"]["ports"] == [{"name": "metrics", "port": port, "targetPort": "metrics"}]


def test_the_index_lies_on_the_volume() -> None:
    """The path of the image is where the volume is mounted, and no other pod can have that volume."""
    [mount] = [one for one in container("embedded")["volumeMounts"] if one["name"] == "chromadb-data"]
    assert f"PRECEDENT_CHROMA_PATH={mount['mountPath']} " in DOCKERFILE
    stateful = read(SERVING["embedded"])["spec"]
    assert stateful["replicas"] == 1
    [claim] = stateful["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == mount["name"]


def test_a_replica_keeps_its_notes_where_it_may_write() -> None:
    """The path of the image is a directory of the pod's own, which the limits of the container have room for."""
    [mount] = [one for one in container("chroma-server")["volumeMounts"] if one["name"] == "notes"]
    assert f"PRECEDENT_CHROMA_PATH={mount['mountPath']} " in DOCKERFILE
    [notes] = [one for one in pod("chroma-server")["volumes"] if one["name"] == "notes"]
    room = {
        name: int(size.removesuffix("Gi"))
        for name, size in (
            ("notes", notes["emptyDir"]["sizeLimit"]),
            ("limit", container("chroma-server")["resources"]["limits"]["ephemeral-storage"]),
        )
    }
    assert room["notes"] < room["limit"]


def test_the_bucket_of_the_lease_is_made_by_who_may() -> None:
    """Replicas may not create it: `init` does where it is told of the same server."""
    [settings_map] = read(SERVING["chroma-server"].parent / "kustomization.yaml")["configMapGenerator"]
    assert f"PRECEDENT_CHROMA_URL={settings('init')['PRECEDENT_CHROMA_URL']}" in settings_map["literals"]


def test_two_replicas_lie_on_two_nodes() -> None:
    """With a Chroma server, a node may be lost or drained and one goes on answering."""
    deployment = read(SERVING["chroma-server"])["spec"]
    assert deployment["replicas"] > 1
    [term] = pod("chroma-server")["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"] == deployment["selector"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] < deployment["replicas"]


@pytest.mark.parametrize(
    ("which", "role"), [("embedded", "indexer"), ("chroma-server", "indexer"), ("init", "operator")]
)
def test_keys_come_from_a_secret(which: str, role: str) -> None:
    """The files that settings name lie where the secret is mounted, under the names that `make keys` gives them."""
    [mount] = [one for one in container(which)["volumeMounts"] if one["name"] == "nats"]
    [volume] = [one for one in pod(which)["volumes"] if one["name"] == "nats"]
    assert mount["readOnly"]
    assert volume["secret"]["secretName"] == f"precedent-{role}-nats"
    given = settings(which)
    assert given["NATS_NKEY"] == f"{mount['mountPath']}/{role}.nk"
    assert given["NATS_CA"] == f"{mount['mountPath']}/ca.pem"
    assert given["NATS_INBOX_PREFIX"] == inbox_prefix(role)
    assert given["NATS_URL"].startswith("tls://")


def test_streams_get_the_bounds_of_the_plan() -> None:
    """The account has room for what `init` bounds the streams by, as in the plan that the keys are made from."""
    plan = tomllib.loads((DEPLOY / "nats" / "plans" / "one-team.toml").read_text(encoding="utf-8"))
    account = plan["accounts"]["PRECEDENT"]
    given = settings("init")
    for name, setting in (("log_bytes", "LOG_MAX_BYTES"), ("dead_letters_bytes", "DEAD_LETTERS_MAX_BYTES")):
        assert account[name].endswith("GiB")
        assert int(given[f"PRECEDENT_{setting}"]) == int(account[name].removesuffix("GiB")) * 1024**3
    assert int(given["PRECEDENT_REPLICAS"]) == 3


@pytest.mark.parametrize("path", SELECTING, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_selectors_meet_the_pods(path: Path) -> None:
    """Whoever selects pods of the indexer selects by labels that they have."""
    spec = read(path)["spec"]
    selector = spec["podSelector"] if "podSelector" in spec else spec["selector"]
    wanted = selector.get("matchLabels", selector)
    for which in SERVING:
        labels = read(PODS[which])["spec"]["template"]["metadata"]["labels"]
        assert wanted.items() <= labels.items(), f"{path} selects no pod of {which}"
