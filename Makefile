# The verbs of this repository. `make` alone lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
RUN_STAMP  := $(VENV)/.run-installed
TEST_STAMP := $(VENV)/.test-installed

.DEFAULT_GOAL := help
.PHONY: help run test faults faults-full peers dashboards conformance verdicts translation replay bench bench-streams soak rolling aborts chaos figures money format lock clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: $(RUN_STAMP)  ## start the gateway on 127.0.0.1:8080 with what it finds here, else with simulated models
	@$(BIN)/signalbox demo --config config/minimal.yaml

# What mostly waits, for Redis to fail over or for gateways to end, runs beside what mostly computes; with it the tests of
# protocols, so that both take the same time.
WAITING := tests/budgets tests/limits tests/providers tests/state tests/test_command_line.py tests/test_figures.py tests/test_shutdown.py tests/test_wall.py

test: $(TEST_STAMP)  ## check everything: style, types, structure, behaviour
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest $(WAITING) >$(VENV)/waiting.log 2>&1 & waiting=$$!; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(WAITING)); status=$$?; \
	wait $$waiting || status=1; cat $(VENV)/waiting.log; exit $$status

faults: $(RUN_STAMP)  ## put our own gateway before providers that fail in 31 ways, as streams and as JSON (a minute)
	@$(BIN)/signalbox bench faults
	@$(BIN)/signalbox bench faults --no-stream

faults-full: $(RUN_STAMP)  ## the same at full length, as it is compared with others (three minutes)
	@$(BIN)/signalbox bench faults --profile full
	@$(BIN)/signalbox bench faults --profile full --no-stream

peers: $(TEST_STAMP)  ## put other gateways there too, each installed apart, and write the table (pip and npm; half an hour)
	@$(BIN)/python -m bench.peers $(VENV)/peers

dashboards: $(TEST_STAMP)  ## check every panel of the dashboard against a real Prometheus
	@$(BIN)/python -m pytest tests/dashboard -rs

conformance: $(TEST_STAMP)  ## ask outside judges: SDKs of all providers and other clients, llmock, aimock (pip and npm fetch them)
	@$(BIN)/python -m tests.conformance $(VENV)/conformance

verdicts: $(TEST_STAMP)  ## ask only llmock, a provider that fails and judges its client (a minute)
	@$(BIN)/python -m tests.conformance $(VENV)/conformance llmock

translation: $(TEST_STAMP)  ## ask only the other providers' SDKs, about recorded traffic in other words (two minutes)
	@$(BIN)/python -m tests.conformance $(VENV)/conformance translation

replay: $(TEST_STAMP)  ## replay recorded provider traffic through the gateway, where it is there, and say the figures
	@SIGNALBOX_REPLAY=all $(BIN)/python -m pytest tests/replay tests/providers/test_recordings.py -rs

bench-streams: $(RUN_STAMP)  ## CPU per stream of 30 chunks, translated and not, beside nginx and a minimal proxy (takes minutes)
	@$(BIN)/python -m bench.streams

bench: $(RUN_STAMP)  ## CPU per request beside nginx and a minimal proxy (takes minutes)
	@$(BIN)/python -m bench.rig

soak: $(TEST_STAMP)  ## twenty seconds of clients that leave and providers that fail; nothing may leak or be lost
	@$(BIN)/python -m bench.soak

rolling: $(TEST_STAMP)  ## restart two replicas behind a load balancer, five times each under 10,000 requests; none may be lost
	@$(BIN)/python -m bench.rolling

aborts: $(TEST_STAMP)  ## two thousand clients that leave; how soon is that known to the provider, and what stays behind?
	@$(BIN)/python -m bench.aborts

chaos: $(TEST_STAMP)  ## two replicas while providers, Redis, clients and the configuration misbehave (seven minutes); docs/chaos.md
	@$(BIN)/python -m bench.chaos

figures: $(TEST_STAMP)  ## measure the reliability behaviours, each with its limit (four minutes)
	@$(BIN)/python -m bench.figures

money: $(TEST_STAMP)  ## torture budgets: crashes, disconnects, a Redis that forgets; each figure with its limit (quarter of an hour); docs/money-figures.md
	@$(BIN)/python -m bench.money

format: $(TEST_STAMP)  ## put the code into the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

LOCK := uv pip compile --generate-hashes --universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock' --quiet

lock:  ## pin every dependency with its hashes (needs uv)
	$(LOCK) pyproject.toml -o requirements/base.txt
	$(LOCK) pyproject.toml --all-extras -o requirements/clouds.txt
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) --group build -o requirements/build.txt

clean:  ## remove what the other verbs made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Signalbox needs Python 3.11 or later; this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python requirements/base.txt requirements/build.txt
	@echo "installing into $(VENV) (once) …"
	@$(PIP) -r requirements/base.txt
	@$(PIP) -r requirements/build.txt
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(TEST_STAMP): $(RUN_STAMP) requirements/dev.txt
	@$(PIP) -r requirements/dev.txt
	@touch $@
