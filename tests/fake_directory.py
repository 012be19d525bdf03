"""A user directory in memory, which passes the same tests as the one in Cognito."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from resource_server.identity.directory import DirectoryPage, DirectoryUser
from resource_server.identity.errors import IdentityError, NoSuchUser


class InMemoryDirectory:
    """A UserDirectory of given users.

    `faults` are raised, one a call, before anything is done; `before_page` is called with the
    number of each page before it is given, so that a test can do something meanwhile.
    """

    def __init__(self, users: Iterable[DirectoryUser] = (), *, page_size: int = 60) -> None:
        self.users = {user.sub: user for user in users}
        self.page_size = page_size
        self.faults: list[IdentityError] = []
        self.calls: list[str] = []
        self.before_page: Callable[[int], object] = lambda _: None

    def put(self, user: DirectoryUser) -> None:
        """Add a user, or replace the one with the same `sub`."""
        self.users[user.sub] = user

    def page(self, following: str | None = None) -> DirectoryPage:
        """See UserDirectory."""
        self._called("page")
        number = int(following or 0)
        self.before_page(number)
        start = number * self.page_size
        listed = list(self.users.values())[start : start + self.page_size]
        more = len(self.users) > start + self.page_size
        return DirectoryPage(listed, str(number + 1) if more else None)

    def estimated_size(self) -> int | None:
        """See UserDirectory."""
        return len(self.users)

    def get(self, sub: str) -> DirectoryUser:
        """See UserDirectory."""
        self._called("get")
        try:
            return self.users[sub]
        except KeyError:
            raise NoSuchUser from None

    def find(self, name: str) -> Sequence[DirectoryUser]:
        """See UserDirectory."""
        self._called("find")
        users = self.users.values()
        return (
            [user for user in users if user.sub == name]
            or [user for user in users if user.username == name]
            or [user for user in users if user.email == name]
        )

    def disable(self, username: str) -> None:
        """See UserDirectory."""
        self._called("disable")
        self._set_enabled(username, enabled=False)

    def enable(self, username: str) -> None:
        """See UserDirectory."""
        self._called("enable")
        self._set_enabled(username, enabled=True)

    def _set_enabled(self, username: str, *, enabled: bool) -> None:
        for user in self.users.values():
            if user.username == username:
                self.put(replace(user, enabled=enabled))
                return
        raise NoSuchUser

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        if self.faults:
            raise self.faults.pop(0)
