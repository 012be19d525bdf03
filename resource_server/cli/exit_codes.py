"""Exit statuses of the commands: each has one meaning (docs/operations.md, "Exit statuses").

click exits with 0, 1 for an error and 2 for wrong usage. gunicorn uses 3 and 4 of its own.
"""

DIFFERS = 5
"""`plan` or `doctor` worked and found something to change."""
INTERRUPTED = 130
"""Ctrl-C ended the command, as shells count it (128 and the number of the signal)."""
