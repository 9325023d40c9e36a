# Everything runs on this machine: no container, no account. `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help dev demo bench bench-quick bench-audit chaos simulate fuzz test check unit lint-template screenshots clean-dev

PORT ?= 9000
PYTHON := .dev/venv/bin/python
TEMPLATE_TOOLS := .dev/venv-template/bin

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: ## Run the service on 127.0.0.1:$(PORT) until Ctrl-C; .dev/env gets a key
	@python3 scripts/install.py services watch rust
	@exec $(PYTHON) scripts/run_dev.py $(PORT)

demo: ## Fill a running make dev with a day of traffic; SEED=…, SESSIONS=…
	@DEMO_SEED=$(SEED) DEMO_SESSIONS=$(SESSIONS) exec $(PYTHON) scripts/run_demo.py

bench: ## Measure everything and write OUT, docs/performance by default; ONLY=read,cold chooses sections
	@python3 scripts/install.py services bench rust
	@exec $(PYTHON) scripts/run_measurements.py --only '$(ONLY)' --out '$(or $(OUT),docs/performance)'

bench-quick: ## The same with a fraction of the sizes, to see that it runs: target/bench/report; ONLY=…
	@python3 scripts/install.py services bench rust
	@exec $(PYTHON) scripts/run_measurements.py --quick --only '$(ONLY)' --out target/bench/report

bench-audit: ## How fast the audit drains, against a bare COPY in the same run
	@python3 scripts/install.py services rust
	@exec $(PYTHON) scripts/run_bench.py audit-bench write-audit

chaos: ## Try the fault table out on real processes and write docs/CHAOS.md; ONLY=F-01,F-05, CHAOS_SEED=…
	@python3 scripts/install.py services rust
	@exec $(PYTHON) scripts/run_chaos.py

test: ## Build, lint and run every test against real services; ARGS go to cargo nextest
	@python3 scripts/install.py services template clients browser rust
	@exec $(PYTHON) scripts/run_tests.py $(ARGS)

simulate: ## Simulate random schedules; SCHEDULES=…, or one with SEED=…
	@python3 scripts/install.py services rust
	@SIMULATION_SEED=$(SEED) SIMULATION_SCHEDULES=$(or $(SCHEDULES),100000) exec $(PYTHON) scripts/run_search.py \
		simulation::search::i_1_to_i_16_random_schedules_keep_the_promises

fuzz: ## Feed a parser changed inputs; TARGET=… (all without), SECONDS=… for each
	@python3 scripts/install.py services rust
	@FUZZ_TARGET=$(TARGET) FUZZ_SECONDS=$(or $(SECONDS),60) exec $(PYTHON) scripts/run_search.py \
		formats::driver::no_bytes_panic_a_parser_or_pass_for_what_they_are_not

check: ## Formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

unit: ## The tests of the shared crate, which need no service
	cargo nextest run -p shared --locked

lint-template: ## Check template.yaml with cfn-lint and SAM
	@python3 scripts/install.py template
	$(TEMPLATE_TOOLS)/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 $(TEMPLATE_TOOLS)/sam validate --lint --template template.yaml

screenshots: ## Retake the pictures in docs/ from a running make dev
	@python3 scripts/install.py browser
	@set -a && . .dev/env && set +a && BROWSER_DIR=.dev/browser PICTURES=docs node tests/browser/screenshots.mjs

clean-dev: ## Remove the data of make dev (the installed tools stay)
	@python3 scripts/clean_dev.py
