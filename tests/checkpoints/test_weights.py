"""Which weights are taken from a file, apart from their names and shapes."""

import pytest
import torch

from csc_fairseq.checkpoints.entries import listed, one_line, shown
from csc_fairseq.checkpoints.weights import require_count, require_weights
from csc_fairseq.errors import InputError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def test_all_that_networks_have():
    rows = torch.randn(4, 6)
    weights = {
        **{str(kind): torch.tensor([0.5, -2.0, 0.0]).to(kind) for kind in FLOATS},
        **{str(kind): torch.tensor([3, 0]).to(kind) for kind in (torch.int64, torch.int32, torch.uint8, torch.bool)},
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "turned": rows.t(),
        "tied": rows,
        "part": rows[1:3, ::2],
        "large": torch.tensor([1e9, -1e9]),
    }
    found = require_weights(weights, "x.pt")
    assert found == weights and all(found[name] is weights[name] for name in weights)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 4999, 9999])
def test_numbers_that_no_training_leaves(kind, number, place):
    weight = torch.zeros(10_000, dtype=kind)
    weight[place] = number
    with pytest.raises(InputError, match="^x.pt: its weight a.b has numbers from .*, expected those of a training"):
        require_weights({"a.b": weight}, "x.pt")


def test_one_bit_of_an_exponent():
    """1e-3 with the highest bit of its exponent set is finite, but in an old file nothing else would tell."""
    weight = torch.full((3,), 1e-3)
    weight.view(torch.int32)[1] |= 1 << 30
    assert weight.isfinite().all()
    with pytest.raises(InputError, match="has numbers from 0.001 to 3.4028"):
        require_weights({"a": weight}, "x.pt")


def test_sharing():
    numbers = torch.zeros(100)
    require_weights({str(i): numbers for i in range(4)}, "x.pt")
    with pytest.raises(
        InputError, match="^x.pt: its weights are more than 4 times as large as the numbers that they share"
    ):
        require_weights({str(i): numbers for i in range(5)}, "x.pt")


def test_counts_of_blocks():
    weights = {str(i): torch.zeros(1) for i in range(3000)}
    require_count("blocks", 300, weights, "x.pt", 10)
    with pytest.raises(InputError, match="^x.pt: its setting blocks is 301, but it holds 3000 weights in all"):
        require_count("blocks", 301, weights, "x.pt", 10)
    with pytest.raises(InputError, match="^x.pt: its setting blocks is 1001, expected 1000 at most"):
        require_count("blocks", 1001, weights, "x.pt")


def test_values_in_complaints():
    """Cut, on one line, and of other types than plain ones no more than the type."""
    laugh = "ha"
    for _ in range(200):
        laugh = [laugh, laugh]
    assert [shown(value) for value in (None, True, 1.5, -3, "a\n", [1, "b"], {"a": (1,)})] == [
        "None", "True", "1.5", "-3", r"'a\n'", "[1, 'b']", "{'a': (1,)}",
    ]  # fmt: skip
    assert shown(torch.zeros(3)) == "a Tensor" and shown(10**5000) == "a int"
    for value in (laugh, {"a": laugh}, "x" * 10**7, list(range(10**6)), {i: i for i in range(10**5)}):
        assert len(shown(value)) <= 120
    assert one_line("a\x1b[31m\u202eb\ud800 \nc") == "a?[31m?b?"
    assert one_line(KeyError()) == "KeyError"
    assert listed({"a": 1, 3: 2, "b\nc": 3, None: 4, "d": 5}) == "a, 3, b, None and 1 more entries"
