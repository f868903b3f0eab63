"""Encoders by name: what `--encoder` understands.

    mfcc                            mean and deviation of MFCCs
    ge2e                            GE2E of the package resemblyzer
    untrained:csc_small[,seed=1]    random weights of a configuration's sizes
    checkpoint.pt[,variant=s]       csc: the queries (q, default), or s, attended with the training bank
    checkpoint.pt[,layer=6]         wav2vec 2.0 or HuBERT: mean of a transformer layer, counted from 1 (default: last)
    checkpoint.pt                   a fine-tuned verifier, whatever its encoder
    module:function[,rate=8000]     a Python function, see user_function.py
    embeddings.npz                  embeddings of the manifest's recordings, for clean trials alone

Each may be preceded by a name for tables and plots: `ours=checkpoint.pt`. A path with `=` before its first slash needs
a leading `./`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.checkpoints.checkpoint import Checkpoint, read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.csc import trained, untrained
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.encoders.ge2e import ge2e_encoder
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.encoders.user_function import user_encoder
from csc_fairseq.verification.encoders.verifier import verifier_encoder
from csc_fairseq.verification.encoders.wav2vec import wav2vec_encoder

FORMS = "mfcc, ge2e, untrained:CONFIG, a checkpoint (.pt), embeddings (.npz) or module:function"
UNTRAINED = "untrained:"
EMBEDDINGS = ".npz"


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


def parse_spec(text: str) -> EncoderSpec:
    """Takes the text apart. InputError if nothing is named, or an option is given twice."""
    target, *rest = text.split(",")
    options: dict[str, str] = {}
    while rest and re.fullmatch(r"\w+=[^/=]*", rest[-1]):
        option, _, value = rest.pop().partition("=")
        if option in options:
            raise InputError(f"encoder {text}: {option} is given twice; give it once")
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


@dataclass(frozen=True)
class EncoderSource:
    """What a text names, with its checkpoint read if it is one. A checkpoint is read here and nowhere else.

    text: as it was given. spec: taken apart. checkpoint: None for encoders that are none.
    """

    text: str
    spec: EncoderSpec
    checkpoint: Checkpoint | None

    def encoder(self, device: str) -> Encoder:
        """The encoder, ready for use on a device that is there.

        InputError: no encoder of that name, an option that it does not have, a file or package that is missing.
        """
        spec, name, target = self.spec, self.spec.name, self.spec.target
        if self.checkpoint is not None:
            return _from_checkpoint(spec, self.checkpoint, device)
        if target == "mfcc":
            spec.allow()
            return mfcc_encoder(name)
        if target == "ge2e":
            spec.allow()
            return ge2e_encoder(name, device)
        if target.startswith(UNTRAINED):
            spec.allow("seed")
            return untrained(name, target.removeprefix(UNTRAINED), device, spec.number("seed") or 0)
        if target.endswith(EMBEDDINGS):
            spec.allow()
            return FileEncoder(name, target)
        if re.fullmatch(r"\w+(\.\w+)*:\w+", target):
            spec.allow("rate")
            return user_encoder(name, target, spec.number("rate"))
        raise InputError(f"encoder {target!r}: is not an encoder; expected {FORMS}")

    @property
    def is_untrained(self) -> bool:
        """Whether it has learnt from nobody."""
        return self.spec.target == "mfcc" or self.spec.target.startswith(UNTRAINED)

    @property
    def description(self) -> str:
        """What it is and was trained on, as far as its checkpoint tells."""
        return self.spec.target if self.checkpoint is None else self.checkpoint.description

    @property
    def speakers(self) -> set[str]:
        """The speakers of its training that its checkpoint tells."""
        return (self.checkpoint.speakers or set()) if self.checkpoint is not None else set()

    @property
    def hides_speakers(self) -> bool:
        """Whether it was, or may have been, trained on speakers that nothing tells."""
        return self.checkpoint.all_speakers is None if self.checkpoint is not None else not self.is_untrained


def read_source(text: str) -> EncoderSource:
    """What a text names. InputError for a text that names nothing, and for a faulty checkpoint."""
    spec = parse_spec(text)
    known = spec.target in ("mfcc", "ge2e") or spec.target.startswith(UNTRAINED) or spec.target.endswith(EMBEDDINGS)
    is_checkpoint = not known and (spec.target.endswith(".pt") or Path(spec.target).is_file())
    return EncoderSource(text, spec, read_checkpoint(spec.target) if is_checkpoint else None)


def make_encoder(text: str, device: str) -> Encoder:
    """`read_source` and `EncoderSource.encoder` in one, for those who want no more of the checkpoint."""
    return read_source(text).encoder(device)


def _from_checkpoint(spec: EncoderSpec, checkpoint: Checkpoint, device: str) -> Encoder:
    checkpoint.require(
        "csc", "wav2vec2", "hubert", "speaker_verifier", remedy="other models are encoders as module:function"
    )
    if checkpoint.architecture == "csc":
        spec.allow("variant")
        return trained(spec.name, checkpoint, device, spec.options.get("variant", "q"))
    if checkpoint.architecture == "speaker_verifier":
        spec.allow()
        return verifier_encoder(spec.name, checkpoint, device)
    spec.allow("layer")
    return wav2vec_encoder(spec.name, checkpoint, device, spec.number("layer"))
