# pipeprof: `make demo` shows it, `make test` checks it. Needs Python 3.11 or newer, nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV ?= .venv
TENSORFLOW ?= 2.21
DEMO ?= cacheable_decode
SEED ?= 2026
WORKERS ?= 2
SEEDS ?= 2026 2027 2028

CONSTRAINTS := constraints/tensorflow-$(TENSORFLOW).txt
READY := $(VENV)/.pipeprof-tensorflow-$(TENSORFLOW)
DATA := sample_pipelines/data/manifest.json
BIN := $(VENV)/bin

ifeq ($(wildcard $(CONSTRAINTS)),)
$(error TENSORFLOW=$(TENSORFLOW) is none of: $(patsubst constraints/tensorflow-%.txt,%,$(wildcard constraints/tensorflow-*.txt)))
endif

.PHONY: help demo test check benchmark-samples benchmark-prediction benchmark-accuracy benchmark-rules benchmark-speedup clean

help: ## show this list
	@echo "make TARGET, where TARGET is:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 10
	@echo "Settings: TENSORFLOW=$(TENSORFLOW) DEMO=$(DEMO) PYTHON=$(PYTHON) VENV=$(VENV)"

demo: $(READY) $(DATA) ## train a slow sample under pipeprof, and see what it says
	$(BIN)/pipeprof run sample_pipelines/$(DEMO)/train.py

test: check ## run every check and every test (17 minutes; WORKERS=n processes at a time)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

check: $(READY) ## run the checks alone: lint, format, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd sample_pipelines && $(abspath $(BIN))/mypy --config-file ../pyproject.toml make_data.py
	$(BIN)/lint-imports

benchmark-samples: $(READY) $(DATA) ## run every sample and its twin, compare with what is expected (20 minutes, quiet machine)
	PYTHONPATH=. $(BIN)/python benchmarks/samples.py --write docs/samples.md

benchmark-prediction: $(READY) ## predict changes, really make them, compare (15 minutes, quiet machine; SEED=n draws other costs)
	PYTHONPATH=. $(BIN)/python benchmarks/prediction.py --seed $(SEED) --write docs/prediction.md

benchmark-accuracy: $(READY) ## how often is it right: 81 small programs with a known truth (15 minutes a seed, quiet machine; SEEDS="a b")
	PYTHONPATH=. $(BIN)/python benchmarks/accuracy.py --seeds $(SEEDS) --write docs/accuracy.md

benchmark-rules: $(READY) ## how good is each rule: all rules on every small program (35 minutes, quiet machine; SEED=n draws other costs)
	PYTHONPATH=. $(BIN)/python benchmarks/rules.py --seed $(SEED) --write docs/rules/precision.md

benchmark-speedup: $(READY) $(DATA) ## what pipeprof makes of pipelines, beside other ways of tuning (55 minutes, quiet machine)
	PYTHONPATH=. $(BIN)/python benchmarks/speedup.py --write docs/speedup.md --steps docs/speedup-steps.md

clean: ## remove caches and the sample data; the environment and reports stay
	rm -rf sample_pipelines/data dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache sample_pipelines/.mypy_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

# The stamps of other TensorFlow versions go first: one environment holds one version.
$(READY): $(CONSTRAINTS) constraints/dev.txt pyproject.toml scripts/setup_venv.py
	@rm -f $(VENV)/.pipeprof-tensorflow-*
	@$(PYTHON) scripts/setup_venv.py $(VENV) $(CONSTRAINTS)
	@touch $@

$(DATA): sample_pipelines/make_data.py sample_pipelines/pictures.py sample_pipelines/tables.py | $(READY)
	@$(BIN)/python sample_pipelines/make_data.py
	@touch $@
