"""What kustomize makes of deploy/k8s, held against the schemas of Kubernetes: needs Go, which builds kustomize."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "deploy" / "k8s"
KUSTOMIZE = REPOSITORY / "build" / "bin" / "kustomize"
VALIDATOR = REPOSITORY / "tools" / "k8s" / ".venv" / "bin" / "kubernetes-validate"
VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that is promised, and the newest that the validator knows."""
APPLIED = sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml") if path.parent.name != "base")


def rendered(directory: Path) -> str:
    """What `kubectl apply -k` would send."""
    for tool in (KUSTOMIZE, VALIDATOR):
        assert tool.is_file(), f"no {tool}: run `make test-k8s`"
    return subprocess.run([KUSTOMIZE, "build", directory], check=True, capture_output=True, text=True).stdout


def resources(text: str) -> list[dict[str, Any]]:
    """Each document."""
    return list(yaml.safe_load_all(text))


KINDS = ("ConfigMap", "Namespace", "ServiceAccount")


@pytest.mark.parametrize("directory", APPLIED, ids=lambda path: path.name)
def test_every_resource_is_one_of_kubernetes(directory: Path, tmp_path: Path) -> None:
    """Strictly: no field that Kubernetes does not know, none of a wrong type, none missing."""
    text = rendered(directory)
    file = tmp_path / "rendered.yaml"
    file.write_text(text, encoding="utf-8")
    versions = [word for version in VERSIONS for word in ("--kubernetes-version", version)]
    done = subprocess.run([VALIDATOR, "--strict", *versions, file], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    # What it has no schema for, it only warns of.
    assert done.stdout.count(" passed for resource ") == len(VERSIONS) * len(resources(text)), done.stdout


def test_the_validator_refuses_what_kubernetes_would() -> None:
    """A wrong field and a wrong type are found: that it passes everything else says something."""
    text = rendered(MANIFESTS / "overlays" / "embedded")
    for good, bad in (("fsGroup:", "fsGruop:"), ("replicas: 1", "replicas: one")):
        assert text.count(good) == 1
        wrong = text.replace(good, bad)
        done = subprocess.run(
            [VALIDATOR, "--strict", "/dev/stdin"], input=wrong, check=False, capture_output=True, text=True
        )
        assert done.returncode == 1, done.stdout


@pytest.mark.parametrize("directory", APPLIED, ids=lambda path: path.name)
def test_what_is_rendered_hangs_together(directory: Path) -> None:
    """Pods run the image of this version, with settings, account and labels that are there, in one namespace."""
    found = resources(rendered(directory))
    names = {kind: {one["metadata"]["name"] for one in found if one["kind"] == kind} for kind in KINDS}
    pods = [one["spec"]["template"] for one in found if "template" in one.get("spec", {})]
    assert pods
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert ":" in container["image"], "the image has no tag"
        assert {one["configMapRef"]["name"] for one in container["envFrom"]} == names["ConfigMap"]
        assert {pod["spec"]["serviceAccountName"]} == names["ServiceAccount"]
    namespaces = {one["metadata"].get("namespace") for one in found if one["kind"] != "Namespace"}
    assert namespaces == names["Namespace"]


def test_the_overlay_of_the_readme_renders(tmp_path: Path) -> None:
    """What it tells an operator to write puts image and server where he has them."""
    text = (MANIFESTS / "README.md").read_text(encoding="utf-8")
    [overlay] = re.findall(r"(?s)```yaml\n(.*?)```", text)
    repository = tmp_path / "precedent" / "deploy"
    shutil.copytree(MANIFESTS, repository / "k8s")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kustomization.yaml").write_text(overlay, encoding="utf-8")
    found = resources(rendered(tmp_path / "own"))
    [config] = [one for one in found if one["kind"] == "ConfigMap"]
    assert config["data"]["NATS_URL"] == "tls://nats.example:4222"
    [workload] = [one for one in found if one["kind"] == "StatefulSet"]
    [container] = workload["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example/precedent-indexer:")
    assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
