# Needs python3 (3.11 or newer, with venv) and make; everything else is installed into .venv, once.
PYTHON ?= python3
VENV   := .venv
LOCK   := requirements.lock
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test lowest fuzz kit lint types check image compose audit browser clients bench soak soak-short lock clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## Make .venv and install the locked dependencies (once)

# The lock is complete: with --no-deps pip takes it as it is, and looks for nothing newer beside it.
$(STAMP): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --no-deps --requirement $(LOCK)
	$(PIP) install --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@

run: install  ## Serve on http://127.0.0.1:5000 with the Cognito emulator (options: ARGS="--debug --port 5001")
	$(BIN)/flask run --host 127.0.0.1 $(ARGS)

test: install  ## Run the tests (options: ARGS="-k tokens -x")
	$(BIN)/python -m pytest $(ARGS)

lowest:  ## Run the tests with the lowest versions that pyproject.toml allows (options: ARGS="-n auto")
	$(MAKE) test VENV=.venv-lowest LOCK=requirements-lowest.lock

fuzz: install  ## Send the service what nobody thought of, for minutes (options: ARGS="-k signup")
	$(BIN)/python -m pytest tests/test_fuzz.py --hypothesis-profile=fuzz $(ARGS)

kit: install  ## Build the wheel and test docs/testing.md and examples/ with it, in a fresh environment
	.ci/kit

lint: install  ## Check style, format, and what deploy/ and .github/ hold
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/cfn-lint deploy/cloudformation.yaml
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/yamllint --strict deploy .github
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

types: install  ## Check types (mypy --strict)
	$(BIN)/mypy

image: install  ## Replay the Dockerfile and compose.yaml without Docker: build steps, migrations, a sign-in
	$(BIN)/python -m tests.deploy.replay

check: lint types test kit image  ## All of the above

compose: install  ## Build the images and try them behind nginx (needs Docker)
	.ci/compose

audit: install  ## Ask for known vulnerabilities of what is locked (needs the internet)
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements.lock

browser: install  ## Test the pages in headless Chromium, screenshots in endtoend/screenshots (options: ARGS="-k phone")
	endtoend/run browser $(ARGS)

clients: install  ## Generate a TypeScript client from /openapi.json and call the service with it (needs node and npm)
	endtoend/run clients $(ARGS)

bench: install  ## Measure verification, endpoints beside others, and growth (half an hour; options: ARGS="endpoints --only flask")
	benchmarks/run $(ARGS)

soak: install  ## Break things under load, and write docs/reliability.md (25 minutes; options: ARGS="--only redis")
	$(BIN)/python -m soak --write $(ARGS)

soak-short: install  ## The same in about two minutes, as CI does; writes nothing
	$(BIN)/python -m soak --short $(ARGS)

lock:  ## Resolve pyproject.toml into the lock files again (needs uv)
	uv pip compile pyproject.toml $(EXTRAS) --group test --upgrade $(HASHED) --output-file requirements.lock
	uv pip compile pyproject.toml --extra opentelemetry --constraint requirements.lock $(HASHED) \
		--output-file deploy/requirements/production.lock
	uv pip compile pyproject.toml --extra dev --constraint requirements.lock $(HASHED) \
		--output-file deploy/requirements/emulator.lock
	printf 'hatchling\nhatch-fancy-pypi-readme\n' | uv pip compile - --constraint requirements.lock $(HASHED) \
		--output-file deploy/requirements/build.lock
	uv pip compile pyproject.toml $(EXTRAS) --resolution lowest-direct $(RESOLVED) --output-file $(LOWEST)
	uv pip compile pyproject.toml $(EXTRAS) --group test --constraint $(LOWEST) --upgrade $(HASHED) \
		--output-file requirements-lowest.lock
	rm $(LOWEST)

EXTRAS := --extra dev --extra testing --extra opentelemetry
RESOLVED := --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header --quiet
HASHED := $(RESOLVED) --generate-hashes
# The lowest versions of the direct dependencies. The tools of the tests may be newer.
LOWEST := .lowest.txt

clean:  ## Remove .venv and caches; instance/ with your development data stays
	rm -rf .venv .venv-lowest .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
