#!/usr/bin/env bash
# Installs what the testbed needs beside scripts/install.sh: Debian packages, and the services in .venv-openstack.
# Usage: testbed/install.sh SUDO PYTHON (SUDO empty for root)
set -euo pipefail
sudo=$1 python=$2
cd "$(dirname "$0")/.."

missing=()
for package in $(sed 's/#.*//' testbed/packages.txt | xargs); do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "Debian packages: ${missing[*]}"
  # none of these shall start a daemon of its own
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod +x $policy
    trap '$sudo rm -f $policy' EXIT
  fi
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
    "${missing[@]}" >/dev/null
fi

[ -x .venv-openstack/bin/python ] || "$python" -m venv .venv-openstack
echo "Python packages: testbed/requirements.txt"
.venv-openstack/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary \
  -r testbed/requirements.txt -c testbed/constraints.txt
# the clients' side of libvirt, for moves that reach the hypervisors
.venv/bin/python -m pip install --quiet --disable-pip-version-check libvirt-python==9.0.0
