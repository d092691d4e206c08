"""CIFTI time series: parcels by name, vertices by structure and number, in every layout."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import (
    BrainModelAxis,
    LabelAxis,
    ParcelsAxis,
    ScalarAxis,
    SeriesAxis,
)

from neurodyn.errors import (
    AtlasMismatchError,
    CiftiError,
    CorruptFileError,
    MissingDependencyError,
    TimebaseError,
)
from neurodyn.io.cifti import check_cifti, load_cifti, open_cifti
from neurodyn.io.dlabel import read_dlabel

N_FRAMES, N_VERTICES = 7, 12
TABLE = {
    0: ("???", (0, 0, 0, 0)),
    1: ("7Networks_LH_Vis_1", (1, 0, 0, 1)),
    2: ("7Networks_LH_Cont_1", (0, 1, 0, 1)),
    5: ("7Networks_RH_Vis_1", (0, 0, 1, 1)),
    9: ("7Networks_RH_unused", (0, 0, 1, 1)),
}
LEFT = [0, 1, 1, 1, 2, 2, 2, 2, 0, 0, 1, 2]
RIGHT = [5, 5, 0, 0, 5, 5, 5, 0, 0, 0, 0, 5]


def cortex(left=None, right=None, n=N_VERTICES):
    """Brain models of both sides; without masks all vertices."""
    whole = np.ones(n, bool)
    sides = (("left", left), ("right", right))
    axes = [
        BrainModelAxis.from_mask(whole if mask is None else mask, f"cortex_{side}")
        for side, mask in sides
    ]
    return axes[0] + axes[1]


def voxels(n=2, shape=(3, 3, 3)):
    mask = np.zeros(shape, bool)
    mask.flat[:n] = True
    return BrainModelAxis.from_mask(mask, "thalamus_left", affine=np.eye(4))


@pytest.fixture
def write(tmp_path):
    def write(name, values, *axes):
        path = tmp_path / name
        Cifti2Image(np.asarray(values, np.float32), axes).to_filename(path)
        return path

    return write


@pytest.fixture
def dlabel(write):
    axes = (LabelAxis(["areas"], [TABLE]), cortex())
    return write("areas.dlabel.nii", [[*LEFT, *RIGHT]], *axes)


@pytest.fixture
def dense(rng):
    return rng.normal(100, 5, (N_FRAMES, 2 * N_VERTICES)).astype(np.float32)


def series(step=0.72, **more):
    return SeriesAxis(0, step, N_FRAMES, **more)


def by_hand(dense):
    label = np.array([*LEFT, *RIGHT])
    return np.stack([dense[:, label == k].astype(float).mean(1) for k in (1, 2, 5)], axis=1)


def test_a_dtseries_parcellated_is_the_mean_by_hand(write, dlabel, dense):
    path = write("rest.dtseries.nii", dense, series(), cortex())
    ds = load_cifti(path, dlabel=dlabel)["bold"]
    np.testing.assert_allclose(ds["bold"], by_hand(dense), rtol=1e-6)
    assert ds["roi"].values.tolist() == [TABLE[k][0] for k in (1, 2, 5)]
    assert ds["label"].values.tolist() == [1, 2, 5]
    assert ds["hemisphere"].values.tolist() == ["left", "left", "right"]
    assert ds["network"].values.tolist() == ["Vis", "Cont", "Vis"]
    assert ds["coverage"].values.tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(ds["time"], 0.72 * np.arange(N_FRAMES))


def test_files_without_medial_wall_or_with_voxels_match_by_vertex(write, dlabel, dense):
    left, right = (np.array(label) != 0 for label in (LEFT, RIGHT))
    kept = np.flatnonzero([*left, *right])
    extra = np.zeros((N_FRAMES, 2))
    path = write(
        "rest.dtseries.nii",
        np.hstack([dense[:, kept], extra]),
        series(),
        cortex(left, right) + voxels(),
    )
    ds = load_cifti(path, dlabel=dlabel)["bold"]
    np.testing.assert_allclose(ds["bold"], by_hand(dense), rtol=1e-6)
    assert ds["coverage"].values.tolist() == [1.0, 1.0, 1.0]


def test_the_order_of_structures_does_not_matter(write, dlabel, dense):
    both = cortex()
    swapped = both[N_VERTICES:] + both[:N_VERTICES]
    path = write("rest.dtseries.nii", np.roll(dense, N_VERTICES, axis=1), series(), swapped)
    ds = load_cifti(path, dlabel=dlabel)["bold"]
    np.testing.assert_allclose(ds["bold"], by_hand(dense), rtol=1e-6)


def test_vertices_that_a_file_lacks_lower_coverage_and_a_lost_region_is_nan(write, dlabel, dense):
    left = np.array(LEFT) != 1
    left[1] = True
    path = write(
        "rest.dtseries.nii",
        dense[:, [*np.flatnonzero(left), *range(N_VERTICES, 2 * N_VERTICES)]],
        series(),
        cortex(left),
    )
    with pytest.raises(AtlasMismatchError, match=r"1 of 3 regions(?s:.*)max_missing_roi=1.0"):
        load_cifti(path, dlabel=dlabel)
    ds = load_cifti(path, dlabel=dlabel, max_missing_roi=1.0)["bold"]
    assert ds["coverage"].values.tolist() == [0.25, 1.0, 1.0]
    assert np.isnan(ds["bold"].values[:, 0]).all()
    np.testing.assert_allclose(ds["bold"][:, 1:], by_hand(dense)[:, 1:], rtol=1e-6)


def test_a_dtseries_alone_stays_in_the_file(write, dense):
    path = write("sub-01_task-rest_bold.dtseries.nii", dense, series(), cortex())
    ds = open_cifti(path)["bold"]
    assert ds["bold"].dims == ("time", "vertex")
    assert ds["structure"].values[[0, -1]].tolist() == ["CORTEX_LEFT", "CORTEX_RIGHT"]
    assert ds["index"].values[N_VERTICES] == 0
    assert (ds.attrs["subject"], ds.attrs["task"]) == ("01", "rest")
    np.testing.assert_array_equal(ds["bold"][2:4, [1, 5]], dense[2:4][:, [1, 5]])
    np.testing.assert_array_equal(ds["bold"][[0, 6], 3:5], dense[[0, 6], 3:5])
    np.testing.assert_array_equal(ds["bold"][3], dense[3])
    np.testing.assert_array_equal(load_cifti(path)["bold"]["bold"], dense)


def parcels(names):
    left = cortex()[:N_VERTICES]
    return ParcelsAxis.from_brain_models([(n, left[i : i + 1]) for i, n in enumerate(names)])


def test_parcels_find_their_place_by_name(write, dlabel, rng):
    values = rng.normal(size=(N_FRAMES, 3))
    names = [TABLE[k][0] for k in (5, 1, 2)]
    path = write("rest.ptseries.nii", values, series(), parcels(names))
    alone = load_cifti(path)["bold"]
    assert alone["roi"].values.tolist() == names
    assert alone["hemisphere"].values.tolist() == ["left"] * 3
    ds = load_cifti(path, dlabel=dlabel)["bold"]
    assert ds["label"].values.tolist() == [1, 2, 5]
    np.testing.assert_allclose(ds["bold"], values[:, [1, 2, 0]], rtol=1e-6)


def test_tables_of_regions_describe_parcels(write, dlabel, dense, tmp_path):
    table = tmp_path / "rois.tsv"
    rows = [f"{TABLE[k][0]}\t{k}.5\tnet{k}" for k in (5, 2, 1, 9)]
    table.write_text("name\tx\tnetwork\n" + "\n".join(rows))
    path = write("rest.dtseries.nii", dense, series(), cortex())
    ds = load_cifti(path, dlabel=dlabel, rois=table)["bold"]
    assert ds["x"].values.tolist() == [1.5, 2.5, 5.5]
    assert ds["network"].values.tolist() == ["net1", "net2", "net5"]
    assert ds["label"].values.tolist() == [1, 2, 5]
    named = write("rest.ptseries.nii", dense[:, :1], series(), parcels([TABLE[2][0]]))
    ds = load_cifti(named, rois=table, max_missing_roi=1.0)["bold"]
    assert ds["coverage"].values.tolist()[0] == 0.0
    assert ds["x"].values.tolist() == [5.5, 2.5, 1.5, 9.5]
    np.testing.assert_array_equal(ds["bold"][:, 1], dense[:, 0])


@pytest.mark.parametrize(
    ("step", "sidecar", "given", "expected"),
    [(2.0, None, None, 2.0), (720.0, 0.72, None, 0.72), (2.0, 0.72, 0.72, 0.72)],
)
def test_header_sidecar_and_caller_settle_the_clock(write, dense, step, sidecar, given, expected):
    path = write("rest.dtseries.nii", dense, series(step), cortex())
    if sidecar is not None:
        (path.parent / "rest.json").write_text(json.dumps({"RepetitionTime": sidecar}))
    ds = load_cifti(path, repetition_time=given)["bold"]
    assert ds.attrs["repetition_time"] == expected


def test_a_sidecar_that_disagrees_is_an_error(write, dense):
    path = write("rest.dtseries.nii", dense, series(2.0), cortex())
    (path.parent / "rest.json").write_text('{"RepetitionTime": 0.72}')
    with pytest.raises(TimebaseError, match=r"header 2 s, sidecar 0.72 s"):
        load_cifti(path)
    assert [fault.code for fault in check_cifti(path)] == ["faulty_bold"]


def test_confounds_and_keep_go_along(write, dlabel, dense):
    path = write("rest.dtseries.nii", dense, series(), cortex())
    keep = np.arange(N_FRAMES) != 2
    about = {"confounds": {"csf": np.arange(N_FRAMES)}, "keep": keep}
    ds = load_cifti(path, dlabel=dlabel, **about)["bold"]
    assert ds["confounds"].sel(confound="csf").values.tolist() == list(range(N_FRAMES))
    np.testing.assert_array_equal(ds["keep"], keep)
    with pytest.raises(TimebaseError, match="3 frames of keep, 7 of the run"):
        load_cifti(path, keep=keep[:3])


def test_other_surfaces_and_volumes_do_not_match_in_silence(write, dlabel, dense):
    path = write("rest.dtseries.nii", np.zeros((N_FRAMES, 20)), series(), cortex(n=10))
    with pytest.raises(CiftiError, match=r"not lie in the same space(?s:.*)of 10 in the series"):
        load_cifti(path, dlabel=dlabel)
    label = write(
        "both.dlabel.nii",
        [[*LEFT, *RIGHT, 9, 9]],
        LabelAxis(["areas"], [TABLE]),
        cortex() + voxels(shape=(4, 3, 3)),
    )
    path = write(
        "both.dtseries.nii",
        np.hstack([dense, dense[:, :2]]),
        series(),
        cortex() + voxels(),
    )
    with pytest.raises(CiftiError, match=r"volume of \(3, 3, 3\) in the series"):
        load_cifti(path, dlabel=label)


def test_parcellations_of_voxels_match_by_voxel(write, dense):
    label = write(
        "both.dlabel.nii",
        [[*LEFT, *RIGHT, 9, 9]],
        LabelAxis(["areas"], [TABLE]),
        cortex() + voxels(),
    )
    values = np.hstack([dense, dense[:, :3]])
    path = write("both.dtseries.nii", values, series(), cortex() + voxels(3))
    ds = load_cifti(path, dlabel=label)["bold"]
    assert ds["hemisphere"].values.tolist() == ["left", "left", "right", "left"]
    np.testing.assert_allclose(ds["bold"][:, 3], dense[:, :2].mean(1), rtol=1e-6)


def test_parcellations_with_several_maps_or_bad_keys(write):
    two = write(
        "two.dlabel.nii", [[*LEFT, *RIGHT]] * 2, LabelAxis(["a", "b"], [TABLE] * 2), cortex()
    )
    with pytest.raises(CiftiError, match=r"which map is meant(?s:.*)2 maps: a, b(?s:.*)map_name"):
        read_dlabel(two)
    with pytest.raises(CiftiError, match=r"no map 'c'"):
        read_dlabel(two, map_name="c")
    assert read_dlabel(two, map_name="b").sizes == {"roi": 3, "vertex": 2 * N_VERTICES}
    strange = write("x.dlabel.nii", [[*LEFT, *[7] * 12]], LabelAxis(["a"], [TABLE]), cortex())
    with pytest.raises(CiftiError, match=r"labels have no name(?s:.*)1 of 3: \[7\]"):
        read_dlabel(strange)
    broken = write("y.dlabel.nii", [[*LEFT, *[0.5] * 12]], LabelAxis(["a"], [TABLE]), cortex())
    with pytest.raises(CiftiError, match="no whole numbers"):
        read_dlabel(broken)
    scalars = write("z.dscalar.nii", [[*LEFT, *RIGHT]], ScalarAxis(["a"]), cortex())
    with pytest.raises(CiftiError, match=r"\(scalars, brain models\)(?s:.*)\(labels, brain"):
        read_dlabel(scalars)


def test_damaged_files(tmp_path, write, dense):
    path = write("rest.dtseries.nii", dense, series(), cortex())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptFileError, match=r"cut off(?s:.*)Expected \d+ bytes, got \d+ bytes"):
        open_cifti(path)
    (tmp_path / "empty.dtseries.nii").touch()
    with pytest.raises(CorruptFileError, match="an empty file"):
        open_cifti(tmp_path / "empty.dtseries.nii")
    (tmp_path / "text.dtseries.nii").write_text("no image at all" * 100)
    with pytest.raises(CorruptFileError, match="CIFTI file cannot be read"):
        open_cifti(tmp_path / "text.dtseries.nii")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_cifti(tmp_path / "gone.dtseries.nii")


@pytest.mark.shared_data
def test_a_real_parcellation(shared_data, tmp_path, rng):
    name = "Schaefer2018_100Parcels_Kong2022_17Networks_order.dlabel.nii"
    atlas = read_dlabel(shared_data / "fmri_atlases" / name)
    assert atlas.sizes == {"roi": 100, "vertex": 64_984}
    assert atlas["hemisphere"].values.tolist() == ["left"] * 50 + ["right"] * 50
    inside = atlas["region"].values != 0
    half = 32_492
    models = cortex(inside[:half], inside[half:], n=half)
    values = rng.normal(size=(5, int(inside.sum()))).astype(np.float32)
    path = tmp_path / "rest.dtseries.nii"
    Cifti2Image(values, (SeriesAxis(0, 0.72, 5), models)).to_filename(path)
    ds = load_cifti(path, dlabel=shared_data / "fmri_atlases" / name)["bold"]
    label = atlas["region"].values[inside]
    hand = [values[:, label == k].astype(float).mean(1) for k in atlas["label"].values]
    np.testing.assert_allclose(ds["bold"].T, hand, atol=1e-6)
    assert (ds["coverage"] == 1).all()


def test_without_nibabel(write, dense, monkeypatch):
    path = write("rest.dtseries.nii", dense, series(), cortex())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingDependencyError, match=r"neurodyn\[fmri\]"):
        open_cifti(path)


def test_parcels_of_equal_name(write, dense):
    left = cortex()[:N_VERTICES]
    axis = ParcelsAxis.from_brain_models([("a", left[:1]), ("b", left[1:2])])
    axis.name[:] = "a"
    path = write("rest.ptseries.nii", dense[:, :2], series(), axis)
    with pytest.raises(CiftiError, match=r"parcels have the same name(?s:.*)found: a"):
        load_cifti(path)
