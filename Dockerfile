# soradns: the server, the registrar and the command line.
#
#   docker build -t soradns .
#   docker run --rm soradns --help
#
# For linux/amd64 and linux/arm64: npm chooses the prebuilt binaries of the platform, so nothing is compiled.
# The version of Node is exact, because CI tests this version.

FROM node:26.12.1-trixie-slim AS build
WORKDIR /soradns
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
# Keeps only what the packages need to run: no tools, sources, types or documents, and only prebuilt binaries for Node-API
# and glibc.
RUN npm run build -- --sourceMap false && chmod +x dist/main.js \
 && npm prune --omit=dev \
 && find node_modules -type f \( -name '*.ts' -o -name '*.cts' -o -name '*.mts' -o -name '*.map' -o -name '*.md' \
      -o -name '*.c' -o -name '*.cc' -o -name '*.cpp' -o -name '*.h' -o -name '*.hh' -o -name '*.hpp' \
      -o -name '*.abi*.node' -o -name '*.musl.node' -o -path '*/musl_*.node' \) ! -iname 'licen*' -exec rm {} +

FROM node:26.12.1-trixie-slim
# For `--ambassador` (4 MB): the library writes the kernel's tables, and iptables the one rule in Docker's chain DOCKER-USER.
RUN apt-get update && apt-get install -y --no-install-recommends libnftables1 iptables && rm -rf /var/lib/apt/lists/*
COPY --from=build /soradns/node_modules /soradns/node_modules
COPY --from=build /soradns/dist /soradns/dist
COPY package.json LICENSE /soradns/
# The only folders that soradns writes to: the embedded store, and the socket of `soradns dockerproxy`. The group may write
# too, so that root without capabilities can (`--user 0:65532`).
RUN ln -s /soradns/dist/main.js /usr/local/bin/soradns \
 && mkdir -p /var/lib/soradns /run/soradns \
 && chown 65532:65532 /var/lib/soradns /run/soradns && chmod 0770 /var/lib/soradns /run/soradns
ENV NODE_ENV=production XDG_STATE_HOME=/var/lib
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="soradns" \
      org.opencontainers.image.description="DNS for finding containers across hosts" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/node:26.12.1-trixie-slim"
USER 65532:65532
VOLUME /var/lib/soradns
# No EXPOSE: a container that is linked to `soradns ambassador` would get port 53 as the first port of its link.
# Queries the addresses on which the server actually listens, for any options.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "/soradns/dist/health.js"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/soradns/dist/main.js"]
CMD ["serve", "--addr", "0.0.0.0:53"]
