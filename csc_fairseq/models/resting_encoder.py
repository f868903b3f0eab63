"""What fine-tuned models share: an encoder that is left as it is, for good or for the first updates."""

import torch
from fairseq.models import BaseFairseqModel
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.protocol import EncodedFrames, FrameEncoder


class RestingEncoderModel(BaseFairseqModel):
    """Base of the models around a frame encoder. While it rests, the encoder behaves as in evaluation and gets no gradients.

    A parameter that rests has `requires_grad` False, so that fairseq's all-reduce makes no zeros for it: Adam would count
    them as steps, on several ranks alone. Until the first mixtures come all that will ever be trained has it True, since
    fairseq chooses then what the optimizer holds, and in a resumed training tells the number of updates before.

    Args:
        encoder: the encoder. frozen: it rests for good. freeze_updates: for so many updates. freeze_blocks: lowest blocks
            that rest for good.

    Raises:
        InputError: values that contradict each other.
    """

    def __init__(self, encoder: FrameEncoder, frozen: bool, freeze_updates: int, freeze_blocks: int = 0) -> None:
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
        self.num_updates = 0
        self.frozen = frozen
        self.freeze_updates = freeze_updates
        self.freeze_blocks = len(blocks) if frozen else freeze_blocks
        for block in blocks[: self.freeze_blocks]:
            block.requires_grad_(False)

    @property
    def tuning(self) -> bool:
        """Whether the encoder is trained at this update."""
        return not self.frozen and self.num_updates >= self.freeze_updates

    def encode(self, source: Tensor, padding_mask: Tensor | None) -> EncodedFrames:
        """See `FrameEncoder.forward`; without gradients while the encoder rests."""
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
        """Called by fairseq before every update, after `train`: an encoder whose time has come leaves evaluation mode."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates
        self.train(self.training)

    def max_positions(self) -> None:
        """No limit on length."""
        return None
