# Every target is one command that can also be typed. Needs make and Python 3.11 or later.

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP       := $(BIN)/python -m pip --disable-pip-version-check install
LOCK      := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
             --generate-hashes --no-emit-index-url --no-emit-find-links \
             --exclude-newer '7 days' --custom-compile-command 'make lock' --quiet

.DEFAULT_GOAL := help
.PHONY: help demo serve test check fuzz bench lock

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED)  ## Start the service and a test EHR, show the cards, keep serving (ONCE=1: stop after)
	$(BIN)/cds-service demo $(if $(ONCE),--once)

serve: $(INSTALLED)  ## Run the service on loopback without client tokens
	CDS_CLIENT_AUTH=off $(BIN)/cds-service serve

test: $(INSTALLED)  ## Run the tests on all cores (ARGS='-n 0 -k name' for some of them on one)
	$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

check: $(INSTALLED)  ## Style, types and the knowledge folder
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/cds-service knowledge check

fuzz: $(INSTALLED)  ## Send requests made to break the service (INPUTS=100000 SEED=0)
	PYTHONPATH=tests $(BIN)/python -m fuzzing --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),0)

bench: $(INSTALLED)  ## Measure the service next to bare Python (ARGS=--quick; ARGS=--help)
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(ARGS)

lock: $(INSTALLED)  ## Choose versions anew, at least a week old, and write the lock files
	$(PIP) --quiet uv
	$(LOCK) --upgrade --output-file requirements.lock
	$(LOCK) --upgrade --group dev --constraints requirements.lock --output-file requirements-dev.lock
	$(LOCK) --upgrade --group dev --group deploy-checks --constraints requirements-dev.lock \
	  --output-file tests/deploy_checks/requirements.lock

# Set up once, and again when the lock or the project's declaration changes.
$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(BIN)/python -c '' 2>/dev/null || { \
	  for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	    $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    exec $$python -m venv --clear $(VENV); \
	  done; \
	  echo 'No Python 3.11 or later with its venv module found. Install one (Debian: apt-get install python3-venv) or name it: make PYTHON=/path/to/python3.11' >&2; \
	  exit 1; }
	@echo 'Installing the locked packages: about a minute, once'
	@rm -f $(INSTALLED)-packages
	@{ $(PIP) --progress-bar off --require-hashes --requirement requirements-dev.lock && touch $(INSTALLED)-packages; } \
	  | awk '/^Collecting/ {printf "  %s\n", $$2; fflush()}'
	@test -e $(INSTALLED)-packages
	@$(PIP) --quiet --no-build-isolation --no-deps --editable .
	@touch $@
