"""The CPU flushes denormal numbers once it was told to."""

import pytest
import torch

from csc_fairseq.modules.denormals import flush_denormals


def test_denormals_become_zeros():
    small = torch.full((64,), 1e-20)
    flushed_before = bool((small * 1e-20 == 0).all())  # other tests of this process go on as they began
    if not torch.set_flush_denormal(False):
        pytest.skip("this CPU cannot flush denormal numbers")
    try:
        assert (small * 1e-20 > 0).all()
        flush_denormals()
        assert (small * 1e-20 == 0).all()
    finally:
        torch.set_flush_denormal(flushed_before)
