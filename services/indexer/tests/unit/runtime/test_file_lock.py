"""Turns: whoever changes the files of a generation and whoever copies them, one at a time."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from precedent_indexer.adapters.chroma.faults import StoreCalls
from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.runtime.file_lock import exclusive_lock

PATIENCE_S = 60.0


def test_threads_take_turns(tmp_path: Path) -> None:
    """A second thread has its turn only after the first: each sees the other's work whole."""
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with exclusive_lock(tmp_path):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE_S)
    assert most == 1


def test_a_turn_is_waited_for_so_long(tmp_path: Path) -> None:
    """Where the turn is another's, the wait ends in words that name the generation."""
    with exclusive_lock(tmp_path), pytest.raises(TimeoutError, match=str(tmp_path)), exclusive_lock(tmp_path, 0):
        pass


def test_the_end_of_a_process_ends_its_turn(tmp_path: Path) -> None:
    """A process that is killed in its turn holds nobody up."""
    body = f"""
import sys
from pathlib import Path
from precedent_indexer.runtime.file_lock import exclusive_lock
with exclusive_lock(Path({str(tmp_path)!r})):
    print("mine", flush=True)
    sys.stdin.read()
"""
    child = subprocess.Popen([sys.executable, "-c", body], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "mine\n"
        with pytest.raises(TimeoutError), exclusive_lock(tmp_path, 0):
            pass
        child.kill()
        with exclusive_lock(tmp_path, PATIENCE_S):
            pass


def test_a_directory_that_is_gone_has_no_turns(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(FileNotFoundError, match="gone"), exclusive_lock(tmp_path / "gone"):
        pass


def test_only_what_changes_the_store_takes_a_turn(tmp_path: Path) -> None:
    """A question goes on while the files are copied; a write waits, and a store whose directory is gone says so."""
    calls = StoreCalls(lambda: exclusive_lock(tmp_path, 0))
    with exclusive_lock(tmp_path):
        with calls.doing("search collection incidents"):
            pass
        for what in ("write collection incidents", "remove from collection incidents", "write the index's identity"):
            with pytest.raises(StoreUnavailable), calls.doing(what):
                pass
    with calls.doing("write collection incidents"):
        pass
    gone = StoreCalls(lambda: exclusive_lock(tmp_path / "gone"))
    with pytest.raises(StoreUnavailable, match="No such file"), gone.doing("write collection incidents"):
        pass
