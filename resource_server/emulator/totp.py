"""The codes of authenticator apps; without moto, so that fakes can use it, too."""

import base64
import hmac

STEP_SECONDS = 30


def totp_code(secret: str, seconds: float) -> str:
    """Return the code that an authenticator app shows for a base32 secret at a time.

    Source: RFC 6238 with SHA-1, steps of 30 s, six digits; truncation as in RFC 4226 §5.3.
    """
    counter = int(seconds // STEP_SECONDS).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06}"
