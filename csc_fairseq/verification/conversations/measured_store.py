"""Measures of conversations, and where they are kept, so that an interrupted evaluation goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.conversation_folder import RecordedConversation
from csc_fairseq.diarization.scoring import ErrorSeconds, diarization_errors
from csc_fairseq.digests import file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.conversations.measures import (
    Measured,
    SeparationMeasure,
    VoiceMeasure,
    separation_measure,
    voice_measure,
)
from csc_fairseq.verification.conversations.systems import System
from csc_fairseq.verification.evaluation.kept_values import KeptValues

KINDS = ("found", "given")
"""Whether a system finds the number of talkers, or is told."""


def measure(system: System, conversation: RecordedConversation, distance: float | None) -> dict[str, Measured]:
    """One conversation, where the number of talkers is to be found ("found") and where it is given ("given").

    distance: see `Heard.diarized`; None: "found" is left out for systems that need one. InputError for unreadable files.
    """
    rate = system.sample_rate
    samples = load_crop(conversation.audio, 0, -1, rate)
    sources = {name: load_crop(path, 0, -1, rate) for name, path in conversation.sources.items()}
    for name, source in sources.items():
        if len(source) != len(samples):
            raise InputError(
                f"{conversation.sources[name]}: has {len(source)} samples, but {conversation.audio} has {len(samples)}; "
                "mix it again"
            )
    voices = [(one, system.enrol([load_crop(file, 0, -1, rate) for file in one.files])) for one in conversation.voices]
    heard = system.hear(samples)
    measured = {}
    for kind in KINDS:
        if kind == "found" and system.needs_distance and distance is None:
            continue
        diarized = heard.diarized(None if kind == "found" else len(conversation.talkers), distance)
        errors, jaccard = diarization_errors(conversation.turns, diarized.turns, len(samples) / rate)
        measured[kind] = Measured(
            conversation.name,
            errors,
            jaccard,
            talkers=len(conversation.talkers),
            found=len(diarized.centres),
            voices=tuple(
                voice_measure(one.talker, one.present, voice, heard.windows, diarized, samples, sources.get(one.talker))
                for one, voice in voices
            ),
            separation=separation_measure(diarized.streams, sources, conversation.turns, samples, rate)
            if sources
            else None,
        )
    return measured


class MeasuredStore(KeptValues):
    """A folder of measures by conversation."""

    def measured(
        self, system: System, conversation: RecordedConversation, distance: float | None
    ) -> dict[str, Measured]:
        """What was kept, or is measured now."""
        sources = {name: file_digest(file) for name, file in conversation.sources.items()}
        voices = [[one.talker, one.present, *map(file_digest, one.files)] for one in conversation.voices]
        found = self.value(
            self.path(distance, *_heard(conversation), sources, voices),
            lambda: {kind: asdict(one) for kind, one in measure(system, conversation, distance).items()},
        )
        return {kind: _measured(values) for kind, values in found.items()}

    def distance(self, conversations: Sequence[RecordedConversation]) -> Path:
        """Where the distance that was fitted to these is kept."""
        return self.path(*map(_heard, conversations), prefix="distance_")


def _heard(conversation: RecordedConversation) -> list[str]:
    """What is heard, and who speaks when."""
    return [conversation.name, file_digest(conversation.audio), file_digest(conversation.rttm)]


def _measured(values: Mapping[str, Any]) -> Measured:
    """From what `asdict` makes of it."""
    separation = values["separation"]
    return Measured(
        **{
            **values,
            "errors": tuple(ErrorSeconds(**one) for one in values["errors"]),
            "jaccard": tuple(values["jaccard"]),
            "voices": tuple(VoiceMeasure(**one) for one in values["voices"]),
            "separation": None
            if separation is None
            else SeparationMeasure(tuple(separation["overlapped_si_snri"]), separation["kept"], separation["alone"]),
        }
    )
