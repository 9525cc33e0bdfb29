"""An indexer whose embedder, store and clock fail on order, while it runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.child_process import scrubbed_environment
from harness.indexer_process import INDEXER, IndexerProcess

_PYTHON: Final = INDEXER.parent / "python"
_PROGRAMS: Final = Path(__file__).parent / "rigged"


class Orders:
    """What goes wrong inside a rigged indexer; it is looked up at every call that it makes.

    Orders:
        embed_delay_s: seconds that each text takes longer.
        embed_fails: the model fails at everything.
        embed_poison: the model fails at texts that contain this.
        die_at_text: the process ends, as by SIGKILL, when it embeds a text that contains this.
        store_delay_s: seconds that each write takes longer.
        store_fails: every write fails.
        store_poison: writes with a text that contains this fail.
        die_once_stored: the process ends right after a text that contains this is stored.
        hold_up_text: a write to a Chroma server with a text that contains this is held up right before it is sent,
            and a file `orders.held-up` beside the orders says so.
        hold_up_s: for so many seconds.
        clock_s: seconds that the wall clock is ahead, negative for behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._standing: dict[str, object] = {}

    def give(self, **orders: object) -> None:
        """From now on these, beside those given before; None takes one back."""
        self._standing |= orders
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(self._standing), encoding="utf-8")
        draft.replace(self.path)

    def lift(self) -> None:
        """Nothing is wrong any more."""
        self.give(**dict.fromkeys(self._standing))


def rigged_program(folder: Path) -> Path:
    """A command like `precedent-indexer`, of which `serve` is rigged; made in `folder`."""
    program = folder / "rigged-indexer"
    program.write_text(f'#!/bin/sh\nexec "{_PYTHON}" "{_PROGRAMS / "serve.py"}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def rigged_indexer(
    nats_url: str, folder: Path, *, words: bool = True, **settings: str
) -> tuple[IndexerProcess, Orders]:
    """An indexer that is not started yet, with its index and its log in `folder`, and what may be ordered of it.

    Args:
        nats_url: what it connects to.
        folder: of this indexer alone.
        words: a bag of words in the place of the model, which is quicker to start.
        settings: of the indexer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    orders = Orders(folder / "orders.json")
    env = {"FAULTS_FILE": str(orders.path), "FAULTS_EMBEDDER": "words" if words else "model", **settings}
    indexer = IndexerProcess(
        nats_url, folder / "chroma", env=env, log_path=folder / "indexer.log", executable=rigged_program(folder)
    )
    return indexer, orders


def damage(
    stopped: IndexerProcess,
    collection: str,
    *,
    missing: Sequence[str] = (),
    orphaned: Sequence[str] = (),
    changed: Sequence[str] = (),
) -> None:
    """Take rows out of the index of an indexer that does not run, put others in, and change the text of some."""
    current = (stopped.chroma_path / "CURRENT").read_text(encoding="utf-8").strip()
    wanted = {"collection": collection, "missing": missing, "orphaned": orphaned, "changed": changed}
    command: list[str | Path] = [_PYTHON, _PROGRAMS / "damage.py", stopped.chroma_path / current, json.dumps(wanted)]
    subprocess.run(command, check=True, env=scrubbed_environment({}))
