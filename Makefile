# make demo: installs into .venv and trains L2Rec beside its baselines on the bundled sample.
# make test:  the tests. make check: the gate = format, lint, types, import contracts, generated docs, tests.
# make docs, make readme: write docs/help.md and the README's table anew.
# PYTHON picks the interpreter, VENV the environment, PIP_FLAGS goes to every `pip install`,
# OUT is where the demo writes.

PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
OUT ?= runs/demo
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS)
SOURCES = src tests bench

.PHONY: demo test check gate docs readme clean

demo: $(VENV)/.offline
	$(VENV)/bin/l2rec demo --out $(OUT)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q -n 2

check: gate test

gate: $(VENV)/.dev
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/python -m l2rec.cli.help --check docs/help.md

docs: $(VENV)/.dev
	$(VENV)/bin/python -m l2rec.cli.help docs/help.md

readme: $(VENV)/.offline
	$(VENV)/bin/python -m l2rec.cli.readme README.md demo $(sort $(dir $(wildcard $(OUT)/*/manifest.json)))

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is older than 3.11. Install a newer one and pass it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "make: no virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.offline: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing l2rec into $(VENV); the first time this takes some minutes." >&2
	$(PIP) -e ".[offline]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.offline
