"""Run in the build of a backend's image: fails it unless the adapter, cosmpy and uagents do without a vector store."""

import importlib
from importlib.util import find_spec

NEEDED = ("precedent_backend_adapter", "precedent_schemas", "cosmpy.aerial.wallet", "uagents")
# Vector stores, what computes vectors, and the indexer itself.
FORBIDDEN = (
    "chromadb",
    "chromadb_rust_bindings",
    "faiss",
    "hnswlib",
    "lancedb",
    "numpy",
    "onnxruntime",
    "openvino",
    "pinecone",
    "precedent_indexer",
    "pymilvus",
    "qdrant_client",
    "sentence_transformers",
    "tokenizers",
    "torch",
    "weaviate",
)

for name in NEEDED:
    importlib.import_module(name)
if found := [name for name in FORBIDDEN if find_spec(name)]:
    raise SystemExit(f"the backend's image holds what belongs to the indexer: {', '.join(found)}")
print(f"the backend's image imports {', '.join(NEEDED)} and holds none of {', '.join(FORBIDDEN)}")
