"""A generation is looked at from outside: sound ones pass, and whatever breaks the look is the generation's fault."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.making import row, writes_of
from precedent_indexer.adapters.chroma import probe_process as probing
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.chroma.probe import probe_files
from precedent_indexer.adapters.chroma.probe_process import probe
from precedent_indexer.errors import IndexBroken, ResourceShortage

C = "incidents"


@pytest.fixture
def generation(tmp_path: Path) -> Path:
    """A generation with a segment on disk, closed."""
    store = ChromaStore.open(tmp_path)
    store.create("rules")
    store.write(C, writes_of(*(row(f"e{number}", number + 1) for number in range(1100))))
    store.close()
    return tmp_path


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    """A descriptor to hand to the child."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def truncate(generation: Path) -> None:
    """Cut the vectors of every segment short."""
    for segment in generation.glob("*/data_level0.bin"):
        segment.write_bytes(segment.read_bytes()[:1000])


async def test_a_sound_generation_passes(generation: Path, lock: int) -> None:
    """Also an empty one; and it can be opened afterwards."""
    assert await probe(generation, lock) is None
    store = ChromaStore.open(generation)
    assert store.count(C) == 1100
    store.close()


async def test_a_truncated_segment_is_found(generation: Path, lock: int) -> None:
    """Whether the look ends with an error or with the child: this process lives, and has a reason to tell."""
    truncate(generation)
    found = await probe(generation, lock)
    assert found is not None
    assert "probe" in found


@pytest.mark.parametrize("name", ["header.bin", "length.bin", "link_lists.bin", "data_level0.bin"])
def test_a_segment_whose_file_is_gone_is_found(generation: Path, name: str) -> None:
    """Rows that can still be counted, and no longer be found, are no index."""
    files = list(generation.glob(f"*/{name}"))
    if not files:
        pytest.fail(f"Chroma keeps no {name} any more: look at what it keeps, and name it here")
    for segment in files:
        segment.unlink()
    with pytest.raises(IndexBroken):
        probe_files(generation, lambda _rows: None)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11"),
        ("import sys; sys.stderr.write('a reason\\nthe last line\\n'); sys.exit(4)", "failed: the last line"),
        ("import sys; sys.exit(0)", None),
    ],
)
async def test_however_the_child_ends_there_is_a_verdict(
    tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch, code: str, says: str | None
) -> None:
    """A crash and a finding mean that the generation is broken."""
    script = tmp_path / "child"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o700)
    monkeypatch.setattr(probing.sys, "executable", str(script))
    found = await probe(tmp_path, lock)
    assert (found is None) is (says is None)
    assert says is None or says in str(found)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "out of memory"),
        (
            "import os, sys; sys.stderr.write('memory allocation of 32 bytes failed\\n'); os.abort()",
            "too little memory",
        ),
        ("raise ImportError('x.so: failed to map segment from shared object')", "too little memory"),
        ("raise SystemExit(1)", "exit code 1"),
    ],
)
async def test_a_look_that_the_system_ends_says_nothing_of_the_generation(
    tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    """Killed, out of memory, or never come to look: the start is refused with the reason, and nothing is rebuilt."""
    script = tmp_path / "child"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o700)
    monkeypatch.setattr(probing.sys, "executable", str(script))
    with pytest.raises(ResourceShortage, match=says):
        await probe(tmp_path, lock)


async def test_a_sound_generation_is_not_called_broken_for_a_limit(
    generation: Path, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real look at a real generation, with too few open files; without the limit the same generation passes."""
    script = generation / "child"
    script.write_text(
        f"#!{sys.executable}\nimport resource, os, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    script.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setattr(probing.sys, "executable", str(script))
        with pytest.raises(ResourceShortage, match="open files"):
            await probe(generation, lock)
    assert await probe(generation, lock) is None


LOOKS_FOR_EVER = """
import sys, time
from precedent_indexer.adapters.chroma import probe_process as probing

def look(_generation, expect):
    expect(500)
    while True:
        {}

probing._LEAST_S, probing._ROWS_PER_S, probing._WAITS, probing.probe_files = 0.1, 10_000, {}, look
probing.run_probe(None)
"""


@pytest.mark.parametrize(("how", "waits"), [("pass", 1_000), ("time.sleep(1)", 1)])
async def test_a_look_that_comes_to_no_end_is_ended(
    tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch, how: str, waits: int
) -> None:
    """Whether it computes or waits: torn links lead round in circles, and Chroma listens to nobody meanwhile."""
    script = tmp_path / "child"
    script.write_text(f"#!{sys.executable}\n{LOOKS_FOR_EVER.format(how, waits)}")
    script.chmod(0o700)
    monkeypatch.setattr(probing.sys, "executable", str(script))
    assert await probe(tmp_path, lock) == "its probe came to no end"
