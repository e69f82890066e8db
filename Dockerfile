# haproxyd and haproxyctl, static, on an empty image.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t haproxyd .
#   docker run --read-only -v haproxyd:/var/lib/haproxyd ... haproxyd --haproxy-cfg /etc/haproxy/haproxy.cfg
#
# It builds with BuildKit and with the classic builder alike: no syntax line to
# fetch, no cache mounts, no platform arguments that the classic one lacks.
# Where no registry can be reached, e2e/docker-bases.sh makes GO_IMAGE locally.

ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
ARG GOPROXY
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local

# The modules are a layer of their own: it stays until go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=dev
RUN mkdir /out \
 && go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" \
      -o /out/ ./cmd/haproxyd ./cmd/haproxyctl

# An empty image has no mkdir: the folder that is copied there twice, with its owner.
RUN mkdir /empty

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="haproxyd" \
      org.opencontainers.image.description="Keeps every HAProxy in front of a Galera cluster on one agreed active node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# What the daemon writes. New volumes take their owner from here.
COPY --from=build --chown=65532:65532 /empty/ /var/lib/haproxyd/
COPY --from=build --chown=65532:65532 /empty/ /run/haproxyd/
COPY --from=build /out/haproxyd /out/haproxyctl /usr/local/bin/
COPY LICENSE /usr/share/doc/haproxyd/LICENSE

# The only places that are written, so the rest may be read-only. The first holds
# the voter's vote: give it a volume that outlives the container, because a lost
# one makes a new voter, which the others have to admit.
VOLUME ["/var/lib/haproxyd", "/run/haproxyd"]

# A number, so that Kubernetes' runAsNonRoot can see that it is not root. Run it
# as HAProxy's own user or group instead (--user) where its socket asks for that.
USER 65532:65532
ENV PATH=/usr/local/bin
EXPOSE 7946/tcp 7946/udp 9102/tcp
ENTRYPOINT ["haproxyd"]
