"""Numbers of options, as types for argparse."""

import argparse
import math


def sample_rate(text: str) -> int:
    """A rate in Hz."""
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a rate in Hz such as 16000")
    return int(text)


def seconds(text: str) -> float:
    """A length of 0 s or more."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds, 0 or more")
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1")
    return int(text)


def seed(text: str) -> int:
    """A whole number that all generators take: scikit-learn's have 32 bits."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 0, below 2^32")
    return int(text)


def count_or_share(text: str) -> float:
    """A number of speakers, or a share of them in (0, 1)."""
    value = _number(text)
    if not (0 < value < 1 or value >= 1 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text}: expected a number of speakers, or a share between 0 and 1")
    return value


def _number(text: str) -> float:
    """NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
