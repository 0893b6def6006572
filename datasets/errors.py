"""The one exception for a mistake in what the user gave us."""


class InputError(Exception):
    """A mistake in the user's input: a path, a file, a label, an option.

    The message is one line that says what is wrong, where, and what to do. The command line prints
    it without a traceback and exits with code 2; nothing half-written is left behind.
    """
