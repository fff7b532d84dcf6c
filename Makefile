# The usual verbs: setup, test, build, release, demo, new. Each works in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup bench bench-follow bench-attacks test test-hub test-tensorflow test-tools test-pythons constraints \
        attacks fuzz lint build release docs demo pictures new verify verify-full coverage clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(VENV)/.ready: pyproject.toml
	@echo "Installing into $(VENV) (a minute or two, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@mkdir -p $(VENV)/etc/jupyter
	@cp autograder/jupyter/nbgrader_config.json $(VENV)/etc/jupyter/  # pip does not copy it in an editable install
	@touch $@

setup: $(VENV)/.ready  ## make .venv and install everything a teacher needs

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## ruff, mypy and pytest; for an assignment that was verified in full, only a drawn sample
	$(BIN)/pytest -n auto --dist worksteal

# In each of these venvs are only an extra and its requirements; a .pth file adds the packages of the other venv.
$(VENV)-%/.ready: $(VENV)/.ready
	@echo "Installing the extra $* into $(VENV)-$* (a minute, once) ..."
	$(PYTHON) -m venv --clear --without-pip $(VENV)-$*
	@$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
		> "$$($(VENV)-$*/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/course.pth"
	$(VENV)-$*/bin/python -m pip install --quiet --editable '.[$*]'
	@touch $@

test-tensorflow: $(VENV)-tensorflow/.ready  ## test what needs the extra tensorflow, in a separate venv
	$(VENV)-tensorflow/bin/python -m pytest tests/test_tensorflow.py

test-tools: $(VENV)-tools/.ready  ## test what needs the extra tools (TensorBoard, W&B, timm ...), in a separate venv
	$(VENV)-tools/bin/python -m pytest tests/test_tools.py

# JupyterHub and npm's configurable-http-proxy, in the same way. Other accounts must be able to run this Python, so it is
# that of the system if there is one of the same version.
HUB_PYTHON = $(or $(wildcard /usr/bin/python$(shell $(BIN)/python -c "import sys; print('%d.%d' % sys.version_info[:2])")),$(PYTHON))
$(VENV)-hub/.ready: $(VENV)/.ready
	@echo "Installing JupyterHub into $(VENV)-hub (a minute, once) ..."
	$(HUB_PYTHON) -m venv --clear --without-pip $(VENV)-hub
	@$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
		> "$$($(VENV)-hub/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/course.pth"
	$(VENV)-hub/bin/python -m pip install --quiet --editable '.[hub,teacher]'
	npm install --silent --no-fund --no-audit --prefix $(VENV)-hub 'configurable-http-proxy@>=4.6 <6'
	@touch $@

test-hub: $(VENV)-hub/.ready  ## test a real JupyterHub with accounts of its own (needs root and npm), in a separate venv
	$(VENV)-hub/bin/python -m pytest tests/test_hub.py

# What is tried: engine, wall, a student's part, and the solutions of a NumPy and a torch assignment.
PYTHONS := 3.12 3.13
test-pythons: setup  ## test on other versions of Python, each in a venv of its own (minutes); or only PYTHONS=3.13
	for version in $(PYTHONS); do \
		python$$version -m venv $(VENV)-$$version && \
		$(VENV)-$$version/bin/pip install --quiet --editable '.[dev]' && \
		$(VENV)-$$version/bin/pytest -n 2 tests/test_judge.py tests/test_wall.py tests/test_wall_torch.py \
			tests/test_plugin.py tests/test_check.py tests/test_status.py tests/test_submit.py tests/test_globals.py \
			tests/test_pickle.py tests/test_forbidden.py && \
		for id in 01_neural_network_basics 03_frameworks_tensorflow_pytorch; do \
			$(VENV)-$$version/bin/autograder grade $$id assignments/$$id || exit 1; \
		done || exit 1; \
	done

constraints: setup  ## write the versions that are installed into constraints.txt
	$(BIN)/pip freeze --exclude-editable | sed -E 's/\+cpu$$//' > constraints.txt

attacks: setup  ## try the corpus of attacks on every rung of this machine
	$(BIN)/pytest tests/attacks -m 'attacks or not attacks'

fuzz: setup  ## look for bytes that cause an unexpected error in the wall, for seconds=60
	$(BIN)/pip install --quiet --editable '.[dev,fuzz]'
	cd tests && ../$(BIN)/python -m fuzz.fuzz_wire $(or $(seconds),60)

build: setup  ## assignments/ -> source/
	$(BIN)/autograder build

release: setup  ## source/ -> release/, with nbgrader
	$(BIN)/autograder release

verify: setup  ## try every gate of every assignment, and measure coverage; or only topic=12_dropout
	$(BIN)/autograder verify $(topic)
	$(if $(topic),,$(MAKE) coverage)

verify-full: setup  ## the same, and tests that train under 20 seeds, mutants, and the attacks on every rung
	$(BIN)/autograder verify --full $(topic)
	$(if $(topic),,$(MAKE) attacks coverage)

coverage: setup  ## measure which lines of the engine the tests run; writes docs/verification.md
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist worksteal
	$(BIN)/coverage combine --quiet
	cd tests && ../$(BIN)/python -m engine_coverage

bench: setup  ## measure what a submission costs, here and with other tools (ten minutes); writes docs/benchmarks.md
	$(BIN)/python -m benchmarks

bench-follow: setup  ## measure how 200 hand-ins within a minute are answered; writes the table of docs/follow.md
	$(BIN)/python -m benchmarks.following

bench-attacks: setup  ## try twenty attacks on pytest, on nbgrader and here; writes docs/bench_attacks.md
	cd tests && ../$(BIN)/python -m attacks.bench ../docs/bench_attacks.md

docs: setup  ## write the numbers and tables of the pages, and build the documentation site in build/site
	cd tests && ../$(BIN)/python -m pages
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/site
	@echo "build/site/index.html"

demo: setup  ## grade an invented class, from release to feedback, in the folder demo/
	$(BIN)/autograder demo $(topic)

pictures: setup  ## take the pictures of docs/pictures/ again, in a headless chromium (some minutes)
	cd tests && ../$(BIN)/python -m pictures

new: setup  ## start an assignment: make new topic=12_dropout
	$(BIN)/autograder new $(topic)

clean:  ## remove what the verbs made
	rm -rf $(VENV) $(VENV)-* .coverage* demo build .autograder .pytest_cache .mypy_cache .ruff_cache *.egg-info
