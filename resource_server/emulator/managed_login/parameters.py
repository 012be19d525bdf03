"""Parameters of OAuth requests, in a form or a query string (RFC 6749 §3.1, §3.2)."""

from collections.abc import Mapping

from werkzeug.datastructures import MultiDict


class Repeated(ValueError):
    """A parameter is there more than once."""

    def __init__(self) -> None:
        super().__init__("A parameter is there more than once")


def once_each(sent: MultiDict[str, str]) -> Mapping[str, str]:
    """Return the parameters that have a value. One without counts as left out.

    Raises Repeated, whatever the name and values of the parameter that is.
    """
    if any(len(values) > 1 for _, values in sent.lists()):
        raise Repeated
    return with_values(sent)


def with_values(sent: MultiDict[str, str]) -> dict[str, str]:
    """Return the first value of each parameter that has one."""
    return {name: value for name, value in sent.items() if value}
