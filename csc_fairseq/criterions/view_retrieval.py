"""Validation without labels: does an embedding find the other view of its recording among those of other talkers, in mixtures?"""

from typing import NamedTuple

import torch
from fairseq import metrics
from fairseq.logging.meters import MetersDict
from torch import Tensor

from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.verification.metrics.error_rates import eer

BINS = 400
"""of cosines from −1 to 1. Ranks exchange counts, since fairseq limits the size of what they exchange."""


class ViewRetrieval(NamedTuple):
    """Of the streams of one batch."""

    correct: Tensor
    """scalar: streams whose most similar stream of other views has the same identity"""
    queries: Tensor
    """scalar: streams whose identity is heard in another view"""
    histogram: Tensor
    """(2, BINS) long: pairs of streams of different views by cosine, of different identities and of the same one"""


def view_retrieval(embeddings: Tensor, talkers: Talkers) -> ViewRetrieval:
    """Compares all (m, E) streams of unit norm with those of other views in the batch."""
    cosines = embeddings.float() @ embeddings.float().T
    apart = talkers.views.unsqueeze(1) != talkers.views
    same = talkers.numbers.unsqueeze(1) == talkers.numbers
    heard = (apart & same).any(1)
    nearest = cosines.masked_fill(~apart, -2).argmax(1)
    correct = (same.gather(1, nearest.unsqueeze(1)).squeeze(1) & heard).sum()
    bins = ((cosines + 1) * (BINS / 2)).long().clamp(0, BINS - 1)
    histogram = torch.stack([bins[apart & kind].bincount(minlength=BINS) for kind in (~same, same)])
    return ViewRetrieval(correct, heard.sum(), histogram)


def log_view_eer(histograms: list[Tensor]) -> None:
    """Shows `view_eer` in %, over all batches so far; NaN while there are no pairs of both kinds.

    Meters whose names begin with _ are not in fairseq's logs.
    """
    metrics.log_concat_tensor("_view_histograms", torch.stack([histogram.cpu() for histogram in histograms]))

    def rate(meters: MetersDict) -> float:
        return histogram_eer(meters["_view_histograms"].tensor.sum(0))

    metrics.log_derived("view_eer", rate)


def histogram_eer(histogram: Tensor) -> float:
    """Equal error rate in % of cosines that (2, BINS) counts of non-target and target pairs hold, to the width of a bin."""
    centres = (torch.arange(BINS) + 0.5) * (2 / BINS) - 1
    rejected, accepted = (centres.repeat_interleave(counts).numpy() for counts in histogram)
    if not len(accepted) or not len(rejected):
        return float("nan")
    return round(100 * eer(accepted, rejected), 3)
