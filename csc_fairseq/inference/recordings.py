"""What users hand to a model: paths, numpy arrays or tensors, one or many, and the answer in the same kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soxr
import torch
from torch import Tensor

from csc_fairseq.data.audio import is_silent, load_crop
from csc_fairseq.errors import InputError

Recording: TypeAlias = str | Path | np.ndarray | Tensor
Audio: TypeAlias = Recording | Sequence[Recording]


@dataclass(frozen=True)
class Recordings:
    """Checked mono recordings, and the form in which their results go back.

    waveforms: float32 [T_i] each, at the model's rate. names: path or "input[i]", for messages.
    single: one recording was given, so the answer has no batch axis. stacked: they came as one (B, T) array.
    device: where tensors came from; None for numpy answers.
    """

    waveforms: list[Tensor]
    names: list[str]
    single: bool
    stacked: bool
    device: torch.device | None

    def only(self, name: str, remedy: str) -> Tensor:
        """The only recording [T]. InputError for several; name: of the argument."""
        if not self.single:
            raise InputError(f"{name} holds {len(self.waveforms)} recordings, expected one; {remedy}")
        return self.waveforms[0]

    def answer(self, results: list[Tensor]) -> Any:
        """Results, one per recording: [...] for a single recording, [B, ...] for several.

        Fewer rows than another recording has are filled up with zeros.
        """
        return self._kind(results[0] if self.single else _stacked(results))

    def answer_waveforms(self, results: list[Tensor]) -> Any:
        """[C_i, T_i] each: as it is for a single one, zero-padded [B, C, T] for a (B, T) array, else a list."""
        if self.single:
            return self._kind(results[0])
        if not self.stacked:
            return [self._kind(result) for result in results]
        longest = max(result.shape[-1] for result in results)
        padded = [torch.nn.functional.pad(result, (0, longest - result.shape[-1])) for result in results]
        return self._kind(_stacked(padded))

    def require_sound(self) -> None:
        """InputError for a recording of one number alone, zero or another: there is no voice to embed."""
        for waveform, name in zip(self.waveforms, self.names, strict=True):
            if is_silent(waveform):
                raise InputError(f"{name}: is digitally silent, expected a voice; leave it out")

    def _kind(self, result: Tensor) -> Tensor | np.ndarray:
        return result.cpu().numpy() if self.device is None else result.to(self.device)


def _stacked(results: list[Tensor]) -> Tensor:
    """[B, ...], with zeros where a result has fewer rows than another."""
    return torch.nn.utils.rnn.pad_sequence(results, batch_first=True)


def read_recordings(
    audio: Audio,
    sample_rate: int | None,
    *,
    model_rate: int,
    shortest: int,
    resample: bool = False,
    lengths: Sequence[int] | np.ndarray | Tensor | None = None,
) -> Recordings:
    """Load and check what a user handed over.

    Args:
        audio: a path; a floating-point array or tensor (T,) or (B, T); or a sequence of paths, (T,) arrays or tensors.
        sample_rate: Hz of arrays and tensors, None for the model's. Files state their own rate.
        model_rate: Hz that the model expects.
        shortest: fewest samples accepted, at the model's rate.
        resample: convert other rates (soxr, HQ) instead of refusing them.
        lengths: for a (B, T) array, the valid samples of each row, at `sample_rate`.

    Raises:
        InputError: faulty file (see data/audio.py), another rate, integer samples, NaN or infinite samples, empty or
            too short input, an array of another shape, lengths that do not fit.
    """
    items, names, single, stacked = _items(audio, lengths)
    waveforms, devices = [], set()
    for item, name in zip(items, names, strict=True):
        if isinstance(item, (str, Path)):
            if sample_rate is not None:
                raise InputError(f"{name}: sample_rate={sample_rate} was given with a path; files state their own rate")
            waveform = torch.from_numpy(load_crop(item, 0, -1, model_rate, resample))
        else:
            waveform = _from_array(item, name, sample_rate or model_rate, model_rate, resample)
            devices.add(item.device if isinstance(item, Tensor) else None)
        if len(waveform) < shortest:
            hint = "" if isinstance(item, (str, Path)) else "; arrays are (samples) or (batch, samples)"
            raise InputError(
                f"{name}: has {len(waveform)} samples at {model_rate} Hz, expected {shortest} at least{hint}"
            )
        waveforms.append(waveform)
    if len(devices) > 1:
        raise InputError("arrays and tensors, or tensors of several devices, were mixed in one list; pass one kind")
    return Recordings(waveforms, names, single, stacked, devices.pop() if devices else None)


def _items(audio: Any, lengths: Any) -> tuple[list[Any], list[str], bool, bool]:
    """The single recordings, their names, whether it was one without a batch axis, whether it was one (B, T) array."""
    is_array = isinstance(audio, (np.ndarray, Tensor))
    if lengths is not None and not (is_array and audio.ndim == 2):
        raise InputError("lengths= is for an array (batch, samples); leave it out for anything else")
    if isinstance(audio, (str, Path)):
        return [audio], [str(audio)], True, False
    if is_array and audio.ndim == 1:
        return [audio], ["input"], True, False
    if is_array and audio.ndim != 2:
        raise InputError(f"array has shape {tuple(audio.shape)}, expected mono audio: (samples) or (batch, samples)")
    items = list(audio)
    if not items:
        raise InputError("no recording was given; expected at least one")
    names = [str(item) if isinstance(item, (str, Path)) else f"input[{i}]" for i, item in enumerate(items)]
    if is_array and lengths is not None:
        items = [item[:n] for item, n in zip(items, _checked_lengths(lengths, audio), strict=True)]
    for item, name in zip(items, names, strict=True):
        if not isinstance(item, (str, Path, np.ndarray, Tensor)):
            raise InputError(f"{name}: is a {type(item).__name__}, expected a path, a numpy array or a tensor")
    return items, names, False, is_array


def _checked_lengths(lengths: Any, audio: np.ndarray | Tensor) -> list[int]:
    valid = [int(n) for n in lengths]
    if len(valid) != audio.shape[0] or not all(0 < n <= audio.shape[1] for n in valid):
        raise InputError(f"lengths are {valid}, expected {audio.shape[0]} values from 1 to {audio.shape[1]} samples")
    return valid


def _from_array(item: np.ndarray | Tensor, name: str, rate: int, model_rate: int, resample: bool) -> Tensor:
    if item.ndim != 1:
        raise InputError(f"{name}: has shape {tuple(item.shape)}, expected one mono recording (samples)")
    floating = item.is_floating_point() if isinstance(item, Tensor) else item.dtype.kind == "f"
    if not floating:
        raise InputError(
            f"{name}: samples are {item.dtype}, expected floating point with full scale 1; divide 16-bit by 32768"
        )
    # A copy: torch takes neither read-only nor reversed arrays.
    waveform = item.detach() if isinstance(item, Tensor) else torch.from_numpy(item.astype(np.float32))
    waveform = waveform.float()
    if not torch.isfinite(waveform).all():
        raise InputError(f"{name}: has NaN or infinite samples; repair it or leave it out")
    if rate != model_rate:
        if not resample:
            raise InputError(f"{name}: has {rate} Hz, expected {model_rate} Hz; convert it or pass resample=True")
        resampled = soxr.resample(waveform.cpu().numpy(), rate, model_rate)
        waveform = torch.from_numpy(resampled).to(waveform.device)
    return waveform
