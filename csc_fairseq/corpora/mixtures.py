"""Corpora of fixed mixtures: what a layout finds, what their files hold, and the manifests that are written of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csc_fairseq.corpora.preparation import Recording, find_recordings
from csc_fairseq.corpora.writing import Account, ManifestContent, write_preparation
from csc_fairseq.data.audio import probe, require_format
from csc_fairseq.data.fixed_mixtures import SOURCES, SPEAKERS
from csc_fairseq.data.manifest import label_lines
from csc_fairseq.errors import InputError

RATES, MODES = (8000, 16000), ("min", "max")


@dataclass(frozen=True)
class FixedMixture:
    """A published mixture. name: path below the root. sources: paths of its sources, speakers: who they are, in one order.

    frames: its length in samples, 0 until it was read.
    """

    name: str
    split: str
    sources: tuple[str, ...]
    speakers: tuple[str, ...]
    frames: int = 0


def folder_of(root: Path, above: str, sample_rate: int, mode: str) -> str:
    """The folder of a rate (Hz) and mode below root, such as "2speakers/wav8k/min"; above: "" or what is above it, and a slash.

    InputError if it is not there, with those that are.
    """
    folder = f"{above}wav{sample_rate // 1000}k/{mode}"
    if (root / folder).is_dir():
        return folder
    there = [
        f"{above}wav{rate // 1000}k/{other} (--sample-rate {rate} --mode {other})"
        for rate in RATES
        for other in MODES
        if (root / f"{above}wav{rate // 1000}k/{other}").is_dir()
    ]
    raise InputError(
        f"{root / folder}: no such folder; found {', '.join(there) or 'no other rate or mode'}; choose one, or give the folder "
        f"that holds {folder.split('/')[0]} as ROOT"
    )


def files_in(root: Path, folder: str) -> list[str]:
    """Names of the WAV files in a folder. InputError: none, or others below it."""
    found = find_recordings(root / folder, ("wav",))
    for name in found:
        if "/" in name:
            raise InputError(
                f"{root / folder / name}: expected mixtures in {root / folder} itself; move this file away"
            )
    return found


def measured(root: Path, mixture: FixedMixture, sample_rate: int) -> FixedMixture:
    """With its length, from headers. InputError: a file is missing, of another rate or length, or has several channels."""
    lengths = {}
    for name in (mixture.name, *mixture.sources):
        info = probe(root / name)
        require_format(root / name, info, sample_rate)
        lengths[name] = info.frames
    frames = lengths[mixture.name]
    for name, length in lengths.items():
        if length != frames:
            raise InputError(
                f"{root / name}: has {length} samples, but its mixture {root / mixture.name} has {frames}; generate both again"
            )
    return replace(mixture, frames=frames)


def splits_of(mixtures: Sequence[FixedMixture]) -> dict[str, list[FixedMixture]]:
    """Mixtures by split, both in the order of the alphabet."""
    splits: dict[str, list[FixedMixture]] = {one.split: [] for one in sorted(mixtures, key=lambda one: one.split)}
    for one in sorted(mixtures, key=lambda one: one.name):
        splits[one.split].append(one)
    return splits


def summary(mixtures: Sequence[FixedMixture], sample_rate: int) -> list[str]:
    """Lines of a table: mixtures, talkers in each, speakers and hours of every split."""
    rows = [f"{'split':<12} {'mixtures':>9} {'talkers':>8} {'speakers':>9} {'hours':>8}"]
    for split, own in splits_of(mixtures).items():
        speakers = len({speaker for one in own for speaker in one.speakers})
        hours = sum(one.frames for one in own) / sample_rate / 3600
        rows.append(f"{split:<12} {len(own):>9} {len(own[0].sources):>8} {speakers:>9} {hours:>8.2f}")
    return rows


def incomplete(found: Sequence[str], published: Mapping[str, int]) -> list[str]:
    """Notes on subsets that have another number of mixtures than the published ones. found: the subset of every mixture."""
    return [
        f"{subset}: {count} mixtures; {published[subset]} are published"
        for subset, count in sorted(Counter(found).items())
        if count != published.get(subset, count)
    ]


def write(out: Path, root: Path, mixtures: Sequence[FixedMixture], account: Account) -> None:
    """Write out/SPLIT.tsv with its files of sources and speakers, and the report, all or none.

    InputError as of `write_preparation`.
    """
    manifests, files = {}, {}
    for split, own in splits_of(mixtures).items():
        manifests[split] = ManifestContent(root, [Recording(one.name, one.frames) for one in own])
        for suffix in (SOURCES, SPEAKERS):
            name = f"{split}.{suffix}"
            files[name] = label_lines(out / name, ["\t".join(getattr(one, suffix)) for one in own])
    write_preparation(out, manifests, files, account)
