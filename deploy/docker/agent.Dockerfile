# docker build -f deploy/docker/agent.Dockerfile -t entrofleet/agent:0.1.0 .
FROM node:24-bookworm AS build
WORKDIR /opt/entrofleet
COPY package.json package-lock.json .npmrc ./
COPY libs/protocol/package.json libs/protocol/
COPY libs/native/package.json libs/native/
COPY libs/codec/package.json libs/codec/
COPY libs/artifact/package.json libs/artifact/
COPY libs/engine/package.json libs/engine/
COPY libs/calibration/package.json libs/calibration/
COPY libs/client/package.json libs/client/
COPY libs/distribution/package.json libs/distribution/
COPY apps/controller/package.json apps/controller/
COPY apps/agent/package.json apps/agent/
COPY apps/cli/package.json apps/cli/
RUN npm ci
COPY tsconfig.json tsconfig.base.json README.md LICENSE ./
COPY deploy/package deploy/package
COPY deploy/systemd deploy/systemd
COPY libs libs
COPY apps apps
RUN make -C libs/native -j"$(nproc)" prebuild-one && npx tsc -b && sh deploy/package/agent.sh /out

FROM node:24-bookworm-slim
ENV NODE_ENV=production ENTROFLEET_DATA_DIR=/var/lib/entrofleet-agent HOST=0.0.0.0
WORKDIR /opt/entrofleet
COPY --from=build /out ./
RUN install -d -o node -g node "$ENTROFLEET_DATA_DIR"
USER node
VOLUME ["/var/lib/entrofleet-agent"]
EXPOSE 8081
ENTRYPOINT ["node", "apps/agent/dist/main.js"]
