"""Polite and wary http: a rate per host, further attempts, limits, safe redirects."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin

import requests
from urllib3.util import parse_url

AGENT = "Menagerie/0.1 (pictures for species data sets)"


def clean(text: str | None, limit: int = 2000) -> str:
    """Text from outside on one line, without control characters."""
    text = "".join(char if char.isprintable() else " " for char in (text or "")[:limit])
    return " ".join(text.split())


class FetchError(ValueError):
    """An address that could not be fetched; the message is a short reason."""


class _PassingError(FetchError):
    """A trouble that may be over soon; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Manners:
    """How a server is treated: seconds, numbers of attempts, bytes.

    Attributes:
        rate: least seconds between two requests to one host.
        timeout: seconds without a sign of life after which an attempt is given up.
        attempts: how often a passing trouble (no connection, time-out, 429, 5xx, a body that
            broke off) is met before it counts as a failure.
        backoff: seconds before the second attempt; doubled for each further one.
        longest_wait: the most seconds that a server's Retry-After is honoured for.
        max_bytes: largest body.
        max_redirects: most redirects in a row.
    """

    rate: float = 1.0
    timeout: float = 30.0
    attempts: int = 4
    backoff: float = 1.0
    longest_wait: float = 120.0
    max_bytes: int = 64 * 2**20
    max_redirects: int = 5


@dataclass(frozen=True)
class Answer:
    """What an address holds, and the address where the last redirect ended."""

    data: bytes
    address: str


class Fetcher:
    """Fetches over http and https, politely and warily.

    A redirect may lead to another host: picture addresses mostly do, to a store of files. It may
    not leave http and https, nor lead to a private or loopback address unless the original
    address was one itself.
    """

    def __init__(self, manners: Manners = Manners()):  # noqa: B008 - it is frozen
        self._manners = manners
        self._session = requests.Session()
        # Unpacking would hide a body that broke off, and pictures do not get smaller.
        self._session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        self._last: dict[str, float] = {}

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_) -> None:
        self._session.close()

    def fetch(self, address: str, kinds: tuple[str, ...]) -> Answer:
        """Fetch one address.

        Args:
            address: http or https.
            kinds: accepted beginnings of the content type; an answer without one is accepted.

        Raises:
            FetchError: it cannot be had, is too large or of another kind; the reason is short.
        """
        for attempt in range(1, self._manners.attempts + 1):
            try:
                return self._follow(address, kinds)
            except _PassingError as trouble:
                if attempt == self._manners.attempts:
                    raise FetchError(f"{trouble} ({attempt} attempts)") from None
                pause = self._manners.backoff * 2 ** (attempt - 1)
                time.sleep(pause if trouble.wait is None else trouble.wait)
        raise AssertionError("a Fetcher makes at least one attempt")

    def _follow(self, address: str, kinds: tuple[str, ...]) -> Answer:
        here = address
        for _ in range(self._manners.max_redirects + 1):
            self._check(here, address)
            self._pace(host_of(here))
            try:
                with self._session.get(
                    here, stream=True, timeout=self._manners.timeout, allow_redirects=False
                ) as response:
                    onward = self._session.get_redirect_target(response)
                    if onward is None:
                        return Answer(self._read(response, kinds), here)
                    here = urljoin(here, onward)
            except requests.exceptions.SSLError:
                raise FetchError("its host has no valid certificate") from None
            except requests.exceptions.Timeout:
                raise _PassingError(f"no answer within {self._manners.timeout:g} s") from None
            except requests.exceptions.ChunkedEncodingError:
                raise _PassingError("the answer broke off") from None
            except requests.exceptions.ConnectionError:
                raise _PassingError("no connection, or it broke off") from None
            except (requests.exceptions.RequestException, ValueError) as error:
                if isinstance(error, FetchError):
                    raise
                raise FetchError(f"cannot be asked for ({clean(str(error), 200)})") from None
        raise FetchError(f"is redirected more than {self._manners.max_redirects} times")

    def _check(self, here: str, original: str) -> None:
        what = "is" if here == original else "is redirected to"
        host = host_of(here)
        if not host or parse_url(here).scheme not in ("http", "https"):
            raise FetchError(f"{what} no http or https address ({clean(here, 100)})")
        came_from = host_of(original)
        if host != came_from and _is_private(host) and not _is_private(came_from):
            raise FetchError(f"is redirected to {host}, which is in a private network")

    def _pace(self, host: str) -> None:
        since = time.monotonic() - self._last.get(host, float("-inf"))
        if since < self._manners.rate:
            time.sleep(self._manners.rate - since)
        self._last[host] = time.monotonic()

    def _read(self, response: requests.Response, kinds: tuple[str, ...]) -> bytes:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            wait = _asked_wait(response.headers.get("Retry-After", ""))
            wait = None if wait is None else min(wait, self._manners.longest_wait)
            raise _PassingError(f"the server answers {_named(status)}", wait)
        if status != HTTPStatus.OK:
            raise FetchError(f"the server answers {_named(status)}")
        kind = clean(response.headers.get("Content-Type", "")).lower()
        if kind and not kind.startswith(kinds):
            raise FetchError(f"is {kind.split(';')[0][:60]} and not {kinds[0].rstrip('/')}")
        length = response.headers.get("Content-Length", "")
        announced = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
        if announced is not None and announced > self._manners.max_bytes:
            raise FetchError(self._too_large())
        data = bytearray()
        for chunk in response.iter_content(2**14):
            data += chunk
            if len(data) > self._manners.max_bytes:
                raise FetchError(self._too_large())
        if announced not in (None, len(data)) and "Content-Encoding" not in response.headers:
            raise _PassingError("the answer broke off")
        return bytes(data)

    def _too_large(self) -> str:
        return f"has more than the {self._manners.max_bytes / 2**20:.3g} MB allowed"


def host_of(address: str) -> str:
    """The host's name in lower case; '' where the address has none.

    Parsed by the library that connects: another parser may see another host, and check the wrong.
    """
    try:
        return (parse_url(address).host or "").lower().strip("[]")
    except ValueError:
        return ""


def _is_private(host: str) -> bool:
    """Whether a host is this machine or lies in a private network; one unknown does not."""
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    numbers = [ipaddress.ip_address(text.split("%")[0]) for text in found]
    return any(not (getattr(one, "ipv4_mapped", None) or one).is_global for one in numbers)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _asked_wait(text: str) -> float | None:
    """Seconds that a Retry-After asks for, be it a number or a date."""
    if re.fullmatch("[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
