"""Cross-attention from the query to speaker representations of other conditions.

The paper's abstract says that attending to representations under various interfering conditions gathers what matters. It leaves
open which representations. `MemoryBank` is our default reading, `other_views_mask` the other one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from csc_fairseq.modules.gathering import Staged


class MemoryBank(nn.Module):
    """A first-in-first-out memory of detached queries from earlier mixtures, all identities together.

    Entries are *staged* while an update's mixtures are processed. After the optimiser's step they are gathered over the ranks and
    *committed*. So the memory is the same on all ranks, and it does not depend on how a global batch is cut into ranks or
    micro-batches.

    Args:
        size: entries kept, 0 for none. channels: E. sources: C, talkers in a mixture, each with one recording.
    """

    entries: Tensor
    recordings: Tensor
    filled: Tensor
    cursor: Tensor

    def __init__(self, size: int, channels: int, sources: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.zeros(size, channels))
        self.register_buffer("recordings", torch.full((size, sources), -1, dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long))
        self._staged = Staged()  # with the recordings of each query's mixture, (n, C)

    @property
    def size(self) -> int:
        return len(self.entries)

    def stage(self, queries: Tensor, recordings: Tensor, voiced: Tensor) -> None:
        """Keeps queries until `commit`.

        Args:
            queries: (B, C, E). recordings: (B, C) keys of what each mixture holds, -1 = none.
            voiced: (B, C) bool, True for streams that hold a talker. The others are left out.
        """
        if self.size:
            keys = recordings.unsqueeze(1).expand(-1, queries.shape[1], -1)
            self._staged.add(queries[voiced], keys[voiced])

    def discard(self, everything: bool = False) -> None:
        """See `Staged.discard`."""
        if self.size:
            self._staged.discard(everything)

    @torch.no_grad()
    def commit(self) -> None:
        """Moves everything staged, on all ranks, into the memory."""
        if not self.size:
            return
        for queries, recordings in self._staged.gathered():
            self._append(queries, recordings)

    def _append(self, entries: Tensor, recordings: Tensor) -> None:
        entries, recordings = entries[-self.size :], recordings[-self.size :]
        device = self.entries.device
        slots = (self.cursor + torch.arange(len(entries), device=device)) % self.size
        self.entries[slots] = entries.to(self.entries)
        self.recordings[slots] = recordings.to(device)
        self.cursor.copy_((self.cursor + len(entries)) % self.size)
        self.filled.copy_((self.filled + len(entries)).clamp_max(self.size))

    def mask(self, recordings: Tensor | None, mixtures: int) -> Tensor:
        """(mixtures, size), True where an entry must not be seen: empty, or from a mixture sharing a recording with the query's.

        What is hidden hints at the label, if each identity has one recording and the bank is not much larger than the number of
        identities. Keep the bank several times as large, or trust q alone.
        """
        empty = torch.arange(self.size, device=self.entries.device) >= self.filled
        hidden = empty.expand(mixtures, -1)
        if recordings is None:
            return hidden
        shared = (recordings[:, :, None, None] == self.recordings) & (recordings[:, :, None, None] >= 0)
        return hidden | shared.any(dim=3).any(dim=1)


def other_views_mask(groups: Tensor | None, mixtures: int, sources: int, device: torch.device) -> Tensor:
    """Mask for `memory: conditions`, where the keys are the batch's own queries.

    Args:
        groups: (B,) item that each mixture is a view of; None: every mixture is an item of its own.
        mixtures, sources: B and C.

    Returns:
        (B, B·C), True = hidden: all but the streams of the *other* views of the same item. Beware: the label chooses these keys,
        so what they tell about the identity does not come from the query.
    """
    groups = torch.arange(mixtures, device=device) if groups is None else groups
    same_item = groups.unsqueeze(1) == groups.unsqueeze(0)
    itself = torch.eye(mixtures, dtype=torch.bool, device=device)
    return ~(same_item & ~itself).repeat_interleave(sources, dim=1)


class ConditionAttention(nn.Module):
    """s = normalise(q + multi-head attention from q to the memory).

    A key and value of zeros is always there, so a query may attend to nothing. With an empty memory, s depends on q alone.

    Args:
        channels: E. heads: attention heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        nn.init.zeros_(self.output.weight)  # s starts as q
        nn.init.zeros_(self.output.bias)

    def forward(self, queries: Tensor, memory: Tensor, hidden: Tensor) -> Tensor:
        """Queries (n, E), memory (m, E), mask (n, m) with True = not to be seen; answers (n, E) of unit norm."""
        null = memory.new_zeros(1, memory.shape[1])
        query = self._split(self.query(queries))
        key = self._split(torch.cat([self.key(memory), null]))
        value = self._split(torch.cat([self.value(memory), null]))
        visible = F.pad(~hidden, (0, 1), value=True)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        attended = self.output(mixed.transpose(0, 1).flatten(1))
        return F.normalize((queries + attended).float(), dim=-1)

    def _split(self, rows: Tensor) -> Tensor:
        """(n, E) to (heads, n, E / heads)."""
        return rows.unflatten(-1, (self.heads, -1)).transpose(0, 1)
