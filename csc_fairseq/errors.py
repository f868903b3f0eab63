"""The one exception for input that the user can mend."""

from hydra.errors import CompactHydraException


class InputError(CompactHydraException, ValueError):
    """Bad input from the user: a file, a line, an option.

    The message is one line that says what was found and where, what was expected, and what to do. Programs print it without a
    traceback: `csc` does so itself, `fairseq-hydra-train` because Hydra shows this kind of exception by its message alone.
    """

    def __init__(self, message: str) -> None:
        # PyTorch rebuilds an exception of a data worker from the text of its traceback, whose last line holds the message.
        last = message.rstrip().rpartition("\n")[2]
        super().__init__(last.partition(f"{type(self).__name__}: ")[2] or last)
