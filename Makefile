# From a fresh clone: `make demo`, `make lab`, `make test`. Nothing needs an environment variable, git or a GPU.
# Another interpreter for a new environment: `make PYTHON=python3.12 test`. Tests in so many processes: `make JOBS=4 test`.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.labkit-installed
SHARED := -n $(JOBS) --dist loadfile
PIP := $(PY) -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo lab test lint unit doctest smoke browser bench bench-browser app clean

help:  ## say what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP)  ## train a small model and show what it makes of a word
	@$(PY) -m labkit demo

lab: $(STAMP)  ## open the first notebook in JupyterLab
	@$(PY) -m jupyter lab notebooks/00_quickstart.ipynb

test: $(STAMP)  ## everything but the browser: lint, unit tests, doctests, notebooks in smoke mode
	@$(MAKE) --no-print-directory lint
	@echo "== unit tests and doctests"
	@$(PY) -m pytest $(SHARED)
	@$(MAKE) --no-print-directory smoke

lint: $(STAMP)  ## ruff
	@echo "== ruff"
	@$(PY) -m ruff check .

unit: $(STAMP)  ## the tests in tests/
	@$(PY) -m pytest $(SHARED) tests

doctest: $(STAMP)  ## the examples in the docstrings
	@$(PY) -m pytest $(SHARED) labkit

# The project's pytest options are for tests; a notebook keeps Jupyter's own, and its own warnings. One at a time: a kernel
# takes all cores, and two are slower together than one after the other.
smoke: $(STAMP)  ## run every notebook and every solution, with few steps
	@echo "== notebooks in smoke mode"
	@notebooks=$$(ls notebooks/*.ipynb notebooks/solutions/*.ipynb 2>/dev/null || true); \
	if [ -z "$$notebooks" ]; then echo "no notebooks yet"; else \
	  LABKIT_SMOKE=1 $(PY) -m pytest -o addopts= -W default --nbmake --nbmake-timeout=120 --durations=0 $$notebooks; fi
	@for solution in notebooks/solutions/*.py; do \
	  test -e "$$solution" || continue; \
	  echo "$$solution"; LABKIT_SMOKE=1 $(PY) "$$solution" > /dev/null || exit 1; done

browser: $(STAMP)  ## JupyterLab and exported pages in a real Chromium
	@if [ ! -d tests/browser ]; then echo "no browser tests yet"; exit 0; fi; \
	if ! command -v chromium > /dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo "== installing Chromium (Debian's package)"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium > /dev/null || exit 1; \
	  else echo "The browser tests need Chromium: install your system's package 'chromium' and try again."; exit 1; fi; fi; \
	echo "== browser tests"; $(PY) -m pytest -m browser tests/browser

bench: $(STAMP)  ## time the layers and models, labkit beside its peers; figures for docs/results.md
	@$(PIP) -e '.[bench]' -c constraints.txt
	@echo "== benchmarks/flows.py"; $(PY) benchmarks/flows.py --markdown docs/flows.md --plot docs/flows.svg
	@for benchmark in benchmarks/bench_*.py; do \
	  echo "== $$benchmark"; $(PY) "$$benchmark" || exit 1; done

bench-browser: $(STAMP)  ## latencies of the explorer in JupyterLab and Chromium
	@$(PY) benchmarks/browser.py

app: $(STAMP)  ## the explorer alone, served with Voila on this machine only
	@$(PIP) -e '.[app]' -c constraints.txt
	@$(PY) -m labkit explore

clean:  ## remove caches and build outputs; the environment stays (rm -r .venv removes it)
	@rm -rf .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	@echo "removed caches and build outputs"

# torch goes first, so that the build found for this machine is settled before anything depends on it.
$(STAMP): pyproject.toml constraints.txt
	@if [ ! -x $(PY) ]; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "labkit needs Python 3.11 or later, and '$(PYTHON)' is older or missing: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }; \
	  echo "== making the environment $(VENV)"; $(PYTHON) -m venv $(VENV); fi
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "labkit needs Python 3.11 or later, and $(VENV) holds an older one: rm -r $(VENV), then try again"; exit 1; }
	@echo "== installing labkit and what it needs into $(VENV) (once; some minutes)"
	@$(PIP) torch==2.13.0 -c constraints.txt
	@$(PIP) -e '.[dev]' -c constraints.txt
	@touch $(STAMP)
