"""What clients send and get about users.

A field takes what Cognito's own operation takes (API reference, botocore's model of
`cognito-idp`). It is passed on as it was sent, without normalisation. Only the full name is
trimmed.
"""

import unicodedata
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    Secret,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.config import JsonDict

from resource_server.bodies import Numbered, Schema, shown, strict_json

# UsernameType: a name or an alias, 1 to 128 characters. None of them is blank.
_NAME = r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+$"
# For the document: few tools know \p in a pattern.
_SHOWN: JsonDict = {
    "pattern": r"^\S+$",
    "description": "Letters, marks, symbols, numbers and punctuation; no blanks",
}
Username = Annotated[
    str, Field(min_length=1, max_length=128, pattern=_NAME, json_schema_extra=_SHOWN)
]
# A mailbox of RFC 5321 §4.1.2 with the characters of RFC 6531: a dot-atom, `@`, a domain of labels.
# There is no quoted local part, display name or address literal. The name need not be in DNS:
# `.local`, `.test` and `home.arpa` are fine. 320 characters are 64 + 1 + 255.
_ATOM = r"""[^\s\p{C}\p{Z}"(),.:;<>@\[\\\]]+"""
_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?"
_EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*$"
Email = Annotated[
    str,
    Field(
        max_length=320,
        pattern=_EMAIL,
        json_schema_extra={"format": "email", "pattern": r"^[^\s@]+@[^\s@]+$"},
    ),
]
Code = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        pattern=r"^[^\s\p{Cc}]+$",
        json_schema_extra={"pattern": r"^\S+$"},
    ),
]
# Forms do not show these, and no response repeats them.
_hidden = Field(json_schema_extra={"format": "password", "writeOnly": True})
Password = Annotated[Secret[Annotated[str, Field(min_length=1, max_length=256)]], _hidden]
# PasswordType, as Cognito reads its pattern: blanks within a password are fine, not at its ends.
NewPassword = Annotated[
    Secret[Annotated[str, Field(min_length=1, max_length=256, pattern=r"^\S(?:.*\S)?$")]], _hidden
]
SessionText = Annotated[Secret[Annotated[str, Field(min_length=20, max_length=4096)]], _hidden]


def _without_names(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """Say what is wrong with an object without the member's name, which is the caller's text."""
    try:
        return handler(value)
    except ValidationError:
        raise ValueError("an object of text, as the description says") from None


def _of_json(value: object) -> object:
    """Read an object that a form has as text."""
    if not isinstance(value, str):
        return value
    try:
        return strict_json(value)
    except ValueError:
        raise ValueError("not a JSON object") from None


Metadata = Annotated[
    dict[str, str],
    WrapValidator(_without_names),
    Field(
        description="ClientMetadata: text for the pool's Lambda triggers. Cognito does not "
        "check it, and neither may a trigger believe it.",
    ),
]
FormMetadata = Annotated[
    Metadata,
    BeforeValidator(_of_json),
    WithJsonSchema(
        {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "ClientMetadata: a JSON object of text for the pool's Lambda triggers",
        }
    ),
]
UserContextData = Annotated[
    str,
    Field(
        min_length=1,
        description="What AWS's context data library collected of the user's device "
        "(EncodedData), for threat protection",
    ),
]
DeviceKey = Annotated[
    str,
    Field(
        max_length=55,
        pattern=r"^[A-Za-z0-9_-]+_[0-9a-f-]+$",
        description="The device of the sign-in, where the pool remembers devices",
    ),
]
Attributes = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=32)],
        Annotated[str, Field(max_length=2048)],
    ],
    WrapValidator(_without_names),
    Field(
        description="Further attributes, under Cognito's names (1-32 characters) with values of "
        "up to 2,048: those of COGNITO_WRITABLE_ATTRIBUTES",
    ),
]


class InContext(Schema):
    """What a request may add for the pool's triggers and for its threat protection."""

    client_metadata: Metadata = Field(default_factory=dict)
    user_context_data: UserContextData | None = None


class FormInContext(Schema):
    """The same in a form, whose values are text."""

    client_metadata: FormMetadata = Field(default_factory=dict)
    user_context_data: UserContextData | None = None


OpaqueToken = Annotated[
    Secret[Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_=.-]+$")]], _hidden
]


class SignUpIn(InContext):
    """A new account."""

    model_config = shown(
        {"username": "ada", "email": "ada@example.com", "password": "Str0ng-passw0rd!"}
    )

    username: Username
    email: Email
    password: NewPassword
    attributes: Attributes = Field(default_factory=dict)


class VerifyIn(InContext):
    """The code that was sent to the account's e-mail address."""

    model_config = shown({"username": "ada", "confirmation_code": "123456"})

    username: Username
    confirmation_code: Code


class ResendIn(InContext):
    """The account that needs a new code."""

    model_config = shown({"username": "ada"})

    username: Username


# The responses to each challenge (API reference, RespondToAuthChallenge): one of the sets.
# USERNAME and SECRET_HASH are not among them, because this service sends those.
_SRP = {"PASSWORD_CLAIM_SIGNATURE", "PASSWORD_CLAIM_SECRET_BLOCK", "TIMESTAMP"}
_ANSWERS: dict[str, tuple[set[str], ...]] = {
    "NEW_PASSWORD_REQUIRED": ({"NEW_PASSWORD"},),
    "SOFTWARE_TOKEN_MFA": ({"SOFTWARE_TOKEN_MFA_CODE"},),
    "SMS_MFA": ({"SMS_MFA_CODE"},),
    "SMS_OTP": ({"SMS_OTP_CODE"},),
    "EMAIL_OTP": ({"EMAIL_OTP_CODE"},),
    "SELECT_MFA_TYPE": ({"ANSWER"},),
    "MFA_SETUP": (set(),),  # the session of VerifySoftwareToken says it all
    "CUSTOM_CHALLENGE": ({"ANSWER"},),
    "SELECT_CHALLENGE": (
        {"ANSWER"},
        {"ANSWER", "PASSWORD"},
        {"ANSWER", "SRP_A"},
        {"ANSWER", "CREDENTIAL"},
    ),
    "PASSWORD": ({"PASSWORD"},),
    "PASSWORD_SRP": ({"SRP_A"},),
    "PASSWORD_VERIFIER": (_SRP,),
    "WEB_AUTHN": ({"CREDENTIAL"},),
    "DEVICE_SRP_AUTH": ({"SRP_A", "DEVICE_KEY"},),
    "DEVICE_PASSWORD_VERIFIER": ({*_SRP, "DEVICE_KEY"},),
}
_USER_ATTRIBUTE = "userAttributes."  # what NEW_PASSWORD_REQUIRED takes beside the password
_DEVICE_KEY = "DEVICE_KEY"  # what every challenge takes where the pool remembers devices


class LoginForm(FormInContext):
    """The OAuth 2 password grant (RFC 6749 §4.3.2), as a form."""

    model_config = shown(
        {"grant_type": "password", "username": "ada", "password": "Str0ng-passw0rd!"}
    )

    grant_type: Literal["password"] = "password"
    username: Username
    password: Password
    device_key: DeviceKey | None = None


class ChallengeIn(InContext):
    """The answer to a challenge, under the names that Cognito gives to it."""

    model_config = shown(
        {
            "username": "ada",
            "session": "AYABeD9Hk2v3example0session",
            "challenge": "SOFTWARE_TOKEN_MFA",
            "responses": {"SOFTWARE_TOKEN_MFA_CODE": "123456"},
        }
    )

    username: Username
    session: SessionText | None = None
    challenge: Annotated[str, Field(json_schema_extra={"enum": list(_ANSWERS)})]
    responses: Annotated[
        dict[str, Annotated[Secret[str], _hidden]],
        WrapValidator(_without_names),
        Field(description="Under Cognito's names; a value is not empty, but for attributes"),
    ]

    @property
    def user_attributes(self) -> set[str]:
        """The attributes among the responses, under Cognito's names."""
        return {
            name.removeprefix(_USER_ATTRIBUTE)
            for name in self.responses
            if name.startswith(_USER_ATTRIBUTE)
        }

    @model_validator(mode="after")
    def _has_its_answers(self) -> Self:
        possible = _ANSWERS.get(self.challenge)
        if possible is None:
            raise ValueError(f"challenge must be one of {', '.join(_ANSWERS)}")
        given = set()
        for name, value in self.responses.items():
            if self.challenge == "NEW_PASSWORD_REQUIRED" and name.startswith(_USER_ATTRIBUTE):
                continue
            if not value.get_secret_value():
                raise ValueError("responses must not be empty")
            given.add(name)
        if not any(given in (needed, needed | {_DEVICE_KEY}) for needed in possible):
            needed = " or ".join(" and ".join(sorted(each)) or "none" for each in possible)
            raise ValueError(f"responses for {self.challenge}: {needed}")
        return self


class RefreshForm(Schema):
    """The OAuth 2 refresh grant (RFC 6749 §6), as a form.

    `username` (the real one, or the `sub`) is needed only where Cognito's
    GetTokensFromRefreshToken is not to be had.
    """

    model_config = shown({"grant_type": "refresh_token", "refresh_token": "eyJjdHkiOiJKV1QiLCJl"})

    grant_type: Literal["refresh_token"]
    refresh_token: OpaqueToken
    username: Username | None = None
    device_key: DeviceKey | None = None
    client_metadata: FormMetadata = Field(default_factory=dict)


class LogoutIn(Schema):
    """Which sign-ins end: all of them, or the one of the refresh token."""

    model_config = shown({"everywhere": True})

    refresh_token: OpaqueToken | None = None
    everywhere: StrictBool = True
    device_key: DeviceKey | None = None

    @model_validator(mode="after")
    def _names_one_sign_in(self) -> Self:
        if not self.everywhere and self.refresh_token is None:
            raise ValueError("to end one sign-in alone, send its refresh_token")
        return self


class ForgotPasswordIn(InContext):
    """The account that needs a code for a new password."""

    model_config = shown({"username": "ada"})

    username: Username


class ResetPasswordIn(InContext):
    """A new password, with the code that was sent."""

    model_config = shown(
        {"username": "ada", "confirmation_code": "123456", "password": "Str0ng-passw0rd!"}
    )

    username: Username
    confirmation_code: Code
    password: NewPassword


class ChangePasswordIn(Schema):
    """A new password, with the one that it replaces."""

    model_config = shown({"previous_password": "Str0ng-passw0rd!", "password": "0ther-passw0rd!"})

    previous_password: Password
    password: NewPassword


def _has_no_controls(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("no control characters")
    return text


class ProfilePatch(Schema):
    """What users change about themselves."""

    model_config = shown({"full_name": "Ada Lovelace"})

    full_name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=256),
        AfterValidator(_has_no_controls),
    ]
    client_metadata: Metadata = Field(default_factory=dict)


class DeviceIn(Schema):
    """The device of a sign-in, which the user wants to go on using.

    `password_verifier` and `salt` are the device's, in base64: what the client proves it with at a
    later sign-in (Cognito guide, "Working with user devices in your user pool").
    """

    model_config = shown(
        {
            "device_key": "eu-west-2_11111111-1111-1111-1111-111111111111",
            "device_name": "Ada's telephone",
            "password_verifier": "bm90IGEgcmVhbCB2ZXJpZmllcg==",
            "salt": "bm90IGEgcmVhbCBzYWx0",
        }
    )

    device_key: DeviceKey
    device_name: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    password_verifier: Annotated[str, Field(min_length=1)] | None = None
    salt: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.password_verifier is None) != (self.salt is None):
            raise ValueError("password_verifier and salt: both or neither")
        return self


class DeviceOut(Schema):
    """The device was confirmed. Refreshing with its key works from now on."""

    model_config = shown({"message": "Device confirmed", "user_confirmation_necessary": False})

    message: str
    user_confirmation_necessary: bool
    """Whether the pool remembers a device only after the user agreed (UpdateDeviceStatus)."""


class TotpIn(Schema):
    """A first code of the authenticator app."""

    model_config = shown({"confirmation_code": "123456", "device_name": "Ada's telephone"})

    confirmation_code: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    device_name: str | None = None


class TotpPreference(Schema):
    """Whether sign-ins ask for a code of the authenticator app."""

    model_config = shown({"enabled": True})

    enabled: StrictBool


class TotpOut(Schema):
    """The secret for an authenticator app, shown once; the address is what a QR code holds."""

    model_config = shown(
        {
            "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
            "otpauth_uri": "otpauth://totp/resource_server%3Aada%40example.com"
            "?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=resource_server",
        }
    )

    secret: str
    otpauth_uri: str


class ChallengeOut(Schema):
    """The sign-in needs another step."""

    model_config = shown(
        {
            "error": "challenge_required",
            "challenge": "SOFTWARE_TOKEN_MFA",
            "session": "AYABeD9Hk2v3example0session",
            "username": "ada",
            "parameters": {"FRIENDLY_DEVICE_NAME": "Telephone"},
            "detail": "The sign-in needs another step",
        }
    )

    error: Literal["challenge_required"] = "challenge_required"
    challenge: str
    session: str | None
    username: str
    """The name to answer with, which may be another than the one that was typed."""
    parameters: dict[str, Any]
    detail: str = "The sign-in needs another step"


class SignUpOut(Schema):
    """The account was made."""

    model_config = shown(
        {"message": "User created successfully", "sub": "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"}
    )

    message: str
    sub: str


class NewDeviceOut(Schema):
    """The device of a sign-in that the pool did not know."""

    device_key: str
    device_group_key: str | None


class TokenOut(Schema):
    """A token answer (RFC 6749 §5.1); `expires_in` is in seconds."""

    model_config = shown(
        {
            "access_token": "eyJraWQiOiJhY2Nlc3MiLCJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwZjNj.c2ln",
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": "eyJjdHkiOiJKV1QiLCJl",
            "id_token": "eyJraWQiOiJpZCIsImFsZyI6IlJTMjU2In0.eyJzdWIiOiIwZjNj.c2ln",
            "scope": "aws.cognito.signin.user.admin me randoms",
        }
    ) | ConfigDict(json_schema_serialization_defaults_required=False)

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int
    refresh_token: str | None
    id_token: str | None
    scope: str
    new_device_metadata: NewDeviceOut | None = None
    """Only where there is one: in a pool that remembers devices, at a sign-in without its key."""


class UserOut(Numbered):
    """An account, as its owner sees it."""

    model_config = shown(
        {
            "id": 1,
            "sub": "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10",
            "username": "ada",
            "email": "ada@example.com",
            "full_name": "Ada Lovelace",
            "disabled": False,
        }
    )

    sub: str
    username: str
    email: str | None
    full_name: str | None
    disabled: bool


class OtherSignInOut(Schema):
    """Nothing was ended. The app client rotates refresh tokens, so that the other one has a new."""

    model_config = shown(
        {
            "detail": "The refresh token is of another sign-in: nothing was ended",
            "refresh_token": "eyJjdHkiOiJKV1QiLCJlbmMi",
        }
    )

    detail: str
    refresh_token: str
