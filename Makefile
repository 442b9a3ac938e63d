# One command each, on a fresh machine, alone and in any order. `make help` lists them.
#
# Cargo builds into build/, never into target/: that is a source folder (docs/decisions/0001-build-folder.md).
# .cargo/config.toml says so for commands run in here, and the next line for every command of this file.
export CARGO_TARGET_DIR := $(CURDIR)/build

# `quick` is optimised, fast to link, and keeps assertions. `make demo` and `make test` share its artefacts.
QUICK   := --profile quick --locked
RELEASE := --release --locked
INSTALL := bench/install.sh

# How long the demo and each side of a measured pair run; how many pairs. STAY=--stay keeps the demo's dashboard up.
FOR   ?= 30s
STAY  ?=
EACH  ?= 3s
PAIRS ?= 7

# What the tests of ansible/ need for their pretended machines; without it those tests are skipped, and say so.
MACHINES := sshd sudo nft ethtool chronyd ip systemctl losetup

# How many seconds each fuzzer runs: those of the HTTP reader and those of the journal's.
FUZZ  ?= 120

.PHONY: help demo test test-long fuzz bench screenshots lint release

help:
	@echo 'make demo       the whole product in a box: dashboard, Redis, contestants, generator (FOR=$(FOR) STAY=--stay)'
	@echo 'make test       every test: 12 minutes on two quiet cores once built, 19 with a lint and a build before it'
	@echo 'make test-long  the same properties with far more cases, then the fuzzers (FUZZ=$(FUZZ) seconds each)'
	@echo 'make fuzz       the fuzzers alone: what servers answer, what journals hold (FUZZ=$(FUZZ) seconds each)'
	@echo 'make bench      the limit of this machine, what a close and the rows of a fleet cost, then the comparison with whatever peers can be installed (PAIRS=$(PAIRS) EACH=$(EACH))'
	@echo 'make screenshots  the pictures of README.md, from a real round of a minute'
	@echo 'make release    what contestants get: programs, an image, playbooks and templates, with sums (build/releases)'
	@echo 'make lint       formatting, clippy, links of the documentation and ansible-lint, warnings are errors'

demo:
	$(INSTALL) cargo cc git redis-server
	cargo build $(QUICK) --workspace --bins
	build/quick/flowtest-bench demo --for $(FOR) $(STAY)

# The tests of the playbooks are three suites, so that the cores play them beside one another.
ANSIBLE := $(foreach part,event hosts rest,--also ansible/$(part) 'PART=$(part) ansible/tests/run.sh')

# One build for all suites: `cargo test` builds our programs, too, since tests run them.
test:
	$(INSTALL) cargo cc git redis-server nginx python3 --optional openssl haproxy node chromium chromedriver axe-core $(MACHINES)
	ansible/bootstrap.sh --tests
	bench/run-tests.py $(ANSIBLE) -- $(QUICK)

# Proptest reads PROPTEST_CASES; our own long tests read FLOWTEST_LONG.
test-long:
	$(INSTALL) cargo cc git redis-server nginx python3 --optional openssl haproxy node go chromium certutil chromedriver axe-core $(MACHINES) pebble
	FLOWTEST_LONG=1 ansible/bootstrap.sh --tests
	PROPTEST_CASES=20000 FLOWTEST_LONG=1 bench/run-tests.py $(ANSIBLE) -- $(QUICK)
	$(MAKE) --no-print-directory fuzz

# Fuzzing needs a compiler of its own, which is nobody's duty to have: without it this says so and goes on.
fuzz:
	@if ! cargo +nightly --version >/dev/null 2>&1; then \
	    echo 'fuzz: skipped, there is no nightly compiler (rustup toolchain install nightly)'; \
	elif ! cargo fuzz --version >/dev/null 2>&1; then \
	    echo 'fuzz: skipped, there is no cargo-fuzz (cargo install cargo-fuzz)'; \
	else \
	    set -e; unset CARGO_TARGET_DIR; \
	    for target in loadgen:response loadgen:differential loadgen:tls storage/journal:segment storage/journal:records; do \
	        room=$${target%:*} name=$${target#*:}; \
	        echo "fuzz: $$name of $$room for $(FUZZ) s"; \
	        ( cd $$room; mkdir -p fuzz/corpus/$$name; \
	          cargo +nightly fuzz run --target-dir $(CURDIR)/build/fuzz $$name fuzz/corpus/$$name fuzz/seeds/$$name \
	              -- -max_total_time=$(FUZZ) ); \
	    done; \
	fi

bench:
	$(INSTALL) cargo cc git redis-server nginx --optional wrk h2load openssl oha shb statico
	cargo build $(RELEASE) --workspace --bins
	build/release/flowtest-bench floor --json build/floor.json
	build/release/flowtest-bench close --json build/close.json
	build/release/flowtest-bench scoreboard --json build/scoreboard.json
	build/release/flowtest-bench compare --pairs $(PAIRS) --for $(EACH) --json build/compare.json \
	    --picture build/compare.svg

screenshots:
	$(INSTALL) cargo cc git redis-server python3 chromium chromedriver
	cargo build $(QUICK) --workspace --bins
	bench/screenshots.py

release:
	$(INSTALL) cargo cc git python3
	bench/release.py

lint:
	$(INSTALL) cargo cc git
	@for tool in rustfmt:fmt clippy:clippy; do \
	    cargo $${tool#*:} --version >/dev/null 2>&1 || { \
	        echo "lint: there is no $${tool%:*}; get it with: rustup component add $${tool%:*}" \
	             "(without rustup: the package $${tool%:*} of this system)" >&2; exit 1; }; \
	done
	cargo fmt --all --check
	cargo clippy $(QUICK) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(QUICK) --no-deps --workspace
	ansible/bootstrap.sh --tests
	cd ansible && ANSIBLE_INVENTORY=inventory/hosts.example.yml PATH="$(CURDIR)/build/ansible/bin:$$PATH" ansible-lint -q
