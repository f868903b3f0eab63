# The commands of a fresh clone. `make install` is the first step of the others and does nothing once it is done.
#   make demo      synthesise speech, train, verify, write demo_run/index.html   (at most 10 minutes on 2 cores)
#   make test      all tests         make lint   ruff         make clean   remove what these commands made

PYTHON ?= python3
VENV ?= .venv
# Pinned, because an unpinned torch is the newest one: several GB of CUDA libraries even where a CPU wheel of this version is at
# hand, and on a version that nobody has tried fairseq with. Without a GPU, from a public index:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install
TORCH ?= torch==2.13.0

# OpenMP's threads must not wait for each other by spinning: with anything else running, a training step took ten times as long.
export OMP_WAIT_POLICY ?= passive

BIN := $(VENV)/bin
STAMP := $(VENV)/.csc-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: install demo test lint clean

install: $(STAMP)

# fairseq compiles against the torch, numpy and cython that it finds, hence the order and --no-build-isolation: with isolation
# pip would download a second torch to build with. The setuptools of a fresh Python 3.11 venv is too old for pyproject.toml, and
# from 81 on it lacks what the GE2E baseline's dependencies import.
$(STAMP): setup.py pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"$(PYTHON) is Python {v[0]}.{v[1]}, expected 3.11 to 3.13: run make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$(TORCH)" numpy cython wheel "setuptools>=77,<81"
	$(PIP) install --no-build-isolation fairseq-fixed==0.12.3.1
	$(PIP) install --no-build-isolation -e ".[demo,test]"
	@touch $@

demo: $(STAMP)
	$(BIN)/csc demo --out demo_run

test: $(STAMP)
	$(BIN)/python -m pytest --durations=15

lint: $(STAMP)
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) demo_run build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
