# Everything a checkout does, from `make demo` to `make deploy`. The two build-… targets are also what `sam build` runs:
# they need python3 with pip, and nothing else.

ifeq ($(OS),Windows_NT)
  $(error Windows has no Unix shell: work inside WSL (wsl --install), with sam installed there too)
endif

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo unit test coverage build invoke deploy bench faults cost dashboards grafana proto rules docs
.PHONY: screenshot lock lint types check clean release scan
.PHONY: build-PusherFunction build-OperatorFunction artefact

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SAM := SAM_CLI_TELEMETRY=0 $(VENV)/bin/sam
WITH_SOURCES := PYTHONPATH=functions:cli

# SAM reads AWS_DEFAULT_REGION alone. The AWS command line and the SDKs read AWS_REGION, and prefer it.
ifdef AWS_REGION
  export AWS_DEFAULT_REGION := $(AWS_REGION)
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

help: ## lists the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- The environment ---------------------------------------------------------------------------------------------------

setup: $(VENV)/.dev ## creates the development environment in .venv

$(PY):
	@command -v $(PYTHON) >/dev/null \
	  || { echo "This needs Python 3.11 or newer: $(PYTHON) is not on PATH. Install it, or name another: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "This needs Python 3.11 or newer: $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "$(PYTHON) cannot make an environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }

# pip uses one core, so two of them install at a time, each every other package of the lock.
define install_lock
	@awk -v part="$(VENV)/lock-" '/^[a-zA-Z0-9]/ { n = 1 - n } { print > (part n+0) }' $<
	@printf '%s\n' 0 1 | xargs -P 2 -I {} $(INSTALL) --require-hashes -r $(VENV)/lock-{}
endef

# The project itself is installed as it stands: `pusher` then works from any folder.
INSTALL = $(PY) -m pip install --quiet --no-deps
INSTALL_PROJECT = $(INSTALL) --no-build-isolation --editable .

$(VENV)/.run: requirements/run.txt pyproject.toml | $(PY)
	@echo "installing what the demo and the command line need"
	$(install_lock)
	@$(INSTALL_PROJECT)
	@touch $@

# Contains the other one.
$(VENV)/.dev: requirements/dev.txt requirements/run.txt pyproject.toml | $(PY)
	@echo "installing what development needs"
	$(install_lock)
	@$(INSTALL_PROJECT)
	@touch $(VENV)/.run $@

# --- Daily work --------------------------------------------------------------------------------------------------------

# With CONFIG, demo and invoke ask the sources of that config, and keep the samples on this machine.
OWN_CONFIG = $(if $(CONFIG),--config "$(CONFIG)")

demo: $(VENV)/.run ## runs a push from end to end, without AWS, and shows a page (CONFIG=my.yaml for your own; ARGS=--no-page)
	@$(WITH_SOURCES) $(PY) -m sandbox.demo $(if $(OWN_CONFIG),$(OWN_CONFIG) )$(ARGS)

screenshot: $(VENV)/.dev ## makes the README's picture of the demo's page (needs Chromium or Chrome)
	@$(WITH_SOURCES) $(PY) -m generate.screenshot docs/demo.png

# Two processes a core, because many tests wait. A process that has finished takes tests over from another one, which
# may start the servers of a test file twice.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * min(os.cpu_count() or 1, 4))')
# Without cached bytecode every process would compile all tests anew, which is half of collecting them.
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n $(WORKERS) --dist worksteal

unit: $(VENV)/.dev ## runs the fast tests: they need no other programs and build nothing
	$(PYTEST) -m "not slow and not peer" --durations=5 --durations-min=2

test: lint types ## runs lint, types and every test, with the template and the artefact
	$(PYTEST)

coverage: $(VENV)/.dev ## runs the fast tests and prints the lines that they cover
	$(PYTEST) -m "not slow and not peer" --cov --cov-report=term:skip-covered

check: lint types ## runs lint, types and the template's lint, in seconds
	$(SAM) validate --lint

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(WITH_SOURCES) $(VENV)/bin/lint-imports

scan: $(VENV)/.dev ## looks for unsafe code and settings with bandit and checkov
	@.ci/scan

types: $(VENV)/.dev
	$(VENV)/bin/mypy

EVENT ?= events/schedule.json

invoke: $(VENV)/.dev ## sends an event to the real Lambda runtime, without AWS (EVENT=events/plan.json CONFIG=my.yaml)
	@$(MAKE) --no-print-directory build/host.stamp ARCH=host BUILD_PYTHON=$(PY)
	@$(WITH_SOURCES) $(PY) -m sandbox.runtime --artefact build/host --event $(EVENT) $(OWN_CONFIG)

bench: $(VENV)/.dev ## measures this sender beside its peers
	@$(WITH_SOURCES) $(PY) -m bench

faults: $(VENV)/.dev ## prints what happens to every sample in each fault
	@PYTHONPATH=functions:cli:. $(PY) -m tests.faults.matrix

dashboards: $(VENV)/.dev ## writes the JSON of the Grafana dashboards again
	$(PY) -m dashboards

# Variables of the command line reach the module by its environment. The token comes from there alone, as GRAFANA_TOKEN:
# a list of processes shows what stands on a command line.
grafana: $(VENV)/.run ## imports the dashboards and the data source (URL=https://… WORKSPACE=ws-… REGION=…)
	@$(PY) -m dashboards.grafana

cost: $(VENV)/.run ## prints what a month costs, here and with a collector
	@$(PY) -m bench.cost

GENERATED := functions/lambda_remote_write/remote_write/encode/generated
GENERATED_PAGE := functions/lambda_remote_write/exposition/generated
PROTOS := proto/types.proto proto/remote.proto proto/io/prometheus/write/v2/types.proto

proto: $(VENV)/.dev ## generates the protobuf modules from proto/
	$(PY) -m grpc_tools.protoc -I proto --python_out=$(GENERATED) --pyi_out=$(GENERATED) $(PROTOS)
	$(PY) -m grpc_tools.protoc -I proto/io/prometheus/client --python_out=$(GENERATED_PAGE) --pyi_out=$(GENERATED_PAGE) metrics.proto
	@for file in $(GENERATED)/remote_pb2.py $(GENERATED)/remote_pb2.pyi; do \
	  sed 's/^import types_pb2 as/from . import types_pb2 as/' $$file > $$file.new && mv $$file.new $$file || exit 1; \
	done

rules: $(VENV)/.dev ## copies rules/ into the template
	@$(WITH_SOURCES) $(PY) -m generate.rules

docs: $(VENV)/.dev ## writes the generated parts of docs/ again
	@$(WITH_SOURCES) $(PY) -m generate.reasons
	@$(WITH_SOURCES) $(PY) -m generate.refusals
	@$(WITH_SOURCES) $(PY) -m generate.config_tables
	@$(WITH_SOURCES) $(PY) -m generate.config_schema
	@$(WITH_SOURCES) $(PY) -m generate.parameters

LOCK := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
  --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: | $(PY) ## pins the requirements again (LOCK_ARGS=--upgrade for newer ones)
	$(PY) -m pip install --quiet --upgrade --target build/uv uv
	$(LOCK) $(LOCK_ARGS) functions/requirements.in -o functions/requirements.txt
	$(LOCK) $(LOCK_ARGS) requirements/dev.in -o requirements/dev.txt
	$(LOCK) $(LOCK_ARGS) -c requirements/dev.txt requirements/run.in -o requirements/run.txt
	$(LOCK) $(LOCK_ARGS) requirements/checkov.in -o requirements/checkov.txt
	@rm -rf build/uv

clean: ## removes build output, keeps the environment
	rm -rf build .aws-sam .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find functions cli dashboards deploy generate release sandbox tests bench -name __pycache__ -prune -exec rm -rf {} +

# --- The artefact ------------------------------------------------------------------------------------------------------

# arm64, x86_64, or host (this machine and its Python, for `make invoke`).
ARCH ?= arm64
# Of the Python that Lambda runs, 3.13 or 3.14; for `host`, of the Python that builds.
PYTHON_VERSION ?= 3.13
export ARCH PYTHON_VERSION
BUILD_PYTHON ?= $(if $(wildcard $(PY)),$(PY),$(PYTHON))
MAX_ARTEFACT_BYTES := 20000000

# The runtime's system has glibc 2.34; pip takes the first of these that a package has.
GLIBC_TAGS := manylinux_2_34 manylinux_2_31 manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014
MACHINE_arm64 := aarch64
MACHINE_x86_64 := x86_64
PIP_TAGS = --implementation cp --python-version $(PYTHON_VERSION) $(foreach tag,$(GLIBC_TAGS),--platform $(tag)_$(MACHINE_$(ARCH)))

ifeq ($(filter $(ARCH),arm64 x86_64 host),)
  $(error ARCH is arm64, x86_64 or host, not "$(ARCH)")
endif
ifeq ($(filter $(PYTHON_VERSION),3.13 3.14),)
  $(error PYTHON_VERSION is 3.13 or 3.14, not "$(PYTHON_VERSION)")
endif

ENGINE_FILES := $(shell find functions/lambda_remote_write -type f ! -path '*/__pycache__/*')

# What the template must know of the artefact.
BUILT_FOR := Architecture=$(ARCH) Runtime=python$(PYTHON_VERSION)

build: $(VENV)/.dev ## builds the artefact in .aws-sam/build (ARCH=x86_64, PYTHON_VERSION=3.14)
	$(SAM) build --parameter-overrides $(BUILT_FOR)

# Variables of the command line reach the module by its environment. An ARCH or PYTHON_VERSION that is not given is the
# stack's own.
deploy: $(VENV)/.dev ## checks, builds and deploys a config (CONFIG=my.yaml STACK=… WORKSPACE=ws-… PARAMETERS="Interval=5m …")
	@ARCH=$(if $(filter file,$(origin ARCH)),,$(ARCH)) \
	  PYTHON_VERSION=$(if $(filter file,$(origin PYTHON_VERSION)),,$(PYTHON_VERSION)) \
	  SAM="$(SAM)" PYTHONPATH=functions:cli:. $(PY) -m deploy

# The two variables reach nothing but this command; SIGNING_KEY is the path of a key of OpenSSH.
release: $(VENV)/.dev ## builds, signs and tags a release (SIGNING_KEY=…, or DRY_RUN=1 to look at it)
	@$(PY) -m release $(if $(SIGNING_KEY),--signing-key "$(SIGNING_KEY)") $(if $(DRY_RUN),--dry-run)

RECORD_TYPES := SRV A AAAA MX NS CNAME DNAME SOA PTR TXT OPT TSIG TKEY HTTPS SVCB

# SAM gives every makefile function a build of its own; PACKAGES is the part they share.
PACKAGES := build/packages-$(ARCH)-$(PYTHON_VERSION)

# pip asks the Python that runs it what markers mean, also when it installs for another one: on Python 3.14 it would
# leave out what 3.13 needs, on macOS what Linux needs. So what 3.14 has in its standard library goes for 3.14, and
# then all markers go: all that is left is for the runtime.
UNLESS_3.14 := "/; python_full_version < '3.14'/,/[^\\]$$/d"
$(PACKAGES).txt: functions/requirements.txt Makefile
	@mkdir -p $(@D)
	@sed $(if $(filter host,$(ARCH)),'',$(if $(filter 3.14,$(PYTHON_VERSION)),-e $(UNLESS_3.14)) -e 's/ *;[^\\]*/ /') functions/requirements.txt > $@.new
	@mv $@.new $@

# Of what is installed Lambda never needs the scripts in bin/, the type stubs, pip's lists of files, Powertools' HTTP
# router, utilities and Datadog (what neither Logger nor Metrics imports), DNS zones and DNS over QUIC, urllib3 for
# browsers, the time zones' sources, what zlib_ng, zstd and protobuf have beside what is imported (protobuf's messages in
# Python among it, which are for machines that it has no compiled ones for), and charset_normalizer, by which requests
# would guess the charset of a text (lambda_remote_write/__init__.py silences its warning about that).
# Records of DNS that discovery does not ask for are read as bytes, if a server sends any.
# Licences and METADATA stay: the first must travel with the code, the second is what vulnerability scanners read.
$(PACKAGES): $(PACKAGES).txt
	@rm -rf $@ $@.new
	$(BUILD_PYTHON) -m pip install --quiet --no-compile --no-deps --require-hashes --only-binary=:all: \
	  $(if $(filter host,$(ARCH)),,$(PIP_TAGS)) --target $@.new -r $<
	@rm -rf $@.new/bin $@.new/aws_lambda_powertools/event_handler $@.new/aws_lambda_powertools/metrics/provider/datadog
	@find $@.new/aws_lambda_powertools/utilities -mindepth 1 -maxdepth 1 -type d ! -name jmespath_utils -exec rm -rf {} +
	@rm -rf $@.new/charset_normalizer $@.new/charset_normalizer-*.dist-info $@.new/zlib_ng/gzip_ng_threaded.py $@.new/tzdata/zoneinfo/*.tab $@.new/tzdata/zoneinfo/tzdata.zi
	@rm -rf $@.new/backports/zstd/zipfile $@.new/backports/zstd/tarfile.py $@.new/backports/zstd/_cffi
	@rm -rf $@.new/google/protobuf/descriptor_pb2.py $@.new/google/protobuf/compiler $@.new/google/protobuf/internal/*_benchmark.py
	@rm -rf $(addprefix $@.new/google/protobuf/,json_format.py proto_json.py service_reflection.py internal/testing_refleaks.py)
	@rm -rf $(addprefix $@.new/google/protobuf/,text_format.py $(addprefix internal/,python_message.py decoder.py encoder.py))
	@rm -rf $(addprefix $@.new/dns/,dnssec.py dnssecalgs zone.py zonefile.py btree.py btreezone.py versioned.py update.py asyncresolver.py _trio_backend.py)
	@rm -rf $@.new/dns/win32util.py $@.new/dns/quic/_[a-z]*.py $(addprefix $@.new/dns/,e164.py namedict.py tsigkeyring.py _asyncio_backend.py)
	@find $@.new -path '*/dns/rdtypes/*.py' $(patsubst %,! -name %.py,__init__ $(RECORD_TYPES) mxbase nsbase txtbase svcbbase util) -exec rm -f {} +
	@rm -rf $(addprefix $@.new/google/protobuf/,$(addsuffix .py,any proto proto_builder proto_text duration timestamp api_pb2 type_pb2 struct_pb2 wrappers_pb2))
	@rm -rf $(addprefix $@.new/urllib3/contrib/,emscripten pyopenssl.py socks.py) $@.new/certifi/tests
	@rm -rf $(addprefix $@.new/,idna/cli.py idna/codec.py requests/help.py aws_lambda_powertools/logging/formatters/datadog.py)
	@find $@.new \( -name '*.pyi' -o -path '*.dist-info/RECORD' \) -exec rm -f {} +
	@mv $@.new $@
	@touch $@

# Lambda cannot write bytecode beside the code, so every cold start would compile it all again. It is shipped where the
# runtime's own Python is there to make it, and left out otherwise: another version's would not be read.
# What a schedule never imports, or only once, or to explain a failure, gets none.
EXPLAINS := aws/(iam|refusal)|config/expression_trace|http/(body_kind|error_body)|json_api/failed_metric|remote_write/explain
NEVER_IMPORTED := powertools/utilities/|/dns/|/google/|/backports/|lambda_remote_write/(backfill/|(plan|push_samples|spool_inspect|$(EXPLAINS))[.]py)|urllib3/(contrib|http2)/|idna/uts46data|tzdata
RUNTIME_PYTHON := $(if $(filter host,$(ARCH)),$(BUILD_PYTHON),python$(PYTHON_VERSION))

# Several processes make the same bytecode but for marks of what they share in memory, so a release takes one. The file
# names within are those that Lambda has, whatever folder it is built in.
COMPILE_JOBS ?= 0

# `sam build --parallel` and `sam sync` run both rules at once: one waits until the other has left. The lock ends with
# the make that holds it, however that ends.
ALONE = $(BUILD_PYTHON) -c 'import fcntl, os, sys; \
  os.makedirs(os.path.dirname(sys.argv[1]) or ".", exist_ok=True); \
  lock = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o644); \
  fcntl.flock(lock, fcntl.LOCK_EX); \
  os.set_inheritable(lock, True); \
  os.execvp(sys.argv[2], sys.argv[2:])' $(PACKAGES).lock

build-PusherFunction build-OperatorFunction:
	@test -n "$(ARTIFACTS_DIR)" || { echo "ARTIFACTS_DIR says where to; sam build sets it" >&2; exit 1; }
	@$(ALONE) $(MAKE) --no-print-directory artefact

artefact: $(PACKAGES)
	@mkdir -p "$(ARTIFACTS_DIR)"
	@cp -R $(PACKAGES)/. functions/lambda_remote_write "$(ARTIFACTS_DIR)/"
	@if [ -n "$$PUSHER_CONFIG_FILE" ]; then cp "$$PUSHER_CONFIG_FILE" "$(ARTIFACTS_DIR)/lambda_remote_write/config.yaml"; fi
	@find "$(ARTIFACTS_DIR)" \( -name __pycache__ -o -name '*.pyi' \) -prune -exec rm -rf {} +
	@if $(RUNTIME_PYTHON) -c "" 2>/dev/null; then \
	  $(RUNTIME_PYTHON) -m compileall -q -j $(COMPILE_JOBS) -s "$(ARTIFACTS_DIR)" -p /var/task --invalidation-mode unchecked-hash -x '$(NEVER_IMPORTED)' "$(ARTIFACTS_DIR)"; fi
	@find "$(ARTIFACTS_DIR)" -type f -exec cat {} + | wc -c | awk '{ \
	  printf "artefact for $(ARCH): %.1f MB of at most %.0f MB\n", $$1 / 1e6, $(MAX_ARTEFACT_BYTES) / 1e6; \
	  exit $$1 > $(MAX_ARTEFACT_BYTES) }'

build/host.stamp: functions/requirements.txt Makefile $(ENGINE_FILES)
	@rm -rf build/host
	@$(MAKE) --no-print-directory build-PusherFunction ARTIFACTS_DIR=build/host
	@touch $@
