"""Log-mel filterbanks and the trunk of the x-vector network: the supervised baseline, trained from scratch.

Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018: table 1, layers frame1 to frame5. Our
choices: 40 bands where the paper has 24 MFCCs, no voice activity detection, the mean over the utterance where it slides over 3
s, zeros beyond the ends so that every frame of the filterbank gives one, and batch norm after the activation, as the paper's
published recipe has it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.backbones.backbone import Backbone, EncodedFrames
from csc_fairseq.checkpoints.checkpoint import SAMPLE_RATES
from csc_fairseq.checkpoints.entries import LARGEST, Entries, shown
from csc_fairseq.errors import InputError
from csc_fairseq.modules.mel import BANDS, FLOOR, mel_filters
from csc_fairseq.modules.separative_encoder import rms

WINDOW, HOP = 0.025, 0.010  # s
CONTEXTS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # frames that each layer sees, and the step between them
WIDTHS = (512, 512, 512, 512, 1500)


class XVectorBackbone(Backbone):
    """Frames of the trunk: K = 1, C = 1, D = the last width. Padding changes nothing, in training neither.

    Args:
        sample_rate: Hz.
        widths: channels of the five layers.

    Raises:
        InputError: not five widths of at least 1.
    """

    def __init__(self, sample_rate: int, widths: Sequence[int] = WIDTHS) -> None:
        if len(widths) != len(CONTEXTS) or min(widths) < 1:
            raise InputError(
                f"the widths of the x-vector network are {shown(list(widths))}; expected {len(CONTEXTS)} of at least 1"
            )
        filterbank = LogMel(sample_rate)
        super().__init__(
            sample_rate=sample_rate,
            streams=1,
            layers=1,
            channels=widths[-1],
            embedding_channels=None,
            shortest=filterbank.window,
            settings={"kind": "xvector", "sample_rate": sample_rate, "widths": list(widths)},
        )
        self.filterbank = filterbank
        inputs = (BANDS, *widths[:-1])
        self.trunk = nn.ModuleList(
            TimeDelayLayer(channels, width, *context)
            for channels, width, context in zip(inputs, widths, CONTEXTS, strict=True)
        )

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> EncodedFrames:
        """See `Backbone.forward`."""
        if padding_mask is None:
            padding_mask = torch.zeros_like(source, dtype=torch.bool)
        frames, padding = self.filterbank(source, padding_mask)
        frames = frames.to(self.trunk[0].convolution.weight.dtype)
        for layer in self.trunk:
            frames = layer(frames, padding)
        return EncodedFrames(frames[None, :, None], padding, None, None)

    def blocks(self) -> list[nn.Module]:
        """The layers."""
        return list(self.trunk)


class LogMel(nn.Module):
    """Log-mel filterbank energies of the whole frames within a waveform, each band of zero mean over the utterance.

    Bands and floor are those of the MFCCs (mel.py). Neither the level nor an offset of the waveform is heard. No gradient goes
    through.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.window, self.hop = round(WINDOW * sample_rate), round(HOP * sample_rate)
        self.fft = 1 << (self.window - 1).bit_length()
        filters = torch.from_numpy(mel_filters(sample_rate, self.fft).T).float()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("taper", torch.hann_window(self.window, periodic=False), persistent=False)

    @torch.no_grad()
    def forward(self, source: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) waveforms and padding to float32 (B, L, 40), zeros where padded, and padding (B, L).

        L = 1 + (T − window) // hop.
        """
        with torch.autocast(source.device.type, enabled=False):  # half precision holds neither the powers nor the floor
            lengths = (~padding_mask).sum(1)
            source = source.float().masked_fill(padding_mask, 0.0)
            offset = source.sum(1, keepdim=True) / lengths.clamp_min(1).unsqueeze(1)
            source = (source - offset).masked_fill(padding_mask, 0.0)
            frames = (source / rms(source, lengths).unsqueeze(1)).unfold(1, self.window, self.hop)
            power = torch.fft.rfft(frames * self.taper.float(), self.fft).abs().square()
            bands = (power @ self.filters.float()).clamp_min(FLOOR).log()
            counts = 1 + (lengths - self.window) // self.hop
            padding = torch.arange(bands.shape[1], device=bands.device) >= counts.unsqueeze(1)
            valid = (~padding).unsqueeze(-1)
            mean = (bands * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp_min(1)
            return (bands - mean) * valid, padding


class TimeDelayLayer(nn.Module):
    """A dilated convolution over time, ReLU, and batch norm over the valid frames.

    Args:
        channels, width: in and out. context: frames seen, odd. dilation: step between them.
    """

    def __init__(self, channels: int, width: int, context: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, width, context, dilation=dilation, padding=dilation * (context // 2))
        self.norm = nn.BatchNorm1d(width)

    def forward(self, frames: Tensor, padding: Tensor) -> Tensor:
        """(B, L, D), zeros where padded, and (B, L) padding to (B, L, width), zeros where padded."""
        hidden = F.relu(self.convolution(frames.transpose(1, 2))).transpose(1, 2)
        normed = torch.zeros_like(hidden)
        normed[~padding] = self.norm(hidden[~padding])
        return normed


def xvector_from_settings(settings: Entries) -> XVectorBackbone:
    """The backbone that `XVectorBackbone.settings` describes. InputError, which names the file, if they are damaged."""
    widths = settings.get("widths")
    if not isinstance(widths, list | tuple) or not all(type(width) is int and width <= LARGEST for width in widths):
        raise settings.unfit("widths", widths, "a list of whole numbers")
    sample_rate = settings.whole("sample_rate", *SAMPLE_RATES)
    try:
        return XVectorBackbone(sample_rate, widths)
    except InputError as error:  # which names an option of training, not this file
        raise InputError(f"{settings.where}: {error}; it is damaged") from error
