#!/usr/bin/env bash
# Installs what the project needs: Debian packages (listed in packages.txt) and a
# Python environment with pinned versions. Usage: setup.sh VENV
set -euo pipefail
venv=$1
here=$(cd "$(dirname "$0")" && pwd)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
  local package
  while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      echo "$package"
  done <"$here/packages.txt"
}

has_candidate() {
  apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

install_packages() {
  as_root apt-get update -q
  # LLVM 22 is in Debian 12's security archive, which a minimal system may lack.
  if ! has_candidate libmlir-22-dev; then
    echo 'deb http://deb.debian.org/debian-security bookworm-security main' |
      as_root tee /etc/apt/sources.list.d/spikequant-bookworm-security.list >/dev/null
    as_root apt-get update -q
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
    --no-install-recommends "$@"
}

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${#missing[@]} Debian packages"
  install_packages "${missing[@]}"
fi

# Debian's own Python: other interpreters on the PATH may lack wheels.
[ -x "$venv/bin/pip" ] || /usr/bin/python3 -m venv "$venv"
# The list is closed: every dependency is pinned in it.
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps \
  -r "$here/../../python/requirements.txt"
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps \
  --no-build-isolation -e "$here/../../python"
