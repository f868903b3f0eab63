"""Which stream is the loudest."""

import torch

from csc_fairseq.modules.loudness import loudest_streams


def test_loudest_streams():
    estimates = torch.tensor([[[1.0, 1.0], [0.0, -3.0]], [[2.0, 2.0], [-1.0, 1.0]]])
    assert loudest_streams(estimates, 2, estimates.device).tolist() == [1, 0]
    assert loudest_streams(None, 3, estimates.device).tolist() == [0, 0, 0]
