"""The reader against PyTorch's own, which reads the same files: every kind of number, view and plain value, in both formats."""

import sys
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict

import pytest
import torch
from fairseq.data.dictionary import Dictionary
from torch import nn

from csc_fairseq.checkpoints.pickles import Unread, UnreadDictionary
from csc_fairseq.checkpoints.reading import read_entries
from csc_fairseq.errors import InputError

FORMATS = pytest.mark.parametrize("archive", [True, False], ids=["archive", "old"])
TYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool,
)  # fmt: skip


@pytest.fixture
def save(tmp_path, archive):
    def write(state):
        torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=archive)
        return tmp_path / "x.pt"

    return write


@FORMATS
def test_tensors(save):
    rows = torch.randn(6, 7)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state = {
        "views": [rows, rows.t(), rows[2:4, 1:], rows[:, 3], rows[1, 1], rows[0].expand(4, 7), rows[6:]],
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(3.5),
        "parameter": nn.Parameter(torch.ones(3)),
        "types": [torch.tensor([0, 1, 0, 1, 1]).to(kind) for kind in TYPES],
        "network": network.state_dict(),
    }
    path = save(state)
    found, expected = read_entries(path), torch.load(path, weights_only=True)
    pairs = [
        *zip(found["views"], expected["views"], strict=True),
        *zip(found["types"], expected["types"], strict=True),
        *((found[name], expected[name]) for name in ("empty", "scalar", "parameter")),
        *((found["network"][name], weight) for name, weight in expected["network"].items()),
    ]
    for one, other in pairs:
        assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        assert one.storage_offset() == other.storage_offset() and torch.equal(one, other)
        assert type(one) is torch.Tensor and not one.requires_grad
    assert len({view.untyped_storage().data_ptr() for view in found["views"]}) == 1  # as they were saved
    assert type(found["network"]) is dict and list(found["network"]) == list(network.state_dict())


@FORMATS
def test_plain_values(save):
    shared = ["one list"]
    state = {
        "numbers": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**300, -(2**300), 1.5, float("inf")],
        "switches": [None, True, False],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "texts": ["", "aéß☃\U0001f600", "x" * 100_000, "line\nline"],
        "keys": {1: "a", -2: {"b": {}}, "": []},
        "ordered": OrderedDict(b=1, a=2),
        "shared": [shared, shared],
        "many": list(range(3000)),
    }
    found = read_entries(save(state))
    assert found == {**state, "ordered": {"b": 1, "a": 2}}
    assert type(found["ordered"]) is dict and list(found["ordered"]) == ["b", "a"]
    assert found["shared"][0] is found["shared"][1]
    assert [type(number) for number in found["numbers"]] == [type(number) for number in state["numbers"]]


@FORMATS
def test_what_fairseq_puts_in(save):
    """Options of an old checkpoint, and the dictionary of HuBERT's targets, without fairseq's class."""
    dictionary = Dictionary()
    dictionary.add_symbol("a")
    found = read_entries(save({"args": Namespace(arch="wav2vec2", lr=[0.1]), "dictionaries": [dictionary]}))
    assert type(found["args"]) is Namespace and vars(found["args"]) == {"arch": "wav2vec2", "lr": [0.1]}
    assert type(found["dictionaries"][0]) is UnreadDictionary
    assert vars(found["dictionaries"][0]) == vars(dictionary)


@FORMATS
def test_what_nothing_asks_for_is_no_obstacle(save):
    state = {
        "bytes": b"abc",
        "array": bytearray(b"abc"),
        "set": {1, 2},
        "counts": Counter("aab"),
        "complex": 1 + 2j,
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
    }
    found = read_entries(save({**state, "after": 3}))
    assert {type(found[name]) for name in state} == {Unread} and found["after"] == 3


def test_itself_inside(tmp_path):
    state = {"list": []}
    state["list"].append(state)
    torch.save(state, tmp_path / "x.pt")
    found = read_entries(tmp_path / "x.pt")
    assert found["list"][0] is found


def test_byte_order(tmp_path):
    """A file of the other byte order would give other weights."""
    other = "big" if sys.byteorder == "little" else "little"
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive, zipfile.ZipFile(tmp_path / "y.pt", "w") as turned:
        for name in archive.namelist():
            turned.writestr(name, other if name.endswith("byteorder") else archive.read(name))
    with pytest.raises(
        InputError, match="y.pt: is damaged or no checkpoint .it was written on a machine of another byte order"
    ):
        read_entries(tmp_path / "y.pt")
