# make demo       the working day of the platform on a lab host, with the real tools
# make build      the five programs, optimised
# make check      formatting, lints, documentation, forbidden words
# make test       all that CI runs, with the minutes of each stage; `make test STAGES="db bridge"` for some of it
# make test-long  the same with big numbers
# make bench      the tools beside their peers; status 1 when a stated ratio is missed
# make install    the five programs with man pages and completions, under PREFIX (~/.local); packagers set DESTDIR as well
# make lab        a lab that stays, for a person; make lab-down ends it

PREFIX ?= $(HOME)/.local
TOOLS = ops-bridge ops-db ops-deploy ops-matrix ops-secrets
BUILT = $(or $(CARGO_TARGET_DIR),target)/release
LAB_HOSTS = ops-jrz1:platform ops-2:plain

.PHONY: demo build check test test-long bench install lab lab-down
.SILENT:

# Each recipe becomes what it starts, and that ends with make: nothing survives a make that was killed.
bound = exec tests/bound.sh

demo:
	$(bound) tests/demo/run.sh

build:
	cargo build --release --workspace --bins

check:
	$(bound) tests/check.sh

test:
	$(bound) tests/test.sh $(STAGES)

test-long:
	OPS_TEST_LONG=1 $(bound) tests/test.sh $(STAGES)

bench:
	$(bound) tests/bench.sh

install: build
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -t "$(DESTDIR)$(PREFIX)/bin" $(TOOLS:%=$(BUILT)/%)
	$(BUILT)/ops-manual "$(DESTDIR)$(PREFIX)/share"

lab:
	tests/setup.sh
	cargo build --quiet -p ops-tests --bin ops-lab
	target/debug/ops-lab up $(LAB_HOSTS)

lab-down:
	target/debug/ops-lab down
