# The verbs of a day: setup, test, build, release, demo, new. Each works from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup bench test test-tensorflow attacks fuzz lint build release demo pictures new verify verify-full clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(VENV)/.ready: pyproject.toml
	@echo "Installing into $(VENV) (a minute or two, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

setup: $(VENV)/.ready  ## make .venv and install everything a teacher needs

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## ruff, mypy and pytest
	$(BIN)/pytest -n auto --dist worksteal

$(VENV)-tensorflow/.ready: pyproject.toml
	@echo "Installing TensorFlow into $(VENV)-tensorflow (two minutes, once) ..."
	$(PYTHON) -m venv $(VENV)-tensorflow
	$(VENV)-tensorflow/bin/pip install --quiet --editable '.[torch,teacher,tensorflow]'
	@touch $@

test-tensorflow: $(VENV)-tensorflow/.ready  ## what is graded only with the extra tensorflow, in a venv of its own
	$(VENV)-tensorflow/bin/pytest tests/test_tensorflow.py

attacks: setup  ## the corpus of hostile submissions on every rung that this machine has, and who falls to what
	$(BIN)/pytest tests/attacks -m 'attacks or not attacks'

fuzz: setup  ## look for bytes that the wall has no words for, for seconds=60
	$(BIN)/pip install --quiet --editable '.[dev,fuzz]'
	cd tests && ../$(BIN)/python -m fuzz.fuzz_wire $(or $(seconds),60)

build: setup  ## assignments/ -> source/
	$(BIN)/autograder build

release: setup  ## source/ -> release/, with nbgrader
	$(BIN)/autograder release

verify: setup  ## the gates of every assignment: stub 0, solution 100 %, mistakes caught
	$(BIN)/autograder verify

verify-full: setup  ## the same under 20 seeds and with automatic mutants
	$(BIN)/autograder verify --full

bench: setup  ## what a submission costs, here and elsewhere (ten minutes); writes docs/benchmarks.md
	$(BIN)/autograder bench

demo: setup  ## a whole class, from release to feedback, in the folder demo/
	$(BIN)/autograder demo $(topic)

pictures: setup  ## take the pictures of docs/pictures/ anew, in a headless chromium (some minutes)
	cd tests && ../$(BIN)/python -m pictures

new: setup  ## make new topic=12_dropout
	$(BIN)/autograder new $(topic)

clean:  ## remove what the verbs made
	rm -rf $(VENV) $(VENV)-tensorflow demo build .autograder .pytest_cache .mypy_cache .ruff_cache *.egg-info
