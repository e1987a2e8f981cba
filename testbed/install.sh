#!/usr/bin/env bash
# Installs what the testbed needs beside scripts/install.sh: Debian packages, and the services in .venv-openstack.
# Usage: testbed/install.sh SUDO PYTHON (SUDO empty for root)
set -euo pipefail
sudo=$1 python=$2
cd "$(dirname "$0")/.."

bash scripts/packages.sh "$sudo" testbed/packages.txt
[ -x .venv-openstack/bin/python ] || "$python" -m venv .venv-openstack
echo "Python packages: testbed/requirements.txt"
.venv-openstack/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary \
  -r testbed/requirements.txt -c testbed/constraints.txt
# the clients' side of libvirt, for moves that reach the hypervisors
.venv/bin/python -m pip install --quiet --disable-pip-version-check libvirt-python==9.0.0
