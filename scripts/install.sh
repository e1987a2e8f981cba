#!/usr/bin/env bash
# Installs what Intercloud needs: the Debian packages of packages.txt that are missing, and Python's in .venv.
# Usage: scripts/install.sh SUDO PYTHON (SUDO empty for root)
set -euo pipefail
sudo=$1 python=$2
cd "$(dirname "$0")/.."

bash scripts/packages.sh "$sudo" packages.txt
# the lab's guests boot Debian's cloud kernel, which is downloaded when their image is built, never installed
apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 ||
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "install: Python 3.11 is needed" >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Python packages: requirements-dev.txt"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
