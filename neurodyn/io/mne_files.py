"""M/EEG files as mne opens them: its warnings kept as notes, its errors in one phrasing."""

from __future__ import annotations

import contextlib
import traceback
import warnings
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    UnsupportedFormatError,
    suggest,
)
from neurodyn.io.containment import printable
from neurodyn.io.faults import Fault
from neurodyn.io.meeg_headers import (
    brainvision_fault,
    brainvision_files,
    cut_off,
    require_beside,
    resampled_notes,
)

__all__ = ["ENDINGS", "MeegFile", "is_meeg", "open_meeg_file", "quietly", "retyped", "unreadable"]


@dataclass(frozen=True)
class _Format:
    name: str
    ending: str
    signatures: tuple[bytes, ...]
    reader: str


FORMATS = (
    # the first tag of a FIF file is its id: kind 100, type 31, 20 bytes
    _Format("FIF", ".fif", (bytes.fromhex("000000640000001f00000014"),), "read_raw_fif"),
    _Format("EDF", ".edf", (b"0       ",), "read_raw_edf"),
    _Format("BDF", ".bdf", (b"\xffBIOSEMI",), "read_raw_bdf"),
    _Format("GDF", ".gdf", (b"GDF ",), "read_raw_gdf"),
    _Format(
        "BrainVision",
        ".vhdr",
        (b"Brain Vision Data Exchange", b"BrainVision Data Exchange"),
        "read_raw_brainvision",
    ),
)
ENDINGS = tuple(format.ending for format in FORMATS)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BESIDE_HEADER = (".eeg", ".vmrk")
CUT = ("Invalid tag with only", "Number of records from the header does not match")
REPEATED = "Channel names are not unique"
NAMING = "does not conform to MNE naming conventions"


@dataclass
class MeegFile:
    """What mne made of a file.

    Parameters
    ----------
    instance
        ``mne.io.BaseRaw`` or ``mne.BaseEpochs``; samples stay in the file.
    source
        The file that was named.
    paths
        All files that the samples and markers come from.
    notes
        What mne warned about.
    faults
        What is wrong with the file as a whole.
    """

    instance: Any
    source: Path
    paths: list[Path]
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@contextlib.contextmanager
def quietly(notes: list[str] | None = None) -> Iterator[None]:
    """Keep mne's warnings and messages to ourselves.

    Parameters
    ----------
    notes
        Gets the text of each warning, once.

    Examples
    --------
    >>> notes = []
    >>> with quietly(notes):
    ...     warnings.warn("line noise", stacklevel=1)
    >>> notes
    ['line noise']
    """
    import mne

    with warnings.catch_warnings(record=True) as caught, mne.use_log_level("WARNING"):
        warnings.simplefilter("always")
        yield
    if notes is not None:
        # deprecations of other packages say nothing about the file
        about = [w for w in caught if issubclass(w.category, RuntimeWarning | UserWarning)]
        notes.extend(dict.fromkeys(printable(" ".join(str(w.message).split())) for w in about))


def is_meeg(path: Path, head: bytes) -> bool:
    r"""Tell from the first bytes whether a file is one of M/EEG.

    Examples
    --------
    >>> is_meeg(Path("data"), b"\xffBIOSEMI  ")
    True
    """
    return _signed(head) is not None


def open_meeg_file(path: Path) -> MeegFile:
    """Open a file by mne, without its samples.

    Parameters
    ----------
    path
        ``.fif`` (raw or epochs), ``.edf``, ``.bdf``, ``.gdf`` or ``.vhdr``.

    Returns
    -------
    MeegFile
        Its fault ``truncated_file`` says that samples are missing at the end, and
        ``repeated_channels`` that mne had to number channels of one name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If mne cannot read it, its ending lies or a file that belongs to it is missing.
    UnsupportedFormatError
        If it is of another format, or a FIF file without raw data and epochs.
    UnsafeFileError
        If it names files outside its folder.
    """
    import mne

    format = _format(path)
    found = MeegFile(None, path, [path])
    if format.name == "BrainVision":
        companions = brainvision_files(path)
        found.paths.extend(companions)
        if companions and (fault := brainvision_fault(path, companions[0])):
            found.faults.append(fault)
    with quietly(found.notes):
        try:
            found.instance = getattr(mne.io, format.reader)(path, preload=False)
        except Exception as error:
            failure = unreadable(path, error)
            if "No raw data in" not in str(error):
                raise failure from error
    if found.instance is None:
        _open_epochs(found)
    _add_parts(found)
    if format.name in ("EDF", "BDF"):
        found.notes.extend(resampled_notes(path))
    _sort_notes(found)
    return found


def retyped(file: MeegFile, channel_types: Mapping[str, str]) -> None:
    """Set the types of channels that a file does not tell or tells wrongly.

    Parameters
    ----------
    file
        Is changed; the file on disk is not.
    channel_types
        mne's types by name of channel, ``{"VEOG": "eog"}``.

    Raises
    ------
    ConfigError
        For an unknown channel or type.
    """
    names = file.instance.ch_names
    for name in channel_types:
        if name not in names:
            raise ConfigError(
                f"channel_types names no channel {name!r}",
                where=file.source,
                hint=suggest(name, names),
            )
    with quietly():
        try:
            file.instance.set_channel_types(dict(channel_types))
        except ValueError as error:
            raise ConfigError(
                "mne has no such channel type", found=dict(channel_types), expected=error
            ) from error


def unreadable(where: object, error: Exception) -> CorruptFileError:
    """Phrase what mne raised about the content of a file, and close what it left open.

    Examples
    --------
    >>> unreadable("a.edf", ValueError("Bad EDF file provided.")).found
    'ValueError: Bad EDF file provided.'
    """
    traceback.clear_frames(error.__traceback__)
    return CorruptFileError(
        "mne cannot read the file",
        where=where,
        found=printable(f"{type(error).__name__}: {error}"),
        expected="a complete and undamaged file",
        hint="get the file again and compare its size and checksum",
    )


def _signed(head: bytes) -> _Format | None:
    head = head.removeprefix(BYTE_ORDER_MARK)
    return next((format for format in FORMATS if head.startswith(format.signatures)), None)


def _format(path: Path) -> _Format:
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    named = next((f for f in FORMATS if path.name.lower().endswith(f.ending)), None)
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(64)
    signed = _signed(head)
    if path.suffix in BESIDE_HEADER or (named is None and signed is None):
        raise UnsupportedFormatError(
            "not a file of M/EEG that is read here",
            where=path,
            found=f"ending {path.suffix!r}, first bytes {head[:8]!r}",
            expected=" ".join(ENDINGS),
            hint="open the .vhdr file beside it"
            if path.suffix in BESIDE_HEADER
            else "read it by mne, then neurodyn.io.mne_objects.from_mne",
        )
    if signed is None or named is not signed:
        raise CorruptFileError(
            "ending and content of the file disagree",
            where=path,
            found=f"first bytes of {signed.name}" if signed else f"first bytes {head[:8]!r}",
            expected=f"content of {named.name}" if named else f"ending {signed and signed.ending}",
            hint=f"name it {path.stem}{signed.ending}" if signed else "get the file again",
        )
    return signed


def _open_epochs(found: MeegFile) -> None:
    import mne

    found.notes.clear()
    with quietly(found.notes):
        try:
            # projections stay as they are in the file: not applied
            found.instance = mne.read_epochs(found.source, proj=False, preload=False)
        except Exception as error:
            failure = unreadable(found.source, error)
            if "Could not find" not in str(error):
                raise failure from error
    if found.instance is None:
        raise UnsupportedFormatError(
            "FIF file holds neither raw data nor epochs",
            where=found.source,
            expected="what mne saves as *_raw.fif, *_meg.fif or *-epo.fif",
            hint="source estimates: neurodyn.io.source_estimates.source_signal",
        )
    # mne leaves the closing of files to chance, which Python warns about
    for part in getattr(found.instance, "_raw", None) or ():
        weakref.finalize(found.instance, part.fid.close)


def _add_parts(found: MeegFile) -> None:
    """Note the further parts of a split recording, which must lie beside the first."""
    parts = getattr(found.instance, "filenames", ())
    for part in (Path(part) for part in parts if part is not None):
        require_beside(part, found.source)
        if part.resolve() not in {path.resolve() for path in found.paths}:
            found.paths.append(part)


def _sort_notes(found: MeegFile) -> None:
    """Tell what is a fault from what is worth knowing."""
    kept = []
    for note in found.notes:
        if note.startswith(CUT):
            if not found.faults:
                found.faults.append(cut_off(found.source, note, "as much as it announces"))
        elif note.startswith(REPEATED):
            error = DataError(
                "channel names repeat",
                where=found.source,
                found=note.partition("for: ")[2].partition(". Applying")[0],
                expected="each name once",
                hint="on_bad='fix' numbers them in the order of the file",
            )
            found.faults.append(Fault.of("repeated_channels", error))
        elif NAMING not in note:
            kept.append(note)
    found.notes[:] = kept
