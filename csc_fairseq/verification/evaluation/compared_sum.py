"""A sum of two encoders' scores. It embeds nothing itself: its parts do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.spec import parse_spec, parse_sum
from csc_fairseq.verification.evaluation.compared_encoder import ComparedEncoder
from csc_fairseq.verification.evaluation.scoring import Scores
from csc_fairseq.verification.metrics.fusion import Fusion


@dataclass(frozen=True)
class ComparedSum:
    """What the report says of a sum. name: as it appears in results. parts: the encoders whose scores are added."""

    name: str
    parts: tuple[ComparedEncoder, ...]

    @property
    def part_names(self) -> tuple[str, ...]:
        """Those of the parts, each as it appears in results if it is compared on its own as well."""
        return tuple(part.name for part in self.parts)

    @property
    def description(self) -> str:
        """What the parts are and were trained on."""
        return "the sum of " + "; and of ".join(part.description for part in self.parts)

    @property
    def hides_speakers(self) -> bool:
        """See `EncoderSource`."""
        return any(part.hides_speakers for part in self.parts)

    @property
    def checkpoints(self) -> Mapping[Path, str]:
        """See `ComparedEncoder`."""
        return {path: found for part in self.parts for path, found in part.checkpoints.items()}


Compared = ComparedEncoder | ComparedSum


def read_compared(texts: Sequence[str], device: str) -> list[Compared]:
    """Encoders and sums, in their order. A part that is listed itself, under whatever name, is the encoder listed.

    InputError for what `ComparedEncoder.read` refuses, and for a sum of an encoder and itself.
    """
    singles = {text: ComparedEncoder.read(text, device) for text in texts if parse_sum(text) is None}
    listed = {
        _identity(text): one for text, one in reversed(singles.items())
    }  # the first one of those that are the same
    found: dict[str, Compared] = {**singles}
    for text in texts:
        named = parse_sum(text)
        if named is None:
            continue
        one, other = map(_identity, named.parts)
        if one == other:
            raise InputError(f"encoder {named.name}: is the sum of {named.parts[0]} and itself; name two encoders")
        for part in named.parts:
            if _identity(part) not in listed:
                listed[_identity(part)] = ComparedEncoder.read(part, device)
        found[text] = ComparedSum(named.name, tuple(listed[identity] for identity in (one, other)))
    return [found[text] for text in texts]


def encoders_of(compared: Sequence[Compared]) -> list[ComparedEncoder]:
    """All that embed, each once: those that are compared, and the parts of sums."""
    found = [part for one in compared for part in (one.parts if isinstance(one, ComparedSum) else (one,))]
    return list({id(one): one for one in found}.values())


def _identity(text: str) -> tuple[object, ...]:
    """The same for two texts that name one encoder with different labels."""
    spec = parse_spec(text)
    return spec.target, *sorted(spec.options.items())


@dataclass(frozen=True)
class FittedSum:
    """A sum with the weights of its parts' scores."""

    compared: ComparedSum
    fusion: Fusion

    @classmethod
    def fit(cls, compared: ComparedSum, development: Sequence[Mapping[str, Scores]], targets: np.ndarray) -> Self:
        """Weights from the development scores of every part by condition, and their trials' targets, bool [n].

        InputError where no weights are best, see `Fusion.fit`.
        """
        trials = []
        for condition in _shared(development):
            scores = _best(development, condition)
            valid = np.isfinite(scores).all(axis=1)
            trials.append((scores[valid], targets[valid]))
        try:
            return cls(compared, Fusion.fit(trials))
        except InputError as error:
            raise InputError(f"encoder {compared.name}: {error}, or leave the sum out") from error

    def scores(self, parts: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
        """Log-likelihood ratios (nats) of all trials, by condition, from the scores of every part.

        Without score normalisation and figures of single streams: the parts may have chosen different ones.
        """
        return {
            condition: Scores(self.fusion.llr(_best(parts, condition)).astype(np.float32), None, None, None, None, None)
            for condition in _shared(parts)
        }

    @property
    def formula(self) -> str:
        """How it is computed, for people: 1.5 × a - 2 × b + 0.25."""
        terms = [*zip(self.fusion.weights, self.compared.part_names, strict=True), (self.fusion.offset, "")]
        texts = [
            f"{'-' if value < 0 else '+'} {abs(value):.4g}" + (f" × {name}" if name else "") for value, name in terms
        ]
        return " ".join(texts).removeprefix("+ ")


def _shared(parts: Sequence[Mapping[str, Scores]]) -> list[str]:
    """Conditions under which all parts have scores: embeddings from a file have those of clean trials alone."""
    return [condition for condition in parts[0] if all(condition in part for part in parts)]


def _best(parts: Sequence[Mapping[str, Scores]], condition: str) -> np.ndarray:
    """[n, parts]: the parts' scores of every trial."""
    return np.stack([part[condition].best for part in parts], axis=1)
