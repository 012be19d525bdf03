"""What the application needs of a user directory in order to follow and administrate it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user as the directory has it. `sub` is the key, `username` what operations take.

    `enabled` is None where the directory does not say it.
    """

    sub: str
    username: str
    email: str | None = field(default=None, repr=False)
    full_name: str | None = field(default=None, repr=False)
    enabled: bool | None = True
    status: str = "CONFIRMED"


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """A part of the list of users; `following` leads to the next, None from the last."""

    users: Sequence[DirectoryUser]
    following: str | None = field(default=None, repr=False)


class UserDirectory(Protocol):
    """The administrator's side of a user directory.

    Every method raises an IdentityError of identity/errors.py: besides those named,
    TooManyRequests, DirectoryForbidden and IdentityUnavailable.
    """

    def page(self, following: str | None = None) -> DirectoryPage:
        """List users, at most 60 at once: from the start, or as the page before says.

        The list is no snapshot: who comes or goes meanwhile may be in it or not.
        """

    def estimated_size(self) -> int | None:
        """Tell about how many users there are; None where this may not be asked."""

    def get(self, sub: str) -> DirectoryUser:
        """Return the user with this `sub`, whatever names others have.

        Raises NoSuchUser.
        """

    def find(self, name: str) -> Sequence[DirectoryUser]:
        """Return who is meant by a `sub`, else by a user name, else by an e-mail address.

        Several users may have one address.
        """

    def disable(self, username: str) -> None:
        """Let a user sign in no more, nor refresh; a second time changes nothing.

        Raises NoSuchUser.
        """

    def enable(self, username: str) -> None:
        """Let a user sign in again; a second time changes nothing.

        Raises NoSuchUser.
        """
