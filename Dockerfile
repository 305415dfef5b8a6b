FROM node:24-bookworm-slim AS build
WORKDIR /soradns
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.build.json ./
RUN npm ci
COPY src src
RUN npm run build && npm prune --omit=dev

FROM node:24-bookworm-slim
WORKDIR /soradns
COPY --from=build /soradns/package.json ./
COPY --from=build /soradns/node_modules node_modules
COPY --from=build /soradns/dist dist
# A user without a name; the folder of the embedded store is the only place it may write to.
RUN mkdir /data && chown 65532:65532 /data
USER 65532:65532
VOLUME /data
EXPOSE 53/udp 53/tcp
# A real question over UDP, not a look at the process.
HEALTHCHECK --interval=10s --timeout=3s \
  CMD ["node", "/soradns/dist/main.js", "query", "skydns.local", "SOA", "@127.0.0.1:53", "-q"]
ENTRYPOINT ["node", "/soradns/dist/main.js"]
CMD ["serve", "--addr", "0.0.0.0:53", "--store", "file:/data"]
