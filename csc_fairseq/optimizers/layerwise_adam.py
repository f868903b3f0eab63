"""fairseq optimizer `layerwise_adam`: Adam with a learning rate of its own for every layer of a pre-trained encoder."""

from collections.abc import Iterable
from dataclasses import dataclass

from fairseq.optim import register_optimizer
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from torch import nn

from csc_fairseq.errors import InputError

RATE = "rate_scale"


def set_rate(parameters: Iterable[nn.Parameter], rate: float) -> None:
    """Lets `layerwise_adam` multiply the learning rate of these parameters by `rate` > 0."""
    for parameter in parameters:
        setattr(parameter, RATE, rate)


def rate_of(parameter: nn.Parameter) -> float | None:
    """The rate that `set_rate` gave a parameter; None without one."""
    return vars(parameter).get(RATE)


@dataclass
class LayerwiseAdamConfig(FairseqAdamConfig):
    """Options of `optimizer=layerwise_adam`: those of adam."""


@register_optimizer("layerwise_adam", dataclass=LayerwiseAdamConfig)
class LayerwiseAdam(FairseqAdam):
    """fairseq's Adam with a group of parameters for each rate. Those without a rate, as a criterion's, have rate 1.

    fairseq's own way, `composite`, needs a schedule for each group. Here one schedule serves all.

    Raises:
        InputError: no parameter has a rate, as with common.fp16, which puts all of them into one.
    """

    def __init__(self, cfg: LayerwiseAdamConfig, params: list[nn.Parameter]) -> None:
        groups: dict[float, list[nn.Parameter]] = {}
        if all(rate_of(parameter) is None for parameter in params):
            raise InputError(
                "optimizer=layerwise_adam found no parameter with a rate of its own, as with common.fp16, bf16 or another model; "
                "use common.amp=true there, or optimizer=adam"
            )
        for parameter in params:
            rate = rate_of(parameter)
            groups.setdefault(1.0 if rate is None else rate, []).append(parameter)
        super().__init__(cfg, [{"params": members, "rate": rate} for rate, members in groups.items()])

    def load_state_dict(self, state_dict: dict, optimizer_overrides: dict | None = None) -> None:
        """fairseq's. InputError if the state has other rates, which would silently replace those of the options."""
        saved, own = (
            [(group.get("rate"), len(group["params"])) for group in groups]
            for groups in (state_dict["param_groups"], self.param_groups)
        )
        if saved != own:
            raise InputError(
                "the checkpoint's optimizer has other learning rates than model.encoder_rate, block_rate_decay and freeze_blocks "
                "ask for; resume with the options that it was trained with, or start a new run folder (hydra.run.dir)"
            )
        super().load_state_dict(state_dict, optimizer_overrides)

    def set_lr(self, lr: float) -> None:
        """Learning rate of the parameters whose rate is 1."""
        for group in self.param_groups:
            group["lr"] = lr * group["rate"]

    def get_lr(self) -> float:
        """The rate that `set_lr` was given."""
        group = self.param_groups[0]
        return group["lr"] / group["rate"]
