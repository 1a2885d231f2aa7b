# Everything a person types. Needs Python 3.11 or newer and make; all else is set up here.
.DEFAULT_GOAL := help
PYTHON ?= python3
# The versions that are installed: those of constraints.txt, the newest, in .venv; or, as in
# `make quick LOCK=oldest.txt`, the lowest that pyproject.toml allows, in .venv-oldest.
LOCK ?= constraints.txt
VENV := $(if $(filter constraints.txt,$(LOCK)),.venv,.venv-$(basename $(LOCK)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# pytest -n: each worker imports torch once, so more workers than cores only cost. Each begins with its
# own half of the files, so that what the tests of a file share (data, runs) is made once.
WORKERS ?= 2

.PHONY: help setup demo quick test test-browser versions proof check docs format bench clean

help:  ## list these
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## install into .venv, with the versions of constraints.txt

$(READY): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'saccade needs Python 3.11 or newer: make setup PYTHON=python3.12' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e '.[dev]'
	@touch $(READY)

demo: setup  ## make data, train both systems, score them, write demo/report.html
	$(BIN)/saccade demo

quick: setup  ## the tests that train nothing: under a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

test: setup  ## all tests; no network, no GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# axe-core comes from npm for the test; screenshots lie in tests/browser/screenshots.
test-browser: setup  ## the page of `saccade serve` in Chromium, whose package it installs
	@command -v chromium chromium-browser google-chrome >/dev/null || \
		{ apt-get update && apt-get install --yes chromium; } || \
		{ echo 'Install Chromium with the package manager of this system.' >&2; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser tests/test_page_words.py

versions:  ## the quick tests with the lowest and with the newest versions
	$(MAKE) quick LOCK=oldest.txt
	$(MAKE) quick

# One proof: make proof PROOFS=words. A proof that was passed on these very files is not run again.
proof: setup  ## the long proofs, by name; a stopped one goes on
	OMP_NUM_THREADS=1 $(BIN)/python -m proofs $(PROOFS)

check: setup  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: setup  ## the site, into site/
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs site

format: setup  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## hot paths against their published form, one thread
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

clean:  ## remove what tools left behind, and .venv
	rm -rf .venv .venv-oldest .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage site
