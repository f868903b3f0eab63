"""Weights from a file into a network, once their shapes are known to fit."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from csc_fairseq.checkpoints.entries import one_line, shown
from csc_fairseq.errors import InputError

Network = TypeVar("Network", bound=nn.Module)
DTYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
)
MOST_SHARING = 4
LARGEST_WEIGHT = 1e10  # one bit of an old file, which has no checksum, can make 1e-3 to 3e35, and embeddings to NaN
MOST_BLOCKS = 1000


def require_weights(weights: Mapping[Any, Any], where: str) -> dict[str, Tensor]:
    """The weights of a file. InputError unless every one is a dense tensor of finite numbers that the file really holds."""
    held: dict[int, int] = {}  # bytes by address: weights may share them, as those that are tied do
    for name, weight in weights.items():
        if not isinstance(name, str):
            raise InputError(f"{where}: has a weight named {shown(name)}, expected a text; it is damaged")
        problem = _unfit_kind(weight)
        if problem:
            raise InputError(f"{where}: its weight {one_line(name)} {problem}; it is damaged")
        held[weight.untyped_storage().data_ptr()] = weight.untyped_storage().nbytes()
    if sum(_bytes(weight) for weight in weights.values()) > MOST_SHARING * sum(held.values()):
        raise InputError(
            f"{where}: its weights are more than {MOST_SHARING} times as large as the numbers that they share; it is damaged"
        )
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.numel():
            least, most = weight.aminmax()  # NaN if there is one
            if not -LARGEST_WEIGHT <= float(least) <= float(most) <= LARGEST_WEIGHT:
                raise InputError(
                    f"{where}: its weight {one_line(name)} has numbers from {float(least):g} to {float(most):g}, expected "
                    "those of a training that went well"
                )
    return dict(weights)


def _unfit_kind(weight: Any) -> str | None:
    if type(weight) not in (Tensor, nn.Parameter):
        return f"is a {type(weight).__name__}, expected a tensor"
    if weight.layout != torch.strided or weight.device.type != "cpu" or weight.dtype not in DTYPES:
        return f"is a tensor of layout {weight.layout} and type {weight.dtype}, expected dense numbers"
    # Strides of 0 make any shape of a single number: all sums over it, and its copy, would have that size.
    if _bytes(weight) > weight.untyped_storage().nbytes():
        return f"has the shape {list(weight.shape)}, but the file holds fewer numbers"
    return None


def _bytes(weight: Tensor) -> int:
    return weight.numel() * weight.element_size()


def fitted(
    build: Callable[[], Network], weights: Mapping[str, Tensor], where: str, ignored: Collection[str] = ()
) -> Network:
    """A network with the weights of a file.

    Args:
        build: makes the network. It is called twice: first without memory, to compare its shapes with those of the file.
            Counts of blocks must have been compared with the file before.
        weights: by the names of the network's state.
        where: the file, for complaints.
        ignored: beginnings of names that the network does not need.

    Raises:
        InputError: weights are missing, unknown or of other shapes; no such network can be built.
    """
    weights = {name: weight for name, weight in weights.items() if not name.startswith(tuple(ignored))}
    try:
        with torch.device("meta"), _WithoutMemory():
            expected = build().state_dict()
        _require_fit(weights, expected, where)
        network = build()
        network.load_state_dict(dict(weights))
    except InputError as error:
        if str(error).startswith(f"{where}: "):
            raise
        raise InputError(f"{where}: {error}") from error  # it was said of settings, wherever they came from
    except Exception as error:  # sizes of a damaged file make any layer raise anything
        raise InputError(
            f"{where}: no network can be built from its settings ({one_line(error)}); it is damaged or incomplete"
        ) from error
    return network


def _require_fit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    unfit = [name for name in expected if name in weights and not _is_like(weights[name], expected[name])]
    for names, complaint in ((missing, "lacks"), (unknown, "has unknown"), (unfit, "has misshapen")):
        if names:
            raise InputError(
                f"{where}: {complaint} weights, {len(names)} in all, the first is {one_line(names[0])}; "
                "it is damaged or of another version of csc-fairseq"
            )


def _is_like(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.is_floating_point() == other.is_floating_point()


class _WithoutMemory(TorchFunctionMode):
    """Lets modules be built on the device "meta" whose initialisation goes through the CPU, as fairseq's does."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is Tensor.cpu:
            return args[0]
        return function(*args, **(kwargs or {}))


def require_count(setting: str, count: int, weights: Mapping[str, Tensor], where: str, each: int = 1) -> None:
    """InputError if a network has more blocks than the file has weights for: to build so many could take for ever.

    setting, count: what says how many. each: weights that a block has at least.
    """
    if count * each > len(weights):
        raise InputError(
            f"{where}: its setting {setting} is {count}, but it holds {len(weights)} weights in all; it is damaged"
        )
    if count > MOST_BLOCKS:
        raise InputError(f"{where}: its setting {setting} is {count}, expected {MOST_BLOCKS} at most; it is damaged")
