"""Random generators keyed by what is drawn, not by when or where. One key gives the same numbers in every process."""

import hashlib
import operator

import numpy as np


def text_key(text: str) -> int:
    """A number in [0, 2⁶³) for a text, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator whose stream depends on `key` alone, e.g. (seed, split, epoch, index).

    Integers and strings differ (1 is not "1"), and so do groupings ("ab", "c" is not "a", "bc"). The key goes through
    BLAKE2, never through hash(), because Python changes hash() from process to process. TypeError for other types.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in key:
        text = f"s{part}" if isinstance(part, str) else f"i{operator.index(part)}"
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))
