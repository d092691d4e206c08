"""Tables of regions, and columns that find their place by name or label, never by order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import AtlasMismatchError, CorruptFileError, DataError
from neurodyn.io.regions import (
    describe_regions,
    hemisphere_of,
    place_columns,
    read_regions,
    region_table,
)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("17networks_RH_VisualC_1", "right"), ("L_V1_ROI", "left"), ("lh.bankssts", "left"),
        ("bankssts-rh", "right"), ("Left-Amygdala", "left"), ("CER6_p", ""), ("LINGUAL", ""),
        ("l_x", ""), ("", ""),
    ],
)  # fmt: skip
def test_names_tell_the_side(name, side):
    assert hemisphere_of(name) == side


@pytest.mark.parametrize(
    ("text", "names", "labels"),
    [
        ("label\tname\n3\tA\n1\tB\n", ["A", "B"], [3, 1]),
        ("index\tlabel\tnetwork_label\n1\tA\tVis\n2\tNA\tn/a\n", ["A", "NA"], [1, 2]),
        ("label\tn_voxels\n1\t10\n2\t20\n", ["1", "2"], [1, 2]),
        ("name\tx\nA\t1.5\nB\tn/a\n", ["A", "B"], [1, 2]),
        ("label_value\tname\n1\tA\n2\tA\n", ["A", "A_2"], [1, 2]),
    ],
)
def test_tables_of_several_habits(tmp_path, text, names, labels):
    path = tmp_path / "rois.tsv"
    path.write_text(text)
    regions = read_regions(path)
    assert regions["roi"].values.tolist() == names
    assert regions["label"].values.tolist() == labels


def test_columns_of_a_table(tmp_path):
    path = tmp_path / "rois.csv"
    path.write_text("index,name,hemi,network,X,Y,Z\n1,A,LH,Vis,-1,2,n/a\n2,B,x,,1,2,3\n")
    regions = read_regions(path)
    assert regions["hemisphere"].values.tolist() == ["left", ""]
    assert regions["network"].values.tolist() == ["Vis", ""]
    np.testing.assert_array_equal(regions["z"], [np.nan, 3.0])


def test_bad_tables(tmp_path):
    path = tmp_path / "rois.tsv"
    path.write_text("voxels\tsize\n1.5\t2.5\n")
    with pytest.raises(CorruptFileError, match=r"neither labels nor names(?s:.*)columns voxels"):
        read_regions(path)
    path.write_text("label\tname\n1\tA\n1\tB\n")
    with pytest.raises(DataError, match=r"labels of regions repeat \(at .*rois.tsv\)(?s:.*): 1"):
        read_regions(path)
    path.write_text("label\tname\n1\tA\tx\n")
    with pytest.raises(CorruptFileError, match="more cells than the header"):
        read_regions(path)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.booleans())
def test_any_order_of_columns_gives_the_same_axis(order, by_label):
    regions = region_table([f"r{i}" for i in range(6)], [10 * i + 1 for i in range(6)])
    names = [str(10 * i + 1) if by_label else f"r{i}" for i in order]
    placed, found = place_columns(np.array([order], float), names, regions, "file")
    assert placed.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert "coverage" not in found


def test_a_region_without_a_column_is_nan_with_coverage_0():
    placed, regions = place_columns(
        np.array([[1.0, 2.0]]), ["c", "a"], region_table(["a", "b", "c"], [1, 2, 3]), "file"
    )
    np.testing.assert_array_equal(placed, [[2.0, np.nan, 1.0]])
    np.testing.assert_array_equal(regions["coverage"], [np.nan, 0.0, np.nan])


def test_unknown_regions_are_named():
    regions = region_table(["a", "b"], [1, 2])
    with pytest.raises(AtlasMismatchError, match=r"1 of 2 columns: x(?s:.*)2 regions"):
        place_columns(np.zeros((1, 2)), ["a", "x"], regions, "file")
    with pytest.raises(AtlasMismatchError, match=r"not in the table \(at t\)(?s:.*)1 of 1.*: c"):
        describe_regions(region_table(["c"], [1]), regions, "t")


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("table", "n", "first", "network"),
    [
        ("fmri_abide1_cc200/cc200_rois.tsv", 200, "1", "Visual"),
        ("fmri_rest_schaefer100/rois.tsv", 100, "7Networks_LH_Vis_1", "Vis"),
        ("fmri_pain_mist122/mist122_rois.tsv", 122, "CER6_p", "CER"),
    ],
)
def test_real_tables(shared_data, table, n, first, network):
    regions = read_regions(shared_data / table)
    assert regions.sizes["roi"] == n == len(set(regions["roi"].values.tolist()))
    assert regions["roi"].values[0] == first
    assert regions["network"].values[0] == network
