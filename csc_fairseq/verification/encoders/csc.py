"""Our encoder: a checkpoint, or random weights of the same sizes, which show what the architecture alone gives away."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.configurations import read_configuration
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import speaker_encoder_of
from csc_fairseq.inference.long_recordings import SeparatedVoices
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification.encoders.checks import require_voices, unit_rows
from csc_fairseq.verification.encoders.encoder import StreamEmbeddings

VARIANTS = ("q", "s")


class CscEncoder:
    """A separative encoder: one embedding per stream of a mixture, that of the loudest stream for an enrolment.

    Args:
        name: see `Encoder`.
        model: the encoder.
        variant: q, the queries, which depend on the recording alone; or s, the queries after attention to the memory
            bank of training that the checkpoint holds, which evaluation never adds to.

    Raises:
        InputError: another variant, or s without anything in the bank.
    """

    def __init__(self, name: str, model: SpeakerEncoder, variant: str = "q") -> None:
        if variant not in VARIANTS:
            raise InputError(f"encoder {name}: variant is {variant!r}, expected {' or '.join(VARIANTS)}")
        memory = model.network.config.memory
        if variant == "s" and not int(model.network.memory.filled):
            raise InputError(
                f"encoder {name}: its memory bank is empty (model.memory={memory}), so there is nothing to attend to; "
                "use variant=q"
            )
        self.name = name
        self.sample_rate = model.sample_rate
        self._model = model
        self._attended = variant == "s"

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """The embedding of the stream with the most energy, as `SpeakerEncoder.embed` chooses it."""
        rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
        for i, voices in self._analyse(waveforms):
            rows[i] = self._embeddings(voices)[voices.loudest]
        return unit_rows(self.name, torch.stack(rows).cpu(), (len(rows), self._model.embedding_size))

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """The embeddings of all streams, and the streams."""
        rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
        estimates = [np.empty(0, dtype=np.float32)] * len(waveforms)
        for i, voices in self._analyse(waveforms):
            rows[i] = self._embeddings(voices)
            estimates[i] = voices.estimates.cpu().numpy()
        shape = (len(rows), self._model.streams, self._model.embedding_size)
        return StreamEmbeddings(unit_rows(self.name, torch.stack(rows).cpu(), shape), estimates)

    def _analyse(self, waveforms: Sequence[np.ndarray]) -> Iterator[tuple[int, SeparatedVoices]]:
        require_voices(self.name, waveforms, self._model.shortest)
        # Copies, since torch takes neither read-only nor reversed arrays.
        return self._model.analyse([torch.from_numpy(np.array(waveform, dtype=np.float32)) for waveform in waveforms])

    @torch.no_grad()
    def _embeddings(self, voices: SeparatedVoices) -> Tensor:
        """[C, E], row c for stream c."""
        if not self._attended:
            return voices.queries
        return self._model.network.attend(voices.queries.unsqueeze(0)).squeeze(0)


def trained(name: str, checkpoint: Checkpoint, device: str, variant: str = "q") -> CscEncoder:
    """The encoder of a checkpoint or bundle. InputError for what `speaker_encoder_of` and `CscEncoder` refuse."""
    return CscEncoder(name, speaker_encoder_of(checkpoint).to(device), variant)


def untrained(name: str, configuration: str, device: str, seed: int = 0) -> CscEncoder:
    """An encoder of the sizes of a named configuration, e.g. csc_small, with random weights keyed by `seed`.

    InputError if there is no such configuration, or it is another model's.
    """
    flush_denormals()
    config, sample_rate = _sizes(name, configuration)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SeparativeEncoder(config)
    return CscEncoder(name, SpeakerEncoder(network, sample_rate, "none").to(device))


def _sizes(name: str, configuration: str) -> tuple[SeparativeEncoderConfig, int]:
    """Sizes, and the sample rate in Hz."""
    try:
        settings = read_configuration(configuration)
    except InputError as error:
        raise InputError(f"encoder {name}: {error}") from error
    task, model = settings["task"], settings["model"]
    if model["_name"] != "csc":
        raise InputError(f"encoder {name}: {configuration} configures {model['_name']!r}, expected 'csc'")
    # The number of streams is the task's, as in training; what a configuration leaves out has its default.
    sizes = {"sources": task["sources"], **model}
    config = SeparativeEncoderConfig(
        **{field.name: sizes[field.name] for field in fields(SeparativeEncoderConfig) if field.name in sizes}
    )
    return config, task["sample_rate"]
