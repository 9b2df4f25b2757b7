# Two commands matter on a fresh machine: `make run` and `make test`. Both install what they need first.

PORT ?= 8080
SPEED ?= 3600
ARGS ?=
DEBIAN := chromium redis-server wrk

BIN := .venv/bin
UV := $(BIN)/uv
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
ROOMS := bot channels config n8n nurture tracker

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##### Install

.PHONY: install
install: $(RUNTIME) ## Create .venv with the leadline command
	@echo "Ready: $(BIN)/leadline"

.PHONY: install-dev
install-dev: $(DEV) ## The same, with what tests and checks need
	@echo "Ready: $(BIN)/leadline, pytest, ruff, mypy"

.PHONY: debian
debian: ## Install the Debian packages that some tests want, when root
	@missing=; for name in $(DEBIAN); do command -v $$name >/dev/null || missing="$$missing $$name"; done; \
	[ -n "$$missing" ] || exit 0; \
	if ! command -v apt-get >/dev/null; then \
		echo "Skipped:$$missing are missing and this is not Debian. Tests that need them say so and skip."; \
	elif [ "$$(id -u)" != 0 ]; then \
		echo "Skipped:$$missing (not root). Tests that need them say so and skip. To install: sudo apt-get install$$missing"; \
	else \
		echo "Installing Debian packages:$$missing"; export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } </dev/null >.venv/debian.log 2>&1 || \
			{ tail -n 5 .venv/debian.log; \
			echo "FAILED to install$$missing (.venv/debian.log). Tests that need them say so and skip."; }; \
	fi

# A venv whose Python is gone holds nothing installed.
_ := $(shell [ -x $(BIN)/python ] || rm -f $(RUNTIME) $(DEV))

# pyenv's shims exist for versions that do not run, so each candidate has to prove itself.
$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3 python3.13 python3.12; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$$python && break; \
	done; \
	[ -n "$$found" ] || { echo "Leadline needs Python 3.11 or newer, found: $$(python3 --version 2>&1 || true)."; \
		echo "Install one, or name it: make install PYTHON=/path/to/python3.11"; exit 1; }; \
	$$found -c 'import ensurepip, venv' 2>/dev/null || { echo "$$found cannot make virtual environments."; \
		echo "On Debian and Ubuntu they are a package of their own: apt-get install python3-venv"; exit 1; }; \
	echo "Creating .venv with $$($$found --version)"; \
	$$found -m venv --clear .venv

# uv installs in seconds what takes pip minutes. Its pin and hashes are those of requirements-dev.txt.
define get_uv
	@[ -x $(UV) ] || { echo "Installing uv"; sed -n '/^uv==/,/^ *#/p' requirements-dev.txt >.venv/uv.txt; \
		$(PIP) --require-hashes -r .venv/uv.txt; } || echo "uv cannot be installed here (see above)."
endef

# uv does not read pip's configuration: where only pip knows an index, pip goes on.
define install_from
	$(get_uv)
	@echo "Installing $(1)"
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r $(1) || \
		{ echo "Not with uv (see above): trying pip, which takes minutes."; $(PIP) --require-hashes -r $(1); }
	@$(PIP) --no-build-isolation --no-deps -e .
endef

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	$(call install_from,requirements.txt)
	@touch $@

$(DEV): requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	$(call install_from,requirements-dev.txt)
	@touch $(RUNTIME) $@

.PHONY: lock
lock: | $(BIN)/python ## Pin what pyproject.toml asks for: make lock ARGS=--upgrade
	$(get_uv)
	$(call compile,--extra build,requirements.txt)
	$(call compile,--extra build --extra dev -c requirements.txt,requirements-dev.txt)

define compile
	$(UV) pip compile -q pyproject.toml $(1) $(ARGS) --generate-hashes --python-version 3.11 --universal \
		--custom-compile-command "make lock" -o $(2)
endef

##### Run

.PHONY: run
run: $(RUNTIME) ## Run a living demo, an hour of waiting as a second: make run PORT=9000 SPEED=1
	@exec $(BIN)/leadline serve --demo --demo-speed $(SPEED) --port $(PORT)

.PHONY: screenshots
screenshots: $(DEV) debian ## Take the pictures of the README anew, with Chromium
	@$(BIN)/python -m tests.e2e_browser.screenshots

.PHONY: bench
bench: $(DEV) debian ## Measure throughput and latency
	@$(BIN)/python -m tests.bench $(ARGS)

##### Prove

.PHONY: test
test: $(DEV) debian ## Run the tests: make test ARGS="tests/tracker -k stage"
	$(BIN)/pytest -n 2 --ignore=tests/peers $(ARGS)

.PHONY: test-mongo
test-mongo: $(DEV) debian ## Run the tests with MongoDB as the store
	LEADLINE_TEST_STORE=mongo $(BIN)/pytest -n 2 --ignore=tests/peers $(ARGS)

.PHONY: test-peers
test-peers: $(DEV) debian ## Run the tests against real peers (n8n, Rasa, ...)
	@if find tests/peers -name 'test_*.py' 2>/dev/null | grep -q .; then \
		echo "$(BIN)/pytest tests/peers $(ARGS)"; $(BIN)/pytest tests/peers $(ARGS); \
	else \
		echo "tests/peers has no tests yet: nothing was run."; \
	fi

.PHONY: mutations
mutations: $(DEV) ## See the property tests catch faults put into the code: make mutations ARGS="2 5"
	@$(BIN)/python -m tests.properties.mutate $(ARGS)

.PHONY: check
check: $(DEV) ## Lint, formatting, types and import rules
	@failed=; for step in "ruff check ." "ruff format --check ." "mypy $(ROOMS) tests" "lint-imports --no-logo"; do \
		echo "$(BIN)/$$step"; $(BIN)/$$step || failed="$$failed [$$step]"; \
	done; \
	[ -z "$$failed" ] || { echo "FAILED:$$failed"; exit 1; }

.PHONY: format
format: $(DEV) ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove .venv and caches; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
