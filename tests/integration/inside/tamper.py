"""What somebody with the files could do to an index, through Chroma alone; runs in the indexer's environment.

`python tamper.py DIRECTORY` takes JSON on standard input: `{"collection": ..., "delete": [ids], "add": [ids],
"update": {id: {"metadata": {...}, "document": "..."}}}`, and does it to the generation in use.
"""

import json
import sys
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings


def main(directory: Path, wanted: dict[str, Any]) -> None:
    """Do what is wanted."""
    generation = directory / (directory / "CURRENT").read_text(encoding="utf-8").strip()
    client = chromadb.PersistentClient(str(generation), settings=Settings(anonymized_telemetry=False))
    collection: Any = client.get_collection(wanted["collection"], embedding_function=None)
    if wanted.get("delete"):
        collection.delete(ids=wanted["delete"])
    for event_id in wanted.get("add", []):
        dimensions = 1 if "." in wanted["collection"] else 384
        collection.add(ids=[event_id], embeddings=[[1.0] * dimensions], documents=["put in from outside"])
    for event_id, change in wanted.get("update", {}).items():
        metadata, document = change.get("metadata"), change.get("document")
        # Without a vector, Chroma would compute one by a model of its own choice.
        vector = collection.get(ids=[event_id], include=["embeddings"])["embeddings"][0]
        collection.update(
            ids=[event_id],
            embeddings=[vector],
            metadatas=[metadata] if metadata else None,
            documents=[document] if document else None,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
