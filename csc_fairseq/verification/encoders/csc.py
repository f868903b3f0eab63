"""Our encoder: a checkpoint, or random weights of the same sizes, which show what the architecture alone gives away."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

import csc_fairseq
from csc_fairseq.errors import InputError
from csc_fairseq.inference.checkpoint import load_model
from csc_fairseq.inference.separator import Analysis
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification.encoders.checks import require_voices, unit
from csc_fairseq.verification.encoders.protocol import TestEmbeddings

VARIANTS = ("q", "s")
CONFIGURATIONS = Path(csc_fairseq.__file__).parent / "config"


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
        for i, analysis in self._analyse(waveforms):
            rows[i] = self._embeddings(analysis)[analysis.estimates.square().sum(-1).argmax()]
        return unit(self.name, torch.stack(rows).cpu(), (len(rows), self._model.embedding_size))

    def test(self, waveforms: Sequence[np.ndarray]) -> TestEmbeddings:
        """The embeddings of all streams, and the streams."""
        rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
        estimates = [np.empty(0, dtype=np.float32)] * len(waveforms)
        for i, analysis in self._analyse(waveforms):
            rows[i] = self._embeddings(analysis)
            estimates[i] = analysis.estimates.cpu().numpy()
        shape = (len(rows), self._model.streams, self._model.embedding_size)
        return TestEmbeddings(unit(self.name, torch.stack(rows).cpu(), shape), estimates)

    def _analyse(self, waveforms: Sequence[np.ndarray]) -> Iterator[tuple[int, Analysis]]:
        require_voices(self.name, waveforms, self._model.shortest)
        # Copies, since torch takes neither read-only nor reversed arrays.
        return self._model.analyse([torch.from_numpy(np.array(waveform, dtype=np.float32)) for waveform in waveforms])

    @torch.no_grad()
    def _embeddings(self, analysis: Analysis) -> Tensor:
        """[C, E], row c for stream c."""
        if not self._attended:
            return analysis.queries
        return self._model.network.attend(analysis.queries.unsqueeze(0)).squeeze(0)


def trained(name: str, path: str | Path, device: str, variant: str = "q") -> CscEncoder:
    """The encoder of a checkpoint or bundle. InputError for what `load_model` and `CscEncoder` refuse."""
    return CscEncoder(name, load_model(path, device), variant)


def untrained(name: str, configuration: str, device: str, seed: int = 0) -> CscEncoder:
    """An encoder of the sizes of a named configuration, e.g. csc_small, with random weights keyed by `seed`.

    InputError if there is no such configuration, or it is another model's.
    """
    torch.set_flush_denormal(True)  # silent stretches otherwise slow CPUs down severalfold
    config, sample_rate = _sizes(name, configuration)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SeparativeEncoder(config)
    return CscEncoder(name, SpeakerEncoder(network, sample_rate, "none").to(device))


def _sizes(name: str, configuration: str) -> tuple[SeparativeEncoderConfig, int]:
    """Sizes, and the sample rate in Hz."""
    path = CONFIGURATIONS / f"{configuration}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in CONFIGURATIONS.glob("csc_*.yaml"))
        raise InputError(
            f"encoder {name}: there is no configuration {configuration!r}, expected one of {', '.join(known)}"
        )
    settings = OmegaConf.load(path)
    if settings.model._name != "csc":
        raise InputError(f"encoder {name}: {configuration} configures {settings.model._name!r}, expected 'csc'")
    # The number of streams is the task's, as in training; what a configuration leaves out has its default.
    sizes = {"sources": settings.task.sources, **settings.model}
    config = SeparativeEncoderConfig(
        **{field.name: sizes[field.name] for field in fields(SeparativeEncoderConfig) if field.name in sizes}
    )
    return config, settings.task.sample_rate
