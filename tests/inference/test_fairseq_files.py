"""Classes that checkpoints may hold, for as long as one is read."""

import pytest
import torch

from csc_fairseq.inference.fairseq_files import allowing


class Plain:
    """A class of plain values."""


@pytest.fixture(params=[False, True], ids=["strange", "allowed before"])
def before(request):
    """Whether PyTorch reads `Plain` already."""
    known = torch.serialization.get_safe_globals()
    if request.param:
        torch.serialization.add_safe_globals([Plain])
    yield request.param
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(known)


def test_what_was_allowed_before_stays_allowed(before):
    with pytest.raises(KeyError), allowing(Plain):
        assert Plain in torch.serialization.get_safe_globals()
        raise KeyError
    assert (Plain in torch.serialization.get_safe_globals()) == before
