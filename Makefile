# On a fresh machine with Python 3.11 and make, every target sets itself up in .venv first.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := . $(wildcard plugins/*) $(wildcard backends/*)
INSTALLED := $(VENV)/.installed
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: install quickstart test docs prove lint wheels clean

install: $(INSTALLED)

# torch first and pinned: an unpinned one pulls gigabytes.
$(INSTALLED): constraints.txt pyproject.toml $(wildcard plugins/*/pyproject.toml backends/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -r requirements-dev.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e ./backends/salmon-trl[train] \
	  $(foreach d,$(DISTRIBUTIONS),-e ./$(d))
	touch $@

# The whole method on the embedded world; exit code 1 if what it promises does not hold.
quickstart: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/salmon run examples/minnow.yaml

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# The configuration reference, from the schemas.
docs: $(INSTALLED)
	$(BIN)/python docs/make_reference.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The experiments behind the claims, three seeds each, as one table.
prove: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/prove.py

wheels: $(INSTALLED)
	rm -rf dist
	for d in $(DISTRIBUTIONS); do $(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist ./$$d || exit 1; done

clean:
	rm -rf $(VENV) dist build runs .pytest_cache .mypy_cache .ruff_cache
