# Every command a person or CI needs. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install tools run demo test test-unit test-envoy check format format-check lint types imports proto \
        configs lock bench bench-full bench-identity bench-health bench-cache bench-limits bench-tokens bench-evidence bench-plan bench-translate round-trips outages catalogue \
        bench-evidence-tools evidence-kills evidence-sums \
        calibrate-tokens train-guard guard-figures train-complexity bench-routing test-stores h2spec test-wire-long wire-figures fuzz-wire clean

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP) ## virtual environment with pinned dependencies

tools: ## what tests need beside Python packages: redis-server, from Debian's packages
	@command -v redis-server >/dev/null || { apt-get -qq update && apt-get -qq install -y redis-server; }

run: $(STAMP) ## Envoy, workers and simulated providers on this machine; STORE=redis counts in Redis
	@STORE=$(STORE) exec $(BIN)/gateway-extproc up

demo: $(STAMP) ## the same, with a tour that checks what it shows
	@$(BIN)/gateway-extproc demo

test: $(STAMP) ## all tests, with the real Envoy
	$(BIN)/python -m pytest -q

test-unit: $(STAMP) ## tests without Envoy
	$(BIN)/python -m pytest -q -m "not envoy"

test-envoy: $(STAMP) ## tests through the real Envoy
	$(BIN)/python -m pytest -q -m envoy

build/h2spec: tests/h2spec/go.mod tests/h2spec/go.sum
	@command -v go > /dev/null || { echo "h2spec is built with Go, which is not here"; exit 1; }
	cd tests/h2spec && go build -o ../../build/h2spec github.com/summerwind/h2spec/cmd/h2spec

test-wire-long: $(STAMP) ## 10,000 conversations of another HTTP/2 implementation with the fast server
	WIRE_EXAMPLES=10000 $(BIN)/python -m pytest -q tests/wire/test_state_machine.py

h2spec: $(STAMP) build/h2spec ## HTTP/2 conformance of the fast server
	$(BIN)/python -m pytest -q -s tests/wire/test_h2spec.py

check: format-check lint types imports ## everything but tests

format: $(STAMP) ## write all files as the formatter wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy gateway_extproc tests

imports: $(STAMP) ## who may import whom
	$(BIN)/lint-imports

proto: $(STAMP) ## generated classes of proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=gateway_extproc/pb --pyi_out=gateway_extproc/pb \
	  proto/gateway/v1/*.proto
	# protoc writes imports from the root of proto/; here the classes stand below a package.
	sed -i 's/^from gateway\.v1 import/from gateway_extproc.pb.gateway.v1 import/' \
	  gateway_extproc/pb/gateway/v1/*_pb2.py gateway_extproc/pb/gateway/v1/*_pb2.pyi

configs: $(STAMP) ## what is generated: Envoy configurations, docs/configuration.md, docs/dialects.md
	$(BIN)/python -m gateway_extproc.config.reference > docs/configuration.md
	$(BIN)/python -m gateway_extproc.providers.matrix > docs/dialects.md
	for name in standalone failover mtls; do \
	  $(BIN)/gateway-extproc envoy render envoy/$$name.gateway.yaml > envoy/$$name.yaml; done
	$(BIN)/gateway-extproc envoy render k8s/base/gateway.yaml > k8s/base/envoy.yaml

lock: $(STAMP) ## newest allowed versions into the lock files
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-annotate --no-header --allow-unsafe -o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-annotate --no-header --allow-unsafe --extra dev \
	  -c requirements.lock -o requirements-dev.lock pyproject.toml

bench: $(STAMP) ## CPU and added time of both wires and of the gateway, about 3 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.run $(ARGS)

bench-full: $(STAMP) ## the same with every workload and long rounds, about 20 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.run --full $(ARGS)

wire-figures: $(STAMP) ## memory of streams, small ones beside large ones, a soak
	@PYTHONPATH=tests $(BIN)/python -m bench.wire_figures

SECONDS ?= 1800
FUZZ = PYTHONPATH=.:tests $(BIN)/python -m fuzz.run
fuzz-wire: $(STAMP) ## frames and bytes of all kinds against the fast wire, both for SECONDS
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.lock
	PYTHONPATH=.:tests $(BIN)/python -m fuzz.seeds build/fuzz/seeds
	mkdir -p build/fuzz/frames build/fuzz/bytes
	@for kind in frames bytes; do \
	  $(FUZZ) $$kind build/fuzz/$$kind build/fuzz/seeds -artifact_prefix=build/fuzz/$$kind- -max_len=3000 \
	    -timeout=30 -max_total_time=$(SECONDS) -print_final_stats=1 > build/fuzz/$$kind.log 2>&1 & pids="$$pids $$!"; done; \
	failed=0; for pid in $$pids; do wait $$pid || failed=1; done; \
	tail -n 8 build/fuzz/frames.log build/fuzz/bytes.log; exit $$failed

bench-identity: $(STAMP) ## CPU of identify and authorize, look-ups among 100,000 keys
	@PYTHONPATH=tests $(BIN)/python -m bench.identity

bench-health: $(STAMP) ## CPU of watching a request, of reading how targets stand
	@PYTHONPATH=tests $(BIN)/python -m bench.health_cpu

bench-cache: $(STAMP) ## hits beside misses through Envoy, CPU of key and look-up; about 2 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.cache $(ARGS)

bench-limits: $(STAMP) ## what budgets are worth under load, CPU of limits; about 8 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.limits $(ARGS)
	@PYTHONPATH=tests $(BIN)/python -m bench.limit_cpu

COUNT ?= 50000
evidence-sums: $(STAMP) ## ledger beside what providers counted, COUNT mixed requests; about 5 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.evidence_sums $(COUNT)

bench-evidence-tools: $(STAMP) ## questions to 1,000,000 decisions and costs, a replay of 100,000; about 8 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.evidence_tools $(ARGS)

outages: $(STAMP) ## a provider fails in every way at 100 requests/s, and is back within 5 s; 2 minutes
	OUTAGE_RATE=100 OUTAGE_BACK_S=5 $(BIN)/python -m pytest -q -s tests/envoy/test_outages.py

ROUND_TRIPS ?= 10000
round-trips: $(STAMP) ## dialect A to B to A, ROUND_TRIPS of each kind through every pair; 10,000 take about 15 minutes
	ROUND_TRIPS=$(ROUND_TRIPS) $(BIN)/python -m pytest -q -p no:cacheprovider tests/providers/test_roundtrips.py

bench-translate: $(STAMP) ## CPU of translating a request, a chunk of a stream, an answer
	@PYTHONPATH=tests $(BIN)/python -m bench.translate $(ARGS)

bench-plan: $(STAMP) ## CPU of a route decision with 1,000 rules and 200 targets
	@PYTHONPATH=tests $(BIN)/python -m bench.routing

catalogue: $(STAMP) ## the shipped catalogue anew from public prices in DATA, called VERSION
	@PYTHONPATH=tests $(BIN)/python -m bench.catalogue $(DATA) $(VERSION)

bench-tokens: $(STAMP) ## error and CPU of the token estimate; DATA=folder judges other texts
	@PYTHONPATH=tests $(BIN)/python -m bench.tokens $(DATA)

bench-evidence: $(STAMP) ## CPU of decision log and cost ledger, speed of decisions verify
	@PYTHONPATH=tests $(BIN)/python -m bench.evidence_cpu

evidence-kills: $(STAMP) ## strict durability through Envoy while workers are killed a hundred times; 10 minutes
	GATEWAY_KILLS=100 $(BIN)/python -m pytest -q -s tests/envoy/test_durability.py -k killed

calibrate-tokens: $(STAMP) ## weights of the token estimate from texts in DATA
	@PYTHONPATH=tests $(BIN)/python -m bench.calibrate $(DATA) \
	  $(if $(VOCABULARIES),--vocabularies $(VOCABULARIES))

train-guard: $(STAMP) ## weights of the injection classifier from labelled texts in DATA; about 2 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.guard_train $(DATA)

guard-figures: $(STAMP) ## what the injection classifier finds on families it never saw in DATA; about 10 minutes
	@PYTHONPATH=tests $(BIN)/python -m bench.guard_figures $(DATA) $(ARGS)

train-complexity: $(STAMP) ## weights of the complexity scorer from labelled questions in DATA; seconds
	@PYTHONPATH=tests $(BIN)/python -m bench.routing_train $(DATA)

bench-routing: $(STAMP) ## saving against quality of the complexity scorer on unseen questions in DATA, its CPU
	@PYTHONPATH=tests $(BIN)/python -m bench.routing_quality $(DATA)

test-stores: $(STAMP) ## the stores' contract and 100,000 steps beside a model, on memory and Redis
	$(BIN)/python -m pytest -q tests/stores
	COUNTER_STEPS=100000 $(BIN)/python -m pytest -q tests/stores/test_counters_state_machine.py

clean: ## everything that was made
	rm -rf $(VENV) run build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
