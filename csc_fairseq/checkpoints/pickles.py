"""The part of Python's pickle format that PyTorch writes, read into plain values and tensors.

PyTorch's own weights-only reader runs no code either. But it calls what it allows with any arguments (a tensor of 10**10 numbers,
or the counts of as many bytes, out of 50 bytes of a file), allocates what an old file claims without filling it, up to 2.9 reads
as many bytes as a file claims rather than has, and crashes where keys are nested deeply. Here nothing is called at all.
"""

import pickletools
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import Tensor

STOP = b"."
MOST_DIMENSIONS = 16
LONGEST_NAME = 200
LARGEST_KEY = 2**60  # beyond, whole numbers can be chosen so that all share one place of a dictionary
ELEMENTS = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
}


class ForeignError(Exception):
    """A pickle holds what is neither a tensor nor a plain value. The text says what."""


class UnreadDictionary:
    """Stands for fairseq's dictionary of targets, so that reading needs no fairseq. Its attributes are plain values."""


class Unread:
    """Stands for a value that nothing asks for: bytes, sets, counts, sizes, devices."""


@dataclass(frozen=True)
class Name:
    """What a pickle calls a class or function: text, which is never looked up."""

    text: str


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors, in a row."""

    numbers: Tensor


# What is told apart by its attributes: an old file's options, and the names of targets of HuBERT and of probes.
OBJECTS = {"argparse.Namespace": Namespace, "fairseq.data.dictionary.Dictionary": UnreadDictionary}
ORDERED = "collections.OrderedDict"
TENSOR, PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
UNREAD = {
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
    "collections.Counter",
    "torch.Size",
    "torch.device",
}
KNOWN = {*ELEMENTS, *OBJECTS, ORDERED, TENSOR, PARAMETER, *UNREAD}

StorageOf = Callable[[torch.dtype, str, int], Storage]
"""The storage of an element type, a key and a count of elements. ValueError if the file does not hold it."""


def read_pickle(file: BinaryIO, storage_of: StorageOf) -> Any:
    """The value of the pickle at the file's position: dictionaries, lists, tuples, texts, numbers, tensors.

    Its length, and the file's, bound the work and, but for a factor, the memory. ForeignError: something else is in it. A
    damaged one raises anything.
    """
    machine = _Machine(storage_of)
    code = b""
    while code != STOP:
        code = file.read(1)
        if not code:
            raise ValueError("it ends too early")
        if code not in CODES:
            raise ForeignError(f"the operation {code!r} of pickles")
        operation, argument = CODES[code]
        operation(machine, None if argument is None else argument(file))
    (value,) = machine.stack
    return value


class _Machine:
    """A stack, the stacks that it will be put on, and what a pickle refers to again."""

    def __init__(self, storage_of: StorageOf) -> None:
        self.storage_of = storage_of
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def tuple_since_mark(self) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise ValueError("a tuple of fewer values than it has")
        self.stack[-count:] = [items]

    def remember(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        _exactly(list, self.stack[-1]).extend(items)

    def update(self, items: list[Any]) -> None:
        target = _exactly(dict, self.stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of a tuple may take time or, nested deeply, all of the stack.
            if type(key) is not str and not (type(key) is int and abs(key) < LARGEST_KEY):
                raise ForeignError(f"a dictionary with a key of type {type(key).__name__}")
            target[key] = value

    def name(self, text: str) -> None:
        if text not in KNOWN:
            raise ForeignError(text)
        self.push(Name(text))

    def make(self, _: None) -> None:
        """An object without attributes."""
        arguments = _exactly(tuple, self.stack.pop())
        name = _exactly(Name, self.stack.pop()).text
        if name in UNREAD:
            self.push(Unread())
        elif name in OBJECTS and not arguments:
            self.push(OBJECTS[name]())
        else:
            raise ForeignError(f"an object of {name}")

    def call(self, _: None) -> None:
        """What PyTorch would call a function for."""
        arguments = _exactly(tuple, self.stack.pop())
        name = _exactly(Name, self.stack.pop()).text
        if name in UNREAD:
            self.push(Unread())
        elif name == ORDERED and not arguments:
            self.push({})
        elif name == TENSOR:
            self.push(_tensor(*arguments))
        elif name == PARAMETER:
            self.push(_exactly(Tensor, arguments[0]))
        else:
            raise ForeignError(f"a call of {name}")

    def attributes(self, _: None) -> None:
        """Gives the topmost object its attributes."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) in OBJECTS.values():
            target.__dict__ = _exactly(dict, state)  # no copy: it may be the state of many objects
        elif type(target) not in (dict, Unread):  # a network's weights carry versions of its modules
            raise ForeignError(f"attributes of a {type(target).__name__}")

    def storage(self, _: None) -> None:
        """What lies outside the pickle."""
        reference = _exactly(tuple, self.stack.pop())
        if reference[0] != "storage" or reference[5:] not in ((), (None,)):  # old files say None: it is no view
            raise ForeignError("a reference to something else than numbers")
        _, elements, key, _location, count = reference[:5]
        self.push(self.storage_of(ELEMENTS[_exactly(Name, elements).text], _exactly(str, key), _exactly(int, count)))


def _exactly(kind: type, value: Any) -> Any:
    """The value. TypeError if it is of another type, subtypes included."""
    if type(value) is not kind:
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} is expected")
    return value


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _learns: Any = None, _hooks: Any = None, metadata: Any = None
) -> Tensor:
    """A view of a storage. ValueError unless all of it lies within."""
    numbers = _exactly(Storage, storage).numbers
    shape, strides = _exactly(tuple, shape), _exactly(tuple, strides)
    sizes = [_exactly(int, number) for number in (offset, *shape, *strides)]
    if metadata or min(sizes) < 0 or len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if (0 in shape and offset > len(numbers)) or (0 not in shape and last >= len(numbers)):
        raise ValueError("a tensor of more numbers than the file holds")
    return numbers.as_strided(shape, strides, offset)


def _read_name(file: BinaryIO) -> str:
    """Two lines: a module and what is in it, as `pickle.find_class` would have it."""
    module, name = (file.readline(LONGEST_NAME).decode().removesuffix("\n") for _ in range(2))
    return f"{'builtins' if module == '__builtin__' else module}.{name}"  # Python 2's, as protocol 2 has it


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


# By the names of `pickletools`. Only what PyTorch writes (protocol 2).
OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _Machine.push),
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.tuple_since_mark(),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, number: machine.push(machine.memo[number])),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "NEWOBJ": _Machine.make,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.attributes,
    "BINPERSID": _Machine.storage,
}
# By the byte that stands for it: an operation, and what reads its argument.
CODES = {
    code.code.encode("latin-1"): (OPERATIONS[code.name], None if code.arg is None else code.arg.reader)
    for code in pickletools.opcodes
    if code.name in OPERATIONS
} | {b"c": (_Machine.name, _read_name)}  # `pickletools` would resolve escape sequences
