"""Anybody's encoder: a function of a Python module, named `module:function`."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.checks import unit_rows
from csc_fairseq.verification.encoders.encoder import Encoder, SingleEncoder, StreamEmbeddings

NEEDED = ("sample_rate", "enrol", "test")
SAMPLE_RATE = 16000


class CheckedEncoder:
    """Somebody's object with the methods of `Encoder`, whose answers are checked and scaled to unit norm.

    InputError if it lacks one of them, or where an answer has another form.
    """

    def __init__(self, name: str, encoder: Any) -> None:
        missing = [needed for needed in NEEDED if not hasattr(encoder, needed)]
        if missing:
            raise InputError(
                f"encoder {name}: its {type(encoder).__name__} lacks {', '.join(missing)}; expected sample_rate (Hz), "
                "enrol(waveforms) and test(waveforms) as in csc_fairseq/verification/encoders/encoder.py"
            )
        self.name = name
        self.sample_rate = int(encoder.sample_rate)
        self._encoder = encoder

    def enrol(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.enrol`."""
        return unit_rows(self.name, self._encoder.enrol(waveforms), (len(waveforms), None))

    def test(self, waveforms: Sequence[np.ndarray]) -> StreamEmbeddings:
        """See `Encoder.test`."""
        found = self._encoder.test(waveforms)
        if not hasattr(found, "streams") or not hasattr(found, "estimates"):
            raise InputError(f"encoder {self.name}: test gave a {type(found).__name__}, expected a StreamEmbeddings")
        streams = unit_rows(self.name, found.streams, (len(waveforms), None, None))
        if found.estimates is None:
            return StreamEmbeddings(streams, None)
        estimates = [np.asarray(estimate, dtype=np.float32) for estimate in found.estimates]
        expected = [(streams.shape[1], len(waveform)) for waveform in waveforms]
        if [estimate.shape for estimate in estimates] != expected:
            raise InputError(
                f"encoder {self.name}: test gave separated waveforms of other shapes than its {streams.shape[1]} streams "
                "and the recordings have; expected a list of arrays (C, T_i)"
            )
        return StreamEmbeddings(streams, estimates)


def user_encoder(name: str, target: str, sample_rate: int | None = None) -> Encoder:
    """The encoder that `module:function` names; modules in the working directory are found too.

    A function that needs no argument is called once and returns an object with the methods of `Encoder`. One that needs
    one is the encoder itself: it takes a list of waveforms, float32 [T_i] each, and returns embeddings [n, E].

    Args:
        name: see `Encoder`.
        target: module:function.
        sample_rate: Hz that a function of the second kind takes, 16 000 if None; an object states its own.

    Raises:
        InputError: no such module or function, one that needs other arguments, an object without the methods.
    """
    function = _find(name, target)
    needed = _needed_arguments(name, target, function)
    if needed == 0:
        if sample_rate is not None:
            raise InputError(
                f"encoder {name}: rate is for functions of waveforms; {target} makes an object, which has one"
            )
        return CheckedEncoder(name, function())
    if needed == 1:
        return SingleEncoder(name, sample_rate or SAMPLE_RATE, 1, function)
    raise InputError(
        f"encoder {name}: {target} needs {needed} arguments, expected none (it returns an encoder) or one (waveforms)"
    )


def _find(name: str, target: str) -> Callable[..., Any]:
    module_name, _, function_name = target.partition(":")
    folder = os.getcwd()
    if folder not in sys.path:
        # `csc` is a script elsewhere, so that Python does not look here; last, so that nothing installed is hidden.
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"encoder {name}: module {module_name} cannot be imported ({error}); install it, or start in its folder"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"encoder {name}: {module.__file__} has no function {function_name!r}; check its spelling")
    return function


def _needed_arguments(name: str, target: str, function: Callable[..., Any]) -> int:
    """Number of positional arguments without defaults."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as error:  # some functions of C
        raise InputError(
            f"encoder {name}: {target} does not tell its arguments; wrap it in a Python function"
        ) from error
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    named = [parameter.name for parameter in required if parameter.kind is parameter.KEYWORD_ONLY]
    if named:
        raise InputError(f"encoder {name}: {target} needs the arguments {', '.join(named)}; give them defaults")
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in required)
