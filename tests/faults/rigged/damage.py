"""Takes rows out of an index, puts others in and changes some, behind the indexer's back.

damage.py GENERATION '{"collection": "incidents", "missing": [ID, ...], "orphaned": [ID, ...], "changed": [ID, ...]}'
"""

import json
import sys
from pathlib import Path
from typing import Any

from precedent_indexer.adapters.chroma.embedded import open_client


def main(generation: Path, wanted: dict[str, Any]) -> None:
    """Do it; nobody else may have the index open."""
    collection = open_client(generation).get_collection(wanted["collection"], embedding_function=None)
    found: Any = collection.get(limit=1, include=["embeddings", "documents", "metadatas"])
    for event_id in wanted["orphaned"]:
        collection.add(
            ids=[event_id],
            embeddings=found["embeddings"],
            documents=found["documents"],
            metadatas=[json.loads(json.dumps(found["metadatas"][0]).replace(found["ids"][0], event_id))],
        )
    if wanted["missing"]:
        collection.delete(ids=wanted["missing"])
    if wanted["changed"]:
        kept: Any = collection.get(ids=wanted["changed"], include=["embeddings"])
        texts = ["somebody was here"] * len(kept["ids"])
        collection.update(ids=kept["ids"], embeddings=kept["embeddings"], documents=texts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
