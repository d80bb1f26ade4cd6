# The kube-vrrp image: Node, the emitted JavaScript, its production dependencies, and nothing else: no shell, no package
# manager. Builds for linux/amd64 and linux/arm64.
#   docker build -t kube-vrrp:0.1.0 .
# NODE_IMAGE is any glibc image with Node 24 and its headers under /usr/local; pin it by digest to get the same layers
# again. images/build.sh does that where nothing can be pulled.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
ENV DEBIAN_FRONTEND=noninteractive
# They compile raw-socket.
RUN for program in python3 make g++; do command -v "$program" || missing=1; done > /dev/null; \
    if [ -n "${missing:-}" ]; then \
      apt-get update -q && apt-get install -q --yes --no-install-recommends python3 make g++; \
    fi
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Against the headers of the Node that will run it, not those that .npmrc names for development.
RUN npm_config_nodedir=/usr/local npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY images/stage.sh images/
RUN npm run build && npm prune --omit=dev && sh images/stage.sh /image

FROM scratch
# Before everything else: a label on an empty image makes the classic builder forget the platform that was asked for.
COPY --from=build /image/ /
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="kube-vrrp" \
      org.opencontainers.image.description="A virtual IP and an API server proxy for kubeadm control planes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# Each of glibc's arenas keeps freed memory of its own: two are enough for what Node does outside its own heap.
ENV PATH=/usr/local/bin:/usr/bin NODE_ENV=production MALLOC_ARENA_MAX=2
WORKDIR /app
# kubelet, and whoever runs the image by hand, end it by SIGTERM: the VIP is handed over first.
STOPSIGNAL SIGTERM
ENTRYPOINT ["kube-vrrp"]
CMD ["run"]
