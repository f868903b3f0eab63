"""What a model says about one recording."""

from dataclasses import dataclass

import torch
from torch import Tensor

from csc_fairseq.modules.loudness import levels_in_mixture, loudest_streams


@dataclass(frozen=True)
class SeparatedVoices:
    """Result for one recording.

    estimates: [C, T], at their levels in the recording; None for models that do not separate, or where they were not asked for.
    queries: [C, E], the embeddings, of unit norm; row c is stream c. energies: [C], sum of squares of each stream, as the
    network gave it; None: that of the estimates.
    """

    estimates: Tensor | None
    queries: Tensor
    energies: Tensor | None = None

    @classmethod
    def of(cls, estimates: Tensor | None, queries: Tensor, waveform: Tensor) -> "SeparatedVoices":
        """From what a network gave, estimates [C, T] of any level and sign; waveform: [T], the recording."""
        if estimates is None:
            return cls(None, queries)
        levels = levels_in_mixture(estimates, waveform)
        return cls(estimates * levels, queries, estimates.float().square().sum(-1))

    def to(self, device: torch.device) -> "SeparatedVoices":
        """On this device."""
        return SeparatedVoices(
            *(None if part is None else part.to(device) for part in (self.estimates, self.queries, self.energies))
        )

    @property
    def loudest(self) -> int:
        """The stream with the most energy: the voice of a recording in which one person talks."""
        if self.energies is not None:
            return int(self.energies.argmax())
        estimates = None if self.estimates is None else self.estimates.unsqueeze(0)
        return int(loudest_streams(estimates, 1, self.queries.device))
