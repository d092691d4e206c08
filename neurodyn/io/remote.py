"""Files on a web server, read in blocks through range requests and kept in a cache.

Nothing is contacted unless a URL is opened. :class:`RemotePolicy` is the one place that says
which hosts, how often and with what cache; ``NEURODYN_OFFLINE=1`` forbids all of it.
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from typing import Any, NamedTuple

from neurodyn.errors import NetworkError
from neurodyn.io.blocks import BlockCache
from neurodyn.io.dandi import resolve_dandi
from neurodyn.io.network import RemotePolicy, Session, TransientError, failure, shown

__all__ = ["RemoteFile", "RemotePolicy", "is_remote", "open_remote"]

MEMORY_BLOCKS = 32
LARGEST_REQUEST = 64 << 20


class _Version(NamedTuple):
    """What must stay the same between two ranges of one file."""

    length: int
    tag: str


class RemoteFile(io.RawIOBase):
    """A read-only, seekable file behind a URL; made by :func:`open_remote`.

    Parameters
    ----------
    url
        An https address.
    policy
        What is allowed.

    Attributes
    ----------
    name
        The URL without its query.
    length
        Size of the file [bytes].
    bytes_fetched, n_requests
        What has come over the network so far.
    """

    def __init__(self, url: str, policy: RemotePolicy) -> None:
        super().__init__()
        self.name = shown(url)
        self.bytes_fetched = self.n_requests = self._position = 0
        self._url = self._final_url = url
        self._policy = policy
        self._session = Session(policy)
        self._version: _Version | None = None
        self._memory: OrderedDict[int, bytes] = OrderedDict()
        first = self._fetch(0, policy.block_size)
        self._version = self._version or _Version(len(first), "")
        self.length = self._version.length
        self._cache = BlockCache(policy, (url, *map(str, self._version)), bool(self._version.tag))
        self._keep(0, first)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position [bytes]."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` bytes from start, position or end, and return the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read into a writable buffer and return the number of bytes, 0 at the end.

        Raises
        ------
        NetworkError
            If the range cannot be had or the file changed on the server.
        """
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self.length)
        n_bytes = max(0, stop - self._position)
        done = 0
        while done < n_bytes:
            part = self._part(self._position, stop)
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return n_bytes

    def readall(self) -> bytes:
        """Return everything from the position on."""
        return self.read(max(0, self.length - self._position)) or b""

    def close(self) -> None:
        """Close the connection; what was cached stays."""
        self._session.close()
        super().close()

    def _part(self, start: int, stop: int) -> memoryview:
        """Return the bytes from ``start`` on that are at hand or come with one request."""
        size = self._policy.block_size
        index, skip = divmod(start, size)
        block = self._memory.get(index) or self._cache.get(index, self._block_length(index))
        if block is None:
            last = min((stop - 1) // size, index + max(LARGEST_REQUEST // size, 1) - 1)
            end = index + 1
            while end <= last and end not in self._memory and not self._cache.has(end):
                end += 1
            block = self._fetch(index * size, min(end * size, self.length))
        self._keep(index, block)
        return memoryview(block)[skip : skip + stop - start]

    def _block_length(self, index: int) -> int:
        return min(self._policy.block_size, self.length - index * self._policy.block_size)

    def _keep(self, first: int, data: bytes) -> None:
        """Keep fetched blocks, in memory and on disk."""
        size = self._policy.block_size
        for offset in range(0, len(data), size):
            index, block = first + offset // size, data[offset : offset + size]
            if index not in self._memory:
                self._cache.put(index, block)
            self._memory[index] = block
            self._memory.move_to_end(index)
        while len(self._memory) > MEMORY_BLOCKS:
            self._memory.popitem(last=False)

    def _fetch(self, start: int, stop: int) -> bytes:
        return self._session.retrying(lambda: self._fetch_once(start, stop))

    def _fetch_once(self, start: int, stop: int) -> bytes:
        """Get one range, following the first redirect again if its target has expired."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        try:
            return self._request(self._final_url, headers, start, stop)
        except TransientError:
            raise
        except NetworkError:
            if self._final_url == self._url:
                raise
            self._final_url = self._url
            return self._request(self._url, headers, start, stop)

    def _request(self, url: str, headers: dict[str, str], start: int, stop: int) -> bytes:
        with self._session.get(url, headers) as (response, final_url):
            self.n_requests += 1
            if response.status != 206:
                raise failure(
                    "server does not give parts of files",
                    self.name,
                    f"{response.status} {response.reason}",
                    expected="206 Partial Content",
                    hint="download the file, then open it",
                )
            version, first, last = self._answered(response.headers)
            self._require_same(version)
            if first != start or last + 1 != min(stop, version.length):
                found = f"bytes {first} to {last}"
                expected = f"bytes {start} to {stop - 1}"
                raise failure("server sent another range", self.name, found, expected=expected)
            n_bytes = last + 1 - first
            data = response.read(n_bytes)
            if len(data) != n_bytes:
                found = f"{len(data)} of {n_bytes} bytes"
                raise failure("short read", self.name, found, transient=True)
        self.bytes_fetched += len(data)
        self._final_url, self._version = final_url, version
        return bytes(data)

    def _answered(self, headers: Any) -> tuple[_Version, int, int]:
        text = headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", text.strip())
        if not match:
            expected = "a header Content-Range: bytes first-last/length"
            raise failure("server did not say the range", self.name, repr(text), expected=expected)
        first, last, length = map(int, match.groups())
        tag = headers.get("ETag") or headers.get("Last-Modified") or ""
        return _Version(length, tag), first, last

    def _require_same(self, version: _Version) -> None:
        if self._version is not None and version != self._version:
            raise failure(
                "file changed on the server while it was being read",
                self.name,
                f"{version.length} bytes, tag {version.tag}",
                expected=f"{self._version.length} bytes, tag {self._version.tag}",
                hint="open it again",
            )


def is_remote(source: object) -> bool:
    """Tell whether a source is an address on the network.

    Examples
    --------
    >>> is_remote("https://host.org/a.nwb"), is_remote("session.nwb")
    (True, False)
    """
    return isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]+://", source.lower()) is not None


def open_remote(url: str, policy: RemotePolicy | None = None) -> RemoteFile:
    """Open a file on a web server for reading by parts.

    Parameters
    ----------
    url
        ``https://...`` or ``dandi://<dandiset>/<version>/<path>``.
    policy
        What is allowed; default https to public hosts, with a cache.

    Returns
    -------
    RemoteFile
        Binary and seekable, for :func:`neurodyn.io.hdf5.open_hdf5` or h5py.

    Raises
    ------
    UnsafeFileError
        If the policy does not allow the address or one it redirects to.
    NetworkError
        If the file cannot be had; the message tells a missing file from a failing network.
    """
    policy = policy or RemotePolicy()
    if url.startswith("dandi://"):
        url = resolve_dandi(url, policy)
    return RemoteFile(url, policy)
