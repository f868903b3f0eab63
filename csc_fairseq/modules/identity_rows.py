"""Weights with a row for each training identity, which must not be loaded into a training of other identities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from csc_fairseq.data.rng import text_key
from csc_fairseq.errors import InputError


class IdentityRows(nn.Module):
    """Base of modules that hold such weights; name it before fairseq's base class, so that its `load_state_dict` comes first.

    The module's state has the entry `identity_key`, a number made from the names of the identities in order. A state with another
    key is not loaded, since its rows mean other people. `require_same_identities` raises the error, not `load_state_dict`: whatever
    that raises, fairseq's trainer replaces by a complaint of its own about architectures.

    Args:
        of the next base class.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("identity_key", None)
        self._identities: int | None = None
        self._rows: str | None = None
        self._refused: int | None = None
        """Identities of the state that was loaded last, if they were others than this module's."""

    def set_identities(self, identities: Sequence[str], rows: str) -> None:
        """Says whose rows they are. Without this call, and after `drop_identities`, states are loaded whatever they hold.

        Args:
            identities: names, in the order of the rows.
            rows: name in the module's state of the weight with a row for each of them.
        """
        self.identity_key = torch.tensor(text_key("\n".join(identities)))
        self._identities = len(identities)
        self._rows = rows

    def drop_identities(self) -> None:
        """For modules that have removed the rows."""
        self.identity_key = self._refused = None

    def load_state_dict(self, state_dict: Mapping[str, Any], *args, **kwargs):
        """The next base class's, but a state of other identities is left alone."""
        self._refused = None
        if self.identity_key is not None and "identity_key" in state_dict:
            if int(state_dict["identity_key"]) != int(self.identity_key):
                self._refused = len(state_dict[self._rows])
                return None
        return super().load_state_dict(state_dict, *args, **kwargs)

    def require_same_identities(self, manifest: str) -> None:
        """InputError if the state that was loaded last had other identities. manifest: the file with this training's."""
        if self._refused is not None:
            raise InputError(
                f"{manifest}: its {self._identities} identities differ from the checkpoint's {self._refused}; resume on the "
                "manifest that it was trained on, or start a new run folder (hydra.run.dir)"
            )
