"""The recordings that come with the package, against the files that they were made of."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurodyn import datasets
from neurodyn import recording as rec
from neurodyn.datasets.grasshopper import from_nitime
from neurodyn.datasets.shipped import shipped
from neurodyn.errors import CorruptFileError, FileError


def test_embedded_files_are_few_and_attributed() -> None:
    root = shipped("datasets")
    files = [file for file in root.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1_500_000
    assert not [file for file in files if file.suffix == ".py"]
    for name in datasets.list_datasets("embedded"):
        assert (root / name / "LICENSE.txt").is_file()
        assert "Source" in (root / name / "README.rst").read_text(encoding="utf-8")


def test_grasshopper_is_nitimes(shared_data: Path) -> None:
    tree = datasets.load_dataset("grasshopper")
    rec.validate(tree, values=True)
    times = rec.unit_spike_times(rec.pick(tree, "spikes"), "receptor")
    stimulus = rec.pick(tree, "behavior")
    trials = rec.pick(tree, "trials")
    assert trials["condition"].values.tolist() == ["cut-off 200 Hz", "cut-off 800 Hz"]
    for run, n_spikes, start in ((1, 929, 0.0), (2, 868, 11.0)):
        source = shared_data / "grasshopper_receptor"
        spikes = np.loadtxt(source / f"grasshopper_spike_times{run}.txt") * 1e-6
        of_run = times[(times >= start) & (times < start + 10.0)]
        assert len(of_run) == n_spikes
        assert np.allclose(of_run - start, spikes, atol=1e-9)
        with np.load(source / f"grasshopper_stimulus{run}.npz") as archive:
            envelope = archive["stimulus"][archive["t_us"] < 10_000_000][::5]
        inside = (stimulus["time"].values >= start) & (stimulus["time"].values < start + 10.0)
        assert np.array_equal(stimulus["value"].values[inside, 0], envelope)
    assert stimulus.attrs["sampling_rate"] == 4000.0
    in_gap = (stimulus["time"].values >= 10.0) & (stimulus["time"].values < 11.0)
    assert np.isnan(stimulus["value"].values[in_gap]).all()


def test_conversion_from_nitimes_text(tmp_path: Path) -> None:
    for run in (1, 2):
        head = f"# cut-off frequency (Hz): {run}00\n# intensity (dB): 70.5\n# mode: 3\n\n"
        (tmp_path / f"grasshopper_spike_times{run}.txt").write_text(head + "6700\n9900\n")
        lines = "".join(f"{50 * index}  0.{index:02d}\n" for index in range(12))
        (tmp_path / f"grasshopper_stimulus{run}.txt").write_text(lines)
    tree = from_nitime(tmp_path)
    spikes, trials = rec.pick(tree, "spikes"), rec.pick(tree, "trials")
    assert np.allclose(spikes["spike_time"], [0.0067, 0.0099, 11.0067, 11.0099])
    assert spikes["obs_stop"].values.tolist() == [10.0, 21.0]
    assert trials["cut_off_frequency"].values.tolist() == [100.0, 200.0]
    stimulus = rec.pick(tree, "behavior", "stimulus")
    assert stimulus.attrs["sampling_rate"] == 4000.0
    value = stimulus["value"].values[:, 0]
    for first in (0, 44_000):
        assert np.allclose(value[first : first + 3], [0.0, 0.05, 0.10])
    assert np.isfinite(value).sum() == 6
    (tmp_path / "grasshopper_stimulus1.txt").write_text("1 2 3\n")
    with pytest.raises(CorruptFileError, match=r"wrong width \(at .*stimulus1.txt(.|\n)*\(1, 3\)"):
        from_nitime(tmp_path)
    (tmp_path / "grasshopper_stimulus1.txt").write_text("one two\n")
    with pytest.raises(CorruptFileError, match="not a table of numbers"):
        from_nitime(tmp_path)


def test_rest_run_against_its_tables() -> None:
    bold = rec.pick(datasets.load_dataset("rest_schaefer100"), "bold")
    folder = datasets.path("rest_schaefer100")
    series = pd.read_csv(folder / "timeseries.tsv", sep="\t")
    assert np.allclose(bold["bold"].values, series.to_numpy(), rtol=1e-6)
    assert bold.attrs["repetition_time"] == 2.0
    assert bold["roi"].values[0] == "7Networks_LH_Vis_1"
    assert set(bold["network"].values) == {
        "Vis",
        "SomMot",
        "DorsAttn",
        "SalVentAttn",
        "Limbic",
        "Cont",
        "Default",
    }
    assert int((~bold["keep"]).sum()) == 5
    displacement = bold["confounds"].sel(confound="framewise_displacement").values
    assert np.isnan(displacement[0])
    assert np.nanmean(displacement) == pytest.approx(0.127, abs=1e-3)
    assert bold["x"].values[0] == pytest.approx(-25.748, abs=1e-3)


def test_shipped_files_of_source_tree_and_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "neurodyn"
    # the function of that name hides the module from a plain import
    monkeypatch.setattr(sys.modules["neurodyn.datasets.shipped"], "PACKAGE", package)
    (tmp_path / "datasets").mkdir()
    with pytest.raises(FileError, match=r"datasets that come with neurodyn are missing"):
        shipped("datasets")
    (tmp_path / "setup.cfg").touch()
    assert shipped("datasets") == tmp_path / "datasets"
    installed = package / "_shipped" / "datasets"
    installed.mkdir(parents=True)
    assert shipped("datasets") == installed
