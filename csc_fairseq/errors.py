"""The one exception for input that the user can correct."""

import sys

# Hydra prints a CompactHydraException by its message alone, so InputError is one of them where a Hydra program runs: its command
# has imported Hydra by the time that it imports this package. Elsewhere Hydra is not imported, even if it is installed: it takes
# half a second. A data worker that starts without Hydra is no exception to this, because PyTorch raises its errors again in the
# main process, from the class of that process.
_HYDRA = sys.modules.get("hydra.errors")
_BASES: tuple[type, ...] = (ValueError,) if _HYDRA is None else (_HYDRA.CompactHydraException, ValueError)

LONGEST = 2000  # characters of a message


class InputError(*_BASES):  # type: ignore[misc]  # the bases depend on the program
    """Bad input from the user: a file, a line, an option.

    The message is one line that says what was found and where, what was expected, and what to do. Programs print it without a
    traceback: `csc` does so itself, `fairseq-hydra-train` because Hydra does it for its own exceptions, and this is one there.
    """

    def __init__(self, message: str) -> None:
        # PyTorch rebuilds an exception of a data worker from the text of its traceback, whose last line holds the message.
        # A message of one line is our own: it is kept as it is, whatever it quotes from a file.
        *earlier, last = message.rstrip().split("\n")
        text = (last.partition(f"{type(self).__name__}: ")[2] if earlier else "") or last
        # What a damaged file has in a line may be long; the place is at the beginning, and what to do at the end.
        half = LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} […] {text[-half:]}")
