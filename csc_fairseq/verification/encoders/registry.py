"""Encoders by name: from what `--encoder` says (see spec.py) to an encoder."""

from dataclasses import dataclass
from pathlib import Path

from csc_fairseq.checkpoints.checkpoint import Checkpoint, read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.campplus import campplus_encoder
from csc_fairseq.verification.encoders.csc import trained, untrained
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.encoders.ge2e import ge2e_encoder
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.encoders.separated import separated
from csc_fairseq.verification.encoders.spec import (
    CAMPPLUS,
    CHECKPOINT,
    EMBEDDINGS,
    FORMS,
    FUNCTION,
    GE2E,
    MFCC,
    MIXTURE,
    SEPARATE,
    UNTRAINED,
    EncoderSpec,
    parse_spec,
)
from csc_fairseq.verification.encoders.user_function import user_encoder
from csc_fairseq.verification.encoders.verifier import verifier_encoder
from csc_fairseq.verification.encoders.wav2vec import wav2vec_encoder


@dataclass(frozen=True)
class EncoderSource:
    """What a text names, with its checkpoints read. A checkpoint is read here and nowhere else.

    text: as it was given. spec: taken apart. checkpoint: None for encoders that are none. separator: what separates test
    recordings before they are embedded; None where nothing does.
    """

    text: str
    spec: EncoderSpec
    checkpoint: Checkpoint | None
    separator: Checkpoint | None = None

    def encoder(self, device: str) -> Encoder:
        """The encoder, ready for use on a device that is there.

        InputError: no encoder of that name, an option that it does not have, a file or package that is missing.
        """
        mixture = self.spec.mixture
        encoder = self._encoder(device)
        return encoder if self.separator is None else separated(encoder, self.separator, device, mixture)

    def _encoder(self, device: str) -> Encoder:
        """What embeds, whatever is separated before."""
        spec, name, target = self.spec, self.spec.name, self.spec.target
        if self.checkpoint is not None:
            return _from_checkpoint(spec, self.checkpoint, device)
        if target == MFCC:
            _allow(spec)
            return mfcc_encoder(name)
        if target == GE2E:
            _allow(spec)
            return ge2e_encoder(name, device)
        if target == CAMPPLUS:
            _allow(spec)
            return campplus_encoder(name, device)
        if target.startswith(UNTRAINED):
            _allow(spec, "seed")
            return untrained(name, target.removeprefix(UNTRAINED), device, spec.number("seed") or 0)
        if target.endswith(EMBEDDINGS):
            spec.allow()
            return FileEncoder(name, target)
        if FUNCTION.fullmatch(target):
            _allow(spec, "rate")
            return user_encoder(name, target, spec.number("rate"))
        raise InputError(f"encoder {target!r}: is not an encoder; expected {FORMS}")

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Its checkpoints: of what embeds, and of what separates."""
        return [one for one in (self.checkpoint, self.separator) if one is not None]

    @property
    def is_untrained(self) -> bool:
        """Whether it has learnt from nobody."""
        return self.separator is None and self._embeds_untrained

    @property
    def description(self) -> str:
        """What it is and was trained on, as far as its checkpoints tell."""
        own = self.spec.target if self.checkpoint is None else self.checkpoint.description
        if self.separator is None:
            return own
        return f"{own}, on the streams of {self.separator.description}" + (
            ", and on the recording itself" if self.spec.mixture else ""
        )

    @property
    def speakers(self) -> dict[Path, frozenset[str]]:
        """The speakers of its training, by the checkpoint that tells them."""
        return {Path(one.path): frozenset(one.speakers or ()) for one in self.checkpoints}

    @property
    def hides_speakers(self) -> bool:
        """Whether it was, or may have been, trained on speakers that nothing tells."""
        unknown = self.checkpoint is None and not self._embeds_untrained
        return unknown or any(one.all_speakers is None for one in self.checkpoints)

    @property
    def _embeds_untrained(self) -> bool:
        return self.spec.target == MFCC or self.spec.target.startswith(UNTRAINED)


def read_source(text: str) -> EncoderSource:
    """What a text names. InputError for a text that names nothing, and for a faulty checkpoint."""
    spec = parse_spec(text)
    target = spec.target
    known = target in (MFCC, GE2E, CAMPPLUS) or target.startswith(UNTRAINED) or target.endswith(EMBEDDINGS)
    is_checkpoint = not known and (target.endswith(CHECKPOINT) or Path(target).is_file())
    return EncoderSource(
        text,
        spec,
        read_checkpoint(target) if is_checkpoint else None,
        None if spec.separate is None else read_checkpoint(spec.separate),
    )


def make_encoder(text: str, device: str) -> Encoder:
    """`read_source` and `EncoderSource.encoder` in one, for those who want no more of the checkpoint."""
    return read_source(text).encoder(device)


def _allow(spec: EncoderSpec, *names: str) -> None:
    """InputError for an option that an encoder of recordings does not have."""
    spec.allow(*names, SEPARATE, MIXTURE)


def _from_checkpoint(spec: EncoderSpec, checkpoint: Checkpoint, device: str) -> Encoder:
    checkpoint.require(
        "csc", "wav2vec2", "hubert", "speaker_verifier", remedy="other models are encoders as module:function"
    )
    if checkpoint.architecture == "csc":
        _allow(spec, "variant")
        return trained(spec.name, checkpoint, device, spec.options.get("variant", "q"))
    if checkpoint.architecture == "speaker_verifier":
        _allow(spec)
        return verifier_encoder(spec.name, checkpoint, device)
    _allow(spec, "layer")
    return wav2vec_encoder(spec.name, checkpoint, device, spec.number("layer"))
