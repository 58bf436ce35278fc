# On a fresh machine with Python 3.11 and make, every target sets itself up in .venv first.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := . $(wildcard plugins/*) $(wildcard backends/*)
INSTALLED := $(VENV)/.installed
OPENRLHF := .venv-openrlhf
# One more than two cores: many tests wait for a process or a clock.
WORKERS ?= 3
SITE := .venv-site
DIST := .venv-dist
OPENRLHF_PINS := backends/salmon-openrlhf/constraints-openrlhf-cpu.txt
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: install quickstart test test-slow test-openrlhf prove-openrlhf test-vllm test-ray docs site gallery prove lint dist dist-check dist-check-index clean

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

# Whole runs: end to end with kills, what the pages tell to do, models that travel, benchmarks in small.
test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "slow and not openrlhf and not vllm and not ray and not dist"

# OpenRLHF in an interpreter of its own, for a machine without a GPU: everything pinned, nothing resolved.
$(OPENRLHF)/.installed: $(OPENRLHF_PINS)
	$(PYTHON) -m venv $(OPENRLHF)
	$(OPENRLHF)/bin/python -m pip install -q torch==2.13.0 setuptools wheel
	$(OPENRLHF)/bin/python -m pip install -q --no-deps -r $(OPENRLHF_PINS)
	DS_BUILD_OPS=0 $(OPENRLHF)/bin/python -m pip install -q --no-deps --no-build-isolation deepspeed==0.19.6
	touch $@

# The second backend against the real OpenRLHF (Ray, DeepSpeed, vLLM's CPU build); its other tests are part of `test`.
test-openrlhf: $(INSTALLED) $(OPENRLHF)/.installed
	OMP_NUM_THREADS=1 SALMON_OPENRLHF_PYTHON=$(abspath $(OPENRLHF))/bin/python \
	  $(BIN)/python -m pytest tests/openrlhf -m openrlhf -n 2 --dist loadfile

# The same with every algorithm.
prove-openrlhf: $(INSTALLED) $(OPENRLHF)/.installed
	OMP_NUM_THREADS=1 SALMON_OPENRLHF_ALL=1 SALMON_OPENRLHF_PYTHON=$(abspath $(OPENRLHF))/bin/python \
	  $(BIN)/python -m pytest tests/openrlhf -m openrlhf -n 2 --dist loadfile

# The engine vllm, and the engine openai at a server of vLLM, with the vLLM of that interpreter.
test-vllm: $(INSTALLED) $(OPENRLHF)/.installed
	OMP_NUM_THREADS=1 SALMON_VLLM_PYTHON=$(abspath $(OPENRLHF))/bin/python \
	  $(BIN)/python -m pytest tests/vllm_engine -m vllm -n 2 --dist loadfile

# The engine ray, on a cluster that its tests start: a contract, dead workers, a run that is killed.
test-ray: $(INSTALLED)
	OMP_NUM_THREADS=1 SALMON_RAY=1 $(BIN)/python -m pytest tests/ray_engine

# Texts that try to forge prompts, all of them, against every kind of tokenizer; exit code 1 if any does.
.PHONY: attacks
attacks: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/attacks/attack_run.py

# A real small language model through every stage: as its own judge, where the run has to stop, and with a judge that knows.
.PHONY: real
real: $(INSTALLED)
	$(BIN)/python -m pip install -q -c constraints.txt gguf
	$(BIN)/python examples/real/make_model.py
	$(BIN)/python examples/real/real.py

# The pictures of the documentation, by a browser, of runs that it makes where they are missing.
.PHONY: screenshots
screenshots: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_screenshots.py

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

# Every question, five seeds each, and docs/evidence.md: hours; ended at any time, the same command continues.
.PHONY: prove-all
prove-all: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/prove_all.py

# Kills and damages small runs through every stage, and compares what the same command again makes of them.
# OpenRLHF's own stages too, where SALMON_OPENRLHF_PYTHON names its interpreter.
.PHONY: prove-kills
prove-kills: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/prove_kills.py

# The documentation as a site, in build/site; a link or an anchor that leads nowhere is an error.
$(SITE)/.installed: requirements-site.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install -q --no-deps -r requirements-site.txt
	touch $@

# Never with --quiet: warnings that are not logged are not counted by --strict.
site: $(SITE)/.installed
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --clean
	@echo build/site/index.html

# docs/gallery.md, from the run that `make quickstart` made.
gallery: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_gallery.py

# Wheel and source of every distribution, in dist/, as they would be published.
$(DIST)/.installed: requirements-dist.txt
	$(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install -q -r requirements-dist.txt
	touch $@

dist: $(DIST)/.installed
	rm -rf dist
	for d in $(DISTRIBUTIONS); do (cd $$d && $(abspath $(DIST))/bin/python -m hatchling build -d $(CURDIR)/dist) || exit 1; done
	$(DIST)/bin/python -m twine check --strict dist/*

# The same in an empty environment: whole, and a new user's walk; what is not ours is that of .venv.
dist-check: dist $(INSTALLED)
	OMP_NUM_THREADS=1 SALMON_DIST=dist $(BIN)/python -m pytest tests/packaging -m dist

# The walk with all extras from the index, torch as well, as after a release: minutes.
dist-check-index: dist
	$(PYTHON) tests/packaging/check_dist.py dist

clean:
	rm -rf $(VENV) $(OPENRLHF) $(SITE) $(DIST) .venv-trl112 dist build runs .pytest_cache .mypy_cache .ruff_cache
