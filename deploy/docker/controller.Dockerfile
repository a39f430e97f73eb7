# docker build -f deploy/docker/controller.Dockerfile -t entrofleet/controller:0.1.0 .
# For both processors, compiled and packed where the build runs, nothing emulated:
# docker buildx build --platform linux/amd64,linux/arm64 -f deploy/docker/controller.Dockerfile .
FROM --platform=$BUILDPLATFORM node:24-bookworm AS build
# The other processor's compiler.
RUN if [ "$(dpkg --print-architecture)" = amd64 ]; then other=aarch64; else other=x86-64; fi \
  && apt-get update && apt-get install -y --no-install-recommends "g++-$other-linux-gnu"
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
COPY libs/native libs/native
ARG TARGETARCH
RUN sh libs/native/prebuild/cross.sh "$TARGETARCH"
COPY tsconfig.json tsconfig.base.json README.md LICENSE ./
COPY libs libs
COPY apps apps
RUN npx tsc -b
COPY deploy/package deploy/package
RUN sh deploy/package/app.sh controller ../image && mkdir ../data

FROM node:24-bookworm-slim
ENV NODE_ENV=production ENTROFLEET_DATA_DIR=/var/lib/entrofleet HOST=0.0.0.0
WORKDIR /opt/entrofleet
COPY --from=build /opt/image ./
COPY --from=build --chown=1000:1000 /opt/data /var/lib/entrofleet
# As a number, so that Kubernetes can tell that it is not root.
USER 1000:1000
VOLUME ["/var/lib/entrofleet"]
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 8080}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=8", "apps/controller/dist/main.js"]
