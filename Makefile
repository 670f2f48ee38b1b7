# Needs Python 3.11 or newer and make; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
FAST := not slow and not real_kafka and not browser and not node_js
CORES := $(shell $(PYTHON) -c 'import os; print(os.cpu_count())')
LANES ?= $(shell expr 2 '*' $(CORES))
SLOWEST ?=
# Tests start hundreds of processes of Python: each would compile all it imports again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run check test test-fast procedures sim bench bench-membership clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: .venv/runtime ## start the demo: embedded Kafka, live data, three nodes, a page
	@$(BIN)/whimbrel demo

# Tests that start processes wait most of the time: twice as many at once as there are cores (LANES=1: one by one).
# SLOWEST=25: the 25 that took longest are listed at the end.
test: check ## all checks and tests; says what is skipped and why (REQUIRE_ALL=1: nothing may be)
	$(BIN)/pytest -n $(LANES) $(if $(SLOWEST),--durations=$(SLOWEST))

test-fast: check ## the checks, and the tests that need no process and no waiting
	$(BIN)/pytest -n $(LANES) -m "$(FAST)" --hypothesis-profile=few

procedures: .venv/dev ## play the procedures of OPERATIONS.md on three Debian hosts under load (a quarter of an hour)
	$(BIN)/pytest -m procedures --durations=0 tests/hosts

check: .venv/dev ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

sim: .venv/dev ## simulate 10,000 clusters under faults, then the broken ones that must be found (minutes)
	$(BIN)/python -m tests.sim --seeds 10000
	$(BIN)/python -m tests.sim --controls

bench: .venv/dev ## measure one node and three; needs Java 17 and Maven; table, bench.json, plots in artifacts/
	$(BIN)/python -m loadtest

bench-membership: .venv/dev ## measure membership alone, beside swim-protocol; about four minutes; artifacts/membership.*
	$(BIN)/python -m loadtest.mesh.membership

clean: ## remove everything that the targets above have made here
	rm -rf .venv artifacts bench.json build dist *.egg-info client/python/*.egg-info client/js/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed is the source itself (editable): only a change of the dependencies installs again.
.venv/runtime: pyproject.toml client/python/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e client/python -e .
	@touch $@

.venv/dev: pyproject.toml client/python/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e client/python -e ".[dev]"
	@touch $@ .venv/runtime

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Whimbrel needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "installing into .venv ..."
	@$(PYTHON) -m venv .venv
