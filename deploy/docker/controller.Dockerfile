# docker build -f deploy/docker/controller.Dockerfile -t entrofleet/controller:0.1.0 .
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
COPY tsconfig.json tsconfig.base.json ./
COPY libs libs
COPY apps apps
RUN make -C libs/native -j"$(nproc)" && npx tsc -b
# What the running program needs, and nothing else.
RUN npm ci --omit=dev --workspace=@entrofleet/controller --include-workspace-root=false \
  && mkdir -p /out \
  && find libs apps/controller -type d \( -name dist -o -name migrations \) -not -path '*/node_modules/*' \
    -exec cp -r --parents {} /out \; \
  && find libs apps/controller -maxdepth 2 -name package.json -exec cp --parents {} /out \; \
  && cp --parents libs/native/build/linux-*/entrofleet.node /out \
  && cp -r package.json node_modules /out/ \
  && if [ -d apps/controller/node_modules ]; then cp -r --parents apps/controller/node_modules /out; fi

FROM node:24-bookworm-slim
ENV NODE_ENV=production ENTROFLEET_DATA_DIR=/var/lib/entrofleet HOST=0.0.0.0
WORKDIR /opt/entrofleet
COPY --from=build /out ./
RUN install -d -o node -g node "$ENTROFLEET_DATA_DIR"
USER node
VOLUME ["/var/lib/entrofleet"]
EXPOSE 8080
ENTRYPOINT ["node", "--max-semi-space-size=8", "apps/controller/dist/main.js"]
