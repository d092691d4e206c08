from __future__ import annotations

import dataclasses
import io
import json
import shutil
import socket
import ssl
import subprocess

import numpy as np
import pytest
from loopback import content, in_turn, plain, redirect, running_site, slow, status, truncated

from neurodyn.errors import DataQualityWarning, NetworkError, UnsafeFileError
from neurodyn.io import blocks, network
from neurodyn.io.dandi import resolve_dandi
from neurodyn.io.hdf5 import open_hdf5, read_array
from neurodyn.io.network import RemotePolicy, shown
from neurodyn.io.remote import RemoteFile, is_remote, open_remote

DATA = bytes(np.random.default_rng(3).integers(0, 256, 10_500, dtype=np.uint8))


def test_file_reads_like_a_local_one(site, policy):
    with open_remote(site.add("/a", content(DATA)), policy) as file:
        assert (file.length, file.readable(), file.seekable()) == (10_500, True, True)
        assert file.read(10) == DATA[:10]
        assert file.seek(-500, io.SEEK_END) == 10_000
        assert file.read() == DATA[10_000:]
        assert file.read() == b""
        assert file.seek(5) == file.tell() == 5
        assert file.seek(5, io.SEEK_CUR) == 10
        assert file.read(3000) == DATA[10:3010]
        assert file.seek(-1) == 0
        assert file.read() == DATA


def test_neighbouring_blocks_come_in_one_request(site, policy):
    with open_remote(site.add("/a", content(DATA)), policy) as file:
        file.seek(2500)
        file.read(4000)
        file.seek(0)
        file.read()
    found = ["bytes=0-999", "bytes=2000-6999", "bytes=1000-1999", "bytes=7000-10499"]
    assert site.ranges("/a") == found
    assert file.bytes_fetched == len(DATA)
    assert file.n_requests == 4


def test_requests_and_memory_are_bounded(site, policy, monkeypatch):
    monkeypatch.setattr("neurodyn.io.remote.LARGEST_REQUEST", 3000)
    monkeypatch.setattr("neurodyn.io.remote.MEMORY_BLOCKS", 2)
    policy = dataclasses.replace(policy, cache_bytes=0)
    with open_remote(site.add("/a", content(DATA)), policy) as file:
        assert file.read() == DATA
        assert file.n_requests == 5
        assert len(file._memory) == 2


class TestHdf5:
    @pytest.fixture
    def url(self, site, tmp_path):
        from datetime import UTC, datetime

        from pynwb import NWBHDF5IO, NWBFile, TimeSeries

        file = NWBFile("remote", "r1", datetime(2026, 1, 1, tzinfo=UTC))
        data = np.arange(400_000, dtype="f8")
        file.add_acquisition(TimeSeries(name="large", data=data, unit="V", rate=1000.0))
        file.add_unit(spike_times=[0.1, 0.2, 0.7])
        with NWBHDF5IO(tmp_path / "a.nwb", "w") as nwb:
            nwb.write(file)
        return site.add("/a.nwb", content((tmp_path / "a.nwb").read_bytes()))

    def test_nwb_file_is_read_in_part(self, url, policy):
        policy = dataclasses.replace(policy, block_size=16_384)
        with open_remote(url, policy) as remote, open_hdf5(remote) as file:
            assert read_array(file["units/spike_times"]).tolist() == [0.1, 0.2, 0.7]
            part = read_array(file["acquisition/large/data"], slice(200_000, 200_100))
            assert part.tolist() == list(range(200_000, 200_100))
            assert remote.length > 3_200_000
            assert remote.bytes_fetched < 800_000

    def test_change_in_the_middle_is_a_network_error(self, url, site, policy):
        remote = open_remote(url, policy)
        with remote, open_hdf5(remote) as file:
            site.add("/a.nwb", content(bytes(remote.length), etag='"v2"'))
            with pytest.raises(NetworkError, match="file changed on the server"):
                read_array(file["acquisition/large/data"])


class TestFailures:
    @pytest.mark.parametrize(
        ("page", "message"),
        [
            (status(404), r"not found at 127\.0\.0\.1(.|\n)*404 Not Found"),
            (status(410), "not found at"),
            (status(403), "refused by(.|\n)*expired"),
            (status(401), "refused by"),
            (status(416), "unexpected answer(.|\n)*416"),
            (status(418), "unexpected answer(.|\n)*418"),
            (status(500), "server failed(.|\n)*500(.|\n)*in 3 attempts"),
            (status(503), "server failed(.|\n)*503"),
            (status(429), "server failed(.|\n)*429"),
            (plain(DATA), "does not give parts"),
            (content(b""), "416"),
            (truncated(content(DATA), 500), "(short read|ended before)(.|\n)*in 3 attempts"),
            (truncated(content(DATA), 0), "in 3 attempts"),
            (content(DATA, Content_Encoding="gzip"), "encoded body"),
            (status(206), "did not say the range"),
            (content(DATA, Content_Range="bytes 5-1004/10500"), "another range"),
            (content(DATA, Content_Range="bytes 0-99/10500"), "another range"),
            (content(DATA, Content_Range="bytes 0-999/*"), "did not say the range"),
        ],
    )
    def test_each_is_named_as_the_network(self, page, message, site, policy):
        with pytest.raises(NetworkError, match=message):
            open_remote(site.add("/a", page), policy)

    def test_times_out(self, site, policy):
        policy = dataclasses.replace(policy, timeout=0.1, retries=1)
        with pytest.raises(NetworkError, match=r"no answer in time(.|\n)*in 2 attempts"):
            open_remote(site.add("/a", slow(content(DATA), 0.5)), policy)

    def test_nobody_listens(self, policy):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
            with pytest.raises(NetworkError, match=r"connection failed.*not a missing file"):
                open_remote(url, policy)

    def test_name_that_does_not_resolve(self, policy, monkeypatch):
        def fail(*_, **__):
            raise socket.gaierror("Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(
            NetworkError, match=r"cannot be resolved.*not a missing file.*host\.org"
        ):
            open_remote("https://host.org/a", policy)

    @pytest.mark.parametrize(
        "failure", [status(503), truncated(content(DATA), 10), truncated(content(DATA), 0)]
    )
    def test_passing_failure_is_got_over(self, failure, site, policy):
        page = in_turn(failure, failure, content(DATA))
        with open_remote(site.add("/a", page), policy) as file:
            assert file.read(5) == DATA[:5]

    def test_connection_that_the_server_closed_is_opened_again(self, site, policy):
        def closing(handler):
            content(DATA)(handler)
            handler.close_connection = True  # without saying so

        policy = dataclasses.replace(policy, retries=0)
        with open_remote(site.add("/a", closing), policy) as file:
            assert file.read() == DATA

    @pytest.mark.parametrize(
        "later", [content(DATA, etag='"v2"'), content(DATA + b"more"), content(DATA[:5000])]
    )
    def test_change_between_ranges(self, later, site, policy):
        with open_remote(site.add("/a", content(DATA)), policy) as file:
            site.add("/a", later)
            file.seek(5000 - 1)
            with pytest.raises(NetworkError, match=r"changed on the server|416"):
                file.read(2000)

    def test_without_a_tag_the_length_still_counts(self, site, policy):
        with open_remote(site.add("/a", content(DATA, etag=None)), policy) as file:
            assert file.read() == DATA
        assert not list(policy.cache.glob("*")) if policy.cache.exists() else True


class TestPermission:
    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("http://example.org/a.nwb", "only https is allowed"),
            ("ftp://example.org/a.nwb", "only https is allowed"),
            ("file:///etc/passwd", "only https is allowed"),
            ("https://user:secret@example.org/a", "not a plain https address"),
            ("https:///a", "not a plain https address"),
            ("https://127.0.0.1/a", "address is not public"),
            ("https://10.1.2.3/a", "address is not public"),
            ("https://169.254.169.254/latest/meta-data", "address is not public"),
            ("https://[::1]/a", "address is not public"),
            ("https://[::ffff:127.0.0.1]/a", "address is not public"),
            ("https://[2002:7f00:1::]/a", "address is not public"),
            ("https://224.0.0.1/a", "address is not public"),
            ("https://localhost/a", "address is not public"),
        ],
    )
    def test_default_refuses(self, url, message):
        with pytest.raises(UnsafeFileError, match=message) as caught:
            open_remote(url)
        assert "secret" not in str(caught.value)

    def test_public_addresses_are_public(self):
        assert network._is_public("8.8.8.8")
        assert network._is_public("2001:4860:4860::8888")

    def test_only_named_hosts(self, policy):
        policy = dataclasses.replace(policy, hosts=("dandiarchive.org",))
        with pytest.raises(UnsafeFileError, match=r"host is not allowed(.|\n)*dandiarchive\.org"):
            open_remote("https://example.org/a", policy)

    def test_http_needs_both_permissions(self, site, policy):
        url = site.add("/a", content(DATA))
        with pytest.raises(UnsafeFileError, match="only https"):
            open_remote(url, dataclasses.replace(policy, allow_http=False))
        with pytest.raises(UnsafeFileError, match="only https"):
            open_remote(url, dataclasses.replace(policy, trusted_hosts=()))

    def test_name_is_looked_up_once_and_checked(self, monkeypatch):
        calls = []

        def rebinding(host, port, **_):
            calls.append(host)
            address = "93.184.216.34" if len(calls) == 1 else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        def connect(address, timeout):
            raise ConnectionRefusedError(f"not connecting to {address[0]}")

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        monkeypatch.setattr(socket, "create_connection", connect)
        with pytest.raises(NetworkError, match=r"not connecting to 93\.184\.216\.34"):
            open_remote("https://example.org/a", RemotePolicy(retries=0))
        with pytest.raises(UnsafeFileError, match="not public"):
            open_remote("https://example.org/a", RemotePolicy(retries=0))

    @pytest.mark.parametrize("value", ["1", "true"])
    def test_offline_switch_stops_everything(self, value, site, policy, monkeypatch):
        url = site.add("/a", content(DATA))
        monkeypatch.setenv("NEURODYN_OFFLINE", value)
        monkeypatch.setattr(socket, "socket", None)
        with pytest.raises(NetworkError, match="offline"):
            open_remote(url, policy)
        monkeypatch.setenv("NEURODYN_OFFLINE", "0")
        with pytest.raises(NetworkError, match="offline"):
            open_remote(url, dataclasses.replace(policy, offline=True))
        assert not site.requests


class TestRedirects:
    def test_chain_is_followed_and_remembered(self, site, policy):
        site.add("/c", content(DATA))
        site.add("/b", redirect("/c", 307))
        with open_remote(site.add("/a", redirect(site.url("/b"))), policy) as file:
            assert file.read() == DATA
        assert [path for path, _ in site.requests] == ["/a", "/b", "/c", "/c"]

    def test_target_that_expired_is_asked_for_again(self, site, policy):
        site.add("/old", in_turn(content(DATA), status(403)))
        site.add("/new", content(DATA))
        page = in_turn(redirect("/old"), redirect("/new"))
        with open_remote(site.add("/a", page), policy) as file:
            assert file.read() == DATA

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("file:///etc/passwd", "only https"),
            ("http://10.0.0.1/a", "only https"),
            ("https://10.0.0.1/a", "not public"),
            ("https://127.0.0.2/a", "not public"),
            ("https://user@127.0.0.1/a", "not a plain"),
        ],
    )
    def test_each_step_is_checked(self, target, message, site, policy):
        with pytest.raises(UnsafeFileError, match=message):
            open_remote(site.add("/a", redirect(target)), policy)

    def test_endless_ones_end(self, site, policy):
        with pytest.raises(NetworkError, match="too many redirects"):
            open_remote(site.add("/a", redirect("/a")), policy)
        assert len(site.requests) == policy.max_redirects + 1

    def test_body_of_a_redirect_is_not_read_without_end(self, site, policy):
        site.add("/b", content(DATA))
        page = lambda handler: handler.answer(302, bytes(200_000), Location="/b")  # noqa: E731
        with open_remote(site.add("/a", page), policy) as file:
            assert file.read() == DATA


class TestCache:
    def test_second_opening_fetches_one_block(self, site, policy):
        url = site.add("/a", content(DATA))
        for fetched in (10_500, 1000):
            with open_remote(url, policy) as file:
                assert file.read() == DATA
                assert file.bytes_fetched == fetched
        (folder,) = policy.cache.iterdir()
        assert len(list(folder.iterdir())) == 11
        for path in (policy.cache, folder):
            assert path.stat().st_mode & 0o777 == 0o700

    def test_another_version_shares_nothing(self, site, policy):
        for etag, data in (('"v1"', DATA), ('"v2"', DATA[::-1])):
            with open_remote(site.add("/a", content(data, etag=etag)), policy) as file:
                assert file.read() == data

    @pytest.mark.parametrize("damage", [b"", b"x" * 20, None])
    def test_damaged_entries_count_as_missing(self, damage, site, policy):
        url = site.add("/a", content(DATA))
        with open_remote(url, policy) as file:
            file.read()
        for path in policy.cache.glob("*/*"):
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
        with open_remote(url, policy) as file:
            assert file.read() == DATA

    def test_is_cut_to_its_size(self, site, policy):
        with open_remote(site.add("/a", content(DATA)), policy) as file:
            file.read()
        small = dataclasses.replace(policy, cache_bytes=3000)
        with open_remote(site.add("/b", content(DATA)), small):
            pass
        assert sum(path.stat().st_size for path in policy.cache.glob("*/*")) <= 3000 + 1032

    def test_folder_that_others_may_write_to_is_not_used(self, site, policy):
        policy.cache.mkdir()
        policy.cache.chmod(0o777)
        with pytest.warns(DataQualityWarning, match="not cached.*others may write"):
            file = open_remote(site.add("/a", content(DATA)), policy)
        with file:
            assert file.read() == DATA
        assert not list(policy.cache.iterdir())

    def test_full_disk_ends_the_caching_not_the_reading(self, site, policy, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        file = open_remote(site.add("/a", content(DATA)), policy)
        monkeypatch.setattr(blocks.os, "replace", full)
        with file, pytest.warns(DataQualityWarning, match="not cached.*No space") as caught:
            assert file.read() == DATA
        assert len(caught) == 1
        assert not [p for p in policy.cache.glob("*/*") if p.name.startswith("tmp")]

    def test_default_folder_is_the_users(self, monkeypatch, tmp_path):
        monkeypatch.delenv("NEURODYN_CACHE", raising=False)
        assert blocks.cache_folder().name == "neurodyn"
        monkeypatch.setenv("NEURODYN_CACHE", str(tmp_path))
        assert blocks.cache_folder() == tmp_path


class TestDandi:
    ADDRESS = "dandi://000128/0.220113.0400/sub-a/sub a.nwb"
    LISTING = "/api/dandisets/000128/versions/0.220113.0400/assets/"

    def answer(self, site, policy, results):
        body = results if isinstance(results, bytes) else json.dumps({"results": results}).encode()
        site.add(self.LISTING, plain(body))
        return dataclasses.replace(policy, dandi_api=site.url("/api"))

    def test_storage_address_is_taken(self, site, policy):
        storage = site.add("/blobs/1", content(DATA))
        other = {"path": "sub-a/sub a.nwb.bak", "asset_id": "0"}
        asset = {"path": "sub-a/sub a.nwb", "asset_id": "7"}
        download = site.url("/api/assets/7/download/")
        asset["metadata"] = {"contentUrl": [download, storage]}
        policy = self.answer(site, policy, [other, asset])
        assert resolve_dandi(self.ADDRESS, policy) == storage
        with open_remote(self.ADDRESS, policy) as file:
            assert file.read() == DATA
        del asset["metadata"]
        policy = self.answer(site, policy, [asset])
        assert resolve_dandi(self.ADDRESS, policy) == download

    @pytest.mark.parametrize(
        ("results", "message"),
        [
            ([], "no such asset"),
            ([{"path": "other"}], "no such asset"),
            ([{"path": "sub-a/sub a.nwb"}], "not understood"),
            (b"<html>", "not understood"),
            (b"\xff", "not understood"),
            (b"[]", "not understood"),
        ],
    )
    def test_answers_that_do_not_help(self, results, message, site, policy):
        with pytest.raises(NetworkError, match=message):
            resolve_dandi(self.ADDRESS, self.answer(site, policy, results))

    @pytest.mark.parametrize("address", ["dandi://1/draft/a", "dandi://000128/a.nwb"])
    def test_addresses_have_three_parts(self, address):
        with pytest.raises(NetworkError, match="not a DANDI address"):
            open_remote(address)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl program, which makes the certificate, is missing")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-out", folder / "cert.pem"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_https_with_a_certificate_of_ones_own(certificate, policy):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    policy = dataclasses.replace(policy, allow_http=False)
    with running_site(context) as site:
        url = site.add("/a", content(DATA)).replace("http://", "https://")
        with pytest.raises(NetworkError, match="certificate of the host is not valid"):
            open_remote(url, policy)
        policy = dataclasses.replace(policy, certificates=certificate / "cert.pem")
        with open_remote(url, policy) as file:
            assert file.read() == DATA


def test_addresses_and_names():
    assert is_remote("dandi://000128/draft/a")
    assert not is_remote(r"C:\data\a.nwb")
    assert not is_remote(io.BytesIO())
    assert shown("https://host.org:8443/a?x=1") == "https://host.org:8443/a"
    assert issubclass(RemoteFile, io.RawIOBase)
