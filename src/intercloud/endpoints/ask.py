"""Fetch URLs from where clients are: `<prefix> python -m intercloud.endpoints.ask SECONDS URL... [-- URL...]`.

Those before `--` are asked at once. What comes after it costs who answers: it is asked a few at a time, and only of
hosts that have answered something before. Prints one JSON object: URL → the answer's text, or null when there was no
answer with status 200 in that time.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

AT_ONCE = 32
FEW = 2


def main(arguments: Sequence[str]) -> int:
    """Fetch all and print what came."""
    within, urls = float(arguments[0]), arguments[1:]
    first = urls.index("--") if "--" in urls else len(urls)
    answers = fetch_all(urls[:first], within, AT_ONCE)
    there = {urlsplit(url).netloc for url, text in answers.items() if text is not None}
    costly = urls[first + 1 :]
    told = fetch_all([url for url in costly if urlsplit(url).netloc in there], within, FEW)
    answers = {**dict.fromkeys(costly), **answers, **told}
    sys.stdout.write(json.dumps(answers))
    return 0


def fetch_all(urls: Sequence[str], within: float, parallel: int) -> Mapping[str, str | None]:
    """Get URLs, so many at the same time; see `fetch`."""
    with ThreadPoolExecutor(parallel) as pool:
        return dict(zip(urls, pool.map(lambda url: fetch(url, within), urls), strict=True))


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
