"""NIfTI headers and frames against nibabel, and files that are damaged or lie."""

from __future__ import annotations

import gzip
import sys

import nibabel
import numpy as np
import pytest

from neurodyn.errors import (
    CorruptFileError,
    ImageGeometryError,
    MissingDependencyError,
    SizeBudgetError,
    UnsupportedFormatError,
)
from neurodyn.io import limits
from neurodyn.io.nifti import is_nifti, open_nifti

AFFINE = np.array([[-3.0, 0, 0, 90], [0, 3, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])


def write(path, values, affine=AFFINE, kind=nibabel.Nifti1Image, **header):
    image = kind(values, affine)
    for name, value in header.items():
        if name == "zooms":
            image.header.set_zooms(value)
        elif name == "units":
            image.header.set_xyzt_units("mm", value)
        else:
            image.header[name] = value
    nibabel.save(image, path)
    return path


def rewrite(path, **fields):
    """Change fields of the header in place, whatever they say then."""
    content = path.read_bytes()
    packed = path.suffix == ".gz"
    content = gzip.decompress(content) if packed else content
    header = nibabel.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    content = header.binaryblock + content[348:]
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "i4", "f4", "f8"])
def test_frames_equal_nibabel(tmp_path, rng, ending, dtype):
    values = rng.integers(0, 200, (4, 3, 2, 5)).astype(dtype)
    path = write(tmp_path / f"bold{ending}", values, zooms=(3, 3, 3, 0.72), units="sec")
    file = open_nifti(path)
    assert file.shape == (4, 3, 2, 5)
    assert file.n_frames == 5
    assert (file.step, file.time_unit) == (0.72, "sec")
    assert file.has_space
    np.testing.assert_array_equal(file.affine, AFFINE)
    frames = list(file.frames())
    assert all(frame.dtype == np.float32 and frame.shape == (4, 3, 2) for frame in frames)
    np.testing.assert_array_equal(np.stack(frames, -1), nibabel.load(path).get_fdata())
    np.testing.assert_array_equal(file.data(), values.astype("f4"))


def test_big_endian_and_nifti_2(tmp_path, rng):
    values = rng.normal(size=(2, 3, 4, 2)).astype("f4")
    header = nibabel.Nifti1Header(endianness=">" if sys.byteorder == "little" else "<")
    nibabel.save(nibabel.Nifti1Image(values, AFFINE, header), tmp_path / "swapped.nii")
    np.testing.assert_array_equal(open_nifti(tmp_path / "swapped.nii").data(), values)
    path = write(tmp_path / "two.nii.gz", values, kind=nibabel.Nifti2Image)
    np.testing.assert_array_equal(open_nifti(path).data(), values)


def test_three_axes_are_one_volume(tmp_path):
    path = write(tmp_path / "labels.nii", np.arange(24, dtype="i2").reshape(2, 3, 4))
    file = open_nifti(path)
    assert (file.shape, file.n_frames) == ((2, 3, 4), 1)
    np.testing.assert_array_equal(file.data(), np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_of_zero_or_nan_is_one(tmp_path, slope):
    path = write(tmp_path / "bold.nii", np.full((2, 2, 2, 3), 7, "i2"))
    file = open_nifti(rewrite(path, scl_slope=slope, scl_inter=5.0))
    assert not file.is_scaled
    assert (file.data() == 7).all()
    scaled = open_nifti(rewrite(path, scl_slope=0.5, scl_inter=5.0))
    assert scaled.is_scaled
    assert (scaled.data() == 8.5).all()


def test_values_beyond_float32_are_infinite(tmp_path):
    path = write(tmp_path / "bold.nii", np.full((1, 1, 1, 2), 1e300))
    assert np.isinf(open_nifti(path).data()).all()


def damage(tmp_path, **fields):
    path = write(tmp_path / "bold.nii", np.zeros((4, 4, 4, 3), "i2"))
    return rewrite(path, **fields)


IMPOSSIBLE = [
    ({"dim": [4, -8, 4, 4, 3, 1, 1, 1]}, r"(?s)header .* impossible.*-8.*each 1 or more"),
    ({"dim": [0] * 8}, "3 to 7 dims"),
    ({"dim": [9] * 8}, "3 to 7 dims"),
    ({"datatype": 999}, r"(?s)datatype 999.*a known type"),
    ({"vox_offset": np.nan}, r"(?s)data at byte nan.*byte 352"),
    ({"vox_offset": 12.0}, "data at byte 12"),
    ({"scl_slope": np.inf}, r"(?s)scl_slope inf.*finite numbers"),
    ({"scl_slope": 1.0, "scl_inter": np.inf}, "scl_inter inf"),
    ({"qform_code": 1, "sform_code": 0, "quatern_b": 9.0}, "an affine"),
]


@pytest.mark.parametrize(("fields", "message"), IMPOSSIBLE)
def test_impossible_headers(tmp_path, fields, message):
    with pytest.raises(CorruptFileError, match=message):
        open_nifti(damage(tmp_path, **fields))


def test_dims_that_lie_cost_no_memory(tmp_path):
    path = damage(tmp_path, dim=[4, 30000, 30000, 30000, 3, 1, 1, 1])
    with pytest.raises(CorruptFileError, match=r"Expected 1620000\d+ bytes, got 736 bytes"):
        open_nifti(path)
    packed = tmp_path / "bold.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SizeBudgetError, match=r"(?s)memory budget.*162 TB.*set_limits"):
        open_nifti(packed)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = damage(tmp_path, dim=[4, 1000, 1000, 1000, 1, 1, 1, 1])
    packed = tmp_path / "bold.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with (
        limits.limited(memory="16 GB"),
        pytest.raises(SizeBudgetError, match="expand suspiciously far"),
    ):
        open_nifti(packed)


def test_data_larger_than_the_budget(tmp_path):
    path = write(tmp_path / "bold.nii", np.zeros((20, 20, 20, 5), "i2"))
    with limits.limited(memory="1 kB"), pytest.raises(SizeBudgetError, match=r"80\.4 kB"):
        open_nifti(path)
    file = open_nifti(path)
    with limits.limited(memory="1 kB"), pytest.raises(SizeBudgetError, match="160 kB"):
        file.data()


def test_truncated_files_keep_the_text_of_the_library(tmp_path, rng):
    values = rng.integers(0, 1000, (8, 8, 8, 10)).astype("i2")
    path = write(tmp_path / "bold.nii", values)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(CorruptFileError, match=r"(?s)cut off.*Expected 10592 bytes, got 6000 b"):
        open_nifti(path)
    packed = write(tmp_path / "bold.nii.gz", values)
    packed.write_bytes(packed.read_bytes()[:4000])
    file = open_nifti(packed)
    with pytest.raises(CorruptFileError, match="ended before the end-of-stream marker"):
        file.data()
    short = rewrite(write(tmp_path / "short.nii.gz", values), dim=[4, 8, 8, 8, 11, 1, 1, 1])
    with pytest.raises(CorruptFileError, match="Expected 1024 bytes of a volume, got 0 bytes"):
        open_nifti(short).data()


def test_flipped_bits_are_noticed(tmp_path, rng):
    packed = write(tmp_path / "bold.nii.gz", rng.integers(0, 1000, (8, 8, 8, 10)).astype("i2"))
    content = bytearray(packed.read_bytes())
    content[-6] ^= 0xFF
    packed.write_bytes(content)
    with pytest.raises(CorruptFileError, match="CRC check failed"):
        open_nifti(packed).data()


def test_what_is_no_nifti(tmp_path):
    text = tmp_path / "bold.nii"
    text.write_text("not an image " * 100)
    with pytest.raises(CorruptFileError, match=r"(?s)one piece.*b'not an i'.*nibabel\.save"):
        open_nifti(text)
    (tmp_path / "empty.nii.gz").touch()
    with pytest.raises(CorruptFileError, match="0 bytes"):
        open_nifti(tmp_path / "empty.nii.gz")
    with pytest.raises(CorruptFileError, match="a folder"):
        open_nifti(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_nifti(tmp_path / "none.nii")


def test_numbers_that_are_not_real(tmp_path):
    path = write(tmp_path / "bold.nii", np.ones((2, 2, 2, 2), "c8"))
    with pytest.raises(UnsupportedFormatError, match=r"(?s)real numbers.*complex64"):
        open_nifti(path)
    path = write(tmp_path / "five.nii", np.ones((2, 2, 2, 2, 3), "f4"))
    with pytest.raises(UnsupportedFormatError, match=r"(?s)four axes.*\(2, 2, 2, 2, 3\)"):
        open_nifti(path)


def test_affines_that_cannot_be(tmp_path):
    path = write(tmp_path / "bold.nii", np.ones((2, 2, 2, 2), "f4"))
    flat = rewrite(path, srow_x=[0, 0, 0, 0])
    with pytest.raises(ImageGeometryError, match=r"(?s)singular.*three independent axes"):
        open_nifti(flat)
    image = nibabel.Nifti1Image(np.ones((2, 2, 2, 2), "f4"), AFFINE)
    image.set_qform(np.diag([3.0, 3, 3, 1]), code=1)
    image.set_sform(AFFINE, code=1)
    nibabel.save(image, path)
    with pytest.raises(ImageGeometryError, match=r"(?s)two affines.*disagree about left and right"):
        open_nifti(path)


def test_an_unknown_space_and_unit_are_told(tmp_path):
    path = write(tmp_path / "bold.nii", np.ones((2, 2, 2, 2), "f4"))
    file = open_nifti(rewrite(path, sform_code=0, qform_code=0, xyzt_units=255))
    assert not file.has_space
    assert file.time_unit == "unknown"


def test_first_bytes_tell_the_format(tmp_path):
    path = write(tmp_path / "bold.nii", np.ones((2, 2, 2, 2), "f4"))
    assert is_nifti(path.read_bytes()[:1024])
    assert not is_nifti(b"\x1f\x8b" + bytes(1000))
    assert not is_nifti(b"n+1")


def test_without_nibabel(tmp_path, monkeypatch):
    path = write(tmp_path / "bold.nii", np.ones((2, 2, 2, 2), "f4"))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingDependencyError, match=r"(?s)nibabel is not.*neurodyn\[fmri\]"):
        open_nifti(path)
