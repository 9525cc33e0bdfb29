"""What a command loads: who only asks an indexer needs neither its store nor its model."""

import json
import os
import socket
import subprocess
import sys

import pytest

HEAVY = {"chromadb", "onnxruntime", "openvino", "tokenizers", "onnx", "safetensors"}
PROGRAM = """
import json, sys
from precedent_indexer.__main__ import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("command", "ended"), [("health --timeout 0.2", 1), ("dead-letters list", 1), ("settings --format json", 0)]
)
def test_asking_loads_neither_store_nor_model(command: str, ended: int) -> None:
    """A health check is run every few seconds, and loading Chroma would cost more than a second of CPU each time."""
    with socket.socket() as taken:
        # Bound and never listening: nobody answers there.
        taken.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *command.split()],
            env={"PATH": os.environ["PATH"], "NATS_URL": url, "PRECEDENT_START_TIMEOUT_S": "0.2"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    assert code == ended, done.stderr
    assert {"precedent_indexer.settings", "typer"} <= set(loaded)
    assert not HEAVY & set(loaded)
