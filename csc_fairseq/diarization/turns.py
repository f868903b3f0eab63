"""From talkers to turns: who speaks from when to when, in seconds. Turns of different talkers may overlap.

frames of 20 ms     0 1 2 3 4 5 6 7
talker 0, active    . x x x . . x x       talker_1  0.02 to 0.08 and 0.12 to 0.16
talker 1, active    . . . x x . . .       talker_2  0.06 to 0.10; both between 0.06 and 0.08
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csc_fairseq.data.rttm import Turn
from csc_fairseq.data.speech_activity import runs
from csc_fairseq.inference.talkers import Talkers
from csc_fairseq.inference.windows import Windows

COLUMNS = ("talker", "seconds", "alone", "share", "turns")


@dataclass(frozen=True)
class TalkingTime:
    """How long somebody speaks: seconds in all, those in which nobody else does, and the number of turns."""

    talker: str
    seconds: float
    alone: float
    turns: int


def name_of(talker: int) -> str:
    """The name of a talker: talker_1 is row 0, who speaks most."""
    return f"talker_{talker + 1}"


def turns_of(talkers: Talkers, windows: Windows) -> list[Turn]:
    """Turns by time of start, then in the order of the talkers. The last frame of a recording may be a shorter one."""
    edges = _edges(talkers, windows)
    turns = [
        (edges[start], talker, edges[end])
        for talker, active in enumerate(talkers.active)
        for start, end in runs(active)
    ]
    return [Turn(name_of(talker), float(start), float(end)) for start, talker, end in sorted(turns)]


def talking_times(talkers: Talkers, windows: Windows) -> list[TalkingTime]:
    """One of every talker, in their order. Somebody all of whose speech was taken for noise has 0 seconds."""
    seconds = np.diff(_edges(talkers, windows))
    alone = talkers.active & (talkers.active.sum(axis=0) == 1)
    return [
        TalkingTime(name_of(i), float(active @ seconds), float(by_itself @ seconds), len(runs(active)))
        for i, (active, by_itself) in enumerate(zip(talkers.active, alone, strict=True))
    ]


def table(times: Sequence[TalkingTime], seconds: float) -> list[tuple[str, ...]]:
    """Rows of text under COLUMNS: seconds with two decimals, the share of the recording of so many seconds in %."""
    return [
        (one.talker, f"{one.seconds:.2f}", f"{one.alone:.2f}", f"{100 * one.seconds / seconds:.1f}", str(one.turns))
        for one in times
    ]


def _edges(talkers: Talkers, windows: Windows) -> np.ndarray:
    """Seconds at which the frames begin, and the end of the recording: float64 [F + 1]."""
    samples = np.minimum(np.arange(talkers.active.shape[1] + 1) * windows.frame, windows.samples)
    return samples / windows.sample_rate
