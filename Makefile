# Every chore is one command; CI runs the same ones. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
BENCH_GROUP = $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt --group bench </dev/null
PLOTS = $(BIN)/python -c 'import matplotlib' 2>/dev/null || $(BENCH_GROUP)
SPY = test -x $(BIN)/py-spy || $(BENCH_GROUP)
PYTHON_FILES := lalmesh services tests bench tools
export PYTHONPATH := $(CURDIR)/tests:$(CURDIR)
unexport PYTHONDONTWRITEBYTECODE  # the tests start hundreds of processes: none should have to compile what another has

INTEGRATION_JOBS ?= 6  # more than the cores: these wait most of the time
E2E_JOBS ?= 5  # likewise: with four, a fourth of two cores has nothing to do; with six, a process takes long to start
# What loses datagrams, members or playlists, or stands still, where others have the processor.
BY_THE_CLOCK := tests/integration/rtp/test_rtp_ffmpeg.py tests/integration/scheduler/test_flooded.py \
    tests/e2e/test_load.py tests/e2e/test_load_programs.py tests/e2e/test_rtsp_loss.py tests/e2e/test_rtsp_camera.py \
    tests/e2e/test_rtsp_gstreamer.py tests/e2e/browser
# Whose players may not stand still while a node or the store fails: two of these at a time take a third of the processors.
UNINTERRUPTED := tests/e2e/test_hls_cluster.py tests/e2e/test_hls_storage.py tests/e2e/test_hls_full_disk.py
FUZZ_S ?= 60
SEEDS ?= 20000
MINUTES ?= 120
ARGS ?=

.PHONY: help setup run test check unit sim integration e2e uninterrupted chaos soak browser bench proto format fuzz dist image lock docs site clean

help: ## list the commands
	@echo 'make COMMAND, where COMMAND is one of'
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/    \1\t\2/p' Makefile | expand -t 20

setup: ## make .venv with everything needed, at locked versions; leaves .venv/bin/lalmesh
	@tools/setup.sh

run: setup ## start the server: all roles in one process, the usual ports
	@exec $(BIN)/lalmesh standalone $(ARGS)

test: ## everything that CI runs: packages, setup, check, integration, e2e, dist, a short benchmark
	@tools/test.sh

check: setup ## the quick checks, in parallel: style, types, layers, generated code, unit tests
	@$(BIN)/python tools/check.py

unit: setup ## unit tests alone; ARGS='-k name' to choose
	@$(BIN)/pytest -n 2 tests/unit $(ARGS)

sim: setup ## simulated schedules of faults, SEEDS=20000 (or 500-999) of them; SEED=1234 tells one step by step
	@$(if $(SEED),,$(BIN)/pytest -n 2 tests/simulation)
	@$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED) --verbose,--seeds $(SEEDS)) $(ARGS)

integration: setup ## tests against real peers: etcd, nginx, node-media-server
	@tools/install-system-packages.sh test
	@$(BIN)/pytest -n $(INTEGRATION_JOBS) --dist loadfile --no-loadscope-reorder --durations 5 tests/integration $(addprefix --ignore ,$(BY_THE_CLOCK)) $(ARGS)

e2e: setup ## end-to-end tests with real publishers and players; ARGS='-k name' to choose
	@tools/install-system-packages.sh test
	@$(BIN)/pytest -n $(E2E_JOBS) --dist loadfile --no-loadscope-reorder --durations 10 tests/e2e $(addprefix --ignore ,tests/e2e/chaos tests/e2e/soak $(BY_THE_CLOCK) $(UNINTERRUPTED)) $(ARGS)

uninterrupted: setup ## end-to-end tests of players that may not stand still while something fails, two at a time
	@tools/install-system-packages.sh test
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 3 $(UNINTERRUPTED) $(ARGS)

chaos: setup ## kill, cut off and stop what a cluster is made of, as root; SHORT=1 as `make test` does, ARGS='--only kill'
	@tools/install-system-packages.sh test
	@$(BIN)/$(if $(SHORT),pytest -s tests/e2e/chaos,python -m e2e.chaos --report) $(ARGS)

soak: setup ## publishers, players and all sorts of trouble for MINUTES=120, writes docs/soak.md; SHORT=1 as `make test` does
	@tools/install-system-packages.sh test bench
	@$(if $(SHORT),:,$(PLOTS))
	@$(BIN)/$(if $(SHORT),pytest -s tests/e2e/soak,python -m e2e.soak --report --minutes $(MINUTES)) $(ARGS)

browser: setup ## those that go by the clock, and so have the machine to themselves: a browser, delays of RTSP, stalls
	@tools/install-system-packages.sh test
	@$(BIN)/pytest --durations 5 $(BY_THE_CLOCK) $(ARGS)

bench: setup ## measure everything and say which bars are met: `make bench`, `make bench fanout publish`, ARGS='--rounds 1'
	@tools/install-system-packages.sh bench
	@$(if $(findstring --report,$(ARGS)),$(PLOTS),:)
	@$(if $(if $(BENCHES),$(filter profile,$(BENCHES)),all),$(SPY),:)
	@$(BIN)/python -m bench.suite $(BENCHES) $(ARGS)

bench-%: setup
	@tools/install-system-packages.sh bench
	@$(if $(findstring --report,$(ARGS)),$(PLOTS),:)
	@$(if $(filter profile,$*),$(SPY),:)
	@$(BIN)/python -m bench.$* $(ARGS)

# `make bench fanout`: the words after `bench` are names of benchmarks, not targets to build.
ifeq ($(firstword $(MAKECMDGOALS)),bench)
BENCHES := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
.PHONY: $(BENCHES)
$(BENCHES): bench ; @:
endif

proto: setup ## generate lalmesh/rpc from proto/
	@$(BIN)/python tools/proto.py

docs: setup ## write what comes of the configuration models (sample, reference, schema of the chart), dashboards, tables in docs/, and the site
	@$(BIN)/python -m lalmesh.runtime.config
	@$(BIN)/python -m services.scheduler.api
	@$(BIN)/python -m lalmesh.runtime.event_docs
	@$(BIN)/python -m tools.chart
	@$(BIN)/python -m tools.alerts
	@$(BIN)/python -m tools.dashboards
	@$(BIN)/python -m lalmesh.runtime.telemetry
	@$(BIN)/python -m bench.sizing
	@$(MAKE) site

site: setup ## build the site of docs/ in build/site; no warning is let pass
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "build/site/index.html"

format: setup ## put imports and layout in order
	@$(BIN)/ruff check --fix $(PYTHON_FILES)
	@$(BIN)/ruff format $(PYTHON_FILES)

fuzz: setup ## feed every parser with made-up bytes, FUZZ_S seconds each, two at a time
	@$(BIN)/python tools/fuzz.py --seconds $(FUZZ_S) $(ARGS)

dist: setup ## dist/: the wheel, and lalmesh.pyz, all in one file for this Python version on this kind of machine
	@tools/dist.sh

image: setup ## run the steps of the Dockerfile in a clean root, as root, and try what comes of it; some minutes
	@tools/image-steps.sh --arm64 --twice

lock: ## write constraints.txt anew: the newest versions that pyproject.toml allows
	@tools/lock.sh

clean: ## remove what the commands made, .venv too
	rm -rf .venv .tools dist build console/dist console/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
