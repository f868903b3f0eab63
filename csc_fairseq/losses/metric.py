"""Metric losses: find an utterance's own speaker in the batch, by the other utterances of that speaker.

GE2E: Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018, equations 5, 6, 8 and 9. Angular
prototypical: Chung et al., "In defence of metric learning for speaker recognition", Interspeech 2020.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.errors import InputError

LEAST_SCALE = 1e-6  # added to the exponential, which is 0 in float32 below e^-104
LEAST_NORM = 1e-6  # of a mean; bounds the gradient where the utterances of a speaker cancel out


def ge2e_cosines(embeddings: Tensor) -> Tensor:
    """Cosine of every utterance with the centroid of every speaker. The utterance itself is left out of its own speaker's centroid.

    Args:
        embeddings: (S, M, E), M utterances of each of S speakers, unit norm.

    Returns:
        (S, M, S) float32, also under autocast: [j, i, k] compares utterance i of speaker j with speaker k.

    Raises:
        InputError: M < 2, since the own speaker then has no other utterance; S < 2.
    """
    _require_two_of_two(embeddings)
    embeddings = embeddings.float()
    speakers, utterances, _ = embeddings.shape
    total = embeddings.sum(1)
    centroids = _direction(total / utterances)
    others = _direction((total.unsqueeze(1) - embeddings) / (utterances - 1))
    with torch.autocast(embeddings.device.type, enabled=False):
        cosines = embeddings @ centroids.T
    own = torch.eye(speakers, dtype=torch.bool, device=embeddings.device).unsqueeze(1)
    return torch.where(own, (embeddings * others).sum(-1, keepdim=True), cosines)


def prototype_cosines(embeddings: Tensor) -> Tensor:
    """Cosine of every speaker's last utterance, the query, with the mean of the other utterances of every speaker.

    Args:
        embeddings: (S, M, E), M utterances of each of S speakers, unit norm.

    Returns:
        (S, 1, S) float32, also under autocast: [j, 0, k] compares the query of speaker j with the prototype of speaker k.

    Raises:
        InputError: M < 2, since no utterance is left for a prototype; S < 2.
    """
    _require_two_of_two(embeddings)
    embeddings = embeddings.float()
    prototypes = _direction(embeddings[:, :-1].mean(1))
    with torch.autocast(embeddings.device.type, enabled=False):
        return embeddings[:, -1:] @ prototypes.T


METRICS = {"ge2e": ge2e_cosines, "prototypical": prototype_cosines}


def own_speaker_loss(logits: Tensor) -> Tensor:
    """−log of the softmax over the batch's speakers, at the own one (GE2E's softmax variant).

    Args:
        logits: (S, Q, S), of Q queries of each speaker with every speaker.

    Returns:
        (S, Q) nats, smaller is better.
    """
    return logits.logsumexp(-1) - logits.diagonal(dim1=0, dim2=2).T


class ScaledCosine(nn.Module):
    """w·cos + b with learnt w > 0 and b.

    w is the exponential of the parameter, plus a small constant, so that no step of any optimiser makes it 0 or negative (our
    choice; the papers ask for w > 0 only). A clamp of the parameter would be needed after every step, also on the float32 copies
    of half-precision training. b shifts all logits alike and cancels in a softmax. It is there because the papers have it.

    Args:
        scale, bias: initial w and b; the defaults are GE2E's.
    """

    def __init__(self, scale: float = 10.0, bias: float = -5.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    @property
    def scale(self) -> Tensor:
        """w, a scalar float32 above 0."""
        return self.log_scale.float().exp() + LEAST_SCALE

    def forward(self, cosines: Tensor) -> Tensor:
        """Cosines of any shape to logits of that shape, float32."""
        return self.scale * cosines + self.bias.float()


def _direction(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1, eps=LEAST_NORM)


def _require_two_of_two(embeddings: Tensor) -> None:
    if len(embeddings) < 2:
        raise InputError("found 1 speaker in the batch, expected at least 2 to tell apart; raise dataset.batch_size")
    if embeddings.shape[1] < 2:
        raise InputError(
            f"found {embeddings.shape[1]} utterance(s) per speaker in the batch, expected at least 2: one to compare "
            "with the others; set task.views=2 or more"
        )
