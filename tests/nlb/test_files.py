"""Both file layouts: what nlb_tools writes we read, what we write nlb_tools reads."""

import h5py
import numpy as np
import pytest

from neurodyn.errors import (
    CorruptFileError,
    DataError,
    FileError,
    SchemaError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.nlb import (
    evaluation_tensors,
    read_groups,
    read_tensors,
    target_tensors,
    task,
    training_tensors,
    write_groups,
    write_tensors,
)

from .oracle import nlb_tools


@pytest.fixture
def made(clocks):
    clock, declared = clocks("dmfc_rsg", 20)
    return (
        training_tensors(clock, declared, behavior=True, forward=True),
        evaluation_tensors(clock, declared),
        target_tensors(clock, declared),
    )


def assert_groups_equal(ours, theirs):
    assert set(ours) == set(theirs)
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype
        if theirs[name].dtype == object:
            for own, other in zip(ours[name], theirs[name], strict=True):
                assert own.dtype == other.dtype
                np.testing.assert_array_equal(own, other)
        else:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_files_are_those_of_nlb_tools(made, tmp_path):
    groups = made[2].groups()
    ours = write_groups(tmp_path / "ours.h5", groups)
    theirs = tmp_path / "theirs.h5"
    with nlb_tools() as (make, _):
        make.save_to_h5({name: dict(arrays) for name, arrays in groups.items()}, str(theirs))
        with h5py.File(ours) as file:
            read_by_them = make.h5_to_dict(file)
    read = read_groups(theirs)
    assert set(read) == {"dmfc_rsg_20"}
    assert_groups_equal(read_groups(ours)["dmfc_rsg_20"], read["dmfc_rsg_20"])
    assert_groups_equal(read_by_them["dmfc_rsg_20"], read["dmfc_rsg_20"])
    with h5py.File(ours) as file:
        assert file["dmfc_rsg_20/psth"].dtype == np.float32
        assert file["dmfc_rsg_20/psth"].compression == "gzip"


def test_input_and_target_files_become_tensors_again(made, tmp_path):
    training, evaluation, target = made
    path = tmp_path / "all.h5"
    write_groups(path, {"": {**training.arrays, **evaluation.arrays}, **target.groups()})
    read = read_tensors(path, task("dmfc_rsg_20"))
    assert set(read) == {"training", "evaluation", "target"}
    for tensors in made:
        again = read[tensors.role]
        assert set(again.arrays) == set(tensors.arrays)
        assert len(again.held_out) == 3
        np.testing.assert_array_equal(again.trial, np.arange(len(tensors.trial)))
        for name, array in tensors.arrays.items():
            if array.dtype != object:
                np.testing.assert_allclose(again.arrays[name], array, rtol=1e-6)


def test_written_tensors_keep_their_labels(made, clocks, tmp_path):
    path = write_tensors(tmp_path / "all.h5", made)
    read = read_tensors(path, task("dmfc_rsg_20"))
    for tensors in made:
        again = read[tensors.role]
        assert (again.held_in, again.held_out) == (tensors.held_in, tensors.held_out)
        assert again.split == tensors.split
        np.testing.assert_array_equal(again.trial, tensors.trial)
    test = evaluation_tensors(*clocks("dmfc_rsg", 20), "test")
    path = write_tensors(tmp_path / "test.h5", [test])
    assert read_tensors(path, test.task)["evaluation"].held_out == test.held_out
    with nlb_tools() as (make, _), h5py.File(path) as file:
        assert list(make.h5_to_dict(file)) == ["eval_spikes_heldin"]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_tensors_written_as_groups_keep_their_role(part, made, tmp_path):
    path = write_groups(tmp_path / "one.h5", made[part].groups())
    read = read_tensors(path, task("dmfc_rsg_20"))
    assert list(read) == [made[part].role]
    assert set(read[made[part].role].arrays) == set(made[part].arrays)


def test_test_inputs_have_the_declared_held_out_units(clocks, tmp_path):
    clock, declared = clocks("dmfc_rsg", 20)
    made = evaluation_tensors(clock, declared, "test")
    path = write_groups(tmp_path / "eval.h5", {"": made.arrays})
    assert len(read_tensors(path, task("dmfc_rsg_20"))["evaluation"].held_out) == 14


def lfads_arrays(training, evaluation, target):
    """Lay tensors out as lfads-torch wants them."""
    arrays = {"psth": target.arrays["psth"]}
    sources = {"train": training.arrays, "valid": {**evaluation.arrays, **target.arrays}}
    for theirs, ours in (("train", "train"), ("valid", "eval")):
        own = sources[theirs]
        arrays[f"{theirs}_encod_data"] = own[f"{ours}_spikes_heldin"]
        halves = [
            np.concatenate([own[f"{ours}_spikes_{g}{part}"] for g in ("heldin", "heldout")], axis=2)
            for part in ("", "_forward")
        ]
        arrays[f"{theirs}_recon_data"] = np.concatenate(halves, axis=1)
        arrays[f"{theirs}_behavior"] = own[f"{ours}_behavior"]
        arrays[f"{theirs}_cond_idx"] = target.arrays[f"{ours}_cond_idx"]
    return arrays


def test_lfads_files_become_tensors(clocks, tmp_path):
    clock, declared = clocks("mc_maze_small", 20)
    training = training_tensors(clock, declared, behavior=True, forward=True)
    evaluation, target = evaluation_tensors(clock, declared), target_tensors(clock, declared)
    path = write_groups(tmp_path / "lfads.h5", {"": lfads_arrays(training, evaluation, target)})
    read = read_tensors(path, declared)
    for tensors in (training, evaluation, target):
        again = read[tensors.role].arrays
        assert set(tensors.arrays) <= set(again)
        for name, array in tensors.arrays.items():
            if array.dtype == object:
                assert [own.tolist() for own in again[name]] == [own.tolist() for own in array]
            else:
                np.testing.assert_allclose(again[name], array, rtol=1e-6)


def test_existing_files_are_kept_unless_told(made, tmp_path):
    path = write_groups(tmp_path / "a.h5", made[2].groups())
    before = path.read_bytes()
    with pytest.raises(FileError, match=r"file exists[\s\S]*overwrite=True"):
        write_groups(path, {})
    assert path.read_bytes() == before
    for wrong in (np.array(["text"], dtype=object), np.array(["text"])):
        with pytest.raises(DataError, match="only numbers and ragged integers"):
            write_groups(path, {"g": {"a": wrong}}, overwrite=True)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.h5"]
    write_groups(path, {"": {"a": np.ones(2, np.uint8)}}, overwrite=True)
    assert read_groups(path)[""]["a"].dtype == np.int32


def test_unfit_files_are_named(made, tmp_path):
    declared = task("dmfc_rsg_20")
    foreign = write_groups(tmp_path / "foreign.h5", {"mc_rtt": {"a": np.ones(2)}})
    with pytest.raises(UnsupportedFormatError, match=r"nothing for dmfc_rsg_20[\s\S]*mc_rtt"):
        read_tensors(foreign, declared)
    half = write_groups(tmp_path / "half.h5", {"": {"train_encod_data": np.ones((1, 75, 2))}})
    with pytest.raises(UnsupportedFormatError, match="belong together"):
        read_tensors(half, declared)
    wrong = {"train_spikes_heldin": np.ones((2, 30, 5))}
    with pytest.raises(SchemaError, match=r"shape \(2, 30, 5\), expected \(2, 75, 5\)"):
        read_tensors(write_groups(tmp_path / "wrong.h5", {"": wrong}), declared)
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file["note"] = "text"
    with pytest.raises(UnsupportedFormatError, match="not numbers"):
        read_groups(tmp_path / "text.h5")
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        file["a/b/c"] = 1.0
    with pytest.raises(UnsupportedFormatError, match=r"groups inside groups[\s\S]*/a/b"):
        read_groups(tmp_path / "deep.h5")


def test_damaged_and_unsafe_files_are_refused(made, tmp_path):
    path = write_groups(tmp_path / "a.h5", made[2].groups())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CorruptFileError):
        read_groups(path)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["mc_rtt"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(UnsafeFileError):
        read_groups(tmp_path / "link.h5")
