from __future__ import annotations

import dataclasses
import hashlib
import io
import sys

import numpy as np
import pytest
from loopback import content, in_turn, plain, status, truncated

from neurodyn.errors import ConfigError, CorruptFileError, FileError, NetworkError
from neurodyn.io import fetch as module
from neurodyn.io.fetch import Asset, fetch

DATA = bytes(np.random.default_rng(4).integers(0, 256, 50_000, dtype=np.uint8))


@pytest.fixture
def asset(site):
    return Asset(
        url=site.add("/a.nwb", content(DATA)),
        sha256=hashlib.sha256(DATA).hexdigest(),
        size=len(DATA),
        file_name="a.nwb",
        licence="CC-BY-4.0",
        citation="Anonymous (2026)",
    )


def test_download_is_checked_kept_and_not_repeated(asset, site, policy, tmp_path):
    path = fetch(asset, tmp_path / "data", policy=policy)
    assert path == tmp_path / "data" / "a.nwb"
    assert path.read_bytes() == DATA
    assert [p.name for p in path.parent.iterdir()] == ["a.nwb"]
    assert fetch(asset, tmp_path / "data", policy=policy) == path
    assert site.ranges("/a.nwb") == [None]


def test_interrupted_download_goes_on_where_it_stopped(asset, site, policy, tmp_path):
    site.add("/a.nwb", truncated(content(DATA), 20_000))
    impatient = dataclasses.replace(policy, retries=0)
    site.add("/a.nwb", in_turn(truncated(content(DATA), 20_000), status(503)))
    with pytest.raises(NetworkError, match="503"):
        fetch(asset, tmp_path, policy=impatient)
    part = tmp_path / "a.nwb.part"
    assert part.read_bytes() == DATA[:20_000]
    assert not (tmp_path / "a.nwb").exists()
    site.add("/a.nwb", content(DATA))
    assert fetch(asset, tmp_path, policy=policy).read_bytes() == DATA
    assert site.ranges("/a.nwb")[-1] == "bytes=20000-"
    assert not part.exists()


def test_each_bit_of_progress_counts_as_a_success(asset, site, policy, tmp_path):
    site.add("/a.nwb", truncated(content(DATA), 6000))
    assert fetch(asset, tmp_path, policy=policy).read_bytes() == DATA
    assert len(site.requests) == 9


def test_server_without_ranges_starts_over(asset, site, policy, tmp_path):
    (tmp_path / "a.nwb.part").write_bytes(b"from elsewhere")
    site.add("/a.nwb", plain(DATA))
    assert fetch(asset, tmp_path, policy=policy).read_bytes() == DATA


@pytest.mark.parametrize("left", [bytes(10_000), bytes(50_000), bytes(60_000), DATA])
def test_what_an_earlier_attempt_left_may_be_wrong_too_long_or_right(left, asset, policy, tmp_path):
    (tmp_path / "a.nwb.part").write_bytes(left)
    assert fetch(asset, tmp_path, policy=policy).read_bytes() == DATA


def test_damaged_copy_is_fetched_again(asset, policy, tmp_path):
    (tmp_path / "a.nwb").write_bytes(bytes(50_000))
    assert fetch(asset, tmp_path, policy=policy).read_bytes() == DATA


def test_wrong_checksum_keeps_nothing(asset, site, policy, tmp_path):
    site.add("/a.nwb", content(DATA[::-1]))
    with pytest.raises(CorruptFileError, match=r"checksum is wrong(.|\n)*sha256:"):
        fetch(asset, tmp_path / "new", policy=policy)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("page", [content(DATA + b"x"), plain(DATA[:-1])])
def test_another_length_is_refused_before_the_download(page, asset, site, policy, tmp_path):
    site.add("/a.nwb", page)
    with pytest.raises(NetworkError, match=r"another file(.|\n)*50000 bytes"):
        fetch(asset, tmp_path, policy=policy)


def test_nothing_comes(asset, site, policy, tmp_path):
    site.add("/a.nwb", truncated(content(DATA), 0))
    with pytest.raises(NetworkError, match=r"nothing after byte 0, in 3 attempts"):
        fetch(asset, tmp_path, policy=policy)


def test_folder_is_checked_before_the_network(asset, site, policy, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write"):
        fetch(asset, tmp_path / "file", policy=policy)
    with pytest.raises(FileError, match="not enough space"):
        fetch(dataclasses.replace(asset, size=10**18), tmp_path, policy=policy)
    assert not site.requests


def test_default_folder_and_offline(asset, policy, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURODYN_CACHE", str(tmp_path))
    path = fetch(asset, policy=policy)
    assert path == tmp_path / "datasets" / "a.nwb"
    monkeypatch.setenv("NEURODYN_OFFLINE", "1")
    assert fetch(asset, policy=policy) == path
    path.unlink()
    with pytest.raises(NetworkError, match="offline"):
        fetch(asset, policy=policy)


def test_asset_of_dandi(asset, site, policy, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "resolve_dandi", lambda address, policy: site.url("/a.nwb"))
    asset = dataclasses.replace(asset, url="dandi://000128/draft/sub-a/a.nwb")
    assert fetch(asset, tmp_path, policy=policy).read_bytes() == DATA


def test_progress_bar_on_a_terminal_only(asset, policy, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    fetch(asset, tmp_path / "quiet", policy=policy, progress=False)
    assert not sys.stderr.getvalue()
    fetch(asset, tmp_path / "bar", policy=policy)
    assert "a.nwb" in sys.stderr.getvalue()


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/passwd", "..\\a"])
def test_file_name_is_a_bare_name(asset, name):
    with pytest.raises(ConfigError, match="bare name"):
        dataclasses.replace(asset, file_name=name)


@pytest.mark.parametrize("digest", ["", "0" * 63, "A" * 64])
def test_checksum_is_required(asset, digest):
    with pytest.raises(ConfigError, match="64 hexadecimal"):
        dataclasses.replace(asset, sha256=digest)
