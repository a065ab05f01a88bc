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
COQ_PACKAGES := coq libcoq-flocq libcoq-interval libcoq-coquelicot
OCAML_PACKAGES := ocaml-nox
CHECKER := build/checker
# Tests run side by side, one process a core.
SPREAD ?= --numprocesses auto --dist worksteal

.PHONY: help prove test quick lint format docs paper compiled proofs coqchk theorem theorem-small theorem-zero checker clean

help:
	@echo 'make prove   bound, witness, certificate and check for the model `tight` (no PyTorch needed)'
	@echo 'make test    every test'
	@echo 'make quick   the tests that are not marked as slow'
	@echo 'make lint    ruff, pyright, import-linter'
	@echo 'make format  let ruff rewrite the layout of the code'
	@echo 'make docs    the documentation as a site, build/site/index.html'
	@echo 'make proofs  check the Coq proofs (Debian: $(COQ_PACKAGES))'
	@echo 'make coqchk  every file of make proofs once more, by the separate checker coqchk'
	@echo 'make theorem        the model `tight`, from its file to a bound U, inside Coq: the theorem and its axioms'
	@echo 'make theorem-small  a certificate of a small network, checked inside Coq: the theorem and its axioms'
	@echo 'make theorem-zero   the model `zero`, from its file to Q = 0, inside Coq: the theorem and its axioms'
	@echo 'make checker  the Coq checkers as OCaml programs (besides those: $(OCAML_PACKAGES))'
	@echo 'make paper   PROOF.md and the map of the proof, from the certificates and the sources; PROOF.md as a PDF'
	@echo 'make clean   remove .venv and what make proofs built'

prove: $(VENV)/.core
	$(BIN)/lastbit prove
	@echo
	@echo 'lastbit is installed in $(VENV), not in your PATH. Next, for example:'
	@echo '    $(BIN)/lastbit prove YOUR_MODEL.onnx'
	@echo '    $(BIN)/lastbit --help'
	@echo "To search and to train, PyTorch too: $(BIN)/python -m pip install --editable '.[train]'"

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD) $(PYTEST_ARGS)

# What is not marked as slow.
quick: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD) -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Offline-readable; a link that leads nowhere is an error. The rules' examples are run for it.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'open build/site/index.html'

# Compiles every file of proofs/ that changed.
compiled:
	@missing=; \
	command -v coqc >/dev/null && command -v coq_makefile >/dev/null || missing=coqc; \
	for library in Flocq Coquelicot Interval; do \
	    [ -n "$$missing" ] || [ -d "$$(coqc -where)/user-contrib/$$library" ] || missing=$$library; \
	done; \
	if [ -n "$$missing" ]; then \
	    echo "make proofs: $$missing is missing; on Debian: apt-get install --no-install-recommends $(COQ_PACKAGES)" >&2; \
	    exit 1; \
	fi
	cd proofs && coq_makefile -f _CoqProject -o CoqMakefile && $(MAKE) --no-print-directory -f CoqMakefile

# That, and prints the axioms of the main theorems.
proofs: compiled
	cd proofs && coqc -Q . Lastbit Assumptions.v

# Coq's second checker reads what make proofs compiled and checks each of our files again; it believes the libraries.
coqchk: compiled
	cd proofs && time coqchk -silent $$(sed -n 's#/#.#g; s/\.v$$//p' _CoqProject | sed 's/^/-norec Lastbit./') -Q . Lastbit

# Writes models/tight/model.onnx as literals, and flags from its certificate; in Coq: its SHA-256, its weights, and a
# bound forwards and backwards through all of its units.
theorem: compiled $(VENV)/.core
	$(BIN)/python proofs/tight/write.py
	cd proofs && time coqc -Q . Lastbit tight/Data.v
	cd proofs && time coqc -Q . Lastbit tight/Theorem.v

# Writes the literals of a small network, decides its certificate by vm_compute, prints the theorem.
theorem-small: compiled $(VENV)/.core
	$(BIN)/python proofs/small/write.py
	cd proofs && coqc -Q . Lastbit small/Data.v
	cd proofs && time coqc -Q . Lastbit small/Theorem.v

# Writes models/zero/model.onnx as literals; in Coq: its SHA-256, its weights, its first layer on all bytes.
theorem-zero: compiled $(VENV)/.core
	$(BIN)/python proofs/zero/write.py
	cd proofs && time coqc -Q . Lastbit zero/Data.v
	cd proofs && time coqc -Q . Lastbit zero/Theorem.v

# The extracted checker, and its verdict on the same network: "accepted U R", in units of 2^-100.
checker: compiled $(VENV)/.core
	@command -v ocamlopt >/dev/null || { \
	    echo "make checker: ocamlopt is missing; on Debian: apt-get install --no-install-recommends $(OCAML_PACKAGES)" >&2; exit 1; }
	mkdir -p $(CHECKER) && cp proofs/checker/main.ml proofs/tight/*.ml $(CHECKER)
	cd $(CHECKER) && coqc -Q ../../proofs Lastbit ../../proofs/checker/Extraction.v
	cd $(CHECKER) && ocamlopt checker.mli checker.ml main.ml -o lastbit-coq-check
	cd $(CHECKER) && coqc -Q ../../proofs Lastbit ../../proofs/tight/Extraction.v
	cd $(CHECKER) && ocamlopt uint63.ml bound.mli bound.ml bound_main.ml -o lastbit-coq-bound
	$(BIN)/python proofs/small/write.py
	$(CHECKER)/lastbit-coq-check < proofs/small/network.txt proofs/zero/Data.v

# Writes PROOF.md, docs/map.md and docs/map.svg where they are not up to date, then build/PROOF.pdf.
paper: $(VENV)/.paper
	$(BIN)/python -m paper.write
	$(BIN)/python -m paper.typeset

clean:
	rm -rf $(VENV) $(CHECKER) proofs/small/Data.v proofs/small/small.onnx proofs/small/network.txt proofs/zero/Data.v \
	    proofs/tight/Data.v proofs/tight/flags.txt
	find proofs \( -name '*.vo*' -o -name '*.glob' -o -name '.*.aux' -o -name '*CoqMakefile*' \) -delete

$(BIN)/python:
	.ci/make-venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/.paper: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[paper]'
	touch $@ $(VENV)/.core

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[docs]'
	touch $@ $(VENV)/.core

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[test]' '$(TORCH)'
	touch $@ $(VENV)/.docs $(VENV)/.paper $(VENV)/.core

$(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[test,dev]' '$(TORCH)'
	touch $@ $(VENV)/.test $(VENV)/.docs $(VENV)/.paper $(VENV)/.core
