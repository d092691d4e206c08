"""The registry, and fetching on loopback: nothing here leaves this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

from neurodyn import datasets
from neurodyn import recording as rec
from neurodyn.datasets import registry
from neurodyn.errors import ConfigError, CorruptFileError, EmptySelectionError, UnsafeFileError
from neurodyn.io.network import RemotePolicy

NLB = {
    "mc_maze": ("000128", 694_004_935),
    "mc_maze_large": ("000138", 149_392_888),
    "mc_maze_medium": ("000139", 77_300_692),
    "mc_maze_small": ("000140", 29_896_840),
    "mc_rtt": ("000129", 50_965_512),
    "area2_bump": ("000127", 1_823_368_810),
    "dmfc_rsg": ("000130", 15_673_496),
}


def test_every_set_has_title_licence_and_citation() -> None:
    for name in datasets.list_datasets():
        info = datasets.dataset_info(name)
        assert info.title
        assert info.citation
        assert info.licence in ("BSD-3-Clause", "Apache-2.0", "CC-BY-4.0")
    assert datasets.list_datasets("simulated") == [
        "lorenz",
        "lorenz_textbook",
        "chaotic_rnn",
        "calcium_motifs",
        "calcium_events",
        "fmri_phantom",
        "oscillating_network",
        "hub_network",
        "hub_network_background",
        "visual_population",
        "place_cells",
    ]


@pytest.mark.parametrize("name", NLB)
def test_benchmark_sets_have_published_sizes_and_digests(name: str) -> None:
    info = datasets.dataset_info(name)
    assert (info.dandiset, info.bytes) == NLB[name]
    train, test = registry.assets(name)
    assert "desc-train_" in train.file_name
    assert "desc-test_" in test.file_name
    assert test.url.startswith(f"dandi://{info.dandiset}/{info.version}/sub-")
    assert test.licence == "CC-BY-4.0"
    assert train.sha256 != test.sha256


def test_the_digest_of_a_real_file(shared_data: Path) -> None:
    asset = registry.assets("mc_maze_small")[1]
    file = shared_data / "nlb_mc_maze_small_test" / asset.file_name
    assert file.stat().st_size == asset.size
    assert hashlib.sha256(file.read_bytes()).hexdigest() == asset.sha256


def test_names_are_suggested() -> None:
    with pytest.raises(ConfigError, match=r"no data set 'lorentz'(.|\n)*did you mean 'lorenz'"):
        datasets.dataset_info("lorentz")
    with pytest.raises(ConfigError, match=r"grasshopper is a recording(.|\n)*chaotic_rnn"):
        datasets.simulate("grasshopper")
    with pytest.raises(ConfigError, match=r"lorenz needs no download(.|\n)*load_dataset"):
        datasets.fetch("lorenz")
    with pytest.raises(ConfigError, match=r"lorenz is simulated and has no files"):
        datasets.path("lorenz")
    with pytest.raises(ConfigError, match=r"rest_schaefer100 takes no settings(.|\n)*seed"):
        datasets.load_dataset("rest_schaefer100", seed=1)


def test_simulated_sets_take_settings() -> None:
    small = {"n_conditions": 2, "n_repeats": 2}
    plain, textbook = (
        datasets.simulate(name, **small).truth.attrs["config"]
        for name in ("lorenz", "lorenz_textbook")
    )
    assert (plain["include_minus_y"], textbook["include_minus_y"]) == (False, True)
    tree = datasets.load_dataset("chaotic_rnn", **small, n_units=3)
    assert rec.pick(tree, "spikes").sizes["unit"] == 3


def test_nothing_is_downloaded_by_loading(tmp_path: Path) -> None:
    with pytest.raises(EmptySelectionError, match=r"not here(.|\n)*datasets fetch mc_rtt --folder"):
        datasets.load_dataset("mc_rtt", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_default_folder_is_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURODYN_CACHE", str(tmp_path))
    with pytest.raises(EmptySelectionError, match=str(tmp_path / "datasets" / "mc_rtt")):
        datasets.path("mc_rtt")


def test_parts_of_a_fetched_set(tmp_path: Path, shared_data: Path) -> None:
    folder = tmp_path / "mc_maze_small"
    folder.mkdir()
    for asset in registry.assets("mc_maze_small"):
        source = (
            shared_data / "nlb_mc_maze_small_test" / registry.assets("mc_maze_small")[1].file_name
        )
        (folder / asset.file_name).write_bytes(source.read_bytes())
    assert datasets.path("mc_maze_small", tmp_path) == folder
    tree = datasets.load_dataset("mc_maze_small", folder=tmp_path, part="test")
    assert rec.pick(tree, "spikes").sizes["unit"] == 107
    with pytest.raises(EmptySelectionError, match=r"no part 'validation'(.|\n)*train or test"):
        datasets.load_dataset("mc_maze_small", folder=tmp_path, part="validation")


CONTENT = {
    asset: np.random.default_rng(index).bytes(3_000_000)
    for index, asset in enumerate(("sub-a/sub-a_desc-train_x.nwb", "sub-a/sub-a_desc-test_x.nwb"))
}


class Archive(BaseHTTPRequestHandler):
    """A DANDI archive of one dandiset that serves byte ranges."""

    requests: list[str]

    def do_GET(self) -> None:
        url = urlparse(self.path)
        self.requests.append(url.path)
        if "/assets/" in url.path and "/dandisets/" in url.path:
            path = parse_qs(url.query)["path"][0]
            results = [{"path": path, "asset_id": path.replace("/", "--"), "metadata": {}}]
            self.answer(200, json.dumps({"results": results}).encode())
            return
        body = CONTENT[url.path.split("/")[-3].replace("--", "/")]
        first = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.answer(206 if first else 200, body[first:], first, len(body))

    def answer(self, status: int, body: bytes, first: int = 0, length: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{length - 1}/{length}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RemotePolicy, list[str]]]:
    Archive.requests = []
    files = tuple(
        registry.DatasetFile(path=path, bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
        for path, body in CONTENT.items()
    )
    info = registry.DatasetInfo(
        name="tiny",
        kind="downloadable",
        title="t",
        licence="CC-BY-4.0",
        citation="c",
        dandiset="000999",
        version="0.1",
        files=files,
    )
    monkeypatch.setattr(registry, "_registry", lambda: {"tiny": info})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    api = f"http://127.0.0.1:{server.server_port}/api"
    policy = RemotePolicy(
        trusted_hosts=("127.0.0.1",), allow_http=True, dandi_api=api, retries=1, backoff=0.01
    )
    yield policy, Archive.requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch_downloads_once(archive: tuple[RemotePolicy, list[str]], tmp_path: Path) -> None:
    policy, requests = archive
    files = datasets.fetch("tiny", tmp_path, policy=policy, progress=False)
    assert files == [tmp_path / "tiny" / Path(path).name for path in CONTENT]
    assert [file.read_bytes() for file in files] == list(CONTENT.values())
    n_requests = len(requests)
    assert datasets.fetch("tiny", tmp_path, policy=policy) == files
    assert len(requests) == n_requests
    assert datasets.path("tiny", tmp_path) == tmp_path / "tiny"


def test_a_broken_download_goes_on(archive: tuple[RemotePolicy, list[str]], tmp_path: Path) -> None:
    policy, _ = archive
    name, body = next(iter(CONTENT.items()))
    part = tmp_path / "tiny" / f"{Path(name).name}.part"
    part.parent.mkdir()
    part.write_bytes(body[:1_000_000])
    files = datasets.fetch("tiny", tmp_path, policy=policy)
    assert files[0].read_bytes() == body
    assert not part.exists()


def test_another_content_is_refused(
    archive: tuple[RemotePolicy, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, _ = archive
    name = next(iter(CONTENT))
    monkeypatch.setitem(CONTENT, name, bytes(len(CONTENT[name])))
    with pytest.raises(CorruptFileError, match="checksum is wrong"):
        datasets.fetch("tiny", tmp_path, policy=policy)
    assert not (tmp_path / "tiny" / Path(name).name).exists()


def test_the_default_policy_keeps_to_public_hosts(
    archive: tuple[RemotePolicy, list[str]], tmp_path: Path
) -> None:
    _, requests = archive
    api = archive[0].dandi_api.replace("http:", "https:")
    with pytest.raises(UnsafeFileError):
        datasets.fetch("tiny", tmp_path, policy=RemotePolicy(dandi_api=api))
    assert requests == []
