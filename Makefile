# What a person runs. Everything below needs Python 3.11 and make; `setup` fetches the rest, once.
.DEFAULT_GOAL := help
.PHONY: help setup up down demo test check fuzz bench bench-quality chaos soak

IS_311 := import sys; sys.exit(sys.version_info[:2] != (3, 11))
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name -c '$(IS_311)' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
STAMP := $(VENV)/.installed

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-13s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## create .venv with exactly the locked packages (once for each lock)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(IS_311)' || { \
		echo 'vigia needs Python 3.11: install it, or say where it is: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
		echo 'Python has no venv module: install it (Debian and Ubuntu: apt install python3.11-venv)' >&2; exit 1; }
	@echo 'fetching the locked packages into $(VENV) (once; a few minutes on a slow line)'
	@$(PIP) --require-hashes -r requirements.lock && $(PIP) --no-build-isolation --no-deps --editable . || { \
		echo 'the packages could not be installed: see above; check the network and run it again' >&2; exit 1; }
	@touch $@

up: setup ## start a real Kafka and Redis on this machine
	@$(BIN)/vigia up

down: setup ## end them; their data stay
	@$(BIN)/vigia down

demo: setup ## see all of it work, a minute or two after the downloads
	@$(BIN)/vigia demo

# Three on two cores: whole processes are mostly waited for.
test: setup ## run every test, on a real Kafka and Redis
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 12

check: setup ## what CI runs: format, lint, types, import rules, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory test

fuzz: setup ## search every property ten times as long as CI does
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 --timeout 3600 -m hypothesis tests/property tests/unit

bench: setup ## print the benchmarks' figures
	@for file in tests/bench/[a-z]*.py; do \
		case "$$file" in */quality.py|*/ablation.py|*/bayes.py) continue;; esac; \
		test -e "$$file" || continue; \
		$(BIN)/python -m "$$(echo "$${file%.py}" | tr / .)" || exit 1; done

bench-quality: setup ## print the average precision on the Fraud Detection Handbook's data, if they are here
	@$(BIN)/python -m tests.bench.quality

chaos: setup ## kill, freeze and fill everything under load, one fault at a time (15 minutes); FAULTS="…" chooses
	@$(BIN)/python -m tests.chaos $(FAULTS) $(if $(FAULTS),,--write docs/chaos.md)

soak: setup ## 30 minutes at 3,000 events a second with a fault every minute
	@$(BIN)/python -m tests.chaos.soak --write docs/soak.md
