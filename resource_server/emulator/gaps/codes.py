"""Codes: sent to the outbox, good once and for a while, and not to be guessed."""

import hmac
import secrets
from typing import Literal

from moto.cognitoidp.models import CognitoIdpUser, CognitoIdpUserPool

from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import refusal
from resource_server.emulator.gaps.outboxes import SentCode, outbox
from resource_server.emulator.gaps.records import Code, record_of

Channel = Literal["email", "phone_number"]

SIGN_UP, RESET = "sign-up", "reset"
_SECONDS = {SIGN_UP: 24 * 3600.0, RESET: 3600.0}  # Cognito guide, "Quotas": codes' validity
_ATTRIBUTE_SECONDS = 24 * 3600.0


def new_code() -> str:
    """Make up six digits."""
    return f"{secrets.randbelow(10**6):06}"


def send(
    pool: CognitoIdpUserPool, user: CognitoIdpUser, purpose: str, channel: Channel
) -> dict[str, str]:
    """Send a code for a purpose, which replaces an older one; return the delivery details."""
    code = Code(new_code(), clock.now() + _SECONDS.get(purpose, _ATTRIBUTE_SECONDS))
    record = record_of(user)
    record.codes[purpose] = code
    address = record.unverified.get(channel) or user.attribute_lookup[channel]
    return deliver(pool, user, code.value, channel, address)


def deliver(
    pool: CognitoIdpUserPool, user: CognitoIdpUser, code: str, channel: Channel, address: str
) -> dict[str, str]:
    """Put a code into the outbox; return the delivery details, which hide most of the address."""
    details = delivery(channel, address)
    outbox.send(SentCode(pool.id, user.username, details["Destination"], code))
    return details


def delivery(channel: Channel, address: str) -> dict[str, str]:
    """Return the delivery details of an address, most of which they hide."""
    if channel == "phone_number":
        destination, medium = f"+*******{address[-4:]}", "SMS"
    else:
        name, _, domain = address.partition("@")
        destination, medium = f"{name[:1]}***@{domain[:1]}***", "EMAIL"
    return {"Destination": destination, "DeliveryMedium": medium, "AttributeName": channel}


def require_code(user: CognitoIdpUser, purpose: str, typed: str) -> None:
    """Check a code; it goes on serving until `use_up`.

    Five wrong ones in a row are one too many: LimitExceededException.
    """
    record = record_of(user)
    failures = record.failures_of(purpose)
    require_patience(user, purpose)
    code = record.codes.get(purpose)
    if code is None or code.expires_at <= clock.now():
        raise refusal("ExpiredCodeException", "Invalid code provided, please request a code again.")
    if not hmac.compare_digest(code.value.encode(), typed.encode()):
        failures.note()
        raise mismatch()


def mismatch() -> Exception:
    """Make the error for a wrong code."""
    return refusal("CodeMismatchException", "Invalid verification code provided, please try again.")


def require_patience(user: CognitoIdpUser, purpose: str) -> None:
    """Refuse somebody who failed at this too often."""
    if record_of(user).failures_of(purpose).are_too_many():
        raise refusal(
            "LimitExceededException", "Attempt limit exceeded, please try after some time."
        )


def use_up(user: CognitoIdpUser, purpose: str) -> None:
    """Let a code serve no more, and forgive what was mistyped before."""
    record = record_of(user)
    record.codes.pop(purpose, None)
    record.failures.pop(purpose, None)
