"""Atlases by name, fetched on loopback: nothing here leaves this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neurodyn.datasets import atlases
from neurodyn.datasets.atlases import atlas_info, fetch_atlas, list_atlases
from neurodyn.errors import ConfigError, CorruptFileError, NetworkError
from neurodyn.io.atlas import COORDINATE_ATLASES, read_atlas
from neurodyn.io.network import RemotePolicy

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "io"))
from loopback import content, running_site  # noqa: E402

FILES = {
    "cc200": "fmri_abide1_cc200/CC200.nii.gz",
    "cc400": "fmri_atlases/CC400.nii.gz",
    "aal": "fmri_atlases/aal_mask_pad.nii.gz",
    "eickhoff_zilles": "fmri_atlases/ez_mask_pad.nii.gz",
    "harvard_oxford": "fmri_atlases/ho_mask_pad.nii.gz",
    "talairach_tournoux": "fmri_atlases/tt_mask_pad.nii.gz",
}


@pytest.fixture
def policy() -> RemotePolicy:
    return RemotePolicy(trusted_hosts=("127.0.0.1",), allow_http=True, retries=1, backoff=0.001)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A server that has an atlas of two regions under the name of CC200."""
    image = np.zeros((3, 3, 3), np.int16)
    image[0, 0, 0], image[2, 2, 2] = 1, 2
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "source.nii.gz")
    data = (tmp_path / "source.nii.gz").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    with running_site() as found:
        url = found.add("/CC200.nii.gz", content(data))
        own = dataclasses.replace(atlas_info("cc200"), url=url, bytes=len(data), sha256=digest)
        monkeypatch.setattr(atlases, "_atlases", lambda: {"cc200": own})
        yield found


def test_every_atlas_says_where_it_is_from() -> None:
    assert list_atlases() == list(FILES)
    for name in list_atlases():
        info = atlas_info(name)
        assert info.title.endswith(f"{info.n_regions} regions")
        assert info.licence
        assert "https://doi.org/" in info.citation
        assert re.search(r"^https://raw\.githubusercontent\.com/.*/[0-9a-f]{40}/", info.url)
        assert info.asset.file_name == f"{name}.nii.gz"


@pytest.mark.parametrize("name", FILES)
def test_the_digests_are_those_of_the_files(name: str, shared_data: Path) -> None:
    info, file = atlas_info(name), shared_data / FILES[name]
    assert Path(info.url).name == file.name
    assert file.stat().st_size == info.bytes
    assert hashlib.sha256(file.read_bytes()).hexdigest() == info.sha256
    assert read_atlas(file).regions.sizes["roi"] == info.n_regions


def test_an_atlas_is_fetched_once_and_read(
    site, policy: RemotePolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch_atlas("cc200", tmp_path / "here", policy=policy)
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(r"200 regions\nLicence: research use.*\nCite: Craddock", said.err)
    assert path == tmp_path / "here" / "cc200.nii.gz"
    assert read_atlas(path).regions["label"].values.tolist() == [1, 2]
    assert fetch_atlas("cc200", tmp_path / "here", policy=policy) == path
    assert capsys.readouterr().err == ""
    assert len(site.requests) == 1


def test_the_cache_is_the_default_place(
    site, policy: RemotePolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURODYN_CACHE", str(tmp_path / "cache"))
    path = fetch_atlas("cc200", policy=policy, progress=False)
    assert path == tmp_path / "cache" / "atlases" / "cc200.nii.gz"


def test_another_content_is_refused(site, policy: RemotePolicy, tmp_path: Path) -> None:
    length = atlas_info("cc200").bytes
    site.add("/CC200.nii.gz", content(bytes(length)))
    with pytest.raises(CorruptFileError, match="checksum is wrong"):
        fetch_atlas("cc200", tmp_path, policy=policy, progress=False)
    assert not (tmp_path / "cc200.nii.gz").exists()


def test_nothing_is_fetched_offline(site, policy: RemotePolicy, tmp_path: Path) -> None:
    offline = dataclasses.replace(policy, offline=True)
    with pytest.raises(NetworkError):
        fetch_atlas("cc200", tmp_path, policy=offline, progress=False)
    assert site.requests == []


def test_names_are_suggested() -> None:
    with pytest.raises(ConfigError, match=r"(?s)no atlas 'cc20'.*did you mean 'cc200'"):
        fetch_atlas("cc20")


def test_the_page_lists_what_the_code_knows() -> None:
    text = (ROOT / "docs" / "atlases.rst").read_text(encoding="utf-8")
    rows = dict(re.findall(r"\* - ``(\w+)``\n     - (.+)", text))
    assert list(rows) == [*COORDINATE_ATLASES, *list_atlases()]
    for name in list_atlases():
        assert rows[name] == atlas_info(name).title
