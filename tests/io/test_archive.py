from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from neurodyn.errors import CorruptFileError, FileError, SizeBudgetError, UnsafeFileError
from neurodyn.io import archive as module
from neurodyn.io.archive import extract_archive
from neurodyn.io.limits import limited

MEMBERS = {"folder/a.txt": b"first", "folder/µ b.bin": bytes(2_000_000), "empty": b""}


def make_zip(path, members, *, mode=0, encrypted=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            item = zipfile.ZipInfo(name)
            item.compress_type = zipfile.ZIP_DEFLATED
            item.external_attr = mode << 16
            archive.writestr(item, data)
    if encrypted:
        data = bytearray(path.read_bytes())
        data[data.rfind(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(data)
    return path


def make_tar(path, members, *, kind=tarfile.REGTYPE, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            item = tarfile.TarInfo(name)
            item.type, item.size = kind, len(data)
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                item.linkname, item.size = "/etc/passwd", 0
            archive.addfile(item, io.BytesIO(data))
    return path


MAKERS = {
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda path, members: make_tar(path, members, mode="w:gz"),
    "tar.bz2": lambda path, members: make_tar(path, members, mode="w:bz2"),
    "tar.xz": lambda path, members: make_tar(path, members, mode="w:xz"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_clean_archive_unpacks_whole(kind, tmp_path):
    path = MAKERS[kind](tmp_path / f"a.{kind}", MEMBERS.items())
    target = tmp_path / "out"
    files = extract_archive(path, target)
    assert files == [target / name for name in MEMBERS]
    assert {str(f.relative_to(target)): f.read_bytes() for f in files} == MEMBERS
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, "out"]


def test_folders_and_an_empty_target_are_fine(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("folder/")
        archive.mkdir("folder/inner/")
        archive.writestr("folder/a", b"x")
    (tmp_path / "out").mkdir()
    assert extract_archive(tmp_path / "a.zip", tmp_path / "out") == [tmp_path / "out/folder/a"]
    assert (tmp_path / "out/folder/inner").is_dir()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["../a"], "leads elsewhere"),
        (["b/../../a"], "leads elsewhere"),
        (["..\\a"], "leads elsewhere"),
        (["/etc/a"], "absolute path"),
        (["C:/a"], "absolute path"),
        (["a", "b", "a"], "appears twice"),
        (["a", "A"], "appears twice"),
        (["caf\u00e9", "cafe\u0301"], "appears twice"),
        (["a\x1b[2J"], "no printable name"),
        (["a" * 300], "no printable name"),
    ],
)
def test_one_bad_name_refuses_everything(kind, names, reason, tmp_path):
    import warnings

    with warnings.catch_warnings():  # zipfile warns about writing a name twice
        warnings.simplefilter("ignore", UserWarning)
        path = MAKERS[kind](tmp_path / f"a.{kind}", [("good", b"x"), *((n, b"y") for n in names)])
    with pytest.raises(UnsafeFileError, match=reason):
        extract_archive(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar(kind, tmp_path):
    path = make_tar(tmp_path / "a.tar", [("x", b"")], kind=kind)
    with pytest.raises(UnsafeFileError, match="'x' is a link or device"):
        extract_archive(path, tmp_path / "out")


def test_links_and_encryption_in_zip(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("x", b"/etc/passwd")], mode=stat.S_IFLNK | 0o777)
    with pytest.raises(UnsafeFileError, match="'x' is a link or device"):
        extract_archive(path, tmp_path / "out")
    path = make_zip(tmp_path / "b.zip", [("x", b"data")], encrypted=True)
    with pytest.raises(UnsafeFileError, match="'x' is encrypted"):
        extract_archive(path, tmp_path / "out")


@pytest.mark.parametrize("kind", MAKERS)
def test_size_limits_of_all_and_of_one(kind, tmp_path):
    path = MAKERS[kind](tmp_path / f"a.{kind}", MEMBERS.items())
    with pytest.raises(SizeBudgetError, match="more than 1 MB"):
        extract_archive(path, tmp_path / "out", max_bytes="1 MB")
    with pytest.raises(SizeBudgetError, match="a member above 1 MB"):
        extract_archive(path, tmp_path / "out", max_file_bytes="1 MB")
    with limited(objects=2), pytest.raises(SizeBudgetError, match="more than 2 members"):
        extract_archive(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_by_ratio(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RATIO_FREE_BYTES", 1_000_000)
    path = MAKERS[kind](tmp_path / f"a.{kind}", MEMBERS.items())
    with pytest.raises(SizeBudgetError, match="more than 200 times its own size"):
        extract_archive(path, tmp_path / "out")


def test_huge_header_in_tar(tmp_path):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 8_000_000_000
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(CorruptFileError, match="extended header of 8 GB"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("kind", MAKERS)
def test_damaged_archive(kind, tmp_path):
    import random

    data = random.Random(5).randbytes(50_000)
    path = MAKERS[kind](tmp_path / f"a.{kind}", [("x", data)])
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(CorruptFileError, match="archive cannot be read"):
        extract_archive(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_archive_and_where_it_cannot_go(tmp_path):
    (tmp_path / "a.zip").write_text("hello, this is text and no archive")
    with pytest.raises(CorruptFileError, match="archive cannot be read"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"b\.zip"):
        extract_archive(tmp_path / "b.zip", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(FileError, match="not empty"):
        extract_archive(tmp_path / "a.zip", tmp_path / "full")


def test_a_name_as_file_and_folder(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("x", b"file"), ("x/y", b"inside")])
    with pytest.raises(CorruptFileError, match="archive cannot be read"):
        extract_archive(path, tmp_path / "out")
