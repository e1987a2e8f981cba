"""The only door to openstacksdk: a cloud's services, whose lists are whole and whose errors are ours."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from types import GeneratorType
from typing import Any

import openstack
import requests
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk
from openstack.connection import Connection

from intercloud.errors import (
    AddressTaken,
    CloudError,
    CloudUnreachable,
    ConfigError,
    IntercloudError,
    NotFound,
    QuotaReached,
)

PATIENCE = 60.0
"""Seconds for one answer."""


class Service:
    """One service of a cloud. Calls are those of openstacksdk's proxy; what it yields piece by piece comes as a list.

    Raises NotFound, QuotaReached, AddressTaken, CloudUnreachable, or CloudError with the service's own words.
    """

    def __init__(self, cloud: str, open_proxy: Callable[[], Any]) -> None:
        self._cloud, self._open = cloud, open_proxy

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*words: Any, **options: Any) -> Any:
            with speaking(self._cloud):
                found = getattr(self._open(), name)(*words, **options)
                return list(found) if isinstance(found, GeneratorType) else found

        return ask


class Door:
    """The services of one cloud for one user. Nothing is asked before the first call; a token is renewed in time."""

    def __init__(self, cloud: str, options: dict[str, Any]) -> None:
        self._cloud, self._options = cloud, options
        self.compute = Service(cloud, lambda: self.connection.compute)
        self.image = Service(cloud, lambda: self.connection.image)
        self.network = Service(cloud, lambda: self.connection.network)
        self.volume = Service(cloud, lambda: self.connection.block_storage)

    @cached_property
    def connection(self) -> Connection:
        """The open connection."""
        try:
            return openstack.connect(api_timeout=PATIENCE, **self._options)
        except sdk.ConfigException as error:
            raise ConfigError(f"cloud {self._cloud}", [str(error)]) from error

    @cached_property
    def project(self) -> str:
        """Id of the project that the user works in."""
        with speaking(self._cloud):
            return str(self.connection.current_project_id)

    def has(self, kind: str) -> bool:
        """Whether its catalog has a service of this type."""
        with speaking(self._cloud):
            return bool(self.connection.has_service(kind))

    def clock(self) -> float:
        """Seconds since the epoch by the identity service's clock, ± half a second: HTTP tells whole ones."""
        with speaking(self._cloud):
            url = self.connection.session.auth.auth_url  # type: ignore[union-attr]
            answer = self.connection.session.get(url, authenticated=False)
        if "Date" not in answer.headers:
            return time.time()
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5


def options(
    cloud: str | None,
    auth_url: str | None,
    region_name: str | None,
    cacert: Path | None,
    credential: tuple[str, str] | None,
) -> dict[str, Any]:
    """What a connection is opened with: an entry of clouds.yaml, or an address and an application credential.

    credential: its id and its secret.
    """
    found: dict[str, Any] = {"cloud": cloud} if cloud else {}
    if credential:
        found |= {
            "auth_type": "v3applicationcredential",
            "auth_url": auth_url,
            "application_credential_id": credential[0],
            "application_credential_secret": credential[1],
        }
    if region_name:
        found["region_name"] = region_name
    if cacert:
        found["cacert"] = str(cacert)
    return found


@contextmanager
def speaking(cloud: str) -> Iterator[None]:
    """Say in our own words what a service of this cloud complains of."""
    try:
        yield
    except (keystone.ConnectFailure, keystone.DiscoveryFailure, requests.ConnectionError, requests.Timeout) as error:
        raise CloudUnreachable(f"{cloud} does not answer: {last_words(error)}") from error
    except (keystone.Unauthorized, keystone.MissingRequiredOptions) as error:
        raise CloudError(f"{cloud} does not accept the credentials: {last_words(error)}") from error
    except keystone.ClientException as error:
        raise CloudUnreachable(f"{cloud}: {last_words(error)}") from error
    except sdk.SDKException as error:
        raise translate(cloud, error) from error


def translate(cloud: str, error: sdk.SDKException) -> IntercloudError:
    """Choose the error of ours that says the same."""
    status = getattr(error, "status_code", None)
    said = last_words(error)
    if isinstance(error.__context__, keystone.ConnectFailure):  # in the middle of an upload
        return CloudUnreachable(f"{cloud} does not answer: {said}")
    lower = said.lower()
    if status in (403, 409, 413) and "quota" in lower:
        return QuotaReached(f"{cloud}: {said}")
    if status == 409 and ("in use" in lower or "already allocated" in lower) and "address" in lower:
        return AddressTaken(f"{cloud}: {said}")
    if status == 404:
        return NotFound(f"{cloud}: {said}")
    if status == 401:
        return CloudError(f"{cloud} does not accept the credentials: {said}")
    if status == 403:
        return CloudError(f"{cloud} does not allow it with these credentials: {said}")
    if status is not None and status >= 500:
        return CloudUnreachable(f"{cloud} answers with an error of its own ({status}): {said}")
    return CloudError(f"{cloud}: {said}")


def last_words(error: Exception) -> str:
    """What an exception really says, in one line."""
    said = getattr(error, "details", None) or str(error)
    return " ".join(str(said).split())[:400]
