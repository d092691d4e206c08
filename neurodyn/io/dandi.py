"""Where an asset of the DANDI archive can be read from."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

from neurodyn.io.network import RemotePolicy, Session, failure

__all__ = ["resolve_dandi"]

LARGEST_ANSWER = 8 << 20


def resolve_dandi(address: str, policy: RemotePolicy | None = None) -> str:
    """Return the https address of an asset of the DANDI archive.

    Parameters
    ----------
    address
        ``dandi://<dandiset>/<version>/<path>``, version ``draft`` or a published one.
    policy
        What is allowed; ``policy.dandi_api`` is asked.

    Raises
    ------
    NetworkError
        If the archive cannot be reached, does not know the asset or gives no public address.
    """
    policy = policy or RemotePolicy()
    match = re.fullmatch(r"dandi://(\d{6})/([A-Za-z0-9.]+)/(.+)", address)
    if not match:
        raise failure(
            "not a DANDI address",
            address,
            repr(address),
            expected="dandi://<dandiset>/<version>/<path>",
            hint="such as dandi://000128/draft/sub-a/sub-a_ecephys.nwb",
        )
    dandiset, version, path = match.groups()
    query = urlencode({"path": path, "metadata": "true", "page_size": "100"}, quote_via=quote)
    url = f"{policy.dandi_api}/dandisets/{dandiset}/versions/{version}/assets/?{query}"
    text = _get(url, policy)
    try:
        assets = [asset for asset in json.loads(text)["results"] if asset["path"] == path]
        found = [_address(asset, policy.dandi_api) for asset in assets]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = "the answer of the archive is not understood"
        raise failure(what, url, repr(error), expected="a list of assets") from error
    if not found:
        raise failure(
            "DANDI has no such asset",
            address,
            f"nothing named {path}",
            expected="the path of an asset",
            hint="the path is that within the dandiset, with the folder of the subject",
        )
    return found[0]


def _address(asset: Any, api: str) -> str:
    # The address of the storage stays valid; that of the API leads to one that expires.
    addresses = asset.get("metadata", {}).get("contentUrl", [])
    storage = [address for address in addresses if not address.startswith(api)]
    return str(storage[0]) if storage else f"{api}/assets/{asset['asset_id']}/download/"


def _get(url: str, policy: RemotePolicy) -> bytes:
    session = Session(policy)

    def read() -> bytes:
        with session.get(url, {"Accept": "application/json"}) as (response, _):
            return bytes(response.read(LARGEST_ANSWER))

    try:
        return session.retrying(read)
    finally:
        session.close()
