"""Which speakers and which recordings a corpus without official splits gives to test, development and validation.

All draws are keyed by the seed and a name, so that what else the corpus holds changes little.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from csc_fairseq.corpora.preparation import Recording
from csc_fairseq.data.rng import generator, text_key
from csc_fairseq.errors import InputError

KEPT_FOR_TRAINING = 2  # recordings that a speaker keeps for training: two views need two recordings (our choice)
FEWEST_SPEAKERS = 2  # left for training: mixtures need two
# Held out where speakers do not matter and no number is given (our choice).
UTTERANCE_SHARE, FEWEST_UTTERANCES = 0.03, 20


def draw_speakers(speakers: Iterable[str], counts: Mapping[str, float], seed: int) -> dict[str, str]:
    """Split of every speaker: the drawn ones have that of `counts`, all others train.

    Args:
        speakers: labels; repetitions do not matter.
        counts: by the name of the split, a number of speakers (1 or more) or a share of them in (0, 1), rounded, but one at least.
        seed: an order of the speakers depends on it and their labels alone. The first are the first split's, and so on.

    Raises:
        InputError: fewer than two speakers are left for train.
    """
    distinct = set(speakers)
    order = sorted(distinct, key=lambda speaker: (text_key(f"{seed} speakers {speaker}"), speaker))
    split_of = dict.fromkeys(order, "train")
    first = 0
    for split, count in counts.items():
        number = int(count) if count >= 1 else max(1, round(count * len(order)))
        for speaker in order[first : first + number]:
            split_of[speaker] = split
        first += number
    if len(order) - first < FEWEST_SPEAKERS:
        raise InputError(
            f"{len(order)} speakers, {first} of them drawn for {' and '.join(counts)}: at least {FEWEST_SPEAKERS} must be left for "
            "training; draw fewer"
        )
    return split_of


def choose_held_out(
    recordings: Sequence[Recording], per_speaker: int | None, share: float | None, seed: int
) -> list[bool]:
    """Which recordings go to validation: `per_speaker` of each speaker, or a `share` in (0, 1) of them, rounded.

    Every speaker keeps KEPT_FOR_TRAINING recordings. A speaker with fewer than `per_speaker` further recordings gives none.
    The recordings of a speaker are drawn by a generator keyed by (seed, speaker), so other speakers in the corpus do not
    change the choice.
    """
    of_speaker = defaultdict(list)
    for index, recording in enumerate(recordings):
        of_speaker[recording.speaker].append(index)
    held_out = [False] * len(recordings)
    for speaker, indices in of_speaker.items():
        spare = len(indices) - KEPT_FOR_TRAINING
        if per_speaker is not None:
            count = per_speaker if spare >= per_speaker else 0
        else:
            count = min(round(share * len(indices)), max(spare, 0))
        order = np.argsort(generator(seed, "hold-out", speaker).random(len(indices)), kind="stable")
        for position in order[:count]:
            held_out[indices[position]] = True
    return held_out


def choose_held_out_recordings(names: Sequence[str], share: float | None, seed: int) -> list[bool]:
    """Which recordings go to validation, whoever speaks in them, for identity=utterance.

    share: of the recordings, in (0, 1); None: UTTERANCE_SHARE, but at least FEWEST_UTTERANCES of them, or a fifth if they are
    few. They are the first in an order of names that the seed alone decides. InputError if fewer than two recordings would be
    on either side, too few for anything to be told apart.
    """
    count = round((UTTERANCE_SHARE if share is None else share) * len(names))
    if share is None:
        count = max(count, min(FEWEST_UTTERANCES, len(names) // 5))
    if not 2 <= count <= len(names) - 2:
        raise InputError(
            f"{len(names)} recordings, {count} of them held out: at least two must be held out, and two be left; choose another "
            "--valid-share, or add recordings"
        )
    keys = np.array([text_key(f"{seed} hold-out {name}") for name in names])
    held_out = np.zeros(len(names), dtype=bool)
    held_out[np.argsort(keys, kind="stable")[:count]] = True
    return held_out.tolist()
