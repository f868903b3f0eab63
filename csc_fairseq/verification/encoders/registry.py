"""Encoders by name: what `--encoder` understands.

    mfcc                            mean and deviation of MFCCs
    ge2e                            GE2E of the package resemblyzer
    untrained:csc_small[,seed=1]    random weights of a configuration's sizes
    checkpoint.pt[,variant=s]       csc: the queries (q, default), or s, attended with the training bank
    checkpoint.pt[,layer=6]         wav2vec 2.0 or HuBERT: mean of a transformer layer, counted from 1 (default: last)
    checkpoint.pt                   a fine-tuned verifier, whatever its encoder
    module:function[,rate=8000]     a Python function, see user.py
    embeddings.npz                  embeddings of the manifest's recordings, for clean trials alone

Each may be preceded by a name for tables and plots: `ours=checkpoint.pt`. A path with `=` before its first slash needs
a leading `./`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.errors import InputError
from csc_fairseq.inference.fairseq_files import architecture, read_state
from csc_fairseq.verification.encoders.csc import trained, untrained
from csc_fairseq.verification.encoders.files import FileEncoder
from csc_fairseq.verification.encoders.ge2e import ge2e_encoder
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.encoders.protocol import Encoder
from csc_fairseq.verification.encoders.user import user_encoder
from csc_fairseq.verification.encoders.wav2vec import wav2vec_encoder

FORMS = "mfcc, ge2e, untrained:CONFIG, a checkpoint (.pt), embeddings (.npz) or module:function"
UNTRAINED = "untrained:"


@dataclass(frozen=True)
class EncoderSpec:
    """`label=target,option=value,...` taken apart. name: the label, or all of the text without one."""

    name: str
    target: str
    options: dict[str, str]

    def allow(self, *names: str) -> None:
        """InputError for an option that is none of `names`."""
        for option in self.options:
            if option not in names:
                raise InputError(
                    f"encoder {self.name}: {self.target} has no option {option!r}, "
                    + (f"expected {' or '.join(names)}" if names else "expected none")
                )

    def number(self, option: str) -> int | None:
        """The value of an option as a number, None where it is not given. InputError if it is none, or negative."""
        value = self.options.get(option)
        if value is not None and not value.isdecimal():
            raise InputError(f"encoder {self.name}: {option} is {value!r}, expected a whole number")
        return None if value is None else int(value)


def parse_spec(text: str) -> EncoderSpec:
    """Takes the text apart. InputError if nothing is named, or an option stands in it twice."""
    target, *rest = text.split(",")
    options: dict[str, str] = {}
    while rest and re.fullmatch(r"\w+=[^/=]*", rest[-1]):
        option, _, value = rest.pop().partition("=")
        if option in options:
            raise InputError(f"encoder {text}: {option} stands in it twice; give it once")
        options[option] = value
    target = ",".join([target, *rest])  # a comma may belong to a path
    label, separator, named = target.partition("=")
    if separator and "/" not in label:
        name, target = label.strip(), named
    else:
        name = text
    if not name or not target:
        raise InputError(f"encoder {text!r}: names none; expected [LABEL=]ENCODER, where ENCODER is {FORMS}")
    return EncoderSpec(name, target, options)


def is_untrained(text: str) -> bool:
    """Whether an encoder has learnt from nobody."""
    target = parse_spec(text).target
    return target == "mfcc" or target.startswith(UNTRAINED)


def make_encoder(spec: str, device: str) -> Encoder:
    """The encoder that a text names, ready for use.

    Args:
        spec: see the module.
        device: where networks go; one that is there.

    Raises:
        InputError: no encoder of that name, an option that it does not have, a file or package that is missing.
    """
    parsed = parse_spec(spec)
    name, target = parsed.name, parsed.target
    if target == "mfcc":
        parsed.allow()
        return mfcc_encoder(name)
    if target == "ge2e":
        parsed.allow()
        return ge2e_encoder(name, device)
    if target.startswith(UNTRAINED):
        parsed.allow("seed")
        return untrained(name, target.removeprefix(UNTRAINED), device, parsed.number("seed") or 0)
    if target.endswith(".npz"):
        parsed.allow()
        return FileEncoder(name, target)
    if target.endswith(".pt") or Path(target).is_file():
        return _from_checkpoint(parsed, device)
    if re.fullmatch(r"\w+(\.\w+)*:\w+", target):
        parsed.allow("rate")
        return user_encoder(name, target, parsed.number("rate"))
    raise InputError(f"encoder {target!r}: is none; expected {FORMS}")


def _from_checkpoint(spec: EncoderSpec, device: str) -> Encoder:
    kind = architecture(read_state(spec.target))
    if kind == "csc":
        spec.allow("variant")
        return trained(spec.name, spec.target, device, spec.options.get("variant", "q"))
    if kind in ("wav2vec2", "hubert"):
        spec.allow("layer")
        return wav2vec_encoder(spec.name, spec.target, device, spec.number("layer"))
    if kind == "speaker_verifier":
        from csc_fairseq.verification.encoders.verifier import verifier_encoder  # imports fairseq, which takes seconds

        spec.allow()
        return verifier_encoder(spec.name, spec.target, device)
    raise InputError(
        f"{spec.target}: is a checkpoint of architecture {kind!r}, expected csc, wav2vec2, hubert or speaker_verifier; "
        "other models are encoders as module:function"
    )
