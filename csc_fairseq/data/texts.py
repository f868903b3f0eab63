"""Millions of names and labels as arrays, not as Python objects: small, quick to read, and shared by processes that fork.

A tuple of strings takes a hundred bytes for each and is copied into every data worker, page by page, as its references are counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Self, overload

import numpy as np

_BLOCK = 2**16  # texts that are made at a time


class _Texts(Sequence[str]):
    """What both kinds share: they compare with any sequence of strings, element by element."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # as lists have none

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"{type(self).__name__}({len(self)}: {shown}{', …' if len(self) > 3 else ''})"

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._text(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} of {len(self)}")
        return self._text(index % len(self))

    def _text(self, index: int) -> str:
        raise NotImplementedError


class Names(_Texts):
    """Texts that all differ, as parts of one buffer.

    buffer: UTF-8. starts: int64 [N], first byte of each. lengths: int32 [N], in bytes.
    """

    def __init__(self, buffer: bytes, starts: np.ndarray, lengths: np.ndarray) -> None:
        self.buffer = buffer
        self.starts = starts
        self.lengths = lengths

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """From strings."""
        encoded = [text.encode() for text in texts]
        lengths = np.array([len(text) for text in encoded], dtype=np.int32)
        ends = np.cumsum(lengths, dtype=np.int64)
        return cls(b"".join(encoded), ends - lengths, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def _text(self, index: int) -> str:
        start = int(self.starts[index])
        return self.buffer[start : start + int(self.lengths[index])].decode()

    def __iter__(self) -> Iterator[str]:
        buffer = self.buffer
        for first in range(0, len(self), _BLOCK):
            starts = self.starts[first : first + _BLOCK]
            ends = starts + self.lengths[first : first + _BLOCK]
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                yield buffer[start:end].decode()


class Labels(_Texts):
    """Texts of which many are equal.

    values: the distinct ones, sorted. codes: int32 [N], position of each text in values; all are used.
    """

    def __init__(self, codes: np.ndarray, values: Sequence[str]) -> None:
        self.codes = codes
        self.values = tuple(values)

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Labels":
        """From strings; Labels stay what they are."""
        if isinstance(texts, Labels):
            return texts
        return cls.merged(*coded(texts))

    @classmethod
    def merged(cls, codes: np.ndarray, texts: Sequence[str]) -> Self:
        """From the position of each in `texts`, which may be in any order and equal; all are used."""
        values = sorted(set(texts))
        place = {value: number for number, value in enumerate(values)}
        return cls(np.array([place[text] for text in texts], dtype=np.int32)[codes], values)

    def __len__(self) -> int:
        return len(self.codes)

    def _text(self, index: int) -> str:
        return self.values[self.codes[index]]

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _BLOCK):
            yield from map(self.values.__getitem__, self.codes[first : first + _BLOCK].tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)[self.codes]


def coded(texts: Iterable[Any]) -> tuple[np.ndarray, list[Any]]:
    """int32 [N], the number of each text, and the distinct ones by number, in the order in which they come."""
    number: dict[Any, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(number.__getitem__, texts), np.int32)
    return codes, list(number)
