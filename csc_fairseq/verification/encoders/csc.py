"""Our encoder: a checkpoint, or random weights of the same sizes, which show what the architecture alone gives away."""

from dataclasses import fields

import torch
from torch import Tensor

from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.configurations import read_configuration
from csc_fairseq.errors import InputError
from csc_fairseq.inference.loading import speaker_encoder_of
from csc_fairseq.inference.separated_voices import SeparatedVoices
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.verification.encoders.of_model import ModelEncoder

VARIANTS = ("q", "s")


class CscEncoder(ModelEncoder):
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
        super().__init__(name, model)
        self._network = model.network
        self._attended = variant == "s"

    @torch.no_grad()
    def _embeddings(self, voices: SeparatedVoices) -> Tensor:
        """See `ModelEncoder._embeddings`."""
        if not self._attended:
            return voices.queries
        return self._network.attend(voices.queries.unsqueeze(0)).squeeze(0)


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
