"""Good files of every kind, damaged at random: each gives one line, or a result, and never takes much memory.

What is damaged: bytes of the file, in both of PyTorch's formats; bytes of an archive's pickle, whose checksum is mended; entries
of the dictionary. An archive whose bytes are damaged gives the right result, if any. So does every file whose damaged entry
nothing reads.
"""

import io
import random
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from csc_fairseq.errors import InputError
from tests.checkpoints.making import (
    KINDS,
    State,
    file_bytes,
    good,
    limited_memory,
    require_complaint,
    result,
    right_result,
)
from tests.damage import damaged_bytes

MEMORY = 2**30  # bytes that loading may take, of files of 20 to 50 kB
MANY = 504
UNREAD = ("criterion", "optimizer_history", "extra_state", "last_optimizer_state")  # by loading


def loop() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def nested(depth: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(depth):
        items = [items]
    return items


NASTY: tuple[Callable[[], Any], ...] = (
    *(
        lambda value=value: value
        for value in (
            None, True, False, 0, 1, -1, 2, 7, 255, 65536, 2**31 - 1, 2**31, 10**12, 10**400, -(10**400), 0.5, 1.0, -0.0, 1e308,
            float("nan"), float("inf"), -float("inf"), "", "x", "nan", "csc", "none", "speaker", "16000", "x" * 100_000,
            "${env:HOME}", "[(4, 4, 4)] * 10**9", "9**9**9", "__import__('os').abort()", "\n\x1b[31m\0", "\ud800", (), (1, 2),
        )
    ),
    list, dict, set, loop, Namespace,
    lambda: nested(400), lambda: [1], lambda: [[]], lambda: {"a": 1}, lambda: {1: {}}, lambda: b"bytes",
    lambda: Namespace(arch="csc"),
    lambda: torch.zeros(()), lambda: torch.zeros(3), lambda: torch.zeros(0), lambda: torch.arange(4),
    lambda: torch.full((4,), float("nan")), lambda: torch.ones(1) * 1e38, lambda: torch.zeros(1).expand(10**6, 10**6),
    lambda: torch.ones(4, dtype=torch.complex64), lambda: torch.ones(4, dtype=torch.bool),
    lambda: torch.ones(4, dtype=torch.float16), lambda: torch.ones(4).to_sparse(), lambda: torch.ones(10**6, device="meta"),
)  # fmt: skip


def with_damaged_pickle(content: bytes, draw: random.Random) -> bytes:
    """The archive with other bytes in its pickle and the checksum that belongs to them."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as changed:
        for name in archive.namelist():
            record = archive.read(name)
            changed.writestr(name, damaged_bytes(record, draw) if name.endswith("data.pkl") else record)
    return written.getvalue()


def inner(value: Any) -> Any:
    return vars(value) if isinstance(value, Namespace) else value


def children(value: Any) -> list[Any]:
    """Keys of a dictionary or namespace, places in a list, none of anything else."""
    value = inner(value)
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def place(state: State, draw: random.Random) -> tuple[Any, Any, Any]:
    """A random entry at any depth: what holds it, its name there, and its name in `state`."""
    first = name = draw.choice(children(state))
    holder: Any = state
    while children(holder[name]) and draw.random() < 0.8:
        holder = inner(holder[name])
        name = draw.choice(children(holder))
    return holder, name, first


def damaged_entries(state: State, draw: random.Random) -> tuple[State, bool]:
    """The dictionary with an entry replaced, removed or exchanged with another, and whether nothing reads any of them."""
    holder, name, first = place(state, draw)
    unread = first in UNREAD
    way = draw.randrange(6)
    if way == 0:
        del holder[name]
    elif way == 1:
        other, other_name, other_first = place(state, draw)
        holder[name], other[other_name] = other[other_name], holder[name]
        unread = unread and other_first in UNREAD
    else:
        holder[name] = draw.choice(NASTY)()
    return state, unread


def mutants(kind: str, count: int, seed: int = 0) -> Iterator[tuple[str, bytes, bool]]:
    """What was done, the file, and whether its result, if it has one, is that of the good file."""
    draw = random.Random(f"{kind} {seed}")
    files = {archive: file_bytes(good(kind), archive) for archive in (True, False)}
    for number in range(count):
        way = number % 6
        if way == 0:
            yield f"{number}, bytes", damaged_bytes(files[True], draw), True
        elif way == 1:
            yield f"{number}, bytes of an old file", damaged_bytes(files[False], draw), False
        elif way == 2:
            yield f"{number}, pickle", with_damaged_pickle(files[True], draw), False
        else:
            state, unread = damaged_entries(good(kind), draw)
            yield f"{number}, entries", file_bytes(state, draw.random() < 0.5), unread


def require_line_or_result(kind: str, count: int, path: Path) -> None:
    right = right_result(kind)
    lines = 0
    with limited_memory(MEMORY):
        for what, content, same in mutants(kind, count):
            path.write_bytes(content)
            try:
                found = result(kind, path)
            except InputError as error:
                # Of a network with other settings, the waveform may be too short.
                require_complaint(str(error).replace("input: has 2400 samples", f"{path}: "), path)
                lines += 1
                continue
            except BaseException as error:
                raise AssertionError(f"{kind}: {what}: {type(error).__name__}") from error
            assert isinstance(found, Tensor) and found.isfinite().all(), f"{kind}: {what}"
            assert not same or torch.equal(found, right), f"{kind}: {what}"
    assert 0.3 * count < lines < count or count < MANY  # damage is seen; and not all of it matters


@pytest.mark.parametrize("kind", KINDS)
def test_some(kind, tmp_path):
    require_line_or_result(kind, 24, tmp_path / "x.pt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many(kind, tmp_path):
    require_line_or_result(kind, MANY, tmp_path / "x.pt")
