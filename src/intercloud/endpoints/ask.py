"""Fetch URLs from where clients are: `<prefix> python -m intercloud.endpoints.ask SECONDS URL...`.

Prints one JSON object: URL → the answer's text, or null when there was no answer with status 200 in that time.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

PARALLEL = 32


def main(arguments: Sequence[str]) -> int:
    """Fetch all at once and print what came."""
    within, urls = float(arguments[0]), arguments[1:]
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = pool.map(lambda url: fetch(url, within), urls)
    sys.stdout.write(json.dumps(dict(zip(urls, answers, strict=True))))
    return 0


def fetch(url: str, within: float) -> str | None:
    """Get one URL; None when there is no answer with status 200 within that many seconds."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=within)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return text if response.status == 200 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
