# Two targets a newcomer needs: `make demo` and `make test`. Each sets everything up by itself.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Workers are parted by mount and network namespaces, which root may make. Three for two cores: tests mostly wait.
WORKERS ?= $(shell unshare --mount --net true 2>/dev/null && echo 3 || echo 0)

.PHONY: demo test soak check bench lock clean help

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(STAMP) ## Record a real recording played over LSL, check it sample by sample, draw it
	$(PYTHON) examples/demo/run.py

test: $(STAMP) check ## Lint, types, layers, generated code, then every test but the long ones
	$(PYTHON) -m pytest -m "not soak" --durations=10 \
	  -n $(WORKERS) --dist loadfile --basetemp="$$(mktemp -d)"

soak: $(STAMP) ## The tests that take minutes
	$(PYTHON) -m pytest -m soak --timeout=3600

check: $(STAMP) ## Lint, format, types, layers, generated code
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports
	PYTHON=$(PYTHON) .ci/protoc --check

bench: $(STAMP) ## Closed loops and hops beside other software, 10 minutes; writes benchmarks/results
	$(PYTHON) -m benchmarks.loop

$(STAMP): requirements.lock pyproject.toml .ci/setup
	VENV=$(VENV) .ci/setup
	@touch $@

lock: ## Resolve the dependencies anew
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock

clean: ## Remove what the other targets made
	rm -rf $(VENV) build dist demo-output .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
