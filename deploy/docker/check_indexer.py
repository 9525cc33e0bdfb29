"""Run in the build of the indexer's image: fails it unless the environment is whole and holds no backend."""

import importlib
from importlib.util import find_spec

from precedent_indexer.embedding.model_files import DEFAULT_MODEL_DIR, ModelFiles

BACKENDS = ("precedent_backend_adapter", "cosmpy", "uagents")

# Pulls in the store, the bus and both runtimes.
importlib.import_module("precedent_indexer.app.embedded")
model = ModelFiles.read(DEFAULT_MODEL_DIR)
if found := [name for name in BACKENDS if find_spec(name)]:
    raise SystemExit(f"the indexer's image holds what belongs to backends: {', '.join(found)}")
print(f"the indexer's image is whole: model {model.fingerprint}, none of {', '.join(BACKENDS)}")
