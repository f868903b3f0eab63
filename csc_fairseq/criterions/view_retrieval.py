"""Validation without labels: does an embedding find another view of its identity among those of other talkers, in mixtures?"""

from typing import NamedTuple

import torch
from fairseq import metrics
from fairseq.logging.meters import MetersDict
from torch import Tensor

from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.verification.metrics.error_rates import eer

BINS = 800
"""of distances 1 − cos on a logarithmic scale, each 1.8 % wider than the one before: embeddings may share most of their direction.
Ranks exchange counts, since fairseq limits the size of what they exchange."""
NEAREST, FARTHEST = 2.0**-20, 2.0


class ViewRetrieval(NamedTuple):
    """Of the streams of one batch."""

    correct: Tensor
    """scalar: streams whose most similar stream of other views has the same identity"""
    queries: Tensor
    """scalar: streams whose identity is heard in another view"""
    histogram: Tensor
    """(2, BINS) int32: pairs of streams of different views by distance, of different identities and of the same one"""


def view_retrieval(embeddings: Tensor, talkers: Talkers) -> ViewRetrieval:
    """Compares all (m, E) streams of unit norm with those of other views in the batch."""
    cosines = embeddings.float() @ embeddings.float().T
    apart = talkers.views.unsqueeze(1) != talkers.views
    same = talkers.numbers.unsqueeze(1) == talkers.numbers
    heard = (apart & same).any(1)
    if not heard.any():
        nothing = heard.sum()
        return ViewRetrieval(nothing, nothing, torch.zeros(2, BINS, dtype=torch.int32, device=cosines.device))
    nearest = cosines.masked_fill(~apart, -2).argmax(1)
    correct = (same.gather(1, nearest.unsqueeze(1)).squeeze(1) & heard).sum()
    octaves = ((1 - cosines).clamp(NEAREST, FARTHEST) / NEAREST).log2()  # from 0 to 21
    bins = (octaves * (BINS / 21)).long().clamp_max(BINS - 1)
    histogram = torch.stack([bins[apart & kind].bincount(minlength=BINS) for kind in (~same, same)])
    return ViewRetrieval(correct, heard.sum(), histogram.int())


def log_view_eer(histogram: Tensor) -> None:
    """Shows `view_eer` in %, over all batches so far; NaN while there are no pairs of both kinds.

    Meters whose names begin with _ are not in fairseq's logs. One that sums does not grow: fairseq never resets the meters of
    validation, and keeps them in checkpoints.
    """
    metrics.log_scalar_sum("_view_histogram", histogram.cpu().long(), 1)

    def rate(meters: MetersDict) -> float:
        return histogram_eer(meters["_view_histogram"].sum)

    metrics.log_derived("view_eer", rate)


def histogram_eer(histogram: Tensor) -> float:
    """Equal error rate in % of the pairs that (2, BINS) counts of non-target and target pairs hold, to the width of a bin."""
    scores = -torch.arange(BINS, dtype=torch.float32)
    rejected, accepted = (scores.repeat_interleave(counts).numpy() for counts in histogram)
    if not len(accepted) or not len(rejected):
        return float("nan")
    return round(100 * eer(accepted, rejected), 3)
