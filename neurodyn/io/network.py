"""GET requests over HTTPS, to hosts that a policy allows, with finite retries.

The address of a host is looked up once, checked, and then connected to, so a name cannot turn
into a private address between check and use. Each redirect is checked like the first URL.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from neurodyn.errors import NetworkError, UnsafeFileError

__all__ = ["RemotePolicy", "Session", "TransientError", "failure", "shown"]

T = TypeVar("T")
REDIRECTS = (301, 302, 303, 307, 308)
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
LONGEST_WAIT = 30.0
LEFT_OVER = 1 << 16


@dataclass(frozen=True, kw_only=True)
class RemotePolicy:
    """What may be fetched, from where, how patiently, and what is kept.

    Parameters
    ----------
    hosts
        The only hosts that may be contacted; empty allows every public host.
    trusted_hosts
        Hosts that may have a private or local address, for servers of one's own.
    allow_http
        Permit unencrypted http, from ``trusted_hosts`` only.
    certificates
        File of further certificate authorities in PEM form.
    retries
        Attempts after the first one, for failures that may pass.
    backoff
        Wait before the first retry [s]; it doubles each time.
    timeout
        Longest wait for a connection or for the next bytes [s].
    max_redirects
        Redirects followed for one request.
    block_size
        Bytes fetched at least, and the unit of the cache.
    cache
        Folder for fetched blocks; ``None`` is the user's cache folder.
    cache_bytes
        Size that the cache is cut to when a file is opened; 0 keeps nothing on disk.
    offline
        Refuse every connection, as the environment variable ``NEURODYN_OFFLINE=1`` does.
    dandi_api
        Where ``dandi://`` addresses are looked up.

    Examples
    --------
    >>> RemotePolicy(hosts=("dandiarchive.s3.amazonaws.com",), retries=2).timeout
    30.0
    """

    hosts: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    allow_http: bool = False
    certificates: Path | None = None
    retries: int = 4
    backoff: float = 0.5
    timeout: float = 30.0
    max_redirects: int = 5
    block_size: int = 1 << 20
    cache: Path | None = None
    cache_bytes: int = 10_000_000_000
    offline: bool = False
    dandi_api: str = "https://api.dandiarchive.org/api"


class TransientError(NetworkError):
    """A failure that another attempt may get over."""


def failure(
    what: str,
    url: str,
    found: object,
    *,
    expected: str = "the bytes that were asked for",
    hint: str = "check the address and the connection, or try again later",
    transient: bool = False,
) -> NetworkError:
    """Return the error for a request that failed, without secrets of its address."""
    kind = TransientError if transient else NetworkError
    return kind(what, where=shown(url), found=found, expected=expected, hint=hint)


class Session:
    """Connections under one policy; a connection is kept open between requests.

    Parameters
    ----------
    policy
        What is allowed.
    """

    def __init__(self, policy: RemotePolicy) -> None:
        self.policy = policy
        self._kept: tuple[str, http.client.HTTPConnection] | None = None

    def close(self) -> None:
        """Close the connection that is kept open."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    @contextlib.contextmanager
    def get(
        self, url: str, headers: dict[str, str]
    ) -> Iterator[tuple[http.client.HTTPResponse, str]]:
        """Send one GET request and give the response and the URL that redirects led to.

        Raises
        ------
        UnsafeFileError
            If the policy does not allow the URL or one it redirects to.
        NetworkError
            For every other failure, also one while the block reads the body; a
            :class:`TransientError` where another attempt may help.
        """
        target = url
        try:
            for _ in range(self.policy.max_redirects + 1):
                response = self._send(target, headers)
                if response.status not in REDIRECTS:
                    _require_success(response, target)
                    yield response, target
                    self._finish(response)
                    return
                target = urljoin(target, response.headers.get("Location", ""))
                self._finish(response)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if isinstance(error, UnsafeFileError | NetworkError):
                raise
            raise _translated(error, target) from error
        except BaseException:
            self.close()
            raise
        raise failure(
            "too many redirects",
            url,
            f"another one to {shown(target)}",
            expected=f"at most {self.policy.max_redirects}",
        )

    def retrying(self, action: Callable[[], T]) -> T:
        """Call ``action`` until it succeeds, fails for good or has been tried often enough.

        Raises
        ------
        NetworkError
            The last failure, with the number of attempts.
        """
        attempts = self.policy.retries + 1
        for attempt in range(attempts):
            try:
                return action()
            except TransientError as error:
                last = error
            if attempt + 1 < attempts:
                time.sleep(min(self.policy.backoff * 2**attempt, LONGEST_WAIT))
        raise NetworkError(
            last.what,
            where=last.where,
            found=f"{last.found}, in {attempts} attempts",
            expected=last.expected,
            hint="try again later; RemotePolicy(retries=..., timeout=...) waits longer",
        ) from last

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.policy.certificates is not None:
            context.load_verify_locations(self.policy.certificates)
        return context

    def _finish(self, response: http.client.HTTPResponse) -> None:
        """Make the connection ready for the next request, or drop it."""
        response.read(LEFT_OVER)
        if not response.isclosed():
            self.close()

    def _send(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        parts = _require_allowed(url, self.policy)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept-Encoding": "identity", "User-Agent": "neurodyn"} | headers
        reused = self._reusable(parts)
        if reused is not None:
            with contextlib.suppress(ConnectionError):  # the server may have closed it meanwhile
                reused.request("GET", path, headers=headers)
                return reused.getresponse()
        connection = self._connect(parts)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def _reusable(self, parts: SplitResult) -> http.client.HTTPConnection | None:
        if self._kept is None or self._kept[0] != f"{parts.scheme}://{parts.netloc}":
            return None
        return self._kept[1] if self._kept[1].sock is not None else None

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        self.close()
        host = str(parts.hostname)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        addresses = _addresses(host, port, self.policy)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=self.policy.timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.policy.timeout)
        raw = _open_socket(addresses, port, self.policy.timeout)
        secure = parts.scheme == "https"
        # http.client would look the name up again; it gets the checked connection instead
        connection.sock = self._context.wrap_socket(raw, server_hostname=host) if secure else raw
        connection.auto_open = 0
        self._kept = (f"{parts.scheme}://{parts.netloc}", connection)
        return connection


def shown(url: str) -> str:
    """Return a URL without query and user, which may hold secrets, for messages.

    Examples
    --------
    >>> shown("https://user:word@host.org/a.nwb?signature=1")
    'https://host.org/a.nwb'
    """
    parts = urlsplit(url)
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{parts.netloc.rpartition('@')[2]}{parts.path}"


def _require_allowed(url: str, policy: RemotePolicy) -> SplitResult:
    if policy.offline or os.environ.get("NEURODYN_OFFLINE", "0") not in ("", "0"):
        raise failure(
            "no network access: offline",
            url,
            "an address on the network",
            expected="a local file",
            hint="unset NEURODYN_OFFLINE or use RemotePolicy(offline=False)",
        )
    parts = urlsplit(url)
    trusted = parts.hostname in policy.trusted_hosts
    if parts.scheme != "https" and not (parts.scheme == "http" and trusted and policy.allow_http):
        raise _refused("only https is allowed", url, parts.scheme or "no scheme", "https://...")
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise _refused("not a plain https address", url, "no host, or user and password", None)
    if policy.hosts and parts.hostname not in (*policy.hosts, *policy.trusted_hosts):
        raise _refused("host is not allowed", url, parts.hostname, " or ".join(policy.hosts))
    return parts


def _refused(what: str, url: str, found: str, expected: str | None) -> UnsafeFileError:
    hint = "RemotePolicy(hosts=..., trusted_hosts=..., allow_http=...) if it can be trusted"
    return UnsafeFileError(what, where=shown(url), found=found, expected=expected, hint=hint)


def _addresses(host: str, port: int, policy: RemotePolicy) -> list[str]:
    """Look a host up; all its addresses must be public unless the host is trusted."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        what = "host name cannot be resolved (a network error, not a missing file)"
        expected = "a name that the network knows"
        raise failure(what, f"//{host}", error, expected=expected, transient=True) from error
    found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    private = [address for address in found if not _is_public(address)]
    if private and host not in policy.trusted_hosts:
        raise _refused("address is not public", f"//{host}", ", ".join(private), "a public host")
    return found


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if inner is not None and not _is_public(str(inner)):
            return False
    return ip.is_global and not ip.is_multicast


def _open_socket(addresses: list[str], port: int, timeout: float) -> socket.socket:
    failure: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure or OSError("host has no address")


def _require_success(response: http.client.HTTPResponse, url: str) -> None:
    status = response.status
    if status in (200, 206):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            found = response.headers["Content-Encoding"]
            raise failure("server sent an encoded body", url, found, expected="identity")
        return
    found = f"{status} {response.reason}"
    if status in TRANSIENT:
        raise failure("server failed", url, found, transient=True)
    host = urlsplit(url).hostname
    if status in (404, 410):
        raise failure(f"not found at {host}", url, found)
    if status in (401, 403):
        hint = "the address may have expired or need an account; only open data can be read"
        raise failure(f"refused by {host}", url, found, hint=hint)
    raise failure(f"unexpected answer of {host}", url, found)


def _translated(error: Exception, url: str) -> NetworkError:
    """Phrase a failure of the transport."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return failure(
            "certificate of the host is not valid",
            url,
            error.verify_message,
            expected="a certificate of a known authority",
            hint="RemotePolicy(certificates=file) adds an authority",
        )
    what = "connection failed (a network error, not a missing file)"
    if isinstance(error, TimeoutError):
        what = "no answer in time (a network error, not a missing file)"
    elif isinstance(error, http.client.IncompleteRead):
        what = "connection ended before the whole body came"
    return failure(what, url, str(error) or type(error).__name__, transient=True)
