# make help lists the targets.

GO      ?= go
DOCKER  ?= docker
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE   ?= haproxyd:$(VERSION)
FUZZTIME ?= 10s

STATICCHECK   = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI_LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The long seeded simulations of the register and of evictions run by themselves, without the race
# detector: that makes them several times as long, and they have one goroutine.
SIMULATION     = ^Test(Simulation|Mutations)
SIMULATION_PKG = ./cluster/... ./control/evict/sim
# One package at a time: some start a Galera of their own, others measure time.
# Everything but the scenarios, which need root and the packages of install-deps.sh.
UNIT = $$($(GO) list ./... | grep -v /e2e)

.DEFAULT_GOAL := help
.NOTPARALLEL:
PERCONA_IMAGE ?= percona-haproxy:$(VERSION)
SBOM_TOOL = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0

.PHONY: help build test mysql mariadb test-unit test-simulation soak mutants test-manifests test-e2e e2e e2e-clock e2e-web e2e-k8s demo bench flood rejoin soak-evict soak-evict-model lint fuzz docker docker-percona docker-test sbom clean go root deps

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: go ## static binaries haproxyd and haproxyctl, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/haproxyd ./cmd/haproxyctl

test: root deps go test-unit test-simulation test-manifests test-e2e ## install what is missing; vet, unit tests, simulation, manifests, core scenarios

test-unit: go ## go vet, and the unit tests with the race detector
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -p 1 -timeout 15m -skip '$(SIMULATION)' $(UNIT)

test-simulation: go ## the seeded simulations: of the register, 100,000 operations and more, and of evictions, 3,000 histories
	@$(GO) test -list '$(SIMULATION)' $(SIMULATION_PKG) | grep -q '^Test' || { echo "make: no test is named $(SIMULATION)" >&2; exit 1; }
	$(GO) test -count=1 -v -timeout 20m -run '$(SIMULATION)' $(SIMULATION_PKG)

# SOAK_TIME=2h ends it, SOAK_JOBS=1 plays one seed at a time, SOAK_FIRST=N begins at a seed.
soak: go ## the register's simulation with new seeds until it is stopped (Ctrl-C), on every processor
	@SOAK=1 $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' ./cluster/register

# MUTANTS=REGEXP takes some of them, MUTANTS_JOBS=1 one at a time.
MUTANTS ?= .
mutants: go ## break each rule of the register's DESIGN.md in turn: the test named for it must fail (20 min)
	@MUTANTS='$(MUTANTS)' $(GO) test -count=1 -v -timeout 0 -run '^TestMutants' ./cluster/register

# A module of its own, for what Kubernetes' types and kustomize bring with them.
test-manifests: go ## the Kubernetes manifests, alerts and dashboard, the API's description, and the tests of what makes the clusters
	@[ "$$(id -u)" != 0 ] || e2e/install-deps.sh manifests
	cd e2e/k8s && $(GO) test -count=1 -timeout 20m ./...
	cd e2e/web && $(GO) test -count=1 -run '^TestDescription$$' ./...

mysql: ## a MySQL server for the tests of control/galera, unpacked into the user's cache, not installed
	e2e/mysql-server.sh

mariadb: ## a MariaDB 11 with Galera for the tests of control/galera/grants, unpacked into the cache (root: /var/cache), not installed
	e2e/mariadb-server.sh

test-e2e: root deps build ## the core scenarios on a real Galera cluster and real HAProxies (root)
	$(GO) test -count=1 -p 1 -v -timeout 30m ./e2e/...

soak-evict-model: go ## the simulation of evictions, 100,000 histories (15 min on two processors); SOAK_FIRST=N begins at a seed
	SOAK=1 $(GO) test -count=1 -v -timeout 0 -run '^TestSimulation$$' ./control/evict/sim

e2e: root deps build ## every scenario (root)
	e2e/install-deps.sh e2e
	E2E_FULL=1 $(GO) test -count=1 -p 1 -v -timeout 90m -run . ./e2e/...

# A module of its own, for what a browser brings with it. E2E_WEB_OUT is a folder for the pictures.
e2e-web: root deps build ## the page in a real browser, through a failover, a move and a loss of majority, and the API's answers (root)
	e2e/install-deps.sh e2e
	cd e2e/web && $(GO) test -count=1 -v -timeout 15m ./...

e2e-clock: root deps build ## the machine's clock set by an hour both ways under load, and restored (root; nothing else should run meanwhile)
	E2E_CLOCK=1 $(GO) test -count=1 -p 1 -v -timeout 20m -run '^TestClockSteps$$' ./e2e

# KUBECONFIG=FILE takes an existing cluster; K8S_CLUSTER=native|kind (KIND_NODE_IMAGE) says which one is made. RUN is
# a -run filter, E2E_K8S_CHAOS the length of the random part, E2E_K8S_OUT the folder of figures.md and timeline.svg,
# KEEP=1 leaves the cluster up.
RUN ?= .
e2e-k8s: go ## a Kubernetes cluster broken under load (root; the first time 12 min more, to build Kubernetes)
	@[ -n "$(KUBECONFIG)" ] || [ "$$(id -u)" = 0 ] || { echo "make: this needs root, for a cluster of this machine's namespaces; KUBECONFIG=FILE takes an existing one" >&2; exit 1; }
	@[ -n "$(KUBECONFIG)" ] || e2e/install-deps.sh k8s
	@[ -n "$(KUBECONFIG)" ] || { cd e2e/k8s && echo "binaries of Kubernetes: about 12 min on two idle processors, once; then they are in the cache" && $(GO) run ./cmd/k8slab build; }
	cd e2e/k8s && CGO_ENABLED=0 E2E_K8S=1 $(GO) test ./suite -count=1 -v -timeout 120m -run '$(RUN)'

demo: root deps build ## the whole thing with a client load, narrated; KEEP=1 leaves it up (root)
	KEEP="$(KEEP)" $(GO) run ./e2e/demo

bench: root deps build ## the numbers of the README (root)
	$(GO) run ./e2e/bench
	$(GO) test ./cmd/haproxyctl -run '^$$' -bench BenchmarkCheck -benchtime 200x

flood: root deps build ## attacks on one of three daemons under load, and what came of each; FLOOD="-for 30s -only HTTP" (root)
	$(GO) run ./e2e/flood $(FLOOD)

rejoin: root deps build ## the active dies, comes back and makes the new active a donor, 10 times in each of 16 combinations (2 h); REJOIN="-rejoins 3 -only rsync" (root)
	$(GO) run ./e2e/rejoin $(REJOIN)

soak-evict: root deps build ## databases killed, hung and cut off, and live ones behind firewalls: who is evicted, and who is not (6 h); SOAK_EVICT="-rounds 3 -only wall*" (root)
	$(GO) run ./e2e/evict $(SOAK_EVICT)

lint: go ## gofmt, go vet, staticcheck, golangci-lint, govulncheck
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$($(GO) list -f '{{.Dir}}' ./...) e2e/k8s e2e/web) && \
	  [ -z "$$files" ] || { echo "gofmt -w is wanted by:"; echo "$$files"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...
	$(GOLANGCI_LINT) run ./...
	for module in e2e/k8s e2e/web; do (cd $$module && $(GO) vet ./... && $(STATICCHECK) ./... && $(GOLANGCI_LINT) run ./...) || exit 1; done
	@echo '$(GOVULNCHECK) ./...'; \
	  out=$$($(GOVULNCHECK) ./... 2>&1); rc=$$?; echo "$$out"; \
	  if [ $$rc = 1 ] && echo "$$out" | grep -qE 'fetching vulnerabilities: .*(dial tcp|no such host|connection refused|timeout|proxyconnect)'; then \
	    echo "lint: known vulnerabilities were NOT checked: the database cannot be reached from this network"; \
	  else exit $$rc; fi

fuzz: go ## each fuzz target for FUZZTIME (10s)
	@$(GO) list ./... | while read -r pkg; do \
	  $(GO) test -list '^Fuzz' "$$pkg" | grep '^Fuzz' | while read -r target; do \
	    echo "$$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$pkg" </dev/null || exit 1; \
	  done || exit 1; \
	done

docker: ## the image (where no registry can be reached: e2e/docker-bases.sh first)
	$(DOCKER) build --target haproxyd --build-arg VERSION="$(VERSION)" -t "$(IMAGE)" .

docker-percona: ## Percona's HAProxy image with the binaries and our list of nodes; BASE=image:tag is another base
	$(DOCKER) build --target percona-haproxy $(if $(BASE),--build-arg BASE="$(BASE)") --build-arg VERSION="$(VERSION)" -t "$(PERCONA_IMAGE)" .

sbom: build ## what bin/haproxyd is made of, as CycloneDX JSON on stdout (the image has it in /usr/share/doc/haproxyd)
	@$(GO) run $(SBOM_TOOL) bin -json -noserial -std -version "$(VERSION)" bin/haproxyd

docker-test: go ## build both images, start each, read-only and without root, take them away again
	e2e/install-deps.sh docker
	e2e/docker-test.sh

clean: ## remove what make build made
	rm -rf bin

root:
	@[ "$$(id -u)" = 0 ] || { echo "make: this needs root, for network namespaces and Debian's packages; without it: make test-unit test-simulation" >&2; exit 1; }

deps:
	@e2e/install-deps.sh

# A Go that is older than go.mod's "go" line fetches the right one by itself,
# where it may (GOTOOLCHAIN); go 1.20 and before cannot even read that line.
go:
	@command -v $(GO) >/dev/null || { echo "make: Go 1.26 or newer is needed and there is no '$(GO)' in PATH: see https://go.dev/doc/install" >&2; exit 1; }
	@$(GO) list -m >/dev/null || { echo "make: Go 1.26 or newer is needed, this is $$($(GO) env GOVERSION): see https://go.dev/doc/install" >&2; exit 1; }
