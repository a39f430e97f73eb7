# shellcheck shell=sh
# Sourced after report.sh: fetches one npm package without installing it.

# fetch_package NAME VERSION SHA512 FOLDER unpacks the package's tarball into FOLDER, unless that
# was done before. Nothing of the package is run. The tarball must have the given SHA-512.
fetch_package() {
  if [ -e "$4/.complete-$2" ]; then return 0; fi
  tarballs=$CACHE/tarballs
  mkdir -p "$tarballs"
  base=$(printf '%s' "$1" | sed 's/^@//; s,/,-,g')
  tarball=$tarballs/$base-$2.tgz
  if ! has_sha512 "$tarball" "$3"; then
    rm -f "$tarball"
    download "$1" "$2" "$tarball" || return 1
    if ! has_sha512 "$tarball" "$3"; then
      rm -f "$tarball"
      say "$1@$2 does not have the SHA-512 that is pinned for it; it was thrown away"
      return 1
    fi
  fi
  rm -rf "$4" "$4.partial"
  mkdir -p "$4.partial"
  tar -xzf "$tarball" -C "$4.partial" --strip-components=1 --no-same-owner || return 1
  : >"$4.partial/.complete-$2"
  mv "$4.partial" "$4"
  rm -f "$tarball"
}

has_sha512() {
  [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha512sum --check --status
}

# npm honours a registry and a proxy that the user has set up; without npm, the public registry.
download() {
  if command -v npm >/dev/null 2>&1; then
    (cd "$CACHE/tarballs" && npm pack --silent --ignore-scripts --fetch-retries=1 "$1@$2") \
      >"$LOGS/download.log" 2>&1 </dev/null && [ -f "$3" ] && return 0
  fi
  url=https://registry.npmjs.org/$1/-/${1##*/}-$2.tgz
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --retry 3 --output "$3" "$url" \
      >>"$LOGS/download.log" 2>&1 && return 0
  elif command -v wget >/dev/null 2>&1; then
    wget --quiet --output-document="$3" "$url" >>"$LOGS/download.log" 2>&1 && return 0
  fi
  tail -n 5 "$LOGS/download.log" >&2
  say "$1@$2 could not be fetched from the npm registry; check the network (npm ping)"
  return 1
}
