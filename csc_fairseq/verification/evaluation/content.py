"""How many of the letters spoken can be read from an encoder's frames: the character error rate of a CTC probe.

Greedy decoding without a language model: the figure is about the frames, not about spelling.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.text import char_error_rate

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.loading import backbone_with_weights
from csc_fairseq.checkpoints.checkpoint import BACKBONE_SETTINGS, Checkpoint, read_checkpoint
from csc_fairseq.checkpoints.entries import Entries
from csc_fairseq.checkpoints.pickles import UnreadDictionary
from csc_fairseq.checkpoints.weights import fitted
from csc_fairseq.corpora.transcripts import SUFFIX, from_letters
from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.manifest import Manifest, label_path, read_labels
from csc_fairseq.errors import InputError
from csc_fairseq.inference.verifier import BACKBONE_PREFIX
from csc_fairseq.modules.ctc_head import CtcHead
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.metrics.bootstrap import interval

ARCHITECTURE = "ctc_probe"
BLANK = "<s>"  # fairseq's task audio_finetuning takes this symbol of its dictionary for CTC's blank
REPLICATES = 1000
FEWEST_UNITS = 2  # speakers or recordings to resample; one alone gives no interval


class ContentReader:
    """A trained probe that writes down what it hears.

    Args:
        backbone: put into evaluation mode, as the head.
        head: trained on the backbone's frames.
        symbols: names of the dictionary's entries, in the order of the head's logits.
        device: where both run.
    """

    def __init__(
        self, backbone: Backbone, head: CtcHead, symbols: Sequence[str], device: str | torch.device = "cpu"
    ) -> None:
        self.backbone = backbone.eval().to(device)
        self.head = head.eval().to(device)
        self.symbols = list(symbols)
        self.device = device

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.backbone.sample_rate

    @property
    def shortest(self) -> int:
        """Fewest samples of a recording."""
        return self.backbone.shortest

    @torch.no_grad()
    def read(self, waveform: np.ndarray) -> list[str]:
        """Letters, and "|" after each word, of one recording: float32 [T] at the reader's rate.

        Recordings run alone: some backbones take statistics over time, and the padding of a batch would change them.
        """
        encoded = self.backbone(torch.from_numpy(waveform).unsqueeze(0).to(self.device))
        logits = self.head(encoded.layers, encoded.padding, encoded.estimates)
        log_probabilities = self.head.log_probabilities(logits, None)[:, 0]
        return [self.symbols[index] for index in best_path(log_probabilities, self.head.blank)]


def best_path(log_probabilities: Tensor, blank: int) -> list[int]:
    """Symbols of the most probable path: repetitions become one, then blanks go (Graves et al. 2006, section 3.2).

    log_probabilities: (L, symbols), one recording.
    """
    path = log_probabilities.argmax(-1).unique_consecutive()
    return path[path != blank].tolist()


def load_reader(path: str | Path, device: str = "cpu") -> ContentReader:
    """The probe of a checkpoint that training of `ctc_probe` wrote. Neither the pre-trained file nor the data are needed.

    fairseq is needed for backbones of wav2vec 2.0 and HuBERT alone. InputError: no such file, one that needs code to
    load, another architecture, a damaged file.
    """
    flush_denormals()
    checkpoint = read_checkpoint(path)
    checkpoint.require(ARCHITECTURE, remedy="train one with `fairseq-hydra-train --config-name ctc_probe`")
    symbols, weights = _symbols(checkpoint), checkpoint.weights
    own = {
        name.removeprefix(BACKBONE_PREFIX): weight
        for name, weight in weights.items()
        if name.startswith(BACKBONE_PREFIX)
    }
    backbone = backbone_with_weights(checkpoint.task_state.within(BACKBONE_SETTINGS), own)
    blank = {symbol: number for number, symbol in enumerate(symbols)}[BLANK]  # the last one of that name, as in fairseq
    head = fitted(
        lambda: CtcHead(backbone.layers, backbone.channels, len(symbols), blank),
        {name: weight for name, weight in weights.items() if not name.startswith(BACKBONE_PREFIX)},
        checkpoint.path,
    )
    return ContentReader(backbone, head, symbols, device)


def _symbols(checkpoint: Checkpoint) -> list[str]:
    """Names in fairseq's dictionary of targets. InputError if they are damaged, or the blank is not among them."""
    dictionary = checkpoint.task_state.get("target_dictionary")
    if not isinstance(dictionary, UnreadDictionary):
        raise checkpoint.task_state.unfit("target_dictionary", dictionary, "fairseq's dictionary of letters")
    symbols = Entries(vars(dictionary), checkpoint.path, "dictionary entry").texts("symbols")
    if BLANK not in symbols:
        raise InputError(
            f"{checkpoint.path}: its dictionary lacks the symbol {BLANK}, which is CTC's blank; it is damaged"
        )
    return symbols


def count_edits(read: Sequence[str], said: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions of symbols that turn `said`, one symbol at least, into `read`."""
    # Not torchmetrics' `edit_distance`: it does not look at all ways, and gives more where long stretches are shifted.
    characters = {symbol: chr(number) for number, symbol in enumerate({*read, *said})}
    one, other = ("".join(characters[symbol] for symbol in symbols) for symbols in (read, said))
    return round(len(said) * float(char_error_rate(one, other)))


@dataclass(frozen=True)
class Reading:
    """One recording: its name, its speaker (None if unknown), what was said, what was read, and the errors.

    edits: substitutions, insertions and deletions of letters. letters: number of those that were said. The end of a word
    counts as a letter, as in the unit error rate (`uer`) that fairseq prints in training.
    """

    name: str
    speaker: str | None
    said: str
    read: str
    edits: int
    letters: int


def transcribe(reader: ContentReader, manifest: Manifest, resample: bool = False) -> Iterator[Reading]:
    """Reads every recording of a manifest. Transcripts (.ltr) must lie beside it, speakers (.spk) may.

    resample: convert recordings of another rate instead of refusing them. InputError: transcripts are missing, or are of
    other recordings; a recording is faulty, of another rate or too short.
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
            manifest.names[i], speaker, from_letters(said), from_letters(read), count_edits(read, said), len(said)
        )


@dataclass(frozen=True)
class ContentReport:
    """Character error rate of one probe on one manifest.

    cer: in %, edits over letters, both summed over all recordings. It is above 100 if many more letters are read than were
    said. interval: 95 %, in %, by resampling `resampled` (speakers or recordings), of which there are `units`; None with
    fewer than two.
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
        known = f"no interval, which takes {FEWEST_UNITS} {self.resampled} at least"
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
    """Sums the errors. The interval is by bootstrap over speakers if all are known, else over recordings.

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
