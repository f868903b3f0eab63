"""Draws conversations (`conversations.py`): one key, one plan, whatever else is drawn."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.conversations import (
    OWN_PAUSE,
    SHORTEST_OVERLAP,
    ConversationOptions,
    ConversationPlan,
    Piece,
    Talker,
    Voice,
)
from csc_fairseq.data.manifest import label_path, read_labels
from csc_fairseq.data.mixing_plans import draw_noise
from csc_fairseq.data.rng import generator
from csc_fairseq.data.speech_activity import SHORTEST
from csc_fairseq.data.speech_pool import SpeechPool
from csc_fairseq.errors import InputError

GOES_ON = 0.15  # share of the turns that come from the talker of the turn before
OVERLAPS = 0.7  # share of the changes of talkers that overlap; all do where much overlap lacks
REPAID = (0.8, 1.4)  # an overlap is so many times what lacks: others will be too short
BREATH = (0.05, 0.3)  # seconds between two pieces of a turn
LEAST_ENROLMENT = 1.0  # seconds of speech


def draw_conversation(
    options: ConversationOptions,
    pool: SpeechPool,
    seed: int,
    number: int,
    noise: NoiseBank | None = None,
    rirs: RirBank | None = None,
) -> ConversationPlan:
    """Conversation `number` of a seed.

    It depends on the seed, the number, the options and the recordings alone. Without `noise` recordings the noise is white;
    without `rirs` nobody is in a room. All talkers are in one room, at different places if its responses suffice. A room is what
    the .domain file of the responses' manifest says, or the folder of a response.

    Speakers with too little speech to be enrolled, or beside that none to be heard, give way to others.

    InputError: too few speakers with enough recordings and speech, a speaker with too little speech for the time that it talks,
    unreadable or silent recordings.
    """
    rng = generator("conversation", seed, number)
    enrolled, rests, left_out = _draw_voices(options, pool, rng)
    queues = [
        _SpeechQueue(options, pool, voice.speaker, rest, rng)
        for voice, rest in zip(enrolled[: options.talkers], rests, strict=False)
    ]
    turns = _draw_turns(options, queues, rng)
    levels = rng.uniform(-0.5, 0.5, options.talkers) * options.level_spread_db
    signs = 1 - 2 * rng.integers(2, size=options.talkers)
    places = _draw_places(options, rirs, rng)
    frames = options.samples(options.seconds)
    heard = rng.random() < options.noise_probability
    noise_plan = draw_noise(options.noise_snr_db, frames, noise, rng) if heard else None
    talkers = []
    for place, (voice, queue) in enumerate(zip(enrolled[: options.talkers], queues, strict=True)):
        pieces = tuple(piece for turn in turns if turn.talker == place for piece in turn.pieces)
        talkers.append(
            Talker(
                voice.speaker,
                voice.name,
                voice.enrolments,
                level_db=float(levels[place]),
                sign=int(signs[place]),
                rir=places[place],
                pieces=pieces,
                uses=queue.uses,
            )
        )
    return ConversationPlan(
        number,
        options.sample_rate,
        frames,
        tuple(talkers),
        tuple(enrolled[options.talkers :]),
        noise_plan,
        tuple(left_out),
    )


def eligible(options: ConversationOptions, pool: SpeechPool) -> list[int]:
    """Groups of the pool with enough recordings to be enrolled and to speak. InputError if there are too few of them."""
    found = np.flatnonzero(pool.group_sizes() > options.enrolments).tolist()
    wanted = options.talkers + options.absent
    if len(found) < wanted:
        raise InputError(
            f"{pool.manifest.path}: has {len(found)} speakers with more than {options.enrolments} recordings (of "
            f"{pool.group_count} in all), expected {wanted}: {options.talkers} who speak and {options.absent} who are absent; add "
            "speakers, or ask for fewer talkers, absent ones or enrolments"
        )
    return found


def safe_names(labels: Sequence[str]) -> list[str]:
    """A name for each distinct label that is a file name and a word: other characters become _, and equal ones get a number."""
    names: list[str] = []
    taken = set()
    for label in labels:
        plain = re.sub(r"[^\w.+-]", "_", label).lstrip(".") or "_"
        name, count = plain, 1
        while name.casefold() in taken:  # some file systems do not tell cases apart
            count += 1
            name = f"{plain}_{count}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _draw_voices(
    options: ConversationOptions, pool: SpeechPool, rng: np.random.Generator
) -> tuple[list[Voice], list[list[int]], list[str]]:
    """Voices, those who speak first; of each the recordings that do not enrol it; speakers that were left out.

    InputError: too few speakers with enough speech.
    """
    able = eligible(options, pool)
    wanted = options.talkers + options.absent
    drawn = rng.choice(able, wanted, replace=False)
    chosen: list[int] = drawn.tolist()
    others: list[int] | None = None  # drawn once somebody is left out
    names = safe_names(pool.group_labels)
    voices: list[Voice] = []
    rests, left_out = list[list[int]](), list[str]()
    while len(voices) < wanted:
        if not chosen:
            raise InputError(
                f"{pool.manifest.path}: {len(left_out)} of the {len(able)} speakers with more than {options.enrolments} "
                f"recordings ({left_out[0]}, …) have fewer than {options.enrolments} with {LEAST_ENROLMENT:g} s of speech to enrol "
                f"them, or nothing beside these to say, expected {wanted} that have; ask for fewer talkers, absent ones or "
                "enrolments, or add recordings"
            )
        group = chosen.pop(0)
        order = rng.permutation(pool.members(group)).tolist()
        enrolments = _enrolments(options, pool, order)
        rest = [recording for recording in order if recording not in enrolments]
        speaks = len(voices) < options.talkers
        if len(enrolments) < options.enrolments or (speaks and not any(pool.speech(one).samples for one in rest)):
            left_out.append(pool.group_labels[group])
            if others is None:
                others = rng.permutation(np.setdiff1d(able, drawn)).tolist()
            chosen += others[:1]
            del others[:1]
            continue
        voices.append(Voice(pool.group_labels[group], names[group], tuple(enrolments)))
        rests.append(rest)
    return voices, rests, left_out


def _enrolments(options: ConversationOptions, pool: SpeechPool, order: Sequence[int]) -> list[int]:
    """The first recordings of `order` with a second of speech, as many as enrol a voice, or all there are."""
    found: list[int] = []
    for recording in order:
        if len(found) == options.enrolments:
            break
        if pool.speech(recording).samples >= options.samples(LEAST_ENROLMENT):
            found.append(recording)
    return found


def _draw_places(options: ConversationOptions, rirs: RirBank | None, rng: np.random.Generator) -> list[int]:
    """A room response for every talker, all of one room; −1 for all without a room."""
    if rirs is None or rng.random() >= options.rir_probability:
        return [-1] * options.talkers
    rooms: Sequence[str]
    if label_path(rirs.manifest, "domain").is_file():
        rooms = read_labels(rirs.manifest, "domain")
    else:
        rooms = [name.rpartition("/")[0] for name in rirs.manifest.names]
    room = rooms[int(rng.integers(len(rooms)))]
    places = [response for response, label in enumerate(rooms) if label == room]
    return rng.choice(places, options.talkers, replace=len(places) < options.talkers).tolist()


@dataclass
class _SpeechQueue:
    """The speech of one talker, handed out in pieces; all of it before any again.

    recordings: those that may be heard. uses: how often they were gone through, the time that is going on included.
    """

    options: ConversationOptions
    pool: SpeechPool
    speaker: str
    recordings: Sequence[int]
    rng: np.random.Generator
    uses: int = 0
    _left: list[tuple[int, int, int]] = field(default_factory=list)

    def turn(self, most: int) -> list[Piece]:
        """At least one piece, all together at most `most` samples from the first, which is at 0, to the end of the last."""
        pieces: list[Piece] = []
        offset = 0
        while most - offset >= self.options.samples(SHORTEST):
            recording, start, end = self._next()
            frames, rest = self._cut(recording, start, end, most - offset)
            pieces.append(Piece(recording, start, frames, offset))
            if end - rest >= self.options.samples(SHORTEST):
                self._left.append((recording, rest, end))
            offset += frames + self.options.samples(self.rng.uniform(*BREATH))
        return pieces

    def _cut(self, recording: int, start: int, end: int, most: int) -> tuple[int, int]:
        """Length of a piece of the stretch [start, end) that ends with speech, and where speech goes on after it."""
        if end - start <= most:
            return end - start, end
        frame = self.pool.frame
        active = np.flatnonzero(self.pool.speech(recording).active[start // frame : end // frame])
        taken = int(np.searchsorted(active, most // frame))
        return int(active[taken - 1] + 1) * frame, start + int(active[taken]) * frame

    def _next(self) -> tuple[int, int, int]:
        """(recording, first sample, end) of the next stretch, which is taken away."""
        if not self._left:
            self._fill()
        return self._left.pop()

    def _fill(self) -> None:
        found = [
            (recording, start, end)
            for recording in self.recordings
            for start, end in self.pool.speech(recording).stretches.tolist()
        ]
        seconds = sum(end - start for _, start, end in found) / self.options.sample_rate
        if not found or self.uses == self.options.uses:
            raise InputError(
                f"{self.pool.manifest.path}: speaker {self.speaker!r} has {seconds:.1f} s of speech beside the enrolments, too "
                f"little for a conversation of {self.options.seconds:g} s although it may be heard {self.options.uses} times; "
                "shorten the conversation, take more talkers, allow more uses, or add recordings"
            )
        self.uses += 1
        self._left = [found[place] for place in self.rng.permutation(len(found))]


@dataclass(frozen=True)
class _Turn:
    talker: int
    start: int
    end: int
    pieces: tuple[Piece, ...]


def _draw_turns(options: ConversationOptions, queues: Sequence[_SpeechQueue], rng: np.random.Generator) -> list[_Turn]:
    """Turns in the order of their starts. The share of overlap is steered: every overlap makes good, on average, what lacks."""
    turns: list[_Turn] = []
    first = rng.permutation(options.talkers).tolist()  # everybody speaks
    own_end = [0] * options.talkers  # of the last turn of each, as late as the next one may follow
    last_end = alone_from = 0  # the end of all turns; from where on only one talker speaks
    spoken = overlapped = 0
    own_pause, shortest_overlap = options.samples(OWN_PAUSE), options.samples(SHORTEST_OVERLAP)
    while True:
        talker = first[len(turns)] if len(turns) < options.talkers else _next_talker(options, turns[-1].talker, rng)
        pause = options.samples(rng.uniform(*options.pause))
        earliest = max(last_end + pause, own_end[talker] + own_pause if own_end[talker] else 0)
        most = min(options.samples(rng.uniform(*options.turn)), options.samples(options.seconds) - earliest)
        if most < options.samples(options.turn[0]):
            return turns
        pieces = queues[talker].turn(most)
        length = pieces[-1].offset + pieces[-1].frames
        start, common = earliest, 0
        lacking = (options.overlap * (spoken + length) - overlapped) / (1 + options.overlap)
        overlaps = rng.random() < OVERLAPS or lacking > length / 2
        if turns and talker != turns[-1].talker and lacking >= shortest_overlap and overlaps:
            bound = max(alone_from, own_end[talker] + own_pause if own_end[talker] else 0)
            common = min(length, last_end - bound, round(lacking * rng.uniform(*REPAID)))
            if common < shortest_overlap:
                common = 0
            elif common == length:  # all of it is said while the other one goes on
                start = int(rng.integers(bound, last_end - length + 1))
            else:
                start = last_end - common
        turns.append(_Turn(talker, start, start + length, tuple(_moved(piece, start) for piece in pieces)))
        spoken, overlapped = spoken + length - common, overlapped + common
        own_end[talker] = start + length
        if common:
            alone_from = min(last_end, start + length)
        else:
            alone_from = start
        last_end = max(last_end, start + length)


def _next_talker(options: ConversationOptions, last: int, rng: np.random.Generator) -> int:
    """Mostly another one than the last."""
    goes_on = rng.random() < GOES_ON
    if options.talkers == 1 or goes_on:
        return last
    return (last + int(rng.integers(1, options.talkers))) % options.talkers


def _moved(piece: Piece, frames: int) -> Piece:
    return Piece(piece.recording, piece.start, piece.frames, piece.offset + frames)
