# Every target does its own set-up, in .venv; PYTHON=/path/to/python3.12 chooses the interpreter.
#   make demo    train an LSTM and a GRU on the corpus in this repository, compare, export, recognize; ARGS="..." is passed on
#   make test    everything that must hold
#   make lint    the quick part of it: style, types, floors
#   make bench   the figures of benchmarks/README.md
#   make clean   remove what the above made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
BIN := .venv/bin
ARGS ?=
export PYTHON
# With it set, each start of TensorFlow compiles every module anew: ten seconds instead of four.
unexport PYTHONDONTWRITEBYTECODE
# Another activated environment must not be mixed in.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.PHONY: demo test lint bench clean

demo: .venv/set-up-train
	@$(BIN)/speech-rnn demo $(ARGS)

test: lint
	@.ci/debian-packages
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

lint: .venv/set-up-dev
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/set-up-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/epoch.py
	$(BIN)/python benchmarks/streaming.py step
	$(BIN)/python benchmarks/streaming.py many
	$(BIN)/python benchmarks/board.py exported/gru-12-small

clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find speech_rnn tests benchmarks datasets -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/set-up-train: pyproject.toml .ci/set-up
	@.ci/set-up train
	@touch $@

.venv/set-up-dev: pyproject.toml .ci/set-up
	@.ci/set-up train,mic,web,scale,dev
	@touch $@ .venv/set-up-train
