"""Pools as they are declared, by a file (pools_file.py) or by us; docs/emulator.md explains all."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)

from resource_server.tokens import UserPool

STANDARD_SCOPES = ("openid", "email", "phone", "profile", "aws.cognito.signin.user.admin")

Flow = Literal[
    "ALLOW_USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"
]
Channel = Literal["email", "phone_number"]


def _pool_id(text: str) -> str:
    UserPool.parse(text)
    return text


def _address(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme or "#" in text:
        raise ValueError("an absolute address without a fragment, as http://localhost:3000/back")
    return text


def _secret(secret: SecretStr) -> SecretStr:
    # ClientSecretType of the API has 24 to 64 characters: SDKs reject shorter ones. These are what
    # HTTP Basic carries alike, whether or not a client encodes it (RFC 6749 §2.3.1).
    if not re.fullmatch(r"[A-Za-z0-9._~-]{24,64}", secret.get_secret_value()):
        raise ValueError("24 to 64 letters, digits and . _ ~ -")
    return secret


Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+]{1,128}$")]
Scope = Annotated[str, StringConstraints(pattern=r"^[!#-.0-\[\]-~]+$")]
Address = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86400)]


class Entry(BaseModel):
    """What is read strictly: no name that is unknown, no text for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PasswordPolicy(Entry):
    """What passwords must have; AWS's default is the default here."""

    minimum_length: Annotated[int, Field(ge=6, le=99)] = 8
    uppercase: bool = True
    lowercase: bool = True
    numbers: bool = True
    symbols: bool = True

    def allows(self, password: str) -> bool:
        """Tell whether a password is good enough."""
        wanted = {
            r"[A-Z]": self.uppercase,
            r"[a-z]": self.lowercase,
            r"[0-9]": self.numbers,
            r"[^A-Za-z0-9\s]": self.symbols,
        }
        has_all = all(re.search(kind, password) for kind, on in wanted.items() if on)
        return has_all and len(password) >= self.minimum_length


class Client(Entry):
    """An app client; without a secret it is a public one."""

    id: Id
    name: Text | None = None
    secret: Annotated[SecretStr, AfterValidator(_secret)] | None = None
    flows: list[Flow] = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    callback_urls: list[Address] = []
    logout_urls: list[Address] = []
    client_credentials: bool = False
    scopes: list[Text] | None = None
    access_token_seconds: Seconds = 3600
    id_token_seconds: Seconds = 3600
    refresh_token_seconds: Seconds = 30 * 86400
    rotate_refresh_tokens: bool = False


class ResourceServer(Entry):
    """An API and its scopes, `identifier/scope`."""

    identifier: Text
    scopes: list[Scope] = []


class User(Entry):
    """Somebody who is there from the beginning."""

    username: Text
    password: SecretStr
    temporary: bool = False
    attributes: dict[str, str] = {}
    groups: list[Text] = []


class Pool(Entry):
    """A user pool."""

    id: Annotated[str, AfterValidator(_pool_id)]
    name: Text | None = None
    mfa: Literal["off", "optional", "on"] = "off"
    sign_in_with: list[Channel] = []
    verify: list[Channel] = ["email"]
    trigger: Text | None = None
    password_policy: PasswordPolicy = PasswordPolicy()
    clients: Annotated[list[Client], Field(min_length=1)]
    resource_servers: list[ResourceServer] = []
    users: list[User] = []

    @property
    def region(self) -> str:
        """The region that the id names."""
        return self.id.partition("_")[0]

    @property
    def custom_scopes(self) -> list[str]:
        """All scopes of the resource servers."""
        return [f"{s.identifier}/{scope}" for s in self.resource_servers for scope in s.scopes]

    def scopes_of(self, client: Client) -> list[str]:
        """Return what a client may ask for: what it lists, or all that its grant can use."""
        if client.scopes is not None:
            return client.scopes
        return self.custom_scopes if client.client_credentials else list(STANDARD_SCOPES)
