# Everything here works on a fresh clone with Python 3.11+ and pip: each target first makes the
# environment that it needs in .venv, and makes it again when pyproject.toml changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Training and the tests need PyTorch. One command installs it together with everything that
# depends on it, so that no later one can replace it by another build.
TORCH ?= torch==2.13.0

.PHONY: help prove test lint format clean

help:
	@echo 'make prove   bound, witness, certificate and check for the model `tight` (no PyTorch needed)'
	@echo 'make test    every test'
	@echo 'make lint    ruff, pyright, import-linter'
	@echo 'make format  let ruff rewrite the layout of the code'
	@echo 'make clean   remove .venv'

prove: $(VENV)/.core
	$(BIN)/lastbit prove

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(BIN)/python:
	.ci/make-venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[test]' '$(TORCH)'
	touch $@ $(VENV)/.core

$(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[test,dev]' '$(TORCH)'
	touch $@ $(VENV)/.test $(VENV)/.core
