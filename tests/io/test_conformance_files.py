"""Damaged and hostile files, each with its undamaged twin that loads without a warning.

A case makes something and reads it; its name begins with the row of the table in
``CONTRIBUTING.rst`` that it belongs to. ``bad`` must end as the row says, ``good`` just load.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import neuropal_files
import numpy as np
import pytest
from loopback import content, in_turn, redirect, slow, status, truncated

import neurodyn.io
from neurodyn import recording
from neurodyn.errors import (
    CorruptFileError,
    DataQualityWarning,
    FileError,
    NetworkError,
    SizeBudgetError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io.archive import extract_archive
from neurodyn.io.arrays import read_npy, read_npz
from neurodyn.io.fetch import Asset, fetch
from neurodyn.io.hdf5 import open_hdf5, read_array, unchanged
from neurodyn.io.limits import limited
from neurodyn.io.network import RemotePolicy
from neurodyn.io.remote import open_remote
from neurodyn.provenance import file_digest

NUMBERS = np.arange(1000.0)


class Lab(NamedTuple):
    """Where a case may work."""

    folder: Path
    site: Any
    policy: RemotePolicy


class Case(NamedTuple):
    bad: Callable[[Lab], Any]
    error: type[Exception]
    message: str
    good: Callable[[Lab], Any]


CASES: dict[str, Case] = {}


def case(name, error, message, good):
    """Register the decorated function as the bad side of a case."""

    def add(bad):
        CASES[name] = Case(bad, error, message, good)
        return bad

    return add


@pytest.fixture
def lab(tmp_path, site, policy):
    return Lab(tmp_path, site, policy)


@pytest.mark.parametrize("name", CASES)
def test_undamaged_twin_loads_without_a_warning(name, lab):
    CASES[name].good(lab)


# ----------------------------------------------------------------------------------------------


def write_clean(lab, **settings):
    path = lab.folder / "data.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/numbers", data=NUMBERS, **settings)
    return path


def read_all(path, **options):
    with open_hdf5(path, **options) as file:
        values = read_array(file["group/numbers"])
        unchanged(file)
    return values


def clean(lab):
    np.testing.assert_array_equal(read_all(write_clean(lab)), NUMBERS)


def chunked(lab):
    for settings in ({"compression": "gzip"}, {"fletcher32": True, "chunks": (100,)}):
        np.testing.assert_array_equal(read_all(write_clean(lab, **settings)), NUMBERS)


def flip(path, at, n_bytes=4):
    data = bytearray(path.read_bytes())
    data[at : at + n_bytes] = bytes(byte ^ 0x5A for byte in data[at : at + n_bytes])
    path.write_bytes(data)


@case("F01-empty", CorruptFileError, "file is empty", clean)
def _(lab):
    (lab.folder / "a.nwb").touch()
    read_all(lab.folder / "a.nwb")


@case("F01-text", CorruptFileError, "not a readable HDF5 file(.|\n)*signature", clean)
def _(lab):
    (lab.folder / "a.nwb").write_text("time,rate\n0,1\n")
    read_all(lab.folder / "a.nwb")


@case("F01-truncated", CorruptFileError, "not a readable HDF5 file(.|\n)*truncated file", clean)
def _(lab):
    path = write_clean(lab)
    path.write_bytes(path.read_bytes()[:-1000])
    read_all(path)


@case("F01-folder", CorruptFileError, "a folder", clean)
def _(lab):
    read_all(lab.folder)


@case("F01-missing", FileNotFoundError, "no such file", clean)
def _(lab):
    read_all(lab.folder / "missing.nwb")


@case("F02-gzip", CorruptFileError, r"/group/numbers, chunk \(100,\)(.|\n)*filter", chunked)
def _(lab):
    path = write_clean(lab, chunks=(100,), compression="gzip")
    with h5py.File(path) as file:
        info = file["group/numbers"].id.get_chunk_info(1)
    flip(path, info.byte_offset + info.size // 2)
    read_all(path)


@case("F02-fletcher32", CorruptFileError, r"/group/numbers, chunk \(300,\)", chunked)
def _(lab):
    path = write_clean(lab, chunks=(100,), fletcher32=True)
    with h5py.File(path) as file:
        flip_at = file["group/numbers"].id.get_chunk_info(3).byte_offset
    flip(path, flip_at + 8)
    read_all(path)


def own_file(lab):
    times = [np.sort(np.random.default_rng(1).uniform(0, 9, 500))]
    ds = recording.spikes(np.concatenate(times), [500], ["a"], tick_hz=1e6)
    return recording.save(ds, lab.folder / "own.nc")


def own_file_loads(lab):
    digest = file_digest(own_file(lab))
    recording.load(lab.folder / "own.nc")
    assert file_digest(lab.folder / "own.nc") == digest


@case("F03-own-file", CorruptFileError, r"own\.nc", own_file_loads)
def _(lab):
    path = own_file(lab)
    before = file_digest(path)
    with h5py.File(path) as file:
        info = file["spike_time"].id.get_chunk_info(0)
    flip(path, info.byte_offset + info.size // 2, 1)
    assert file_digest(path) != before
    recording.load(path)


def secret_file(lab):
    path = lab.folder / "secret.txt"
    path.write_bytes(b"the secret text!" * 8)
    return path


def inside(lab):
    """Links, raw-like and virtual data that stay within the file."""
    path = lab.folder / "inside.h5"
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource(".", "numbers", (1000,))
    with h5py.File(path, "w") as file:
        file["numbers"] = NUMBERS
        file["group/soft"] = h5py.SoftLink("/numbers")
        file["group/hard"] = file["numbers"]
        file["group/dangling"] = h5py.SoftLink("/not/there")
        file["group/circle"] = h5py.SoftLink("/group")
        file.create_virtual_dataset("group/numbers", layout)
    np.testing.assert_array_equal(read_all(path), NUMBERS)


@case("F04-raw", UnsafeFileError, r"external raw storage.*/group/numbers(.|\n)*secret", inside)
def _(lab):
    external = [(str(secret_file(lab)), 0, 128)]
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file.create_dataset("group/numbers", (16,), "f8", external=external)
    read_all(lab.folder / "a.h5")


@case("F04-raw-elsewhere", UnsafeFileError, "allow_external", inside)
def _(lab):
    (lab.folder / "allowed").mkdir()
    external = [("../secret.txt", 0, 128)]
    secret_file(lab)
    with h5py.File(lab.folder / "allowed/a.h5", "w") as file:
        file.create_dataset("group/numbers", (16,), "f8", external=external)
    read_all(lab.folder / "allowed/a.h5", allow_external=[lab.folder / "allowed"])


@case("F05-link", UnsafeFileError, r"an external link.*/group/numbers(.|\n)*other\.h5", inside)
def _(lab):
    write_clean(lab).rename(lab.folder / "other.h5")
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file["group/numbers"] = h5py.ExternalLink("other.h5", "/group/numbers")
    read_all(lab.folder / "a.h5")


@case("F05-soft-to-link", UnsafeFileError, "an external link", inside)
def _(lab):
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file["z/deep/way/out"] = h5py.ExternalLink("/etc/hosts", "/")
        file["group/numbers"] = h5py.SoftLink("/z/deep/way/out")
    read_all(lab.folder / "a.h5")


@case("F05-virtual", UnsafeFileError, "a virtual dataset", inside)
def _(lab):
    write_clean(lab).rename(lab.folder / "other.h5")
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "group/numbers", (1000,))
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file.create_virtual_dataset("group/numbers", layout)
    read_all(lab.folder / "a.h5")


@case("F05-virtual-missing", CorruptFileError, "source of a virtual dataset is missing", inside)
def _(lab):
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource("gone.h5", "x", (1000,))
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file.create_virtual_dataset("group/numbers", layout)
    read_all(lab.folder / "a.h5", allow_external=[lab.folder])


@case("F05-own-format", UnsafeFileError, "an external link", own_file_loads)
def _(lab):
    with h5py.File(own_file(lab), "r+") as file:
        file["other"] = h5py.ExternalLink("other.nc", "/")
    neurodyn.io.open(lab.folder / "own.nc")


def neuropal_loads(lab):
    for write in neuropal_files.WRITERS.values():
        path = write(lab.folder / "worms.mat", neuropal_files.undamaged())
        assert neurodyn.io.load(path)["signal"].sizes["animal"] == 3
    return path


@case("F01-matlab", CorruptFileError, "not a readable HDF5 file(.|\n)*truncated", neuropal_loads)
def _(lab):
    path = neuropal_loads(lab)
    path.write_bytes(path.read_bytes()[:-1000])
    neurodyn.io.load(path)


@case("F02-matlab", CorruptFileError, "MATLAB file cannot be read(.|\n)*traces", neuropal_loads)
def _(lab):
    fields = {"traces": neuropal_files.undamaged()["traces"], **neuropal_files.undamaged()}
    path = neuropal_files.write_5(lab.folder / "worms.mat", fields, do_compression=True)
    flip(path, 2000)
    neurodyn.io.load(path)


@case("F05-matlab", UnsafeFileError, r"an external link.*#refs#/out", neuropal_loads)
def _(lab):
    path = neuropal_loads(lab)
    with h5py.File(path, "r+") as file:
        file["#refs#/out"] = h5py.ExternalLink("/etc/hosts", "/")
    neurodyn.io.open(path)


@case("F08-matlab", CorruptFileError, r"bytes of data for shape \(.*2147483647", neuropal_loads)
def _(lab):
    data = neuropal_files.write_5(lab.folder / "a.mat", neuropal_files.undamaged())
    shape = (1).to_bytes(4, "little") * 2
    lying = data.read_bytes().replace(shape, b"\xff\xff\xff\x7f" + shape[:4])
    data.write_bytes(lying)
    neurodyn.io.load(data)


@case("F07-objects", SizeBudgetError, "too many objects(.|\n)*objects=", clean)
def _(lab):
    with h5py.File(lab.folder / "a.h5", "w") as file:
        for i in range(50):
            file.create_group(f"group/{i}")
    with limited(objects=40):
        read_all(lab.folder / "a.h5")


@case("F08-declared", SizeBudgetError, r"8 TB in memory from 0 B stored(.|\n)*slices", clean)
def _(lab):
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file.create_dataset("group/numbers", (10**12,), "f8", chunks=(1000,))
    assert (lab.folder / "a.h5").stat().st_size < 4000
    read_all(lab.folder / "a.h5")


def write_bomb(lab, n_chunks):
    """Write zeros that expand a thousandfold, one compressed chunk many times."""
    with h5py.File(lab.folder / "a.h5", "w") as file:
        shape, chunk = (n_chunks * 1_250_000,), (1_250_000,)
        ds = file.create_dataset("group/numbers", shape, "f8", chunks=chunk, compression="gzip")
        packed = zlib.compress(bytes(10_000_000), 9)
        for i in range(n_chunks):
            ds.id.write_direct_chunk((i * 1_250_000,), packed)
    return lab.folder / "a.h5"


def well_compressed(lab):
    assert not read_all(write_bomb(lab, 2)).any()


@case("F09-bomb", SizeBudgetError, r"expand suspiciously(.|\n)*ratio 10\d\d\)", well_compressed)
def _(lab):
    with limited(memory="100 GB"):
        read_all(write_bomb(lab, 110))


def table_loads(lab):
    path = lab.folder / "worm.csv.gz"
    path.write_bytes(gzip.compress(b"time_s,AVAL\n0,1\n0.5,2\n"))
    assert neurodyn.io.load(path)["signal"].sizes["time"] == 2
    return path


@case("F01-table", CorruptFileError, "compressed table is damaged", table_loads)
def _(lab):
    path = table_loads(lab)
    path.write_bytes(path.read_bytes()[:-6])
    neurodyn.io.open(path)


@case("F09-table", SizeBudgetError, r"expand suspiciously(.|\n)*ratio 1\d\d\d\)", table_loads)
def _(lab):
    path = lab.folder / "bomb.csv.gz"
    rows = gzip.compress(b"0,0\n" * 2_500_000)
    path.write_bytes(gzip.compress(b"t,a\n") + rows * 101)
    with limited(memory="100 GB"):
        neurodyn.io.open(path)


@case("F10-unwritten", DataQualityWarning, "storage 0 of 8000 bytes", chunked)
def _(lab):
    with h5py.File(lab.folder / "a.h5", "w") as file:
        file.create_dataset("group/numbers", (1000,), "f8", chunks=(100,))
    read_all(lab.folder / "a.h5")


def arrays(lab):
    np.save(lab.folder / "a.npy", NUMBERS)
    np.savez(lab.folder / "a.npz", a=NUMBERS, b=np.array(["text"]))
    np.testing.assert_array_equal(read_npy(lab.folder / "a.npy"), NUMBERS)
    np.testing.assert_array_equal(read_npy(lab.folder / "a.npy", lazy=True), NUMBERS)
    assert read_npz(lab.folder / "a.npz")["b"].tolist() == ["text"]


class Trap:
    """Unpickling this would make a file."""

    path = ""

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@case("F12-npy", UnsafeFileError, "could run code", arrays)
def _(lab):
    Trap.path = str(lab.folder / "ran")
    np.save(lab.folder / "a.npy", np.array([Trap()]), allow_pickle=True)
    read_npy(lab.folder / "a.npy")


@case("F12-npz", UnsafeFileError, "could run code", arrays)
def _(lab):
    Trap.path = str(lab.folder / "ran")
    np.savez(lab.folder / "a.npz", a=np.array([Trap()]))
    read_npz(lab.folder / "a.npz")


def lying_npy(lab, lazy):
    np.save(lab.folder / "a.npy", NUMBERS)
    data = (lab.folder / "a.npy").read_bytes()
    lying = data.replace(b"(1000,), }" + b" " * 11, b"(100000000000,), }".ljust(21))
    assert len(lying) == len(data)
    assert lying != data
    (lab.folder / "a.npy").write_bytes(lying)
    read_npy(lab.folder / "a.npy", lazy=lazy)


@case("F13-lying", CorruptFileError, "disagree(.|\n)*800 GB", arrays)
def _(lab):
    lying_npy(lab, lazy=False)


@case("F13-lying-mapped", CorruptFileError, "disagree(.|\n)*800 GB", arrays)
def _(lab):
    lying_npy(lab, lazy=True)


@case("F13-truncated", CorruptFileError, "disagree", arrays)
def _(lab):
    np.save(lab.folder / "a.npy", NUMBERS)
    path = lab.folder / "a.npy"
    path.write_bytes(path.read_bytes()[:-8])
    read_npy(path)


def suite2p_loads(lab):
    for name in ("F.npy", "Fneu.npy"):
        np.save(lab.folder / name, np.ones((2, 9), np.float32))
    np.save(lab.folder / "ops.npy", np.array({"fs": 30.0}), allow_pickle=True)
    tree = neurodyn.io.load(lab.folder, sampling_rate=30.0)
    assert tree["signal/neuropil"].sizes["roi"] == 2


@case("F12-suite2p", UnsafeFileError, "could run code", suite2p_loads)
def _(lab):
    suite2p_loads(lab)
    Trap.path = str(lab.folder / "ran")
    np.save(lab.folder / "Fneu.npy", np.array([[Trap()]]), allow_pickle=True)
    neurodyn.io.load(lab.folder)


@case("F13-suite2p", CorruptFileError, r"F\.npy(.|\n)*disagree|disagree", suite2p_loads)
def _(lab):
    suite2p_loads(lab)
    path = lab.folder / "F.npy"
    path.write_bytes(path.read_bytes()[:-8])
    neurodyn.io.load(lab.folder)


def own_file_opens(lab):
    neurodyn.io.open(own_file(lab)).close()


@case("F14-checkpoint", UnsupportedFormatError, "no known format", own_file_opens)
def _(lab):
    with zipfile.ZipFile(lab.folder / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    neurodyn.io.open(lab.folder / "model.pt")


def clean_archives(lab):
    with zipfile.ZipFile(lab.folder / "a.zip", "w") as archive:
        archive.writestr("folder/a", "first")
    with tarfile.open(lab.folder / "a.tar.gz", "w:gz") as archive:
        archive.add(lab.folder / "a.zip", "folder/b")
    for name in ("a.zip", "a.tar.gz"):
        assert len(extract_archive(lab.folder / name, lab.folder / f"{name}-out")) == 1


def unpack_zip(lab, *names):
    with zipfile.ZipFile(lab.folder / "a.zip", "w") as archive:
        for name in ("good", *names):
            archive.writestr(name, "text")
    try:
        extract_archive(lab.folder / "a.zip", lab.folder / "out")
    finally:
        assert [p.name for p in lab.folder.iterdir()] == ["a.zip"]


@case("F15-parent", UnsafeFileError, r"'\.\./escaped' leads elsewhere", clean_archives)
def _(lab):
    unpack_zip(lab, "../escaped")


@case("F15-absolute", UnsafeFileError, "'/tmp/escaped' is an absolute path", clean_archives)
def _(lab):
    unpack_zip(lab, "/tmp/escaped")


@case("F15-doubled", UnsafeFileError, "'GOOD' appears twice", clean_archives)
def _(lab):
    unpack_zip(lab, "GOOD")


@case("F15-symlink", UnsafeFileError, "'way' is a link", clean_archives)
def _(lab):
    with tarfile.open(lab.folder / "a.tar", "w") as archive:
        item = tarfile.TarInfo("way")
        item.type, item.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(item)
    extract_archive(lab.folder / "a.tar", lab.folder / "out")


@case("F15-size", SizeBudgetError, "unpacks to too much", clean_archives)
def _(lab):
    with tarfile.open(lab.folder / "a.tar.xz", "w:xz") as archive:
        item = tarfile.TarInfo("zeros")
        item.size = 5_000_000
        archive.addfile(item, io.BytesIO(bytes(item.size)))
    extract_archive(lab.folder / "a.tar.xz", lab.folder / "out", max_bytes="1 MB")


def served(lab):
    data = write_clean(lab).read_bytes()
    url = lab.site.add("/a.nwb", content(data))
    with open_remote(url, lab.policy) as remote:
        np.testing.assert_array_equal(read_all(remote), NUMBERS)


def read_page(lab, page, **changes):
    policy = dataclasses.replace(lab.policy, **changes)
    with open_remote(lab.site.add("/a.nwb", page), policy) as remote:
        read_all(remote)


def data_of(lab):
    return write_clean(lab).read_bytes()


@case("F18-404", NetworkError, r"not found at 127\.0\.0\.1", served)
def _(lab):
    read_page(lab, status(404))


@case("F18-403", NetworkError, r"refused by 127\.0\.0\.1", served)
def _(lab):
    read_page(lab, status(403))


@case("F18-416", NetworkError, "416", served)
def _(lab):
    read_page(lab, status(416))


@case("F18-500", NetworkError, "server failed(.|\n)*in 3 attempts", served)
def _(lab):
    read_page(lab, status(500))


@case("F18-timeout", NetworkError, "network error, not a missing file", served)
def _(lab):
    read_page(lab, slow(status(200), 0.3), timeout=0.1, retries=0)


@case("F18-short", NetworkError, "short read|ended before", served)
def _(lab):
    read_page(lab, truncated(content(data_of(lab)), 300))


@case("F18-changed", NetworkError, "changed on the server", served)
def _(lab):
    data = data_of(lab)
    read_page(lab, in_turn(content(data), content(data, etag='"v2"')))


@case("F18-to-file", UnsafeFileError, "only https", served)
def _(lab):
    read_page(lab, redirect("file:///etc/passwd"))


@case("F18-to-private", UnsafeFileError, "not public", served)
def _(lab):
    read_page(lab, redirect("https://192.168.0.1/a.nwb"))


@case("F18-offline", NetworkError, "offline", served)
def _(lab):
    read_page(lab, content(data_of(lab)), offline=True)


def read_while(lab, change):
    path = write_clean(lab)
    with open_hdf5(path) as file:
        read_array(file["group/numbers"])
        change(path)
        unchanged(file)


@case("F19-appended", FileError, "changed while it was being read", clean)
def _(lab):
    def append(path):
        with path.open("ab") as file:
            file.write(b"more")

    read_while(lab, append)


@case("F19-replaced", FileError, "changed while it was being read", clean)
def _(lab):
    def replace(path):
        (lab.folder / "new").write_bytes(path.read_bytes())
        (lab.folder / "new").replace(path)

    read_while(lab, replace)


@case("F19-removed", FileError, "no such file", clean)
def _(lab):
    read_while(lab, Path.unlink)


def asset_of(lab):
    url = lab.site.add("/a.bin", content(b"data"))
    digest = hashlib.sha256(b"data").hexdigest()
    terms = {"licence": "CC0", "citation": "none"}
    return Asset(url=url, sha256=digest, size=4, file_name="a.bin", **terms)


def fetched(lab):
    fetch(asset_of(lab), lab.folder / "out", policy=lab.policy)


@case("F20-output", FileError, "cannot write to the folder", fetched)
def _(lab):
    (lab.folder / "out").touch()
    try:
        fetched(lab)
    finally:
        assert not lab.site.requests


@case("F20-full", FileError, "not enough space", fetched)
def _(lab):
    huge = dataclasses.replace(asset_of(lab), size=10**18)
    fetch(huge, lab.folder / "out", policy=lab.policy)


@case("F20-cache", DataQualityWarning, "not cached", served)
def _(lab):
    (lab.folder / "file").touch()
    lab = lab._replace(policy=dataclasses.replace(lab.policy, cache=lab.folder / "file"))
    with pytest.warns(DataQualityWarning) as caught:
        served(lab)
    raise caught[0].message


# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_damage_ends_as_the_table_says(name, lab):
    bad, error, message, _ = CASES[name]
    with pytest.raises(error, match=message) as caught:
        bad(lab)
    assert not (lab.folder / "ran").exists()
    if isinstance(caught.value, FileError) and name != "F03-own-file":
        parts = r".+ \(at .+\)\.\n  found: .+\n  expected: .+\n  to go on: .+"
        assert re.fullmatch(parts, str(caught.value), re.DOTALL), str(caught.value)
