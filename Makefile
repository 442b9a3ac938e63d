# One command each, on a fresh machine, alone and in any order. `make help` lists them.
#
# Cargo builds into build/, never into target/: that is a source folder (docs/decisions/0001-build-folder.md).
# .cargo/config.toml says so for commands run in here, and the next line for every command of this file.
export CARGO_TARGET_DIR := $(CURDIR)/build

# `quick` is optimised, fast to link, and keeps assertions. `make demo` and `make test` share its artefacts.
QUICK   := --profile quick --locked
RELEASE := --release --locked
INSTALL := bench/install.sh

# How long the demo and each side of a measured pair run; how many pairs.
FOR   ?= 30s
EACH  ?= 3s
PAIRS ?= 5

.PHONY: help demo test test-long bench lint

help:
	@echo 'make demo       a contest in a box: Redis, contestants, generator, live standings (FOR=$(FOR))'
	@echo 'make test       every test, at most 15 minutes'
	@echo 'make test-long  the same properties with far more cases, and the soak'
	@echo 'make bench      the comparison with whatever peers can be installed (PAIRS=$(PAIRS) EACH=$(EACH))'
	@echo 'make lint       formatting and clippy, warnings are errors'

demo:
	$(INSTALL) cargo cc git redis-server
	cargo build $(QUICK) --workspace --bins
	build/quick/flowtest-bench demo --for $(FOR)

test:
	$(INSTALL) cargo cc git redis-server nginx python3
	cargo build $(QUICK) --workspace --bins
	cargo test $(QUICK) --workspace

# Proptest reads PROPTEST_CASES; our own long tests read FLOWTEST_LONG.
test-long:
	$(INSTALL) cargo cc git redis-server nginx python3
	cargo build $(QUICK) --workspace --bins
	PROPTEST_CASES=20000 FLOWTEST_LONG=1 cargo test $(QUICK) --workspace

bench:
	$(INSTALL) cargo cc git redis-server nginx --optional wrk h2load oha shb statico
	cargo build $(RELEASE) --workspace --bins
	build/release/flowtest-bench compare --pairs $(PAIRS) --for $(EACH) --json build/compare.json

lint:
	$(INSTALL) cargo cc git
	cargo fmt --all --check
	cargo clippy $(QUICK) --workspace --all-targets -- -D warnings
