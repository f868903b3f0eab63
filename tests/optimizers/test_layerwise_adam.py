"""Rates of their own for some parameters, on one schedule, and the same as Adam where all rates are one."""

from copy import deepcopy

import pytest
import torch
from fairseq.optim.adam import FairseqAdam
from torch import nn

from csc_fairseq.errors import InputError
from csc_fairseq.optimizers.layerwise_adam import LayerwiseAdam, LayerwiseAdamConfig, set_rate

CONFIG = LayerwiseAdamConfig(adam_betas="(0.9,0.98)", lr=[0.1])


def parameters(*rates: float | None) -> list[nn.Parameter]:
    """One of each rate, None for none."""
    made = [nn.Parameter(torch.tensor([1.0, 2.0])) for _ in rates]
    for parameter, rate in zip(made, rates, strict=True):
        if rate is not None:
            set_rate([parameter], rate)
    return made


def descend(optimizer, made, updates=3):
    for update in range(1, updates + 1):
        optimizer.set_lr(0.1 / update)
        for parameter in made:
            parameter.grad = torch.tensor([1.0, -update])
        optimizer.step()


def test_a_step_is_as_long_as_its_rate_says():
    """Adam's first step is the learning rate times the gradient's sign."""
    made = parameters(1.0, 0.25, None)
    optimizer = LayerwiseAdam(CONFIG, made)
    optimizer.set_lr(0.2)
    for parameter in made:
        parameter.grad = torch.tensor([3.0, -5.0])
    optimizer.step()
    for parameter, rate in zip(made, (1.0, 0.25, 1.0), strict=True):
        torch.testing.assert_close(parameter.data, torch.tensor([1 - 0.2 * rate, 2 + 0.2 * rate]))


def test_equal_rates_are_fairseqs_adam():
    ours, theirs = parameters(1.0, 1.0), parameters(None, None)
    descend(LayerwiseAdam(CONFIG, ours), ours)
    descend(FairseqAdam(CONFIG, theirs), theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


def test_the_schedule_reads_what_it_set():
    made = parameters(0.5, 1.0)  # the first group is not the one of rate 1
    optimizer = LayerwiseAdam(CONFIG, made)
    optimizer.set_lr(0.03)
    assert optimizer.get_lr() == pytest.approx(0.03)


def test_resuming_goes_on_as_without_a_stop():
    whole = parameters(1.0, 0.1)
    optimizer = LayerwiseAdam(CONFIG, whole)
    descend(optimizer, whole)
    saved, values = deepcopy(optimizer.state_dict()), [parameter.detach().clone() for parameter in whole]
    descend(optimizer, whole)
    resumed = parameters(1.0, 0.1)
    for parameter, value in zip(resumed, values, strict=True):
        parameter.data.copy_(value)
    again = LayerwiseAdam(CONFIG, resumed)
    again.load_state_dict(saved, optimizer_overrides=again.optimizer_config)
    descend(again, resumed)
    for one, other in zip(whole, resumed, strict=True):
        assert torch.equal(one, other)


def test_other_rates_are_refused_when_resuming():
    """fairseq's Adam would go on with the saved ones."""
    before, after = (LayerwiseAdam(CONFIG, parameters(1.0, rate)) for rate in (0.1, 0.3))
    with pytest.raises(InputError, match="other learning rates than model.encoder_rate.*hydra.run.dir"):
        after.load_state_dict(before.state_dict())


def test_parameters_without_any_rate_are_refused():
    """As under common.fp16, which puts all of them into one new one."""
    with pytest.raises(InputError, match="no parameter with a rate of its own.*common.amp=true"):
        LayerwiseAdam(CONFIG, parameters(None, None))
