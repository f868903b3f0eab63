"""Encoders inside fine-tuned models: taken from a pre-trained checkpoint by training, and for use from the model's own."""

from fairseq.tasks import FairseqTask

from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.loading import encoder_from_settings, pretrained_encoder
from csc_fairseq.frame_encoders.protocol import FrameEncoder
from csc_fairseq.inference.fairseq_files import all_speakers_of

SETTINGS = "encoder_settings"
HEARD = "pretraining_speakers"
"""Labels of the speakers of pre-training, about whom no trials should be; None if its checkpoint does not tell them."""


def heard_by(pretrained: str) -> list[str] | None:
    """What HEARD is for a checkpoint."""
    speakers = all_speakers_of(pretrained)
    return None if speakers is None else sorted(speakers)


def encoder_for(task: FairseqTask, pretrained: str | None, from_scratch: dict | None = None) -> FrameEncoder:
    """The encoder that a model is built around.

    What rebuilds its architecture goes into the task's state, hence into checkpoints, so that a fine-tuned checkpoint
    loads where the pre-trained one is gone: fairseq restores the state before it builds the model for use. Not so where
    it resumes a training, which reads the pre-trained checkpoint again.

    Args:
        task: restored from the fine-tuned checkpoint if there is one.
        pretrained: path of the pre-trained checkpoint, read only if the state holds no settings.
        from_scratch: settings of an encoder with random weights, in place of `pretrained`; None: there must be one.

    Raises:
        InputError: neither a checkpoint nor settings, or a checkpoint that `pretrained_encoder` refuses.
    """
    read: list[FrameEncoder] = []

    def settings_of_pretrained() -> dict:
        if pretrained is None:
            if from_scratch is None:
                raise InputError("model.pretrained is null; give a checkpoint of csc, wav2vec2 or hubert")
            return from_scratch
        encoder, settings = pretrained_encoder(pretrained)
        read.append(encoder)
        return settings

    task.state.add_factory(HEARD, lambda: heard_by(pretrained) if pretrained else [])
    task.state.add_factory(SETTINGS, settings_of_pretrained)
    getattr(task.state, HEARD)
    settings = getattr(task.state, SETTINGS)  # calls the factory unless the state was restored
    return read[0] if read else encoder_from_settings(settings)
