# The targets below work with GNU make 3.81 (macOS) and later.
#
# BLAS chooses the library for matrix products: auto (the fastest this machine
# can link), openblas, accelerate (macOS) or gonum (pure Go).
BLAS ?= auto

ifeq ($(BLAS),auto)
TAGS = $(shell scripts/blas-tag.sh)
else ifeq ($(BLAS),gonum)
TAGS =
else ifneq ($(filter $(BLAS),openblas accelerate),)
TAGS = $(BLAS)
else
$(error BLAS=$(BLAS) is not known; use auto, openblas, accelerate or gonum)
endif

BIN     = bin/synapnet-train
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS = -X main.version=$(VERSION) -X main.commit=$(COMMIT)

GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# make install puts things under here; DESTDIR is put before it.
PREFIX ?= /usr/local

.PHONY: help setup build install test test-pure test-kernels lint bench bench-kernels demo experiments \
	experiments-strong clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '  make %-18s %s\n' "$$name" "$$text"; done

setup: ## install what a fast build needs and is missing (C compiler, OpenBLAS, Go modules)
	@scripts/setup.sh

# -buildvcs=false: the version is stamped here, and go's own stamping refuses
# clones that belong to another user.
build: ## build bin/synapnet-train with the fastest matrix products available
	@tags="$(TAGS)"; echo "building $(BIN) with $${tags:-pure-Go} matrix products"; \
	go build -buildvcs=false -tags "$$tags" -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/synapnet-train

install: build ## the program, its manual page and completions, under PREFIX (/usr/local)
	@set -e; to="$(DESTDIR)$(PREFIX)"; \
	put() { mkdir -p "$${1%/*}"; cat > "$$1.tmp"; chmod "$$2" "$$1.tmp"; mv "$$1.tmp" "$$1"; echo "$$1"; }; \
	put "$$to/bin/synapnet-train" 755 < $(BIN); \
	$(BIN) man | put "$$to/share/man/man1/synapnet-train.1" 644; \
	$(BIN) completion bash | put "$$to/share/bash-completion/completions/synapnet-train" 644; \
	$(BIN) completion zsh | put "$$to/share/zsh/site-functions/_synapnet-train" 644; \
	$(BIN) completion fish | put "$$to/share/fish/vendor_completions.d/synapnet-train.fish" 644

test: ## run all tests
	@tags="$(TAGS)"; echo "go test -tags '$$tags' ./..."; \
	go test -tags "$$tags" ./...

test-pure: ## run all tests without cgo
	CGO_ENABLED=0 go test ./...

test-kernels: ## run all tests on every set of kernels that this machine can run (OPENBLAS_CORETYPE, SYNAPNET_SIMD, pure Go)
	scripts/test-kernels.sh detected haswell zen skylakex pure-go avx2 go

lint: ## gofmt, go vet, golangci-lint
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | while read -r f; do [ ! -f "$$f" ] || gofmt -l "$$f"; done); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-formatted:"; echo "$$unformatted"; exit 1; fi
	@tags="$(TAGS)"; set -ex; \
	go vet -tags "$$tags" ./...; \
	CGO_ENABLED=0 go vet ./...; \
	go run $(GOLANGCI) run --build-tags "$$tags" ./...; \
	cd examples/outside; go vet -tags "$$tags" ./...; \
	go run $(GOLANGCI) run --build-tags "$$tags" ./...

bench: build ## time training and inference of the reference model
	$(BIN) bench

bench-kernels: ## time the matrix products and vector kernels (go test -bench)
	@tags="$(TAGS)"; set -x; \
	go test -tags "$$tags" -run '^$$' -bench . ./graph/...

demo: build ## a small pretraining, one to three minutes
	$(BIN) pretrain --config configs/demo.toml

PROFILE ?= full

experiments: build ## the paper's tables and figures and the report; PROFILE=quick: small sizes, minutes
	$(BIN) experiments run --profile $(PROFILE)
	$(BIN) experiments report --profile $(PROFILE)

experiments-strong: build ## what a weak base model blurs, again on the one of recipe strong, and its report: results/strong
	$(BIN) experiments run --profile strong
	$(BIN) experiments report --profile strong

clean: ## remove what make built
	rm -rf bin
