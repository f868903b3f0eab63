"""What `csc check` finds wrong with fixed mixtures, beyond their manifest: sources and speakers."""

from functools import partial
from pathlib import Path

from csc_fairseq.corpora.check import longest_silence
from csc_fairseq.corpora.problems import Problem, unreadable
from csc_fairseq.data.audio import probe
from csc_fairseq.data.fixed_mixtures import SOURCE_NAMES, SOURCES, SPEAKERS, FixedMixtures, read_fixed_mixtures
from csc_fairseq.data.parallel import parallel_map
from csc_fairseq.errors import InputError


def check_mixtures(
    path: Path,
    sample_rate: int,
    resample: bool = False,
    deep: bool = False,
    jobs: int = 4,
    progress: str | None = None,
    audio: bool = True,
) -> list[Problem]:
    """Problems of the files of sources and speakers of a manifest, and of the sources themselves, in the order of the mixtures.

    Files: the first that is wrong. Sources: missing or unreadable, of another rate (Hz) or number of samples than the mixture;
    deep: also those that cannot be decoded, or are digitally silent from end to end.
    Arguments as of `check_manifest`, which finds what is wrong with the manifest.
    """
    try:
        mixtures = read_fixed_mixtures(path)
    except InputError as error:
        text = str(error)
        file = next((beside for beside in _files(path) if text.startswith(f"{beside}:")), None)
        return [] if file is None else [unreadable(file, error)]  # the manifest's faults are told already
    if not audio:
        return []
    fault = partial(_fault, mixtures, sample_rate, resample, deep)
    found = parallel_map(fault, range(len(mixtures)), jobs, progress)
    sources = path.with_suffix(f".{SOURCES}")
    return [Problem(sources, line, message) for line, message in enumerate(found, start=1) if message]


def _fault(mixtures: FixedMixtures, sample_rate: int, resample: bool, deep: bool, index: int) -> str:
    try:
        mixtures.require_fitting(index, sample_rate, resample)
        for file in mixtures.files(index) if deep else []:
            frames = probe(file).frames_at(sample_rate)
            if longest_silence(file, frames, sample_rate, resample)[1] == frames:
                return f"{file}: is digitally silent, expected a talker; leave this mixture out"
    except InputError as error:
        return str(error).removeprefix(f"{mixtures.place(index)}: ")
    return ""


def _files(path: Path) -> list[Path]:
    """Files beside the manifest, as complaints name them."""
    return [path.absolute().with_suffix(f".{suffix}") for suffix in (SOURCES, SPEAKERS, SOURCE_NAMES)]
