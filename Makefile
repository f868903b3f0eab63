# The commands of a fresh clone. `make install` is the first step of the others and does nothing once it is done.
#   make demo        synthesise speech, train, verify, write demo_run/index.html   (at most 10 minutes on 2 cores)
#   make test        all tests but the long trainings
#   make test-slow   the long trainings
#   make test-all    both, in one run: what both need is imported and trained once
#   make lint        ruff, its formatter, mypy
#   make clean       remove what these commands made

PYTHON ?= python3
VENV ?= .venv
# Pinned, because an unpinned torch is the newest one: several GB of CUDA libraries even where a CPU wheel of this version is at
# hand, and on a version that nobody has tried fairseq with. Without a GPU, from a public index:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install
TORCH ?= torch==2.13.0
# Tests that run at the same time, one thread each.
WORKERS ?= 2

# OpenMP's threads must not wait for each other by spinning: with anything else running, a training step took ten times as long.
export OMP_WAIT_POLICY ?= passive

# fairseq-fixed and resemblyzer are installed without what they ask for, and their other needs by name. Left out: torchaudio,
# which cannot be imported beside a CPU torch and which nothing here uses; webrtcvad, which compiles (webrtcvad-wheels is the
# same module); typing, which Python has had since 3.5.
FAIRSEQ := 0.12.3.1
ALONE := fairseq-fixed,resemblyzer
THEIR_NEEDS := hydra-core==1.3.2 omegaconf==2.3.0 bitarray cffi packaging regex sacrebleu librosa webrtcvad-wheels

BIN := $(VENV)/bin
STAMP := $(VENV)/.csc-installed
FAIRSEQ_WHEEL := $(VENV)/wheels/fairseq-fixed-$(FAIRSEQ)
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations=15

.PHONY: install others demo test test-slow test-all lint clean

install: $(STAMP)

# fairseq compiles against the torch, numpy and cython that it finds. They come first, and it is built without isolation: with
# isolation pip would download a second torch to build with. Most of the time is that compilation, on one core; on another
# everything else is installed meanwhile, and what came with --no-compile is byte-compiled. The setuptools of a fresh Python 3.11
# venv is too old for pyproject.toml.
$(STAMP): setup.py pyproject.toml Makefile .ci/requirements.py
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"$(PYTHON) is Python {v[0]}.{v[1]}, expected 3.11 to 3.13: run make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-compile "$(TORCH)" numpy cython packaging wheel "setuptools>=77,<81"
	@$(MAKE) --no-print-directory --jobs=2 $(FAIRSEQ_WHEEL) others
	$(PIP) install --no-deps $(FAIRSEQ_WHEEL)/*.whl
	@touch $@

# -O1 -g0: three of its C++ files are little more than torch's headers, and nothing here uses them; debugging symbols and
# optimisation took half of their time. The parts that training uses set -O3 themselves. Its CUDA kernels are not used either.
$(FAIRSEQ_WHEEL):
	env -u CUDA_HOME CFLAGS="-O1 -g0" $(PIP) wheel --no-deps --no-build-isolation --wheel-dir $@.part fairseq-fixed==$(FAIRSEQ)
	mv $@.part $@

others:
	$(PIP) install --no-deps --no-build-isolation -e .
	$(BIN)/python .ci/requirements.py demo,test $(ALONE) > $(VENV)/requirements.txt
	$(PIP) install -r $(VENV)/requirements.txt $(THEIR_NEEDS)
	$(PIP) install --no-deps resemblyzer
	$(BIN)/python -m compileall -qq $(VENV)/lib || true  # torch has a file in the syntax of newer Pythons

demo: $(STAMP)
	$(BIN)/csc demo --out demo_run

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

test-all: $(STAMP)
	$(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo_run build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
