"""What Cognito would have sent by e-mail or SMS."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resource_server.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code, or a temporary password, that Cognito would have sent."""

    pool_id: str
    username: str
    destination: str
    code: str = field(repr=False)

    @property
    def way(self) -> str:
        """How it would have been sent."""
        return "texted" if self.destination.startswith("+") else "e-mailed"

    @property
    def sentence(self) -> str:
        """What a terminal shows. The code is in it, and no control character of a name."""
        name, destination, code = map(printable, (self.username, self.destination, self.code))
        return f"Code for {name}, as {self.way} to {destination}: {code}"


class Outbox:
    """Codes that were sent, newest last, and who wants to hear of them."""

    def __init__(self) -> None:
        self.sent: deque[SentCode] = deque(maxlen=1000)
        self.listeners: list[Callable[[SentCode], None]] = []

    def send(self, code: SentCode) -> None:
        """Keep a code and tell the listeners."""
        self.sent.append(code)
        for listener in self.listeners:
            listener(code)

    def last_code(self, username: str) -> str:
        """Return the newest code sent to a user.

        Raises LookupError if there is none.
        """
        for sent in reversed(self.sent):
            if sent.username == username:
                return sent.code
        raise LookupError(f"no code was sent to {username}")


outbox = Outbox()
