# Fuseline. `make` lists the targets. Needs Python 3.11 or newer; everything is installed in .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

# What is installed: one stamp for each set of extras, made anew when pyproject.toml changes.
DEMO := .venv/.installed-demo
DEV := .venv/.installed-dev
BENCH := .venv/.installed-bench

.PHONY: help demo check check-all format format-check lint types layers test test-slow bench docs \
	coverage optimal inductor predicted oracles picture zoo zoo-page test-gpu clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO) ## partition ViT-B/16 under every strategy, compared and analysed
	@$(BIN)/fuseline partition vit_b_16 --via module --strategy all --compare --analyze-balance
	@echo
	@echo "next, a page to look at: $(BIN)/fuseline report vit_b_16 --device h100-sxm"

check: format-check lint types layers test ## everything a change must pass; rewrites nothing
	@echo "make check: format, lint, types, layers and tests passed"

check-all: check test-slow ## check, and the zoo-wide tests
	@echo "make check-all: passed"

format: $(DEV) ## rewrite the sources as the formatter wants them
	@$(BIN)/ruff format

format-check: $(DEV) ## fail where the formatter would rewrite
	@echo "== format"
	@$(BIN)/ruff format --check

lint: $(DEV) ## ruff, every rule but those that pyproject.toml names
	@echo "== lint"
	@$(BIN)/ruff check

types: $(DEV) ## pyrefly
	@echo "== types"
	@$(BIN)/pyrefly check

layers: $(DEV) ## import-linter: modules import downwards, torch stays in its place
	@echo "== layers"
	@$(BIN)/lint-imports

test: $(DEV) ## the tests and doctests, without the zoo-wide ones
	@echo "== tests"
	@$(BIN)/python -m pytest -q -n auto -m "not slow"

test-slow: $(DEV) ## the zoo-wide tests alone
	@echo "== slow tests"
	@$(BIN)/python -m pytest -q -n auto -m slow

test-gpu: $(DEV) ## the tests that need an NVIDIA GPU alone; skipped, with the reason, where there is none
	@echo "== gpu tests"
	@$(BIN)/python -m pytest -q -rs -m gpu

bench: $(BENCH) ## time Fuseline and its peers on this machine
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/optimum.py
	@$(BIN)/python benchmarks/sweep.py
	@if command -v chromium > /dev/null; then $(BIN)/python benchmarks/pages.py; \
	else echo "benchmarks/pages.py: skipped, no chromium"; fi

docs: $(DEMO) ## write the generated pages anew, but for coverage and benchmarks
	@mkdir -p docs/validation
	@$(BIN)/fuseline validate seed -o docs/validation/seed.md > /dev/null
	@$(BIN)/fuseline validate flops -o docs/validation/flops.md > /dev/null
	@$(BIN)/fuseline validate extended -o docs/validation/extended.md > /dev/null
	@$(BIN)/fuseline validate comparison -o docs/comparison.md > /dev/null
	@$(BIN)/fuseline validate compilers -o docs/validation/compilers.md > /dev/null
	@$(BIN)/fuseline validate published -o docs/validation/published.md > /dev/null
	@$(BIN)/python -m fuseline.validate.capacity_page > .venv/capacity.md && mv .venv/capacity.md docs/capacity.md
	@$(BIN)/python -m fuseline.validate.hardware_page > docs/hardware.md
	@$(MAKE) --no-print-directory picture

picture: $(DEMO) ## draw README's picture of ViT-B/16 (needs Graphviz)
	@mkdir -p docs/images
	@$(BIN)/fuseline report vit_b_16 --strategy optimal --device h100-sxm --max-nodes 10 -o docs/images/vit_b_16.svg

# Rows are kept as they come: run it again after an interrupt, and it goes on. The file goes when the
# page is written, so that the next run starts anew.
ROWS := .venv/coverage.jsonl

zoo: $(DEMO) ## sweep every model of the zoos, and write docs/zoo.md (long; goes on after an interrupt)
	@$(BIN)/fuseline sweep --jobs docs/zoo.toml -o .venv/zoo || test $$? = 1 # a job that failed is a row
	@$(MAKE) --no-print-directory zoo-page

zoo-page: $(DEMO) ## write docs/zoo.md from the rows that the sweep left in .venv/zoo
	@$(BIN)/python -m fuseline.validate.zoo_folder .venv/zoo docs/zoo
	@$(BIN)/python -m fuseline.validate.zoo_page docs/zoo docs/zoo.md

inductor: $(DEMO) ## hold the rules of `inductor` against the real one, and write the page (15 minutes)
	@$(BIN)/fuseline validate inductor -o docs/validation/inductor.md > /dev/null

predicted: $(DEMO) ## calibrate this machine, time models on it, and write the page (6 minutes)
	@$(BIN)/fuseline validate predicted -o docs/validation/predicted.md > /dev/null

oracles: $(DEMO) ## install TVM and ONNX Runtime, hold the rules against them, and write the page
	@$(PIP) -e '.[zoo,oracles]'
	@$(BIN)/fuseline validate oracles -o docs/validation/oracles.md > /dev/null

optimal: $(DEMO) ## prove the optimum of 115 models of the zoos, and write the page (6 minutes)
	@$(BIN)/fuseline validate optimal -o docs/validation/optimal.md > /dev/null

coverage: $(DEMO) ## capture every model of the zoos, and write the page (20 minutes or more)
	@mkdir -p docs/validation
	@$(BIN)/fuseline validate coverage --resume $(ROWS) -o docs/validation/coverage.md
	@rm $(ROWS)

clean: ## remove .venv, caches and builds
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11 or newer (make PYTHON=...)" >&2; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

$(DEMO): pyproject.toml | .venv/bin/python
	@echo "installing fuseline, the zoos and what sweeps need in .venv"
	@$(PIP) -e '.[zoo,sweep,query]'
	@touch $@

$(DEV): pyproject.toml | .venv/bin/python
	@echo "installing fuseline, the zoos and the development tools in .venv"
	@$(PIP) -e '.[zoo,sweep,query,dev]'
	@touch $@ $(DEMO)

$(BENCH): pyproject.toml | .venv/bin/python
	@echo "installing fuseline, the zoos and the benchmarks' peers in .venv"
	@$(PIP) -e '.[zoo,sweep,query,bench]'
	@touch $@ $(DEMO)
