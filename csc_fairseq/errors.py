"""The one exception for input that the user can mend."""


class InputError(ValueError):
    """Bad input from the user: a file, a line, an option.

    The message is one line that says what was found and where, what was expected, and what to do. Command-line programs print
    it without a traceback.
    """
