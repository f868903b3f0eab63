"""What fine-tuned models share: a backbone that is left as it is, for good or for the first updates, and a head on it."""

from functools import cache

import torch
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from csc_fairseq.backbones.backbone import Backbone, EncodedFrames
from csc_fairseq.backbones.loading import backbone_from_settings, pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import BACKBONE_SETTINGS, PRETRAINING_SPEAKERS, Checkpoint, read_checkpoint
from csc_fairseq.errors import InputError

HEAD = "head."
RESAMPLING = "task.resample=true for recordings of another rate"


class FineTunedModel(BaseFairseqModel):
    """Base of the models around a backbone. While it rests, the backbone behaves as in evaluation and gets no gradients.

    A parameter that rests has `requires_grad` False. Otherwise fairseq's all-reduce would make zeros for it, which Adam counts
    as steps, on several ranks alone. Before the first mixtures, all that will ever be trained has `requires_grad` True: fairseq
    chooses then what the optimizer holds, and in a resumed training it tells the number of updates earlier.

    In checkpoints the backbone's weights are called `encoder.…`, and the head's have no prefix.

    Args:
        encoder: the backbone. head: what is put on it. frozen: the backbone rests for good. freeze_updates: it rests for so many
            updates. freeze_blocks: lowest blocks that rest for good.

    Raises:
        InputError: values that contradict each other.
    """

    def __init__(
        self, encoder: Backbone, head: nn.Module, frozen: bool, freeze_updates: int, freeze_blocks: int = 0
    ) -> None:
        super().__init__()
        if frozen and freeze_updates:
            raise InputError(
                f"model.freeze_updates is {freeze_updates}, which trains an encoder that model.frozen=true leaves as it is; "
                "drop one of the two"
            )
        if freeze_updates < 0:
            raise InputError(f"model.freeze_updates is {freeze_updates}; expected 0 or more")
        blocks = encoder.blocks()
        if not 0 <= freeze_blocks <= len(blocks):
            raise InputError(f"model.freeze_blocks is {freeze_blocks}; the encoder has {len(blocks)} blocks")
        self.encoder = encoder
        self.head = head
        self.register_state_dict_post_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)
        self.num_updates = 0
        self.frozen = frozen
        self.freeze_updates = freeze_updates
        self.freeze_blocks = len(blocks) if frozen else freeze_blocks
        for block in blocks[: self.freeze_blocks]:
            block.requires_grad_(False)

    @property
    def tuning(self) -> bool:
        """Whether the backbone is trained at this update."""
        return not self.frozen and self.num_updates >= self.freeze_updates

    def encode(self, source: Tensor, padding_mask: Tensor | None) -> EncodedFrames:
        """See `Backbone.forward`; without gradients while the backbone rests."""
        if self.training:
            for block in self.encoder.blocks()[self.freeze_blocks :]:
                block.requires_grad_(self.tuning)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.tuning):
            return self.encoder(source, padding_mask)

    def train(self, mode: bool = True) -> nn.Module:
        """What rests also behaves as in evaluation: no dropout, no statistics that move."""
        super().train(mode)
        self.encoder.train(mode and self.tuning)
        self.encoder.rest(self.freeze_blocks)
        return self

    def set_num_updates(self, num_updates: int) -> None:
        """Called by fairseq before every update, after `train`: a backbone whose time has come leaves evaluation mode."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates
        self.train(self.training)

    def max_positions(self) -> None:
        """No limit on length."""
        return None


def _without_prefix(model: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: object) -> None:
    """Names of the head's weights as checkpoints have them."""
    for name in [name for name in state if name.startswith(prefix + HEAD)]:
        state[prefix + name.removeprefix(prefix + HEAD)] = state.pop(name)


def _with_prefix(model: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """The other way round."""
    for name in model.head.state_dict():
        if prefix + name in state:
            state[prefix + HEAD + name] = state.pop(prefix + name)


def require_trained_rate(pretrained: str | None, trained: int, wanted: int, others: str) -> None:
    """InputError if a checkpoint was trained at another rate (Hz) than the task's. others: what to do with other recordings."""
    if trained != wanted:
        raise InputError(
            f"{pretrained}: was trained at {trained} Hz, task.sample_rate is {wanted}; set task.sample_rate={trained}, and {others}"
        )


def backbone_for(task: FairseqTask, pretrained: str | None, from_scratch: dict | None = None) -> Backbone:
    """The backbone that a model is built around.

    What rebuilds its architecture goes into the task's state, and so into checkpoints. Therefore a fine-tuned checkpoint loads
    where the pre-trained one is gone: fairseq restores the state before it builds the model for use. A resumed training reads
    the pre-trained checkpoint again.

    Args:
        task: restored from the fine-tuned checkpoint if there is one.
        pretrained: path of the pre-trained checkpoint, read only if the state holds no settings.
        from_scratch: settings of a backbone with random weights, in place of `pretrained`; None: there must be one.

    Raises:
        InputError: neither a checkpoint nor settings, or a checkpoint that `pretrained_backbone` refuses.
    """
    fresh: list[Backbone] = []

    @cache
    def checkpoint() -> Checkpoint:
        return read_checkpoint(pretrained)

    def settings_of_pretrained() -> dict:
        if pretrained is None:
            if from_scratch is None:
                raise InputError("model.pretrained is null; give a checkpoint of csc, wav2vec2 or hubert")
            return from_scratch
        fresh.append(pretrained_backbone(checkpoint()))
        return fresh[0].settings

    def speakers_of_pretrained() -> list[str] | None:
        speakers = set() if pretrained is None else checkpoint().all_speakers
        return None if speakers is None else sorted(speakers)

    task.state.add_factory(PRETRAINING_SPEAKERS, speakers_of_pretrained)
    task.state.add_factory(BACKBONE_SETTINGS, settings_of_pretrained)
    getattr(task.state, PRETRAINING_SPEAKERS)
    settings = getattr(task.state, BACKBONE_SETTINGS)  # calls the factory unless the state was restored
    return fresh[0] if fresh else backbone_from_settings(settings)
