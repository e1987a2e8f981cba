#!/usr/bin/env bash
# Installs the Debian packages of a list that are missing; none of them starts a daemon of its own.
# Usage: scripts/packages.sh SUDO LIST (SUDO empty for root)
set -euo pipefail
sudo=$1 list=$2

missing=()
for package in $(sed 's/#.*//' "$list" | xargs); do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
command -v apt-get >/dev/null || { echo "install: this is not Debian; please install: ${missing[*]}" >&2; exit 1; }
echo "Debian packages: ${missing[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
  $sudo chmod +x $policy
  trap '$sudo rm -f $policy' EXIT
fi
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
  "${missing[@]}" >/dev/null
