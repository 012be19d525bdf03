"""Text for a terminal: characters that could move its cursor or hide text are shown escaped."""


def printable(text: object) -> str:
    """Return text with every unprintable character as its escape in Python.

    Control and format characters are unprintable (Unicode categories C and Z, but for the space):
    ESC, line ends, C1 controls, the bidirectional marks. So a value is one line, and what the
    terminal shows of it is in the order in which it was written.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in plain
    )


def printable_lines(text: str) -> str:
    """Return text of several lines, such as a traceback, with each of them printable."""
    return "\n".join(map(printable, text.split("\n")))
