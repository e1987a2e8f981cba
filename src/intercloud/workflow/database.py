"""Where runs are recorded, by URL: a SQLite file of one machine, or a Postgres database that machines can share."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from intercloud.errors import RunsUnavailable

KINDS = "sqlite:////path/of/a/file or postgresql://user@host/database"


def parse(database: str) -> URL:
    """Read a URL. Raises RunsUnavailable when it is of neither kind."""
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):  # whose text may hold all of it
        raise RunsUnavailable(f"the runs' database is not given as a URL that can be read; expected {KINDS}") from None
    if url.get_backend_name() not in ("sqlite", "postgresql", "postgres") or not url.database:
        raise RunsUnavailable(f"the runs' database {_shown(url)} cannot be used; expected {KINDS}")
    return url


def is_shared(database: str) -> bool:
    """Whether other machines can have the same database."""
    return parse(database).get_backend_name() != "sqlite"


def unavailable(database: str, failure: Exception) -> RunsUnavailable:
    """Say in one line what is wrong with it. The URL's password is not in it."""
    why = str(getattr(failure, "orig", None) or failure).splitlines()[0]
    return RunsUnavailable(f"the runs' database {_shown(parse(database))} cannot be used: {why}")


def _shown(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)
