"""A user pool: from its id to its issuers and the address of its keys."""

import re
from dataclasses import dataclass
from typing import Self

# UserPoolIdType in the model of the Cognito API has at most 55 characters, `[\w-]+_[0-9a-zA-Z]+`.
# What is before the underscore is the region. It becomes part of a host's name, and the AWS SDKs
# take no other (emulators have regions such as `local`).
_POOL_ID = re.compile(r"(?P<region>[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*)_[0-9A-Za-z]+")
_MAX_POOL_ID_CHARACTERS = 55

# DNS suffixes of the AWS partitions whose regions do not end in amazonaws.com.
_SUFFIXES = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}


@dataclass(frozen=True, slots=True)
class UserPool:
    """Where a pool's tokens come from and where its keys are.

    `issuers` are the exact values that `iss` may have. Since 2026 a pool may sign with either of
    two issuers (Cognito guide, "Verifying JSON web tokens"); both belong to the same key set.
    """

    id: str
    region: str
    issuers: tuple[str, ...]
    jwks_uri: str

    @classmethod
    def parse(cls, pool_id: str, *, issuer: str | None = None, jwks_uri: str | None = None) -> Self:
        """Derive everything from an id such as `eu-west-2_AbCdEf123`.

        `issuer` and `jwks_uri` replace what is derived, for emulators.

        Raises ValueError if the id is not a pool's.
        """
        match = _POOL_ID.fullmatch(pool_id)
        if match is None or len(pool_id) > _MAX_POOL_ID_CHARACTERS:
            raise ValueError("not the id of a user pool, for example eu-west-2_AbCdEf123")
        region = match["region"]
        suffix = next((s for prefix, s in _SUFFIXES.items() if region.startswith(prefix)), None)
        host = f"cognito-idp.{region}.{suffix or 'amazonaws.com'}"
        derived = (f"https://{host}/{pool_id}", f"https://issuer-{host}/{pool_id}")
        return cls(
            id=pool_id,
            region=region,
            issuers=(issuer,) if issuer else derived,
            jwks_uri=jwks_uri or f"{derived[0]}/.well-known/jwks.json",
        )
