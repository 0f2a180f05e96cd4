# What can be made; "make" alone lists it.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFLAGS  += -trimpath
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 1m
BENCH    ?= .
COUNT    ?= 1
KILLS    ?= 100
MINUTES  ?= 30
DEMO     ?=

export VERSION

.DEFAULT_GOAL := help
.PHONY: help build demo test lint fuzz bench microbench licenses brokers chaos soak cover clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the static binary bin/thingbridge
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o bin/thingbridge ./cmd/thingbridge

demo: build ## broker, platform, devices and bridge in one process; nothing to install
	bin/thingbridge demo $(DEMO)

test: ## everything that proves the program, in less than ten minutes
	@.ci/test

lint: ## gofmt, go vet, staticcheck, govulncheck
	@.ci/lint

fuzz: ## every fuzz target for FUZZTIME (1m)
	@.ci/fuzz each $(FUZZTIME)

bench: ## calls, values, cold starts, memory beside their limits: one table; FULL=1 for all of it
	go run ./integration/bench $(if $(FULL),-full)

microbench: ## Go benchmarks of the packages, BENCH=regexp, COUNT=6 of each, summed up by benchstat
	@mkdir -p bin/tools
	go build -C .ci/tools -o $(CURDIR)/bin/tools/benchstat golang.org/x/perf/cmd/benchstat
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(filter-out %/integration/bench,$(shell go list ./...)) > bin/microbench.txt || (cat bin/microbench.txt; exit 1)
	bin/tools/benchstat bin/microbench.txt

licenses: ## the licences of all dependencies, into docs/licenses.md
	deployments/licenses/licenses.sh list > docs/licenses.md

brokers: ## try each broker that is installed against docs/brokers.md
	BROKERS=all go test -count=1 -timeout 20m -v -run '^TestBrokers$$' ./integration

chaos: ## crash test: KILLS (100) times kill -9, cuts and stops, then counts what is lost
	CHAOS_KILLS=$(KILLS) go test -count=1 -timeout 3h -v -run '^TestChaos' ./integration/...

soak: ## steady load for MINUTES (30) with reconnects of both sides: memory, goroutines, handles must be flat
	SOAK_MINUTES=$(MINUTES) go test -count=1 -timeout $$(($(MINUTES) + 10))m -v -run '^TestSoak' ./integration

cover: ## coverage of the tests in bin/cover.html
	@mkdir -p bin
	go test -coverpkg=./... -coverprofile=bin/cover.out ./...
	go tool cover -func=bin/cover.out | tail -1
	go tool cover -html=bin/cover.out -o bin/cover.html

clean: ## remove what was made
	rm -rf bin dist
