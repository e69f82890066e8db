# Two images by target:
#
#   haproxyd         both static binaries on an empty image; the default
#   percona-haproxy  Percona's HAProxy image with the binaries, and with its script
#                    that lists the database nodes replaced
#
#   docker build --target haproxyd --build-arg VERSION="$(git describe --tags --always)" -t haproxyd .
#   haproxyctl gossip-key --out gossip-key && chown 65532 gossip-key   (the image's user; once, the same on every host)
#   docker run --read-only -v haproxyd:/var/lib/haproxyd -v "$PWD/gossip-key:/gossip-key:ro" ... \
#     haproxyd --haproxy-cfg /etc/haproxy/haproxy.cfg --gossip-key-file /gossip-key
#
# It builds with BuildKit and with the classic builder alike: no syntax line to
# fetch, no cache mounts, no platform arguments that the classic one lacks. The
# classic one makes every stage before the wanted one, so name haproxyd there: it
# comes first and needs no base.
# Where no registry can be reached, e2e/docker-bases.sh makes the bases locally.

ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE=docker.io/percona/haproxy:2.8.15

FROM ${GO_IMAGE} AS build
ARG GOPROXY
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local

# Layers of their own, which stay: the tool that lists what is in a binary, and
# the modules until go.mod or go.sum changes.
ARG SBOM_TOOL=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
RUN GOBIN=/tools go install -trimpath "${SBOM_TOOL}"
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=dev
# What the images get, whole, with times that are always the same: a layer's digest
# depends on nothing but its files then. /state is what the daemon owns. One step,
# because some storage drivers give a folder of an earlier one its old time back.
ARG SOURCE_DATE_EPOCH=0
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" \
      -o /rootfs/usr/local/bin/ ./cmd/haproxyd ./cmd/haproxyctl \
 && mkdir -p /rootfs/usr/share/doc/haproxyd /rootfs/var/lib /rootfs/run /state/var/lib/haproxyd /state/run/haproxyd \
 && cp LICENSE /rootfs/usr/share/doc/haproxyd/ \
 && for b in haproxyd haproxyctl; do \
      /tools/cyclonedx-gomod bin -json -noserial -std -version "${VERSION}" \
        -output "/rootfs/usr/share/doc/haproxyd/$b.sbom.json" "/rootfs/usr/local/bin/$b" || exit 1; \
    done \
 && mv /rootfs/usr/share/doc/haproxyd/haproxyd.sbom.json /rootfs/usr/share/doc/haproxyd/sbom.json \
 && sed -i '/"timestamp":/d' /rootfs/usr/share/doc/haproxyd/*.json \
 && find /rootfs /state -exec touch -h -d "@${SOURCE_DATE_EPOCH}" {} +

FROM scratch AS haproxyd
ARG VERSION=dev
LABEL org.opencontainers.image.title="haproxyd" \
      org.opencontainers.image.description="Keeps every HAProxy in front of a Galera cluster on one agreed active node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# What the daemon writes. New volumes take their owner from here. The folders above
# get root back from the second line.
COPY --from=build --chown=65532:65532 /state/ /
COPY --from=build /rootfs/ /

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

FROM ${BASE} AS percona-haproxy
ARG VERSION=dev
LABEL org.opencontainers.image.title="percona-haproxy with haproxyd" \
      org.opencontainers.image.description="Percona's HAProxy image whose nodes are listed by haproxyctl: stable ids, agreed active first, no reload on a readiness flap" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /rootfs/usr/ /usr/
# The base keeps its user, its entrypoint and its checks. Its two files of before the
# first list are replaced with the script: haproxyctl writes all of haproxy.cfg.
COPY configs/percona/add_pxc_nodes.sh /usr/bin/add_pxc_nodes.sh
COPY configs/percona/haproxy-global.cfg configs/percona/haproxy.cfg /etc/haproxy/

FROM haproxyd
