"""The mean of several checkpoints: late ones of one training differ by noise, which it has less of (our choice)."""

from collections.abc import Sequence

import torch

from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel

MEMORY = "memory."  # earlier queries, not weights


@torch.no_grad()
def average(models: Sequence[EmbeddingModel], names: Sequence[str]) -> EmbeddingModel:
    """The last model with the mean of all their weights, without its calibration; it is changed.

    Whole numbers and the condition memory are the last one's.

    Args:
        models: at least one, of one training. names: of their files, for complaints.

    Raises:
        InputError: a model of another kind, or with other weights.
    """
    last, state = models[-1], models[-1].network.state_dict()
    shapes = {name: weight.shape for name, weight in state.items()}
    for model, name in zip(models, names, strict=True):
        found = {key: weight.shape for key, weight in model.network.state_dict().items()}
        if model.kind != last.kind or found != shapes:
            raise InputError(f"{name}: has other weights than {names[-1]}; give checkpoints of one training")
    for name, weight in state.items():
        if weight.is_floating_point() and not name.startswith(MEMORY):
            weight.copy_(torch.stack([model.network.state_dict()[name].double() for model in models]).mean(0))
    last.calibration = None  # it was of that model's own weights
    return last
