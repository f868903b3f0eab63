"""fairseq criterion `csc`: separation and identification of the same streams under one permutation."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from csc_fairseq.criterions.logged_sums import LoggedSums
from csc_fairseq.criterions.view_retrieval import log_view_eer, view_retrieval
from csc_fairseq.errors import InputError
from csc_fairseq.losses.contrastive import effective_rank, information_bound
from csc_fairseq.losses.permutation import best_permutation, reorder, separation_costs
from csc_fairseq.losses.si_snr import si_snr
from csc_fairseq.models.csc import CscModel, unwrapped
from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.modules.separative_encoder import SeparativeOutput
from csc_fairseq.options import option

HISTOGRAM = "view_histogram"  # among the logged figures of validation


@dataclass
class CscCriterionConfig(FairseqDataclass):
    """Options of `criterion=csc`: L = L_sep + λ(t)·½[ℓ(q) + ℓ(s)]."""

    contrastive_weight: float = option(20.0, "λ, nats of identification against dB of separation")
    contrastive_warmup: int = option(200, "updates over which λ rises linearly from 0")


@register_criterion("csc", dataclass=CscCriterionConfig)
class CscCriterion(FairseqCriterion):
    """The loss of pre-training.

    It returns the sum over mixtures. fairseq divides gradients by the number of mixtures on all ranks, so they are those of the
    global batch.

    Args:
        contrastive_weight, contrastive_warmup: see `CscCriterionConfig`.

    Raises:
        InputError: a negative option.
    """

    def __init__(self, task, contrastive_weight: float, contrastive_warmup: int) -> None:
        super().__init__(task)
        if contrastive_weight < 0 or contrastive_warmup < 0:
            raise InputError("criterion: contrastive_weight and contrastive_warmup must not be negative")
        self.contrastive_weight = contrastive_weight
        self.contrastive_warmup = contrastive_warmup

    def forward(self, model, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Loss summed over the batch's B mixtures (dB + λ nats), B, and sums to log."""
        module = unwrapped(model)
        output = model(**sample["net_input"])
        terms = self._terms(module, output, sample)
        mixtures = len(terms.permutation)
        loss = terms.separation + self._weight(module.num_updates) * terms.identification
        logging = {
            "loss": loss.detach(),
            "separation_loss": terms.separation.detach(),
            "query_loss": terms.query_loss.detach().sum(),
            "attended_loss": terms.attended_loss.detach().sum(),
            "talkers": terms.scored.sum(),
            "correct": terms.correct,
            "nsentences": mixtures,
            "ntokens": sample["net_input"]["source"].numel(),
            "sample_size": mixtures,
        }
        if self.training:
            recordings, voiced = sample["net_input"]["recordings"], terms.voiced(sample["present"])
            module.encoder.memory.stage(output.queries, recordings, voiced)
            module.stage(terms.queries, terms.talkers)
        else:
            logging |= self._validation_figures(module, output, terms, sample)
        return loss, mixtures, logging

    def _terms(self, module: CscModel, output: SeparativeOutput, sample: dict) -> "Terms":
        """The loss terms, with waveforms, embeddings and identities aligned by the one permutation that separation chose."""
        present = sample["present"]
        costs = separation_costs(output.estimates, sample["sources"], present, sample["net_input"]["source"])
        separation, permutation = best_permutation(costs)
        views = sample["views"].unsqueeze(1).expand_as(present)
        talkers = Talkers(sample["identities"][present], sample["talkers"][present], views[present])
        queries = reorder(output.queries, permutation)[present]
        by_query = module.global_vectors.identify(queries, talkers)
        by_attended = by_query
        if module.encoder.attention is not None:
            attended = reorder(output.attended, permutation)[present]
            by_attended = module.global_vectors.identify(attended, talkers)
        scored = by_query.scored
        # Every mixture weighs the same, whether one or all of its talkers are known: the mean over its talkers, then the sum.
        known = torch.zeros_like(present).masked_scatter(present, scored)
        share = (known / known.sum(1, keepdim=True).clamp_min(1))[known]
        query_loss, attended_loss = by_query.losses[scored], by_attended.losses[scored]
        return Terms(
            separation.sum(),
            0.5 * ((query_loss + attended_loss) * share).sum(),
            query_loss,
            attended_loss,
            permutation,
            talkers,
            queries.detach(),
            scored,
            by_query.correct[scored].sum(),
            by_query.entropy[scored],
        )

    def _weight(self, updates: int) -> float:
        """λ(t): rises linearly during the warm-up; validation always reports the loss at full weight."""
        if not self.training or self.contrastive_warmup == 0:
            return self.contrastive_weight
        return self.contrastive_weight * min(1.0, updates / self.contrastive_warmup)

    def _validation_figures(self, module: CscModel, output: SeparativeOutput, terms: "Terms", sample: dict) -> dict:
        """Figures that only validation reports, summed over the batch."""
        mixture, sources, present = sample["net_input"]["source"], sample["sources"], sample["present"]
        estimates = reorder(output.estimates, terms.permutation)
        improvement = si_snr(estimates, sources) - si_snr(mixture.unsqueeze(1), sources)
        overlapped = present & (present.sum(1, keepdim=True) > 1)
        talkers = len(terms.query_loss)
        retrieval = view_retrieval(terms.queries, terms.talkers)
        figures = {
            "si_snri": improvement[overlapped].sum(),
            "overlapped": overlapped.sum(),
            "rank_q": effective_rank(terms.queries[terms.scored]) * talkers if talkers else 0.0,
            "entropy": terms.entropy.sum(),
            "view_correct": retrieval.correct,
            "view_queries": retrieval.queries,
            HISTOGRAM: retrieval.histogram,
            # A tensor on every rank: fairseq sums tensors and plain numbers in separate exchanges.
            "gradient_ratio": mixture.new_zeros(()),
            "gradient_batches": 0,
        }
        if module.table is not None:
            figures["prior_entropy"] = sample["prior_entropy"] * talkers
            figures["table_spread"] = module.table.spread() * len(mixture)
        # One batch of the fixed mixes is enough for a figure that costs a backward pass.
        if talkers and bool((sample["id"] == 0).any()):
            figures |= {"gradient_ratio": self._gradient_ratio(module, sample), "gradient_batches": 1}
        return figures

    def _gradient_ratio(self, module: CscModel, sample: dict) -> Tensor:
        """‖∇ λ·identification‖ / ‖∇ separation‖ over the shared trunk's parameters."""
        trunk = list(module.encoder.trunk.parameters())
        # cuDNN's recurrent layers refuse a backward pass in evaluation mode; PyTorch's own do not.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            terms = self._terms(module, module(**sample["net_input"]), sample)
            by_separation = torch.autograd.grad(terms.separation, trunk, retain_graph=True)
            by_identity = torch.autograd.grad(self.contrastive_weight * terms.identification, trunk)
        return global_norm(by_identity) / global_norm(by_separation)

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Means over mixtures, talkers or overlapped talkers of all ranks. Losses are in dB and nats, not in fairseq's bits."""
        histograms = [log[HISTOGRAM] for log in logging_outputs if HISTOGRAM in log]
        if histograms:
            log_view_eer(sum(histogram.cpu().long() for histogram in histograms))
        sums = LoggedSums([{name: log[name] for name in log if name != HISTOGRAM} for log in logging_outputs])
        for name in ("loss", "separation_loss"):
            sums.log_mean(name, "sample_size")
        for name in ("query_loss", "attended_loss"):
            sums.log_mean(name, "talkers")
        sums.log_mean("correct", "talkers", "accuracy", 4)
        # Of validation alone.
        sums.log_mean("si_snri", "overlapped")
        sums.log_mean("table_spread", "sample_size")
        sums.log_mean("gradient_ratio", "gradient_batches")
        sums.log_mean("rank_q", "talkers", "effective_rank", 1)
        sums.log_mean("view_correct", "view_queries", "view_accuracy", 4)
        if sums.get("entropy"):
            _log_bounds(sums)
        sums.log_data_wait()

    def logging_outputs_can_be_summed(self) -> bool:
        """Whether ranks may add up what they log: the sums of training, but not the counts of validation."""
        return self.training


def _log_bounds(sums: LoggedSums) -> None:
    """`bound` in nats. With a table: for identities as often as mixing draws them; `bound_uniform`: for equally frequent ones.

    With views, the identity is one of the few in a batch: `bound_cap`, their entropy, is the most that the bound can be.
    """
    talkers, loss = sums["talkers"], sums["query_loss"] / sums["talkers"]
    entropy = sums["entropy"] / talkers
    if "prior_entropy" in sums:
        # A running mean knows only who was heard so far.
        prior = min(sums["prior_entropy"] / talkers, entropy)
        metrics.log_scalar("bound", information_bound(loss, prior), talkers, round=3)
        metrics.log_scalar("bound_uniform", information_bound(loss, entropy), talkers, round=3)
    else:
        metrics.log_scalar("bound", information_bound(loss, entropy), talkers, round=3)
        metrics.log_scalar("bound_cap", entropy, talkers, round=3)


class Terms(NamedTuple):
    """What one batch contributes; m counts its talkers, n those that are scored: the model knows something of their identity."""

    separation: Tensor
    """scalar, dB summed over mixtures"""
    identification: Tensor
    """scalar, nats summed over mixtures: ½[ℓ(q) + ℓ(s)], mean over a mixture's known talkers"""
    query_loss: Tensor
    """(n,) nats"""
    attended_loss: Tensor
    """(n,) nats"""
    permutation: Tensor
    """(B, C): the output that each source got"""
    talkers: Talkers
    """of m"""
    queries: Tensor
    """(m, E), detached"""
    scored: Tensor
    """(m,) bool"""
    correct: Tensor
    """scalar: scored talkers whose nearest global vector is their own"""
    entropy: Tensor
    """(n,) nats, of the identities among which the own one is to be found"""

    def voiced(self, present: Tensor) -> Tensor:
        """(B, C) bool, the outputs that got a source which is `present`, (B, C) bool: the permutation, the other way round."""
        return torch.zeros_like(present).scatter(1, self.permutation, present)


def global_norm(gradients: tuple[Tensor, ...]) -> Tensor:
    """Euclidean norm over several tensors."""
    return torch.stack([gradient.norm() for gradient in gradients]).norm()
