"""fairseq criterion `speaker`: verification by margin or metric losses in training, by the error rate of trials in validation."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Optional  # Optional in dataclasses only: fairseq's parser does not read `X | None`

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging.meters import MetersDict
from omegaconf import II
from torch import Tensor, nn

from csc_fairseq.criterions.logged_sums import LoggedSums
from csc_fairseq.errors import InputError
from csc_fairseq.losses.margin import MARGINS, MarginClassifier, margin_at
from csc_fairseq.losses.metric import METRICS, ScaledCosine, own_speaker_loss
from csc_fairseq.losses.permutation import best_permutation, reorder, separation_costs
from csc_fairseq.models.speaker_verifier import VerifierOutput
from csc_fairseq.modules.identity_rows import IdentityRows
from csc_fairseq.modules.loudness import loudest_streams
from csc_fairseq.options import option
from csc_fairseq.verification.metrics.error_rates import eer
from csc_fairseq.verification.trials.trial_dataset import FEWEST_TRIALS, VALIDATION_CONDITIONS

LOSSES = (*MARGINS, *METRICS)
KEPT_SEPARATION = 0.33  # of csc's pre-training: 3 nats of identification against 1 dB (our choice)
CONDITION_NAMES = tuple(VALIDATION_CONDITIONS)  # in the order in which a validation batch numbers them


class Heard(NamedTuple):
    """The n talkers of a batch whose speakers are known, mixture by mixture, targets among them.

    embeddings: (n, E). speakers: long (n,), rows of the table. share: (n,), one over the known talkers of the mixture. target: bool
    (n,). separation: (mixtures,) dB, smaller is better; None if the encoder does not separate.
    """

    embeddings: Tensor
    speakers: Tensor
    share: Tensor
    target: Tensor
    separation: Tensor | None


@dataclass
class SpeakerCriterionConfig(FairseqDataclass):
    """Options of `criterion=speaker`: L = speaker loss + separation_weight·(−SI-SNR)."""

    loss: str = option("aam", f"{' or '.join(MARGINS)}: margin softmax; {' or '.join(METRICS)}: metric, within a batch")
    margin: float = option(0.2, "of margin losses: a cosine (am) or an angle in radians (aam)")
    margin_warmup: int = option(0, "updates over which the margin rises linearly from 0")
    scale: float = option(30.0, "of margin losses, cosines to logits; metric losses learn theirs")
    sub_centres: int = option(1, "of margin losses, K: centres per speaker, of which the nearest counts")
    separation_weight: Optional[float] = option(
        None,
        "nats of the speaker loss that 1 dB of separation is worth, so that a tuned encoder goes on separating; 0: off; null: "
        f"{KEPT_SEPARATION}, or 0 where the encoder does not separate or is not trained",
    )
    embedding_channels: int = option(II("model.embedding_channels"), "E, numbers in an embedding; the model's")


@register_criterion("speaker", dataclass=SpeakerCriterionConfig)
class SpeakerCriterion(IdentityRows, FairseqCriterion):
    """Training: the sum over views of the loss on the stream that holds the target. Validation: scores, for error rates.

    The loss has weights of its own: the training speakers' centres, or a scale and a bias. They are here rather than in the model.
    fairseq trains and saves them, and inference does without them.

    Args:
        task: its `identities` are the training speakers, in the order of their rows. `cfg.views` utterances of a target are
            neighbours in a batch. `cfg.distinct_speakers` says whether the targets of a batch are of different speakers.

    Raises:
        InputError: an option out of its range, fewer than two speakers, a metric loss with fewer than two views or
            without distinct speakers.
    """

    def __init__(self, cfg: SpeakerCriterionConfig, task) -> None:
        super().__init__(task)
        if cfg.loss not in LOSSES:
            raise InputError(f"criterion.loss is {cfg.loss!r}; choose one of {', '.join(LOSSES)}")
        if cfg.margin_warmup < 0 or (cfg.separation_weight or 0) < 0:
            raise InputError("criterion: margin_warmup and separation_weight must not be negative")
        if cfg.loss in METRICS:
            if task.cfg.views < 2:
                raise InputError(
                    f"criterion.loss={cfg.loss} needs two utterances per speaker, and task.views is {task.cfg.views}; "
                    "set task.views=2 or more, or criterion.loss=aam"
                )
            if not task.cfg.distinct_speakers:
                raise InputError(
                    f"criterion.loss={cfg.loss} needs batches of different speakers, and task.distinct_speakers is false; "
                    "set it to true, or criterion.loss=aam"
                )
        self.kind = cfg.loss
        self.margin_warmup = cfg.margin_warmup
        self.separation_weight = cfg.separation_weight
        self.views = task.cfg.views
        if cfg.loss in MARGINS:
            self.set_identities(task.identities, rows="classifier.weight")
            self.classifier = MarginClassifier(
                len(task.identities), cfg.embedding_channels, cfg.loss, cfg.margin, cfg.scale, cfg.sub_centres
            )
        else:
            self.scaling = ScaledCosine()

    def forward(self, model: nn.Module, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """In training the loss summed over the batch's views, their number, and sums to log; else 0, trials, and scores."""
        return self._train(model, sample) if self.training else self._score(model, sample)

    def _train(self, model: nn.Module, sample: dict) -> tuple[Tensor, int, dict]:
        self.require_same_identities(f"{self.task.cfg.data}/train.tsv")
        if self.separation_weight and model.frozen:
            raise InputError(
                f"criterion.separation_weight is {self.separation_weight:g}, which trains an encoder that model.frozen=true leaves "
                "as it is; drop one of the two"
            )
        weight = self._kept_separation(model)
        heard = self._heard(model(**sample["net_input"]), sample, weight > 0)
        views, separation = len(sample["speakers"]), heard.separation
        if self.kind in MARGINS:
            margin = margin_at(model.num_updates, self.classifier.margin, self.margin_warmup)
            cosines = self.classifier(heard.embeddings)
            losses = self.classifier.loss(cosines, heard.speakers, margin)
            correct = cosines.argmax(1) == heard.speakers
            speaker_loss = (losses * heard.share).sum()
            figures: dict[str, Any] = {"margin": margin * views, "scale": self.classifier.scale * views}
        else:
            targets = heard.embeddings[heard.target]
            logits = self.scaling(METRICS[self.kind](targets.unflatten(0, (-1, self.views))))
            losses = own_speaker_loss(logits)
            correct = logits.argmax(-1) == torch.arange(len(logits), device=logits.device).unsqueeze(1)
            speaker_loss = losses.mean() * views  # a view weighs the same, whether each is a query or one of several is
            figures = {"scale": self.scaling.scale.detach() * views}
        loss = speaker_loss
        if separation is not None:
            figures["separation_loss"] = separation.detach().sum()
            if weight:
                loss = loss + weight * separation.sum()
        logging = {
            "loss": loss.detach(),
            "speaker_loss": speaker_loss.detach(),
            "correct": correct.sum(),
            "queries": correct.numel(),
            "nsentences": views,
            "ntokens": sample["net_input"]["source"].numel(),
            "sample_size": views,
        }
        return loss, views, logging | figures

    def _kept_separation(self, model: nn.Module) -> float:
        """The weight of separation, for an encoder that separates."""
        if self.separation_weight is not None:
            return self.separation_weight
        return 0.0 if model.frozen else KEPT_SEPARATION

    def _heard(self, output: VerifierOutput, sample: dict, keep_separation: bool) -> Heard:
        """Whose embedding each stream is, and the loss of separation.

        The permutation that separates best says which stream got whom, as in pre-training. Without separation the one stream is the
        target's.

        Args:
            sample: a batch of `SpeakerDataset`.

        Raises:
            InputError: separation_weight with an encoder that does not separate; several streams without waveforms; another number
                of streams than of sources.
        """
        streams = output.embeddings.shape[1]
        if output.estimates is None:
            if self.separation_weight:
                raise InputError(
                    f"criterion.separation_weight is {self.separation_weight:g}, but this encoder does not separate; "
                    "set it to 0, or give a CSC checkpoint as model.pretrained"
                )
            if streams != 1:
                raise InputError(
                    f"the encoder has {streams} streams but no waveforms of them, so nothing says which is the target's; "
                    "expected estimates, or one stream"
                )
            speakers = sample["speakers"]
            everywhere = torch.ones_like(speakers)
            return Heard(
                output.embeddings[:, 0], speakers, everywhere.to(output.embeddings.dtype), everywhere.bool(), None
            )
        slots = sample["sources"].shape[1]
        if streams != slots:
            raise InputError(
                f"the encoder has {streams} streams, but mixtures have {slots} sources; set task.sources={streams}"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and keep_separation):
            costs = separation_costs(
                output.estimates, sample["sources"], sample["present"], sample["net_input"]["source"]
            )
            separation, permutation = best_permutation(costs)
        known = sample["present"] & (sample["identities"] >= 0)
        target = torch.zeros_like(known).scatter(1, sample["target_slots"].unsqueeze(1), True)
        # Every mixture weighs the same, whether one or all of its talkers are known.
        share = (known / known.sum(1, keepdim=True))[known]
        return Heard(
            reorder(output.embeddings, permutation)[known],
            sample["identities"][known],
            share,
            target[known],
            separation,
        )

    def _score(self, model: nn.Module, sample: dict) -> tuple[Tensor, int, dict]:
        enrolments = model(**sample["enrol"])
        count, device = len(enrolments.embeddings), enrolments.embeddings.device
        loudest = loudest_streams(enrolments.estimates, count, device)
        enrolled = enrolments.embeddings[torch.arange(count, device=device), loudest]
        tests = model(**sample["test"]).embeddings
        scores = best_stream_cosines(enrolled[sample["trial_enrol"]], tests[sample["trial_test"]])
        logging = {
            "scores": scores,
            "targets": sample["targets"],
            # Small, since ranks exchange them within common.all_gather_list_size bytes.
            "conditions": sample["conditions"].to(torch.uint8),
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "sample_size": len(scores),
        }
        return scores.new_zeros(()), len(scores), logging

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Training: means over the views of all ranks. Validation: equal error rates in %, whose mean is the `loss`."""
        if "scores" in logging_outputs[0]:
            _log_error_rates(logging_outputs)
        else:
            _log_means(logging_outputs)

    def logging_outputs_can_be_summed(self) -> bool:
        """Whether ranks may add up what they log: the sums of training, but not the scores of validation."""
        return self.training


def best_stream_cosines(enrolled: Tensor, tests: Tensor) -> Tensor:
    """(n, E) enrolled voices and (n, C, E) streams of the tests, of unit norm, to (n,) cosines with the most similar stream."""
    return (enrolled.unsqueeze(1) * tests).sum(-1).amax(1)


def condition_error_rate(scores: Tensor, targets: Tensor) -> float:
    """EER of (n,) scores in %, targets being (n,) bool; NaN, as of a single batch, with too few target or non-target trials."""
    accepted, rejected = scores[targets], scores[~targets]
    if min(len(accepted), len(rejected)) < FEWEST_TRIALS:
        return float("nan")
    return round(100 * eer(accepted.cpu().numpy(), rejected.cpu().numpy()), 3)


def _log_means(logging_outputs: list[dict]) -> None:
    sums = LoggedSums(logging_outputs)
    for name in ("loss", "speaker_loss", "separation_loss", "margin", "scale"):
        sums.log_mean(name, "sample_size")
    sums.log_mean("correct", "queries", "accuracy", 4)
    sums.log_data_wait()


def _log_error_rates(logging_outputs: list[dict]) -> None:
    """Over all batches so far: `eer_clean`, `eer_talker` (if there are such trials), and their mean, as `eer` and as `loss`.

    Meters whose names begin with _ are not in fairseq's logs.
    """
    trials = {key: torch.cat([log[key] for log in logging_outputs]) for key in ("scores", "targets", "conditions")}
    for key, values in trials.items():
        metrics.log_concat_tensor(f"_{key}", values)

    def rate(meters: MetersDict, condition: int) -> float:
        chosen = meters["_conditions"].tensor == condition
        return condition_error_rate(meters["_scores"].tensor[chosen], meters["_targets"].tensor[chosen])

    def mean(meters: MetersDict) -> float:
        rates = [rate(meters, condition) for condition in meters["_conditions"].tensor.unique().tolist()]
        return round(sum(rates) / len(rates), 3)

    for condition in trials["conditions"].unique().tolist():
        name = f"eer_{CONDITION_NAMES[condition]}"
        metrics.log_derived(name, lambda meters, condition=condition: rate(meters, condition))
    metrics.log_derived("eer", mean)
    metrics.log_derived("loss", mean)
