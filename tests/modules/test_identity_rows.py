"""Weights of other identities are left alone, and the complaint comes when training asks for it."""

import pytest
import torch
from torch import nn

from csc_fairseq.errors import InputError
from csc_fairseq.modules.identity_rows import IdentityRows


class Base(nn.Module):
    """In place of fairseq's base class: an argument of its own, and a further one of `load_state_dict`."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, 2))

    def load_state_dict(self, state_dict, strict=True, model_cfg=None):
        assert model_cfg == "cfg"
        return super().load_state_dict(state_dict, strict)


class Rows(IdentityRows, Base):
    def __init__(self, *identities: str) -> None:
        super().__init__(len(identities))
        if identities:
            self.set_identities(identities, rows="weight")


def state_of(*identities: str) -> dict:
    module = Rows(*identities)
    module.weight.data.fill_(7.0)
    return module.state_dict()


def test_same_identities_are_loaded():
    module = Rows("a", "b")
    module.load_state_dict(state_of("a", "b"), strict=True, model_cfg="cfg")
    module.require_same_identities("train.tsv")
    assert (module.weight == 7).all()


@pytest.mark.parametrize("others", [("a", "c"), ("b", "a"), ("a", "b", "c"), ("ab",)])
def test_other_identities_are_refused_later(others):
    """Others, the same in another order, or another number of them."""
    module = Rows("a", "b")
    module.load_state_dict(state_of(*others), strict=True, model_cfg="cfg")
    assert (module.weight == 0).all()
    with pytest.raises(
        InputError, match=rf"train.tsv: its 2 identities differ from the checkpoint's {len(others)}; resume"
    ):
        module.require_same_identities("train.tsv")
    module.load_state_dict(state_of("a", "b"), strict=True, model_cfg="cfg")
    module.require_same_identities("train.tsv")


def test_the_key_is_the_one_of_earlier_checkpoints():
    """BLAKE2 of the names, a line each, in 63 bits: checkpoints hold it."""
    assert Rows("s00", "s01").state_dict()["identity_key"].item() == 8530623539820402345
    assert list(Rows("s00", "s01").state_dict()) == ["weight", "identity_key"]


def test_without_identities_the_state_has_no_key():
    assert list(Rows().state_dict()) == ["weight"]
    module = Rows("a", "b")
    module.load_state_dict(state_of("a", "c"), strict=True, model_cfg="cfg")
    module.drop_identities()
    module.require_same_identities("train.tsv")
    assert list(module.state_dict()) == ["weight"]
    module.load_state_dict(state_of("c", "d"), strict=False, model_cfg="cfg")
    assert (module.weight == 7).all()
