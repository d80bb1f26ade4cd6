# The kube-vrrp image: Node, the emitted JavaScript, its production dependencies, and nothing else: no shell, no package
# manager. Builds for linux/amd64 and linux/arm64.
#   bash images/build.sh
# labels it with the version and the commit too, and makes a NODE_IMAGE where none can be pulled. That is a Debian with
# Node 24, its headers and its license under /usr/local. For the same layers at any time, name one by digest that has
# python3, make and g++ (node:24.21.0-bookworm): others get the compiler that Debian has on the day of the build.
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
COPY tsconfig.json tsconfig.build.json LICENSE ./
COPY src src
COPY images/stage.sh images/
RUN npm run build && npm prune --omit=dev && sh images/stage.sh /image

FROM scratch
# Before everything else: a label on an empty image makes the classic builder forget the platform that was asked for.
COPY --from=build /image/ /
LABEL org.opencontainers.image.title="kube-vrrp" \
      org.opencontainers.image.description="A virtual IP and an API server proxy for kubeadm control planes" \
      org.opencontainers.image.licenses="Apache-2.0"
# Each of glibc's arenas keeps freed memory of its own: two are enough for what Node does outside its own heap.
ENV PATH=/usr/local/bin:/usr/bin NODE_ENV=production MALLOC_ARENA_MAX=2
WORKDIR /app
# kubelet, and whoever runs the image by hand, end it by SIGTERM: the VIP is handed over first.
STOPSIGNAL SIGTERM
ENTRYPOINT ["kube-vrrp"]
CMD ["run"]
