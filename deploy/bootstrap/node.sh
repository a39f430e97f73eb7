#!/bin/sh
# Makes sure of Node >= 22.12 with npm: the one on PATH, else Node 24 and a matching npm from the npm
# registry, unpacked into .cache/node. Nothing outside of the checkout changes.
set -eu
. "$(dirname -- "$0")/report.sh"
. "$(dirname -- "$0")/package.sh"

NODE_VERSION=24.21.0
NPM_VERSION=11.21.2
NPM_SHA512=ec73c0a64f807e53146af4ac78bd4f9ba0a762a3081e4e77c7e2a6ba1aa64c3a8f9233cc8312294cf713aac13dd4428dc3880504957d7e75e249d1a6d435eaf4

new_enough() {
  command -v npm >/dev/null 2>&1 && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 22 || (major === 22 && minor >= 12) ? 0 : 1)' 2>/dev/null
}

if new_enough; then exit 0; fi

case $(uname -s)-$(uname -m) in
  Linux-x86_64)
    platform=linux-x64
    sha512=de750bb336795f47dc898a46d2de93add029273027f3e16520d3fa3a2317ed5f07aefa404cf37ddfa5352e545e389ae22d16b87bcc84a900580a72f23cd02ced
    ;;
  Linux-aarch64)
    platform=linux-arm64
    sha512=1692513c4cf63afbd32df8c83a5346158f492cf30a825e66f9de2819804b836e242759a6bcdd5997f1cf2601781c3689e752127afd65d5c459fc333e91e5d6e6
    ;;
  *) fail "no Node >= 22.12 on PATH, and none to fetch for $(uname -s) on $(uname -m); install one" ;;
esac

found=$(node --version 2>/dev/null || echo none)
say "Node >= 22.12 with npm is needed, found $found: fetching Node $NODE_VERSION into .cache/node"
if ! command -v npm >/dev/null && ! command -v curl >/dev/null && ! command -v wget >/dev/null; then
  sh "$(dirname -- "$0")/system-packages.sh" curl=curl ca-certificates=
fi
fetch_package "node-$platform" "$NODE_VERSION" "$sha512" "$CACHE/node" ||
  fail "Node could not be fetched; install Node >= 22.12 yourself, then run make again"
fetch_package npm "$NPM_VERSION" "$NPM_SHA512" "$CACHE/node/npm" ||
  fail "npm could not be fetched; install Node >= 22.12 yourself, then run make again"
ln -sf ../npm/bin/npm-cli.js "$CACHE/node/bin/npm"
ln -sf ../npm/bin/npx-cli.js "$CACHE/node/bin/npx"
chmod +x "$CACHE/node/bin/node" "$CACHE/node/npm/bin/npm-cli.js" "$CACHE/node/npm/bin/npx-cli.js"
hash -r
new_enough || fail "the fetched Node does not run: $("$CACHE/node/bin/node" --version 2>&1 | head -n 1)"
