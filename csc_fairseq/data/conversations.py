"""Simulated conversations: who speaks when, in which room, over which noise, drawn before anything is rendered.

Every number is our choice. A conversation is a row of turns. The next talker begins after a pause, or before the last one has
ended; at most two speak at once, and nobody twice. ::

    talker 0   [=== ======]            [=======]
    talker 1              . . [=====]      [== ====]
                              ^ a pause    ^ an overlap

A turn is put together from *pieces*: stretches of speech of the talker's recordings, without the silence at their ends, with
pauses of at most 0.3 s between them. So the reference is what can be heard: from the first active frame of a turn to its last
one, and a pause of more than 0.4 s (`speech_activity.PAUSE`) is never within a turn.

All speech of a talker is used before any is used again. Small corpora make recordings come back often: what is said is then
easier to know again than in real conversations. A plan tells how often (`Talker.uses`).
"""

import math
from dataclasses import dataclass

from csc_fairseq.data.mixing_plans import NoisePlan
from csc_fairseq.data.rttm import Turn, speaking_seconds
from csc_fairseq.data.speech_activity import PAUSE
from csc_fairseq.errors import InputError

MOST_OVERLAP = 0.4  # turns of a few seconds, two at once at most, hold no more
LEAST_TURN = 0.5  # seconds
SHORTEST_OVERLAP = 0.1  # seconds; less is hardly heard
OWN_PAUSE = PAUSE + 0.1  # seconds between two turns of one talker, which would be one turn with a shorter pause


@dataclass(frozen=True)
class ConversationOptions:
    """How conversations are drawn. InputError for impossible values.

    sample_rate: Hz. talkers: how many speak. seconds: length. overlap: share of the time in which anybody speaks during which two
    speak at once. pause: range of the pauses between turns (s). turn: range of the lengths of turns (s); some end sooner, with a
    recording. level_spread_db: talkers differ by at most this, each has one level. noise_probability: share of conversations with
    noise. noise_snr_db: range of the level of a talker of the usual level over the noise (dB). rir_probability: share of the
    conversations that are in a room, if there are room responses. enrolments: recordings that enrol each voice, which are not heard
    in the conversation. absent: voices that are enrolled and not in the conversation. uses: how often a recording may be heard in
    one conversation.
    """

    sample_rate: int = 16000
    talkers: int = 2
    seconds: float = 300.0
    overlap: float = 0.15
    pause: tuple[float, float] = (0.2, 1.5)
    turn: tuple[float, float] = (1.0, 8.0)
    level_spread_db: float = 6.0
    noise_probability: float = 1.0
    noise_snr_db: tuple[float, float] = (10.0, 25.0)
    rir_probability: float = 1.0
    enrolments: int = 3
    absent: int = 4
    uses: int = 20

    def __post_init__(self) -> None:
        for name, least in (("sample_rate", 1), ("talkers", 1), ("enrolments", 1), ("absent", 0), ("uses", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number of at least {least}")
        for name in ("noise_probability", "rir_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected a share between 0 and 1")
        if not 0 <= self.overlap <= MOST_OVERLAP:
            raise InputError(f"overlap is {self.overlap}, expected a share between 0 and {MOST_OVERLAP}")
        if self.talkers == 1 and self.overlap:
            raise InputError(f"overlap is {self.overlap} but talkers is 1; set overlap to 0, or take more talkers")
        for name, shortest in (("pause", 0.0), ("turn", LEAST_TURN)):
            low, high = getattr(self, name)
            if not shortest <= low <= high < math.inf:
                raise InputError(
                    f"{name} is {(low, high)}, expected (shortest, longest) in seconds, {shortest:g} or more"
                )
        low, high = self.noise_snr_db
        if not -math.inf < low <= high < math.inf:
            raise InputError(f"noise_snr_db is {(low, high)}, expected (lowest, highest) in dB, e.g. (10, 25)")
        if not 0 <= self.level_spread_db < math.inf:
            raise InputError(f"level_spread_db is {self.level_spread_db}, expected dB, 0 or more")
        if not self.seconds_for_all <= self.seconds < math.inf:
            raise InputError(
                f"a conversation lasts {self.seconds:g} s, too short for {self.talkers} talkers to speak, expected "
                f"{self.seconds_for_all:g} s at least; make it longer, or turns and pauses shorter"
            )

    @property
    def seconds_for_all(self) -> float:
        """Seconds within which everybody speaks once, however lengths are drawn."""
        return self.talkers * (self.turn[1] + max(self.pause[1], OWN_PAUSE))

    def samples(self, seconds: float) -> int:
        """Seconds as samples."""
        return round(seconds * self.sample_rate)


@dataclass(frozen=True)
class Piece:
    """Samples [start, start + frames) of a recording of the pool, heard from sample `offset` of the conversation."""

    recording: int
    start: int
    frames: int
    offset: int


@dataclass(frozen=True)
class Voice:
    """Somebody who is enrolled.

    speaker: label in the manifest. name: the same as a file name and in RTTM. enrolments: recordings of the pool.
    """

    speaker: str
    name: str
    enrolments: tuple[int, ...]


@dataclass(frozen=True)
class Talker(Voice):
    """Somebody who speaks.

    level_db: over the usual level of speech. sign: 1, or −1 if turned upside down. rir: room response, −1 for none. pieces: what
    is heard, in the order of time; none overlaps another. uses: how often all speech of the talker was gone through, 1 if none was
    heard twice.
    """

    level_db: float
    sign: int
    rir: int
    pieces: tuple[Piece, ...]
    uses: int

    def extents(self, sample_rate: int) -> list[tuple[int, int]]:
        """The turns, in samples: pieces that no pause of more than 0.4 s separates are one."""
        found: list[tuple[int, int]] = []
        for piece in self.pieces:
            end = piece.offset + piece.frames
            if found and piece.offset - found[-1][1] <= PAUSE * sample_rate:
                found[-1] = found[-1][0], end
            else:
                found.append((piece.offset, end))
        return found


@dataclass(frozen=True)
class ConversationPlan:
    """One conversation of `frames` samples.

    absent: voices that are not in it. noise: None for none. left_out: speakers that were drawn, but have too little speech.
    """

    number: int
    sample_rate: int
    frames: int
    talkers: tuple[Talker, ...]
    absent: tuple[Voice, ...]
    noise: NoisePlan | None
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As a file name and in RTTM."""
        return f"conversation_{self.number:03d}"

    def reference(self) -> list[Turn]:
        """Who speaks when, in the order of the starts."""
        turns = [
            Turn(talker.name, start / self.sample_rate, end / self.sample_rate)
            for talker in self.talkers
            for start, end in talker.extents(self.sample_rate)
        ]
        return sorted(turns, key=lambda turn: turn.start)

    @property
    def overlap(self) -> float:
        """Share of the time in which anybody speaks during which two do."""
        anybody, several = speaking_seconds(self.reference())
        return several / anybody
