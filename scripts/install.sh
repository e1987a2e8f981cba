#!/usr/bin/env bash
# Installs what Intercloud needs: the Debian packages of packages.txt that are missing, and Python's in .venv.
# Usage: scripts/install.sh SUDO PYTHON (SUDO empty for root)
set -euo pipefail
sudo=$1 python=$2
cd "$(dirname "$0")/.."

wanted=$(sed 's/#.*//' packages.txt | xargs)
missing=()
for package in $wanted; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
command -v apt-get >/dev/null || { echo "install: this is not Debian; please install: ${missing[*]}" >&2; exit 1; }
# the lab's guests boot Debian's cloud kernel, which is downloaded when their image is built, never installed
if [ "${#missing[@]}" -gt 0 ] || ! apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; then
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
fi
if [ "${#missing[@]}" -gt 0 ]; then
  echo "Debian packages: ${missing[*]}"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
    "${missing[@]}" >/dev/null
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "install: Python 3.11 is needed" >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Python packages: requirements-dev.txt"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
