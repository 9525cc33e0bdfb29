"""The indexer's embedder, opened as `serve` opens it, with nothing else running: the ceiling of every ingest.

    embedder_alone.py TEXTS.json QUESTIONS.json DONE ANSWER.json

Texts go through in batches of the indexer's own size, one after another, and their number so far into DONE;
questions one at a time.
"""

import json
import sys
import time
from io import FileIO
from pathlib import Path

from precedent_indexer import settings
from precedent_indexer.app.models import open_sessions
from precedent_indexer.embedding.model_files import DEFAULT_MODEL_DIR

_WARM_UP = 2


def main(texts_path: Path, questions_path: Path, done_path: Path, answer_path: Path) -> None:
    """Measure, and write the answer."""
    texts: list[str] = json.loads(texts_path.read_text(encoding="utf-8"))
    questions: list[str] = json.loads(questions_path.read_text(encoding="utf-8"))
    chosen = settings.load()
    embedder, for_questions = open_sessions(chosen, chosen.precedent_model_path or DEFAULT_MODEL_DIR)
    size = chosen.precedent_batch_size
    for start in range(0, _WARM_UP * size, size):
        # Other texts, so that nothing that remembers texts can help.
        embedder.embed([f"{text} (warm-up)" for text in texts[start : start + size]] or ["warm-up"])
    with done_path.open("wb", buffering=0) as done:
        _tell(done, 0)
        for start in range(0, len(texts), size):
            embedder.embed(texts[start : start + size])
            _tell(done, min(start + size, len(texts)))
    durations = []
    for question in questions:
        asked = time.perf_counter()
        for_questions.embed([question])
        durations.append(time.perf_counter() - asked)
    answer_path.write_text(json.dumps({"questions": durations}), encoding="utf-8")


def _tell(done: FileIO, count: int) -> None:
    # In place and of one length: who reads it finds the old number or the new one.
    done.seek(0)
    done.write(f"{count:12d}".encode("ascii"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
