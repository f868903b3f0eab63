"""Margin softmax: classify the training speakers by angle. The own speaker must be the nearest by a margin.

AM-softmax: Wang et al., "Additive Margin Softmax for Face Verification", 2018, and "CosFace", CVPR 2018. AAM-softmax: Deng et al.,
"ArcFace", CVPR 2019. Sub-centres: Deng et al., "Sub-center ArcFace", ECCV 2020.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.errors import InputError

SINE_FLOOR = 1e-4  # bounds the slope of the sine, which is infinite where embedding and centre coincide


def speaker_cosines(embeddings: Tensor, centres: Tensor) -> Tensor:
    """Cosine of every embedding with every speaker, that is with the nearest of the speaker's sub-centres.

    Args:
        embeddings: (n, E), unit norm. centres: (N, K, E), any norm.

    Returns:
        (n, N) float32, also under autocast.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        directions = F.normalize(centres.float(), dim=-1)
        cosines = embeddings.float() @ directions.flatten(0, 1).T
    return cosines.unflatten(1, centres.shape[:2]).amax(-1) if centres.shape[1] > 1 else cosines


def additive_margin(cosines: Tensor, margin: float) -> Tensor:
    """AM-softmax: cos θ − m, elementwise."""
    return cosines - margin


def additive_angular_margin(cosines: Tensor, margin: float) -> Tensor:
    """AAM-softmax: cos(θ + m), elementwise, m in radians. Where θ + m exceeds π: cos θ − m·sin m, as in the authors' code.

    It is computed by the addition formula, without arccosine, so value and gradient are finite at cos θ = ±1.
    """
    sines = ((1 - cosines) * (1 + cosines)).clamp_min(SINE_FLOOR**2).sqrt()
    turned = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines >= -math.cos(margin), turned, cosines - margin * math.sin(margin))


MARGINS = {"am": additive_margin, "aam": additive_angular_margin}


def margin_softmax_loss(cosines: Tensor, labels: Tensor, kind: str, margin: float, scale: float) -> Tensor:
    """Cross-entropy of scale·cosine, where the own speaker's cosine is lowered by the margin.

    Args:
        cosines: (n, N) float32. labels: (n,) long in [0, N), the own speakers.
        kind: am, whose margin is a cosine, or aam, whose margin is an angle in radians. scale: s > 0.

    Returns:
        (n,) nats, smaller is better. At margin 0 both kinds are the plain softmax of cosines.
    """
    rows = labels.unsqueeze(1)
    own = cosines.gather(1, rows)
    lowered = cosines.scatter(1, rows, MARGINS[kind](own, margin))
    return F.cross_entropy(scale * lowered, labels, reduction="none")


def margin_at(update: int, margin: float, warmup: int) -> float:
    """The margin of an update. It rises linearly from 0 in the first `warmup` updates (our choice); warmup 0: full at once."""
    return margin * min(1.0, update / warmup) if warmup else margin


class MarginClassifier(nn.Module):
    """The training speakers' centres, K for each, and the loss towards them.

    Only training needs it. Embeddings of new recordings are compared with each other.

    Args:
        speakers: N. channels: E. kind: am or aam. margin: m, a cosine (am) or radians (aam). scale: s. sub_centres: K.

    Raises:
        InputError: fewer than two speakers, another kind, or a margin, scale or number of sub-centres out of range.
    """

    def __init__(
        self, speakers: int, channels: int, kind: str, margin: float, scale: float, sub_centres: int = 1
    ) -> None:
        super().__init__()
        if kind not in MARGINS:
            raise InputError(f"the margin loss is {kind!r}; choose one of {', '.join(MARGINS)}")
        if speakers < 2:
            raise InputError(
                f"found {speakers} training speaker(s), expected at least 2; add recordings of other speakers"
            )
        if not 0 <= margin < math.pi / 2:
            raise InputError(f"margin is {margin}; expected 0 to 1.57: a cosine for am, radians (not degrees) for aam")
        if scale <= 0:
            raise InputError(f"scale is {scale}; it must be positive")
        if sub_centres < 1:
            raise InputError(f"sub_centres is {sub_centres}; expected 1 or more for each speaker")
        self.kind = kind
        self.margin = margin
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(speakers, sub_centres, channels) * channels**-0.5)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(n, E) of unit norm to (n, N) float32 cosines with the speakers, without a margin. The largest says whom they chose."""
        return speaker_cosines(embeddings, self.weight)

    def loss(self, cosines: Tensor, labels: Tensor, margin: float) -> Tensor:
        """(n,) nats: `margin_softmax_loss` with this classifier's kind and scale, and the margin of the update."""
        return margin_softmax_loss(cosines, labels, self.kind, margin, self.scale)
