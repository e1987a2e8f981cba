#!/usr/bin/env python3
"""Move a cluster: python migrate.py --source lab-a --target lab-b does the same as `intercloud migrate`."""

import os
import sys
from pathlib import Path

HOUSE = Path(__file__).resolve().parent
OWN_PYTHON = HOUSE / ".venv" / "bin" / "python"

try:
    from intercloud.cli.main import main
except ModuleNotFoundError as missing:
    if OWN_PYTHON.exists() and Path(sys.prefix) != HOUSE / ".venv":
        os.execv(OWN_PYTHON, [str(OWN_PYTHON), __file__, *sys.argv[1:]])
    sys.exit(f"migrate.py: {missing.name} is not installed; run `make install` in {HOUSE} first")

if __name__ == "__main__":
    sys.exit(main(["migrate", *sys.argv[1:]]))
