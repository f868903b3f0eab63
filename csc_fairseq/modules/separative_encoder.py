"""The separative encoder: one trunk, two heads (separation and speakers), and the condition memory."""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.modules.condition_attention import ConditionAttention, MemoryBank, other_views_mask
from csc_fairseq.modules.galr import GalrBlock
from csc_fairseq.modules.masking import MaskEstimator
from csc_fairseq.modules.pooling import SpeakerHead
from csc_fairseq.modules.segmentation import Alternating, Overlapping
from csc_fairseq.modules.waveform_codec import GlobalNorm, WaveformDecoder, WaveformEncoder, frame_count
from csc_fairseq.options import option

MEMORIES = ("bank", "conditions", "none")
LARGEST = 2**31 - 1  # more is no network
SYMMETRIC = 1e-5  # skewness of a waveform that has none but for rounding; speech has 0.01 to 1
LEAST = {"separation_blocks": 0, "speaker_blocks": 0, "memory_size": 0}  # of the whole numbers; 1 for the others
EVEN = {
    "window": "the hop is half of it",
    "segment_frames": "segments overlap, or are shifted, by half of it",
    "channels": "positions are sines in one half and cosines in the other",
}


@dataclass
class SeparativeEncoderConfig:
    """Sizes of the encoder. The design is our choice; the defaults are `csc_small`'s.

    Raises:
        InputError: a value with which no network can be built or run. Settings that were read from a checkpoint are checked
            here too.
    """

    sources: int = option(2, "C, talkers separated and embedded per mixture")
    waveform_channels: int = option(256, "F, filters of the waveform encoder")
    window: int = option(256, "filter length in samples, even; the hop is half of it")
    channels: int = option(64, "D, channels of the trunk, even")
    segment_frames: int = option(16, "K, frames per segment, even")
    segment_overlap: bool = option(
        True, "segments overlap by half; false: they do not, and begin half a segment later for every other block"
    )
    segment_summaries: int = option(8, "Q, learned summaries per segment that attend across segments")
    recurrent_channels: int = option(64, "H, LSTM cells per direction")
    attention_heads: int = option(4, "heads of the attention across segments")
    shared_blocks: int = option(3, "GALR blocks shared by both tasks, at least 1")
    separation_blocks: int = option(1, "further GALR blocks of the separation head")
    speaker_blocks: int = option(1, "further GALR blocks of the speaker head")
    stream_channels: int = option(128, "E_s, channels per stream before pooling")
    embedding_channels: int = option(128, "E, size of an embedding")
    memory: str = option("bank", "what the query attends to: bank (earlier mixtures), conditions (other views), none")
    memory_size: int = option(2048, "entries of the memory bank")
    memory_heads: int = option(4, "heads of the cross-attention to the memory")
    memory_drop: float = option(0.1, "share of updates for which the whole bank is hidden")

    def __post_init__(self) -> None:
        if self.memory not in MEMORIES:
            raise InputError(f"model.memory is {self.memory!r}; choose one of {', '.join(MEMORIES)}")
        for field in fields(SeparativeEncoderConfig):
            if field.type is int:
                self._require_whole(field.name)
        for name, reason in EVEN.items():
            if getattr(self, name) % 2:
                raise InputError(f"model.{name} is {getattr(self, name)}; it must be even, since {reason}")
        for size, heads in (("channels", "attention_heads"), ("embedding_channels", "memory_heads")):
            if getattr(self, size) % getattr(self, heads):
                raise InputError(
                    f"model.{size} ({getattr(self, size)}) must be a multiple of model.{heads} ({getattr(self, heads)})"
                )
        if type(self.segment_overlap) is not bool:
            raise InputError(f"model.segment_overlap is {self.segment_overlap!r}; expected true or false")
        if type(self.memory_drop) not in (int, float) or not 0 <= self.memory_drop <= 1:  # which NaN is not either
            raise InputError(f"model.memory_drop is {self.memory_drop!r}; it is a share of updates, from 0 to 1")

    def _require_whole(self, name: str) -> None:
        value, least = getattr(self, name), LEAST.get(name, 1)
        if type(value) is not int or not least <= value <= LARGEST:  # to isinstance, True is an int
            raise InputError(f"model.{name} is {value!r}; expected a whole number from {least} to {LARGEST}")


class SeparativeOutput(NamedTuple):
    """Output for B mixtures of T samples. The order of the C streams is the encoder's choice, the same in every entry."""

    estimates: Tensor
    """(B, C, T) separated waveforms, at the level and with the sign of the input."""
    queries: Tensor
    """(B, C, E) bottom-up embeddings, unit norm."""
    attended: Tensor
    """(B, C, E) queries after the condition memory, unit norm."""
    features: Tensor
    """(B, L, D) output of the shared trunk."""
    feature_padding: Tensor
    """(B, L) bool, True = padding."""
    stream_frames: Tensor
    """(B, C, L, E_s) frames of each stream before the pooling that gives its query."""
    stream_cues: Tensor
    """(B, C, L, 2) which frames a stream owns and where it is loud; see `stream_energy`."""


class FrontEnd(NamedTuple):
    """B mixtures of T samples on their way into the trunk."""

    level: Tensor
    """(B, 1) by which the waveforms were divided: their RMS, negative where they were turned over."""
    waveform_frames: Tensor
    """(B, L, F) non-negative frames of the waveform encoder."""
    padding: Tensor
    """(B, L) bool, True = padding."""
    segments: Tensor
    """(B, S, K, D) input of the trunk, zeros where padded."""
    valid_segments: Tensor
    """(B, S, K, 1) in {0, 1}, 0 = padding."""


class SeparativeEncoder(nn.Module):
    """Waveforms to separated sources, one embedding per source, and the frames of the shared trunk.

    Padding changes nothing: a waveform gives the same outputs alone and in a batch of longer ones (to rounding).
    """

    def __init__(self, config: SeparativeEncoderConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (
            config.channels,
            config.recurrent_channels,
            config.segment_frames,
            config.segment_summaries,
            config.attention_heads,
        )
        self.segmentation = (Overlapping if config.segment_overlap else Alternating)(config.segment_frames)
        self.encoder = WaveformEncoder(config.waveform_channels, config.window)
        self.decoder = WaveformDecoder(config.waveform_channels, config.window)
        self.norm = GlobalNorm(config.waveform_channels)
        self.bottleneck = nn.Linear(config.waveform_channels, config.channels)
        self.trunk = nn.ModuleList(GalrBlock(*sizes) for _ in range(config.shared_blocks))
        self.separation_blocks = nn.ModuleList(GalrBlock(*sizes) for _ in range(config.separation_blocks))
        self.speaker_blocks = nn.ModuleList(GalrBlock(*sizes) for _ in range(config.speaker_blocks))
        self.masks = MaskEstimator(config.channels, config.sources, config.waveform_channels)
        self.speaker = SpeakerHead(
            config.channels,
            config.sources,
            config.waveform_channels,
            config.stream_channels,
            config.embedding_channels,
        )
        self.memory = MemoryBank(
            config.memory_size if config.memory == "bank" else 0, config.embedding_channels, config.sources
        )
        self.attention = None
        if config.memory != "none":
            self.attention = ConditionAttention(config.embedding_channels, config.memory_heads)
        self.memory_hidden = False
        """Hides the bank from `attend` in training mode. Set for a share of the updates, so that q learns to do without it."""

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.encoder.hop

    @property
    def window(self) -> int:
        """Samples under one frame."""
        return self.encoder.window

    @property
    def period(self) -> int:
        """Samples from the beginning of a segment to that of the next one that shares no frame with it."""
        return self.hop * self.config.segment_frames

    def forward(
        self,
        source: Tensor,
        padding_mask: Tensor | None = None,
        recordings: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> SeparativeOutput:
        """Encodes mixtures.

        Args:
            source: (B, T) waveforms of any level (each is normalised to unit RMS inside, and turned over or not by its skewness).
            padding_mask: (B, T) bool, True = padding; None: none.
            recordings: (B, C) keys of the recordings in each mixture, -1 = none. Entries of the bank that share one are hidden.
                None: no entry is hidden.
            groups: (B,) item that each mixture is a view of; only `memory: conditions` reads it.
        """
        if padding_mask is None:
            padding_mask = torch.zeros_like(source, dtype=torch.bool)
        level, waveform_frames, padding, segments, valid = self._front_end(source, padding_mask)
        count = waveform_frames.shape[1]
        shared = self._run(self.trunk, segments, valid)

        separation = self.segmentation.join(self._run(self.separation_blocks, shared, valid), count)
        masks = self.masks(separation)  # (B, C, L, F)
        masked = masks * waveform_frames.unsqueeze(1)  # (B, C, L, F)
        estimates = self.decoder(masked.flatten(0, 1).transpose(1, 2), source.shape[1])
        estimates = estimates.unflatten(0, (-1, self.config.sources))
        estimates = (estimates * level.unsqueeze(1)).masked_fill(padding_mask.unsqueeze(1), 0.0)

        speaker = self.segmentation.join(self._run(self.speaker_blocks, shared, valid), count)
        stream_frames, stream_cues = self.speaker.describe(speaker, masked)
        queries = self.speaker.pool(stream_frames, stream_cues, padding)
        attended = self.attend(queries, recordings, groups)
        features = self.segmentation.join(shared, count)
        return SeparativeOutput(estimates, queries, attended, features, padding, stream_frames, stream_cues)

    def trunk_layers(
        self, source: Tensor, padding_mask: Tensor | None = None, last: int | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Frames after each block of the trunk, without the work of the heads.

        Args:
            source: (B, T) waveforms of any level. padding_mask: (B, T) bool, True = padding; None: none.
            last: the last block to run, counted from 0; None: all.

        Returns:
            The output (B, L, D) of each block that was run, and (B, L) bool, True = padding. What padded frames hold means nothing.
            The output of the very last block is `SeparativeOutput.features`.

        Raises:
            InputError: the trunk has no block `last`.
        """
        self.require_block(last)
        if padding_mask is None:
            padding_mask = torch.zeros_like(source, dtype=torch.bool)
        front = self._front_end(source, padding_mask)
        segments, layers = front.segments, []
        for number, block in enumerate(self.trunk):
            segments = self.segmentation.apply(block, number, segments, front.valid_segments)
            layers.append(self.segmentation.join(segments, front.waveform_frames.shape[1]))
            if number == last:
                break
        return layers, front.padding

    def require_block(self, number: int | None) -> None:
        """InputError if the trunk has no block of this number, counted from 0; None passes."""
        blocks = len(self.trunk)
        if number is not None and number not in range(blocks):
            raise InputError(
                f"layer is {number!r}, but the trunk has {blocks} blocks; expected 0 to {blocks - 1}, or None for the last"
            )

    def remove_memory(self) -> None:
        """Removes the condition memory and the attention to it: `attended` is then `queries`, as with `memory: none`."""
        self.config = replace(self.config, memory="none")
        self.memory = MemoryBank(0, self.config.embedding_channels, self.config.sources).to(self.memory.entries.device)
        self.attention = None

    def remove_blocks_above(self, last: int) -> None:
        """Removes the trunk's blocks above block `last`. The heads keep their weights, which were made for the block that was last.

        InputError if the trunk has no block `last`.
        """
        self.require_block(last)
        self.trunk = self.trunk[: last + 1]
        self.config = replace(self.config, shared_blocks=len(self.trunk))

    def _front_end(self, source: Tensor, padding_mask: Tensor) -> FrontEnd:
        """(B, T) waveforms and padding to normalised, segmented frames."""
        lengths = (~padding_mask).sum(1)
        source = source.masked_fill(padding_mask, 0.0)
        mean = source.float().sum(1, keepdim=True) / lengths.clamp_min(1).unsqueeze(1)
        # An offset of the recorder means nothing.
        source = (source - mean.to(source.dtype)).masked_fill(padding_mask, 0.0)
        level = rms(source, lengths).unsqueeze(1)
        unit = source / level
        turn = polarity(unit, lengths).unsqueeze(1)
        level = level * turn
        waveform_frames = self.encoder((unit * turn).to(source.dtype)).transpose(1, 2)  # (B, L, F)
        count = waveform_frames.shape[1]
        padding = torch.arange(count, device=source.device) >= frame_count(lengths, self.hop).unsqueeze(1)
        valid = (~self.segmentation.padding(padding)).unsqueeze(-1).to(source.dtype)
        frames = self.bottleneck(self.norm(waveform_frames, padding))
        frames = frames.masked_fill(padding.unsqueeze(-1), 0.0)
        return FrontEnd(level, waveform_frames, padding, self.segmentation.split(frames), valid)

    def _run(self, blocks: nn.ModuleList, segments: Tensor, valid: Tensor) -> Tensor:
        """(B, S, K, D) through the trunk, or through a head's blocks after it, with the same validity mask (B, S, K, 1)."""
        first = 0 if blocks is self.trunk else len(self.trunk)
        for number, block in enumerate(blocks, first):
            segments = self.segmentation.apply(block, number, segments, valid)
        return segments

    def attend(self, queries: Tensor, recordings: Tensor | None = None, groups: Tensor | None = None) -> Tensor:
        """(B, C, E) queries after cross-attention to the condition memory; without a memory, the queries themselves."""
        if self.attention is None:
            return queries
        mixtures, sources, _ = queries.shape
        flat = queries.flatten(0, 1)
        if self.config.memory == "bank":
            memory, hidden = self.memory.entries, self.memory.mask(recordings, mixtures)
            if self.training and self.memory_hidden:
                hidden = torch.ones_like(hidden)
        else:
            memory, hidden = flat.detach(), other_views_mask(groups, mixtures, sources, queries.device)
        dtype = self.attention.query.weight.dtype  # that of a model cast to half precision, though q is float32
        attended = self.attention(flat.to(dtype), memory.to(dtype), hidden.repeat_interleave(sources, dim=0))
        return attended.unflatten(0, (mixtures, sources))


def rms(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B,) float32 root mean square of the first `lengths` samples of (B, T) waveforms, at least 1e-8; the others must be zeros."""
    return (waveform.float().square().sum(1) / lengths.clamp_min(1)).sqrt().clamp_min(1e-8)


def polarity(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B,) float32 in {1, −1}: how to turn (B, T) waveforms, of zero mean and unit RMS, so that their skewness is positive.

    A voice is skewed, and which way depends on the recorder. Turned so, it gives the same embedding either way (our
    choice). Next to no skewness counts as none, since rounding alone would decide.
    """
    skewness = waveform.float().pow(3).sum(1) / lengths.clamp_min(1)
    return 1.0 - 2.0 * (skewness < -SYMMETRIC).float()
