# make ablation   install, prepare faces, train the rows of Table 1 and draw it
# make comparison install, prepare faces, train the rows of Table 2 and draw it
# make test       install and run the tests
PYTHON ?= python3
PROFILE ?= quick
DATA ?= synthfaces
SOURCE ?=
EXECUTOR ?= serial
ARGS ?=

BIN := .venv/bin
FSR := $(BIN)/fsr
PIP := $(BIN)/python -m pip --disable-pip-version-check
FACES := random-face==2021.7.21.1

.PHONY: help install ablation comparison report test test-slow lint format clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/installed ## make .venv and install the suite with its default faces

ablation: install $(if $(filter ray,$(EXECUTOR)),.venv/installed-ray) ## Table 1 and Figure 6: PROFILE=quick|full|paper DATA=synthfaces|celeba EXECUTOR=serial|ray SOURCE="TAR|DIR ..." ARGS="..."
	$(FSR) run ablation --profile $(PROFILE) --data $(DATA) --executor $(EXECUTOR) $(if $(SOURCE),--source $(SOURCE)) $(ARGS)

comparison: .venv/installed-identity $(if $(filter ray,$(EXECUTOR)),.venv/installed-ray) ## Table 2: the methods of other papers beside the proposed one; settings as for ablation
	$(FSR) run comparison --profile $(PROFILE) --data $(DATA) --executor $(EXECUTOR) $(if $(SOURCE),--source $(SOURCE)) $(ARGS)

report: install ## redraw every table and figure from results/ alone
	$(FSR) report

test: .venv/installed-dev ## run the tests, a process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: .venv/installed-dev ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-dev ## check format, style, types and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and caches; results, reports and faces stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

# random-face asks for Jupyter and an OpenVINO of 2021; only its two models are used, so it comes without what it asks for.
.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e '.[faces,photos]'
	$(PIP) install -q --no-deps $(FACES)
	@touch $@

# Landmarks of training faces, for the methods that train with them.
.venv/installed-identity: .venv/installed
	$(PIP) install -q -c constraints.txt -e '.[identity]'
	@touch $@

.venv/installed-ray: .venv/installed
	$(PIP) install -q -c constraints.txt -e '.[ray]'
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@
