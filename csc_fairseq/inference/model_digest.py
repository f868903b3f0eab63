"""What a model is told by, whatever the name and form of its file."""

import hashlib

import torch

from csc_fairseq.digests import digest
from csc_fairseq.inference.embedding_model import EmbeddingModel


def model_digest(model: EmbeddingModel) -> str:
    """32 hexadecimal digits that identify a model by its architecture, sample rate and weights, on any device.

    A checkpoint and the bundle that was exported from it have the same. Settings without weights do not count: nobody changes
    them after a training (our choice).
    """
    found = [
        [name, list(weight.shape), hashlib.blake2b(_content(weight), digest_size=16).hexdigest()]
        for name, weight in model.network.state_dict().items()
    ]
    return digest([model.kind, model.sample_rate, sorted(found)])


def _content(weight: torch.Tensor) -> bytes:
    return weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
