# Every target sets up what it needs and does nothing twice. Needs Python 3.11, make and a package index.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
export OMP_NUM_THREADS ?= 1

.PHONY: compare test test-slow check format lock setup help

help:
	@echo "make compare    the main job: compare seven methods on real images, with table and picture"
	@echo "make test       the quick tests"
	@echo "make test-slow  the statistical and long tests"
	@echo "make check      ruff, mypy --strict, import arrows"
	@echo "make lock       compile requirements.txt again from pyproject.toml"

compare: $(READY)
	@$(BIN)/invsearch compare

test: $(READY)
	@$(BIN)/python -m pytest -q

test-slow: $(READY)
	@$(BIN)/python -m pytest -q -m slow

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(READY)
	@$(BIN)/ruff check --fix .

lock: $(READY)
	@$(BIN)/python .ci/lock

setup: $(READY)

$(READY): requirements.txt requirements-uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	@sed -n 's/^# download: /about to download: /p' requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
