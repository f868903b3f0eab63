"""How many of the letters spoken can be read from an encoder's frames: the character error rate of a CTC probe.

Greedy decoding without a language model: the figure is about the frames, not about spelling.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import editdistance
import numpy as np
import torch
from torch import Tensor

from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.manifest import Manifest, label_path, read_labels
from csc_fairseq.data.transcripts import SUFFIX, from_letters
from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import one_line
from csc_fairseq.inference.fairseq_files import architecture, read_state
from csc_fairseq.verification.bootstrap import interval

if TYPE_CHECKING:
    from csc_fairseq.models.ctc_probe import CtcProbe

REPLICATES = 1000
FEWEST_UNITS = 2  # of one speaker, resampling says nothing


class ContentReader:
    """A trained probe that writes down what it hears.

    Args:
        model: put into evaluation mode.
        symbols: names of the dictionary's entries, in the order of the model's logits.
        device: where it runs.
    """

    def __init__(self, model: "CtcProbe", symbols: Sequence[str], device: str | torch.device = "cpu") -> None:
        self.model = model.eval().to(device)
        self.symbols = list(symbols)
        self.device = device

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.model.encoder.sample_rate

    @property
    def shortest(self) -> int:
        """Fewest samples of a recording."""
        return self.model.encoder.shortest

    @torch.no_grad()
    def read(self, waveform: np.ndarray) -> list[str]:
        """Letters, and "|" after each word, of one recording: float32 [T] at the reader's rate.

        Recordings run alone: the statistics that some encoders take over time would see the padding of a batch.
        """
        output = self.model(torch.from_numpy(waveform).unsqueeze(0).to(self.device))
        log_probabilities = self.model.get_normalized_probs(output, log_probs=True)[:, 0]
        return [self.symbols[index] for index in best_path(log_probabilities, self.model.blank)]


def best_path(log_probabilities: Tensor, blank: int) -> list[int]:
    """Symbols of the most probable path: repetitions become one, then blanks go (Graves et al. 2006, section 3.2).

    log_probabilities: (L, symbols), one recording.
    """
    path = log_probabilities.argmax(-1).unique_consecutive()
    return path[path != blank].tolist()


def load_reader(path: str | Path, device: str = "cpu") -> ContentReader:
    """The probe of a checkpoint that training of `ctc_probe` wrote; needs neither the pretrained file nor the data.

    InputError: no such file, one that needs code to load, another architecture, a damaged one.
    """
    found = architecture(read_state(path))
    if found != "ctc_probe":
        raise InputError(
            f"{path}: is a checkpoint of architecture {found!r}, expected 'ctc_probe'; train one with "
            "`fairseq-hydra-train --config-name ctc_probe`"
        )

    from fairseq import checkpoint_utils
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    import csc_fairseq.models.ctc_probe  # noqa: F401  registers the model, and lets PyTorch read the dictionary

    torch.set_flush_denormal(True)  # silent stretches otherwise slow CPUs down severalfold
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fairseq calls an older Hydra, and PyTorch's former weight norm
            models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)])
    except InputError:
        raise
    except (RuntimeError, LookupError, TypeError, OSError, HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{path}: fairseq cannot load it ({one_line(error)}); it is damaged or incomplete") from error
    return ContentReader(models[0], task.target_dictionary.symbols, device)


@dataclass(frozen=True)
class Reading:
    """One recording: its name and speaker (None if unknown), what was said and what was read, and the errors.

    edits: substitutions, insertions and deletions of letters. letters: those that were said. The end of a word counts as a
    letter, as in the unit error rate (`uer`) that fairseq prints in training.
    """

    name: str
    speaker: str | None
    said: str
    read: str
    edits: int
    letters: int


def transcribe(reader: ContentReader, manifest: Manifest, resample: bool = False) -> Iterator[Reading]:
    """Reads every recording of a manifest that has transcripts (.ltr) beside it, and speakers (.spk) perhaps.

    resample: convert recordings of another rate instead of refusing them. InputError: no transcripts, or of other
    recordings; a faulty recording, or one of another rate or too short.
    """
    if not label_path(manifest, SUFFIX).is_file():
        raise InputError(
            f"{label_path(manifest, SUFFIX)}: no such file, expected the transcripts of {manifest.path}; write it with "
            f"`csc prepare transcripts {manifest.path}`"
        )
    labels = read_labels(manifest, SUFFIX)
    speakers: list[str | None] = [None] * len(manifest)
    if label_path(manifest, "spk").is_file():
        speakers = list(read_labels(manifest, "spk"))
    for i, (label, speaker) in enumerate(zip(labels, speakers, strict=True)):
        waveform = load_crop(manifest.file(i), 0, -1, reader.sample_rate, resample)
        if len(waveform) < reader.shortest:
            raise InputError(
                f"{manifest.file(i)}: has {len(waveform)} samples, expected {reader.shortest} at least; leave it out"
            )
        said, read = label.split(), reader.read(waveform)
        yield Reading(
            manifest.names[i], speaker, from_letters(said), from_letters(read), editdistance.eval(read, said), len(said)
        )


@dataclass(frozen=True)
class ContentReport:
    """Character error rate of one probe on one manifest.

    cer: in %, edits over letters, both summed over all recordings; above 100 if more is read than was said. interval: 95 %, in
    %, by resampling `resampled` (speakers or recordings); None with fewer than two of them.
    """

    cer: float
    interval: tuple[float, float] | None
    resampled: str
    units: int
    edits: int
    letters: int
    recordings: tuple[Reading, ...]

    def line(self) -> str:
        """The result as one line of text."""
        known = "no interval, there is but one of the " + self.resampled
        if self.interval is not None:
            known = f"95 % interval {self.interval[0]:.1f} to {self.interval[1]:.1f} over {self.units} {self.resampled}"
        return (
            f"character error rate {self.cer:.1f} % ({known}); {self.edits} edits in {self.letters} letters of "
            f"{len(self.recordings)} recordings"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def content_report(readings: Sequence[Reading], replicates: int = REPLICATES, seed: int = 0) -> ContentReport:
    """Sums the errors, with an interval by bootstrap over speakers where they are known, else over recordings.

    A speaker's recordings are drawn together, since they are alike. InputError if there are no recordings.
    """
    if not readings:
        raise InputError("there are no recordings, expected at least one; see the manifest")
    edits = np.array([reading.edits for reading in readings], dtype=np.float64)
    letters = np.array([reading.letters for reading in readings], dtype=np.float64)
    known = all(reading.speaker is not None for reading in readings)
    owners = [reading.speaker if known else str(i) for i, reading in enumerate(readings)]
    units, owner = np.unique(owners, return_inverse=True)
    bounds = None
    if len(units) >= FEWEST_UNITS:
        draws = np.random.default_rng(seed).multinomial(len(units), np.full(len(units), 1 / len(units)), replicates)
        sums = [draws @ np.bincount(owner, weights=values) for values in (edits, letters)]
        bounds = interval(100 * sums[0] / sums[1])
    return ContentReport(
        cer=float(100 * edits.sum() / letters.sum()),
        interval=bounds,
        resampled="speakers" if known else "recordings",
        units=len(units),
        edits=int(edits.sum()),
        letters=int(letters.sum()),
        recordings=tuple(readings),
    )
