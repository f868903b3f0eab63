"""Where a recording begins must not matter (our choice).

A network whose frames are short waveforms hears where its first frame begins: without its first three samples, a recording
has another embedding (cosine 0.95 to 0.99 to the former one). So up to one segment of the recording's own end is put in front of
it, as much as brings its energy to the same place of a segment wherever it begins::

    segments        |               |               |               |
    recording              /\\    /\\         /\\   /\\     x         begins anywhere
    aligned           x   /\\    /\\         /\\   /\\     x          the circular mean of its energy falls on a border

The end and not silence, since a network that normalises frames hears the rounding of digital silence.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def lead(waveform: Tensor, period: int) -> int:
    """Samples, from 0 to period - 1, to put in front of a waveform [T] of any level and offset.

    With them in front, the circular mean of the energy modulo `period` samples is 0. A waveform without its first n samples
    needs n more (modulo the period; as far as those samples weigh little). Digital silence needs none.
    """
    if period == 1:
        return 0
    # Tapered, since where a recording is cut would outweigh what is in it.
    taper = torch.hann_window(len(waveform), periodic=False, device=waveform.device)
    energy = (waveform.float() - waveform.float().mean()).square() * taper
    folded = F.pad(energy, (0, -len(energy) % period)).view(-1, period).sum(0)
    # On the CPU, since some devices have no double precision.
    centre = torch.fft.rfft(folded.cpu().double())[1]
    return round(math.atan2(float(centre.imag), float(centre.real)) / (2 * math.pi) * period) % period


def aligned(waveform: Tensor, samples: int) -> Tensor:
    """[samples + T]: a waveform [T], T > 0, with the last `samples` of it, repeated where it is shorter, in front."""
    times = -(-samples // len(waveform))
    return torch.cat([waveform.repeat(times)[times * len(waveform) - samples :], waveform])
