# `make help` lists the targets. All of them set up .venv by themselves; ARGS is passed on, as in `make demo ARGS=--once`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
LOCK := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header
ARGS ?=
IMAGE ?= extsync:$(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' extsync/__init__.py)
SEEDS ?= 2000

.DEFAULT_GOAL := help
.PHONY: help demo test simulate lint format bench docs lock screenshots image clean

help:
	@echo 'make demo      show extsync at work on this machine, without a cluster (ARGS=--once: one round)'
	@echo 'make test      all tests: fast, real sockets, real control plane (ARGS="-m sockets": one tier)'
	@echo 'make simulate  the engine under SEEDS=2000 runs of simulated disasters (ARGS="--seed 7": one, with its log)'
	@echo 'make lint      style, types and layers'
	@echo 'make format    apply the style'
	@echo 'make bench     print figures of speed and memory'
	@echo 'make docs      the documentation as a site, in site/'
	@echo 'make lock      refresh the lock files from pyproject.toml'
	@echo 'make screenshots   take the pictures of the page, in docs/images'
	@echo 'make image     build the container image $(IMAGE) with docker (IMAGE=...: another name)'
	@echo 'make clean     remove what the other targets made here'

demo: $(READY)
	@echo '==> extsync demo: real backends on loopback, an in-memory store; Ctrl-C ends it'
	@$(BIN)/extsync demo $(ARGS)

test: $(READY)
	@echo '==> tests: fast ones, then real sockets on loopback; and a real control plane beside them'
	@$(BIN)/python -m tests.lanes $(ARGS)

simulate: $(READY)
	@echo '==> the engine in virtual time, under accidents drawn from $(SEEDS) seeds'
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

lint: $(READY)
	@echo '==> ruff: style'
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo '==> mypy: types'
	@$(BIN)/mypy
	@echo '==> import-linter: layers'
	@$(BIN)/lint-imports --no-logo

format: $(READY)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(READY)
	@echo '==> benchmarks: figures and ratios of one run'
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo '==> site/index.html'

lock: $(READY)
	@echo '==> resolving the dependencies'
	@$(LOCK) pyproject.toml --output-file requirements.lock
	@$(LOCK) pyproject.toml --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	@echo hatchling | $(LOCK) - --constraint requirements-dev.lock --output-file requirements-build.lock

screenshots: $(READY)
	@echo '==> the page in a real Chromium: docs/images'
	@$(BIN)/python -m tests.servers.programs fetch chromium
	@$(BIN)/python -m tests.web.screenshots

image:
	docker build --tag $(IMAGE) .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist site
	find extsync tests -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements-dev.lock pyproject.toml
	@echo '==> setting up .venv, once and after a change of pyproject.toml or requirements-dev.lock'
	@test -n '$(PYTHON)' && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'extsync needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
