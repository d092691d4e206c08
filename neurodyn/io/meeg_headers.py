"""What mne does not say about BrainVision and EDF: files named in a header, sizes and rates."""

from __future__ import annotations

from pathlib import Path

from neurodyn.errors import CorruptFileError, UnsafeFileError
from neurodyn.io.containment import printable
from neurodyn.io.faults import Fault

__all__ = ["brainvision_fault", "brainvision_files", "cut_off", "require_beside", "resampled_notes"]

COMPANIONS = ("DataFile", "MarkerFile")
SAMPLE_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")


def brainvision_files(path: Path) -> list[Path]:
    """Return the files of samples and markers that a header of BrainVision names.

    Parameters
    ----------
    path
        The ``.vhdr`` file.

    Raises
    ------
    CorruptFileError
        If one is not there.
    UnsafeFileError
        If one lies in another folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "a.eeg").touch()
    ...     _ = (Path(folder) / "a.vhdr").write_text("DataFile=a.eeg")
    ...     [file.name for file in brainvision_files(Path(folder) / "a.vhdr")]
    ['a.eeg']
    """
    said, found = _header(path), []
    for key in COMPANIONS:
        name = said.get(key, "").replace("$b", path.stem)
        if not name:
            continue
        companion = path.parent / name
        require_beside(companion, path)
        if not companion.is_file():
            raise CorruptFileError(
                f"a file that belongs to the header is missing ({key})",
                where=path,
                found=f"no {printable(name)}",
                expected=f"{printable(name)} in the same folder",
                hint="copy all three files; if they were renamed, mend the header",
            )
        found.append(companion)
    return found


def brainvision_fault(path: Path, samples: Path) -> Fault | None:
    r"""Return what is wrong with the size of a file of samples, which mne passes over.

    Parameters
    ----------
    path
        The ``.vhdr`` file.
    samples
        The file of samples; text is not looked at.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.vhdr"
    ...     _ = path.with_suffix(".eeg").write_bytes(bytes(7))
    ...     _ = path.write_text("NumberOfChannels=2\nBinaryFormat=INT_16")
    ...     brainvision_fault(path, path.with_suffix(".eeg")).code
    'truncated_file'
    """
    said = _header(path)
    n_channels = said.get("NumberOfChannels", "")
    step = SAMPLE_BYTES.get(said.get("BinaryFormat", ""), 0)
    step *= int(n_channels) if n_channels.isdecimal() else 0
    if not step:
        return None
    size, points = samples.stat().st_size, said.get("DataPoints", "")
    wanted = int(points) * step if points.isdecimal() else size - size % step
    if size == wanted:
        return None
    return cut_off(path, f"{samples.name} has {size} bytes", f"{wanted} bytes")


def resampled_notes(path: Path) -> list[str]:
    """Tell which channels of an EDF or BDF file mne brings to the rate of the fastest.

    The header has 256 bytes for the file and 256 for each channel, field by field: names first,
    the number of samples in a record at byte 216 of each.

    Parameters
    ----------
    path
        A file that mne has opened, so that its header is sound.
    """
    with path.open("rb") as file:
        head = file.read(256)
        n_channels = int(head[252:256])
        fields = file.read(256 * n_channels)
    seconds = float(head[244:252])
    names = [fields[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(n_channels)]
    first = 216 * n_channels
    counts = [int(fields[first + 8 * i : first + 8 * i + 8]) for i in range(n_channels)]
    series = [(n, c) for n, c in zip(names, counts) if not n.endswith(ANNOTATIONS)]
    fastest = max((count for _, count in series), default=0)
    return [
        f"{printable(name)}: sampled at {count / seconds:g} Hz, "
        f"resampled by mne to {fastest / seconds:g} Hz"
        for name, count in series
        if count != fastest and seconds > 0
    ]


def require_beside(path: Path, source: Path) -> None:
    """Refuse a file, or a link to one, that does not lie in the folder of the file that names it.

    Raises
    ------
    UnsafeFileError
        If it does not.

    Examples
    --------
    >>> require_beside(Path("study/rest.eeg"), Path("study/rest.vhdr"))
    """
    real = path.resolve().parent
    if real not in (source.parent.resolve(), source.resolve().parent):
        raise UnsafeFileError(
            "a file reaches outside its folder",
            where=source,
            found=printable(str(path)),
            expected=f"files in {source.parent}",
            hint="put the files into one folder",
        )


def cut_off(path: Path, found: str, expected: str) -> Fault:
    """Return the fault of a file whose end is missing.

    Examples
    --------
    >>> cut_off(Path("a.edf"), "7 records", "8 records").message
    'file is cut off; found: 7 records'
    """
    error = CorruptFileError(
        "file is cut off",
        where=path,
        found=found,
        expected=expected,
        hint="copy it again; on_bad='warn' reads what is there",
    )
    return Fault.of("truncated_file", error)


def _header(path: Path) -> dict[str, str]:
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}
