"""Challenges that an answer typed at a prompt can meet."""

import json
from typing import Any

from resource_server.identity.cognito import secret_hash
from resource_server.identity.provider import Challenge, TokenSet

# Challenge -> the name of its answer (API reference, RespondToAuthChallenge).
_ANSWERS = {
    "EMAIL_OTP": "EMAIL_OTP_CODE",
    "NEW_PASSWORD_REQUIRED": "NEW_PASSWORD",
    "SMS_MFA": "SMS_MFA_CODE",
    "SOFTWARE_TOKEN_MFA": "SOFTWARE_TOKEN_MFA_CODE",
}


def can_answer(challenge: Challenge) -> bool:
    """Tell whether one text answers a challenge: a code, or a new password and nothing else."""
    required = json.loads(challenge.parameters.get("requiredAttributes") or "[]")
    return challenge.name in _ANSWERS and not required


def answer(
    client: Any,
    challenge: Challenge,
    text: str,
    *,
    username: str,
    client_id: str,
    client_secret: str | None,
) -> TokenSet | Challenge:
    """Answer a challenge, with a client for unsigned calls.

    Raises ClientError or BotoCoreError.
    """
    # The hash is of the real user name, which an e-mail address typed at sign-in is not.
    real = challenge.parameters.get("USER_ID_FOR_SRP", username)
    responses = {"USERNAME": real, _ANSWERS[challenge.name]: text}
    if client_secret is not None:
        responses["SECRET_HASH"] = secret_hash(real, client_id, client_secret)
    answered: dict[str, Any] = client.respond_to_auth_challenge(
        ClientId=client_id,
        ChallengeName=challenge.name,
        Session=challenge.session,
        ChallengeResponses=responses,
    )
    if name := answered.get("ChallengeName"):
        return Challenge(
            name=name,
            session=answered.get("Session"),
            parameters=answered.get("ChallengeParameters", {}),
        )
    result = answered["AuthenticationResult"]
    return TokenSet(
        access_token=result["AccessToken"],
        expires_in=result["ExpiresIn"],
        token_type=result["TokenType"],
        id_token=result.get("IdToken"),
        refresh_token=result.get("RefreshToken"),
    )
