# `make` lists the targets. Everything that is fetched or written lies in this checkout (.cache,
# node_modules, dist, libs/native/build and prebuilds), except Debian packages that are missing.

SHELL := /bin/sh
export PATH := $(CURDIR)/.cache/node/bin:$(CURDIR)/node_modules/.bin:$(PATH):/usr/sbin:/sbin
export MODEL ONCE DEMO_JSON CHAOS_SECONDS CHAOS_SEED CHAOS_AGENTS CHAOS_GAP_MS

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Install what is missing, compile everything
	@sh deploy/bootstrap/setup.sh

.PHONY: demo
demo: setup ## Compress a model, roll it out to three agents, show what they report (ONCE=1 MODEL=/path DEMO_JSON=file)
	@exec node deploy/demo/demo.ts

.PHONY: readme
readme: setup ## Run the demo and show its output in README.md
	@ONCE=1 node deploy/demo/demo.ts | node deploy/demo/readme.ts

.PHONY: test
test: setup ## Run every test but those of test-kube
	@sh deploy/bootstrap/helm.sh || true
	@sh deploy/bootstrap/arm.sh || true
	@exec node test/support/run.ts $(TESTS)

.PHONY: test-kube
test-kube: setup ## Run the tests against Kubernetes' API server (compiled once, 6 minutes; TESTS=test/kube/x.test.ts)
	@sh deploy/bootstrap/helm.sh && sh deploy/bootstrap/kube.sh
	@sh deploy/bootstrap/system-packages.sh postgresql= libfaketime=
	@test -x .cache/helm/kubectl || { echo 'test-kube: no kubectl; see above' >&2; exit 1; }
	@exec node test/support/run.ts --config test/kube/vitest.config.ts $(TESTS)

.PHONY: chaos-agent
chaos-agent: setup ## Kill an agent with -9 in every state of an update, again and again (ROUNDS=20)
	@ROUNDS=$(or $(ROUNDS),20) exec node test/support/run.ts test/integration/agent.crash.test.ts

.PHONY: test-native
test-native: setup ## Hold the kernels of every instruction set of this machine against each other
	@$(MAKE) -C libs/native test-native

.PHONY: test-arm
test-arm: setup ## The same for Arm, emulated, with and without dot product instructions
	@sh deploy/bootstrap/arm.sh && $(MAKE) -C libs/native test-arm

.PHONY: lint
lint: setup ## Check format, style, types, dependency directions, shell scripts
	@sh deploy/bootstrap/lint.sh

.PHONY: format
format: setup ## Rewrite the sources in the house format
	@biome check --write .

.PHONY: build
build: setup ## Compile TypeScript and the native addon

.PHONY: native
native: setup ## Compile the native addon only
	@$(MAKE) -C libs/native

.PHONY: prebuild
prebuild: setup ## Compile the native addon for x64 and arm64 machines without a compiler
	@sh deploy/bootstrap/arm.sh && $(MAKE) -C libs/native "-j$$(nproc)" prebuild

.PHONY: agent-package
agent-package: prebuild ## Pack what an edge node gets: dist/entrofleet-agent.tar.gz, to be unpacked in /opt
	@rm -rf dist/entrofleet && sh deploy/package/app.sh agent dist/entrofleet
	@tar -czf dist/entrofleet-agent.tar.gz --owner=0 --group=0 -C dist entrofleet && rm -rf dist/entrofleet
	@ls -sh dist/entrofleet-agent.tar.gz

.PHONY: bench-codec
bench-codec: setup ## Size and speed of the codecs beside memcpy and zstd (ISA=avx2,portable ROUNDS=7)
	@sh deploy/bootstrap/system-packages.sh libzstd-dev= || \
	  echo 'bench-codec: SKIPPED zstd: libzstd-dev is missing and could not be installed' >&2
	@$(MAKE) --silent -C libs/native bench
	@exec node test/bench/codec.bench.ts $(if $(ISA),--isa $(ISA)) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-engine
bench-engine: setup ## Speed of the engine beside llama.cpp, 1.1 billion weights (ROUNDS=5; 12 GB of disk)
	@sh deploy/bootstrap/llama.sh || true
	@$(MAKE) --silent -C libs/native bench
	@exec node test/bench/engine.bench.ts $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-limit
bench-limit: setup ## The same under a memory limit that holds coded weights but not plain ones (needs root)
	@sh deploy/bootstrap/llama.sh || true
	@$(MAKE) --silent -C libs/native bench
	@exec node test/bench/limit.bench.ts $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-delta
bench-delta: setup ## Size of deltas between models beside that of the artifacts, over how much changed
	@exec node test/bench/delta.bench.ts

.PHONY: bench-compress
bench-compress: setup ## Speed of compressing 1 GB from file to file, and what bounds it (ROUNDS=3)
	@$(MAKE) --silent -C libs/native bench
	@exec node test/bench/compress.bench.ts $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: fuzz
fuzz: setup ## Fuzz tables, segments and quantizers with sanitizers (FUZZ_SECONDS=600 in all)
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) sh deploy/bootstrap/fuzz.sh

.PHONY: sim
sim: setup ## Simulate fleets under faults, each from a seed (SEEDS=2000 FROM=1), or replay one (SEED=n)
	@exec node --conditions=entrofleet-source test/simulation/fleet/sim.main.ts \
	  $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000) --from $(or $(FROM),1))

.PHONY: sim-bugs
sim-bugs: setup ## Plant bugs in a copy of the sources; the simulation must find each of them
	@exec node --conditions=entrofleet-source test/simulation/fleet/planted.bugs.main.ts

.PHONY: chaos
chaos: setup ## Kill, freeze, cut off and fill up a real fleet at random (CHAOS_SECONDS=600 CHAOS_SEED=n)
	@exec node --conditions=entrofleet-source test/chaos/chaos.main.ts

.PHONY: bench-memory
bench-memory: setup ## Measure the peak memory of compression on a checkpoint of 2.2 GB (5 GB of disk)
	@exec node test/bench/memory.bench.ts

.PHONY: bench-load
bench-load: setup ## Time loading ARTIFACT=model.efa in each form beside reading the file (ROUNDS=3)
	@exec node test/bench/load.bench.ts --artifact $(ARTIFACT) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-neon
bench-neon: setup ## Count the Arm instructions that decoding a symbol and multiplying a weight take
	@sh deploy/bootstrap/arm.sh && $(MAKE) -C libs/native bench-neon

.PHONY: bench-quality
bench-quality: setup ## Measure bits against perplexity, beside llama.cpp's formats
	@exec node test/bench/quality.bench.ts

.PHONY: bench-serving
bench-serving: setup ## Tokens per second of 1 to 8 requests together, and what a long prompt costs them (ROUNDS=3)
	@exec node --conditions=entrofleet-source test/bench/serving.bench.ts $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-fleet
bench-fleet: setup ## 1,000 and 10,000 simulated devices, 64 agents that fetch 256 MB (DATABASE=pglite; 20 GB of disk)
	@sh deploy/bootstrap/system-packages.sh postgresql= || \
	  echo 'bench-fleet: no PostgreSQL, and it could not be installed' >&2
	@exec node test/bench/fleet.bench.ts $(if $(DATABASE),--database $(DATABASE)) $(if $(SIZES),--sizes $(SIZES))

.PHONY: bench-roles
bench-roles: setup ## Memory and processor time of each role of the controller, idle and in the demo (IDLE=20)
	@sh deploy/bootstrap/system-packages.sh postgresql= || \
	  echo 'bench-roles: no PostgreSQL, and it could not be installed' >&2
	@exec node --conditions=entrofleet-source test/bench/roles.bench.ts $(if $(IDLE),--idle $(IDLE))

.PHONY: bench-kube
bench-kube: setup ## Writes to the API server with 200 Rollouts and 5,000 simulated devices (DEVICES=5000 SECONDS=60)
	@sh deploy/bootstrap/kube.sh && sh deploy/bootstrap/helm.sh
	@exec node test/bench/kube.bench.ts $(if $(DEVICES),--devices $(DEVICES)) $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: bench-report
bench-report: setup ## Run the benchmarks and write docs/BENCHMARKS.md from what they print (an hour; ONLY=bench-engine)
	@exec node test/bench/report.ts $(ONLY)

.PHONY: test-chroot
test-chroot: ## Run make demo and make test in a bare Debian 12 (needs root and debootstrap)
	@sh test/chroot/run.sh

.PHONY: clean
clean: ## Remove what was compiled
	rm -rf apps/*/dist libs/*/dist apps/*/*.tsbuildinfo libs/*/*.tsbuildinfo
	rm -rf libs/native/build libs/native/prebuilds dist

.PHONY: distclean
distclean: clean ## Remove everything that git does not know, and what was fetched
	rm -rf node_modules .cache
