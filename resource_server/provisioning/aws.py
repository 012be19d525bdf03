"""The clients of AWS, and its errors as one sentence each that tells what to do.

Messages of AWS are not repeated: they can contain what was sent. The code and the operation say
enough, since the operation is also the name of the permission.
"""

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection

from resource_server.identity import cognito
from resource_server.identity import cognito_errors as table

AwsError = BotoCoreError | ClientError
AWS_ERRORS = (BotoCoreError, ClientError)
"""What calls of AWS raise; `explain` knows them all."""

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
NOT_FOUND = "ResourceNotFoundException"
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
_THROTTLED = {
    "LimitExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_OF_LAMBDA = {
    "AddPermission",
    "CreateFunction",
    "GetFunction",
    "GetPolicy",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
}
_WHO = "`aws sts get-caller-identity` tells who you are"
# Code, or operation and code, -> sentence.
_SENTENCES: dict[str | tuple[str, str], str] = {
    ("DescribeUserPool", NOT_FOUND): (
        "There is no such user pool in this region of this account. Check AWS_USER_POOL_ID, and "
        f"whose credentials are used: {_WHO}."
    ),
    ("DescribeUserPoolClient", NOT_FOUND): (
        "The user pool has no such app client. Check AWS_COGNITO_APP_CLIENT_ID; "
        "`aws cognito-idp list-user-pool-clients --user-pool-id …` lists those it has."
    ),
    ("CreateFunction", "InvalidParameterValueException"): (
        "Lambda refused the new function: lambda.amazonaws.com must be allowed to assume the role "
        "of --role-arn; a role made just now needs some seconds."
    ),
    "ExpiredToken": "The AWS credentials have expired: sign in to AWS again.",
    "ExpiredTokenException": "The AWS credentials have expired: sign in to AWS again.",
    "InvalidSignatureException": (
        "AWS does not accept the signature: the secret key is wrong, or this machine's clock is."
    ),
    "ResourceConflictException": "The function is being changed just now: run the command again.",
    "UnrecognizedClientException": f"AWS does not know these credentials: {_WHO}.",
}


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients of the services. `functions` is None with an emulator, which has no Lambda."""

    cognito: Any
    functions: Any | None


def connect(region: str, *, endpoint_url: str | None = None, emulated: bool = False) -> Aws:
    """Make the clients.

    Args:
        region: The region of the user pool, and so of its Lambda functions.
        endpoint_url: The address of Cognito, if it is not AWS's own of the region.
        emulated: Whether an emulator is there.

    Raises:
        BotoCoreError: AWS_PROFILE names no profile, or AWS's configuration file is malformed.
    """
    pools = cognito.admin_client(region, endpoint_url=endpoint_url, emulated=emulated)
    if emulated:
        return Aws(pools, None)
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})
    functions = boto3.session.Session().client("lambda", region_name=region, config=config)
    return Aws(pools, functions)


def code_of(error: AwsError) -> str:
    """Return the code of AWS's answer; empty if there was none."""
    return cognito.code_of(error) if isinstance(error, ClientError) else ""


def iam_action(operation: str) -> str:
    """Return the permission that an operation needs."""
    return f"{'lambda' if operation in _OF_LAMBDA else 'cognito-idp'}:{operation}"


def explain(error: AwsError) -> str:
    """Say in one sentence what went wrong and what to do about it."""
    if isinstance(error, _NO_CREDENTIALS):
        return (
            "There are no usable AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY; {_WHO}."
        )
    if isinstance(error, SSLError):
        return "The certificate of AWS's address is not trusted: check AWS_CA_BUNDLE and proxies."
    if isinstance(error, (HTTPClientError, NoConnection)):
        address = str(error.kwargs.get("endpoint_url") or "AWS")
        return (
            f"There is no response from {address}. If it is the emulator's address, start it "
            "(`make run`). Otherwise check the network. Then run the command again."
        )
    if isinstance(error, ParamValidationError):  # its text repeats values
        return "A value is malformed: check --function, --role-arn, --identifier and --grant."
    if not isinstance(error, ClientError):
        return f"AWS could not be asked ({type(error).__name__})."
    return _sentence(error)


def _sentence(error: ClientError) -> str:
    operation, code = error.operation_name, code_of(error)
    if code in DENIED or code == "NotAuthorizedException":
        return f"Your credentials may not do this: allow {iam_action(operation)}."
    if code in _THROTTLED:
        return f"AWS throttles {operation}: wait a moment, then run the command again."
    if known := _SENTENCES.get((operation, code)) or _SENTENCES.get(code):
        return known
    names = table.parameters_in(cognito.message_of(error))
    row = table.meaning(operation, code, status=cognito.status_of(error))
    if row is table.OUTAGE:
        return f"AWS failed to do {operation}: run the command again."
    hint = f": check its {', '.join(names)}" if names else ""
    if row.fix and code in table.CODES and code not in table.INVALID_VALUE_CODES:
        hint = f". {row.fix}"
    reason = table.printable_code(code) if code else "no reason"
    return f"AWS refused {operation} with {reason}{hint}."
