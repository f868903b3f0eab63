"""Sentences for the synthetic voices. One grammar: voices say different things in the same style (our choice)."""

from collections.abc import Iterator

import numpy as np

DETERMINERS = ("the", "every", "this", "that", "our", "her", "his", "their", "another", "some")
ADJECTIVES = (
    "old", "quiet", "yellow", "narrow", "careful", "heavy", "bright", "hungry", "gentle", "frozen", "hollow",
    "clever", "rusty", "silver", "broken", "early", "distant", "purple", "honest", "curious", "wooden", "shallow",
    "jealous", "thirsty",
)  # fmt: skip
PEOPLE = (
    "captain", "baker", "neighbour", "judge", "gardener", "teacher", "sailor", "painter", "doctor", "farmer",
    "pilot", "shepherd", "uncle", "violinist", "visitor", "weaver", "child", "queen", "miner", "juggler", "athlete",
    "engineer", "beekeeper", "giant",
)  # fmt: skip
VERBS = (
    "carried", "forgot", "measured", "followed", "painted", "hid", "borrowed", "polished", "noticed", "collected",
    "delivered", "buried", "weighed", "admired", "repaired", "counted", "photographed", "exchanged", "watched",
    "dropped", "questioned",
)  # fmt: skip
THINGS = (
    "basket", "lantern", "bicycle", "umbrella", "ladder", "violin", "mountain", "newspaper", "kettle", "engine",
    "blanket", "window", "pumpkin", "telescope", "hammer", "orange", "bridge", "jacket", "feather", "chimney",
    "envelope", "shadow", "whistle", "garage",
)  # fmt: skip
PLACES = (
    "across the harbour", "behind the station", "under the staircase", "along the river", "near the old mill",
    "in the kitchen", "above the valley", "outside the theatre", "beside the fountain", "through the orchard",
    "at the crossroads", "on the island",
)  # fmt: skip
TIMES = (
    "before breakfast", "on Thursday", "during the storm", "without a word", "after the concert", "for three weeks",
    "once again", "just in time", "at half past five", "in the winter", "long ago", "until the evening",
    "with great pleasure", "by mistake",
)  # fmt: skip


def sentences(generator: np.random.Generator) -> Iterator[str]:
    """Endless sentences of 10 to 17 words, which espeak-ng speaks in roughly 3 to 5 seconds."""

    def pick(words: tuple[str, ...]) -> str:
        return words[generator.integers(len(words))]

    while True:
        words = [pick(DETERMINERS), pick(ADJECTIVES), pick(PEOPLE), pick(VERBS), "the", pick(ADJECTIVES), pick(THINGS)]
        if generator.random() < 0.7:
            words.append(pick(PLACES))
        if generator.random() < 0.4:
            words += ["and", "the", pick(THINGS)]
        words.append(pick(TIMES))
        text = " ".join(words)
        yield text[0].upper() + text[1:] + "."  # not capitalize(): it writes thursday
