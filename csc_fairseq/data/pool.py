"""Recordings to draw from: a manifest with a loader of crops and, for talkers, the identity of every recording."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from csc_fairseq.data.audio import load_crop, probe
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.rng import text_key
from csc_fairseq.data.texts import Labels
from csc_fairseq.errors import InputError

CACHE_MEGABYTES = 1024  # 4.6 hours at 16 kHz
WEIGHT_BOUNDS = (0.01, 100)  # of a domain: beyond, one corpus would hardly be heard
WEIGHT_STEP = 1000  # weights count in thousandths, so that draws are of whole numbers, the same on every processor
HEADER_READERS = 8  # threads; header reads wait for the disk, not for the processor


class RecordingError(InputError):
    """A recording that cannot be used. path: its file; None if the error was raised again from a DataLoader worker."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)  # PyTorch rebuilds a worker's exception from its message alone
        self.path = path


class Recordings:
    """The recordings of one manifest, read in crops at one sample rate.

    frames: int64 [len], lengths in samples at `sample_rate` (Hz). With `resample`, files at other rates are accepted. Then
    all headers are read once, because a manifest counts samples but does not say at which rate.

    If the whole corpus fits into cache_megabytes, a recording stays in memory after its first use (in every worker
    process). If it does not fit, crops are read from the files and nothing is kept: most recordings would be dropped before
    they are used again.
    """

    def __init__(
        self, manifest: Manifest, sample_rate: int, resample: bool = False, cache_megabytes: int = CACHE_MEGABYTES
    ) -> None:
        self.manifest = manifest
        self.sample_rate = sample_rate
        self.resample = resample
        self.frames = self._resampled_frames() if resample else manifest.frames
        self._keep = int(self.frames.sum()) * np.dtype(np.float32).itemsize <= cache_megabytes * 2**20
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def _resampled_frames(self) -> np.ndarray:
        def length(recording: int) -> int:
            return probe(self.path(recording)).frames_at(self.sample_rate)

        with ThreadPoolExecutor(HEADER_READERS) as readers:
            return np.fromiter(readers.map(length, range(len(self.manifest))), np.int64, len(self.manifest))

    def path(self, recording: int) -> Path:
        """Audio file of a recording."""
        return self.manifest.file(recording)

    def place(self, recording: int) -> str:
        """``file:line`` of a recording in its manifest, for messages."""
        return f"{self.manifest.path}:{recording + 2}"

    def crop(self, recording: int, start: int, frames: int) -> np.ndarray:
        """Samples [start, start + frames) of a recording, float32 [frames], read-only. RecordingError if unreadable."""
        if not self._keep:
            return self._load(recording, start, frames)
        if recording not in self._kept:
            self._kept[recording] = self._load(recording, 0, int(self.frames[recording]))
        return self._kept[recording][start : start + frames]

    def _load(self, recording: int, start: int, frames: int) -> np.ndarray:
        path = self.path(recording)
        try:
            samples = load_crop(path, start, frames, self.sample_rate, self.resample)
        except InputError as error:
            raise RecordingError(str(error), path) from error
        samples.flags.writeable = False
        return samples


class RecordingPool(Recordings):
    """Recordings of talkers, grouped by identity label.

    labels: one per recording, of any identity level (`manifest.identity_labels`). table: label -> row of the global identity
    table. Recordings are grouped by label, not by row. So interferers differ from the target also if their labels are not
    in the table, as for talkers of validation; their row is −1.

    group_labels: the distinct labels, sorted. groups: int64 [len], index of every recording's label in group_labels.
    identities: int64 [len], row of the table or −1. domains: int64 [len], number of every recording's domain, a corpus or channel;
    all the same if no domain_labels are given.

    domain_weights: by domain label, how often its recordings are targets in an epoch, and how many times likelier than by their
    length they interfere; other domains have 1. None: all have 1. weights: the same as float64 [domains], or None. InputError: a
    domain that is not there, a weight out of WEIGHT_BOUNDS.
    """

    def __init__(
        self,
        manifest: Manifest,
        labels: Sequence[str],
        table: Mapping[str, int],
        sample_rate: int,
        resample: bool = False,
        cache_megabytes: int = CACHE_MEGABYTES,
        domain_labels: Sequence[str] | None = None,
        domain_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(manifest, sample_rate, resample, cache_megabytes)
        for given in (labels, domain_labels):
            if given is not None and len(given) != len(manifest):
                raise InputError(
                    f"{manifest.path}: has {len(manifest)} recordings but got {len(given)} labels, expected one for each"
                )
        coded = Labels.of(labels)
        self.group_labels = coded.values
        self.groups = coded.codes.astype(np.int64)
        self.identities = np.array([table.get(label, -1) for label in coded.values], dtype=np.int64)[coded.codes]
        # Members of group g are _members[_bounds[g] : _bounds[g + 1]]: two arrays for any number of groups.
        self._members = np.argsort(self.groups, kind="stable")
        self._bounds = np.searchsorted(self.groups[self._members], np.arange(self.group_count + 1))
        self._several_domains = domain_labels is not None
        self.domains = np.zeros(len(manifest), dtype=np.int64)
        domain_names: tuple[str, ...] = ("",)
        if domain_labels is not None:
            of_domains = Labels.of(domain_labels)
            domain_names = of_domains.values
            self.domains = of_domains.codes.astype(np.int64)
            # The recordings of domain d are _by_domain[_domain_bounds[d] : _domain_bounds[d + 1]].
            self._by_domain = np.argsort(self.domains, kind="stable")
            self._domain_bounds = np.searchsorted(self.domains[self._by_domain], np.arange(self.domains.max() + 2))
            self._domain_groups = np.bincount(
                np.unique(self.domains * self.group_count + self.groups) // self.group_count
            )
            self._ends_by_domain = np.cumsum(self.frames[self._by_domain])
        self.weights = None
        self.amounts = self.frames  # int64 [len]: how likely each recording is to interfere, by any unit
        if domain_weights is not None:
            steps = self._weight_steps(domain_names, domain_weights)
            self.weights = steps / WEIGHT_STEP
            self.amounts = self.frames * steps[self.domains]
        self._ends = np.cumsum(self.amounts)

    def _weight_steps(self, names: Sequence[str], weights: Mapping[str, float]) -> np.ndarray:
        """Weights of all domains in units of 1/WEIGHT_STEP; int64 [domains]."""
        listed = ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")
        if unknown := sorted(set(weights) - set(names)):
            raise InputError(
                f"{self.manifest.path}: task.domain_weights has {unknown[0]!r}, which is no domain there; expected some of {listed}"
            )
        low, high = WEIGHT_BOUNDS
        for name, weight in weights.items():
            if not (math.isfinite(weight) and low <= weight <= high):
                raise InputError(
                    f"{self.manifest.path}: task.domain_weights of {name!r} is {weight}, expected {low:g} to {high:g}; to "
                    "leave a corpus out, take it out of the manifest"
                )
        return np.array([round(weights.get(name, 1.0) * WEIGHT_STEP) for name in names], dtype=np.int64)

    def keys(self, recordings: Iterable[int]) -> np.ndarray:
        """A number for each of these recordings, int64, never negative; a file has the same one in every manifest.

        They are made when they are asked for: those of all recordings would take longer than all else here.
        """
        return np.fromiter((text_key(self.manifest.names[i]) for i in recordings), np.int64)

    @property
    def group_count(self) -> int:
        """Number of distinct identities."""
        return len(self.group_labels)

    def members(self, group: int) -> np.ndarray:
        """Recordings of one identity, ascending; int64 [n], n >= 1."""
        return self._members[self._bounds[group] : self._bounds[group + 1]]

    def draw(self, rng: np.random.Generator, like: int | None = None) -> int:
        """A random recording, with a probability proportional to its length, times the weight of its domain if there are weights.

        like: a recording, for one of its domain; None: for any.
        """
        if like is None or not self._several_domains:
            return int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))
        first, end = self._domain_bounds[self.domains[like] : self.domains[like] + 2]
        before = self._ends_by_domain[first - 1] if first else 0
        drawn = rng.integers(before, self._ends_by_domain[end - 1])
        return int(self._by_domain[np.searchsorted(self._ends_by_domain, drawn, side="right")])

    def identities_like(self, recording: int) -> int:
        """Number of distinct identities in the domain of a recording."""
        return int(self._domain_groups[self.domains[recording]]) if self._several_domains else self.group_count

    def group_sizes(self) -> np.ndarray:
        """Recordings per identity; int64 [group_count]."""
        return np.diff(self._bounds)
