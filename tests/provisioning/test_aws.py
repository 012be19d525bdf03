"""What AWS refuses, as sentences that tell what to do."""

from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from resource_server.provisioning.aws import explain, iam_action


def refusal(code: str, operation: str = "DescribeUserPool") -> ClientError:
    """Make an answer of AWS, whose text holds what must not be shown."""
    return ClientError({"Error": {"Code": code, "Message": "hunter2"}}, operation)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (boto.NoCredentialsError(), "AWS_PROFILE"),
        (boto.ProfileNotFound(profile="x"), "AWS_PROFILE"),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:5001/"), "make run"),
        (boto.ReadTimeoutError(endpoint_url="https://lambda.example.com"), "lambda.example.com"),
        (boto.ParamValidationError(report="hunter2"), "--role-arn"),
        (boto.DataNotFoundError(data_path="hunter2"), "DataNotFoundError"),
        (refusal("AccessDeniedException"), "cognito-idp:DescribeUserPool"),
        (refusal("AccessDeniedException", "GetFunction"), "lambda:GetFunction"),
        (refusal("TooManyRequestsException"), "throttles"),
        (refusal("ResourceNotFoundException"), "AWS_USER_POOL_ID"),
        (refusal("ResourceNotFoundException", "DescribeUserPoolClient"), "APP_CLIENT_ID"),
        (refusal("InvalidParameterValueException", "CreateFunction"), "--role-arn"),
        (refusal("ExpiredTokenException"), "expired"),
        (refusal("InvalidSignatureException"), "clock"),
        (refusal("ResourceConflictException", "UpdateFunctionCode"), "again"),
        (refusal("InvalidParameterException", "UpdateUserPool"), "UpdateUserPool with InvalidPar"),
        (refusal("InternalErrorException"), "run the command again"),
        (refusal("ServiceUnavailable", "UpdateFunctionCode"), "run the command again"),
        (refusal("RequestExpired"), "clock"),
        (refusal("NotAuthorizedException"), "cognito-idp:DescribeUserPool"),
        (refusal("FeatureUnavailableInTierException", "UpdateUserPool"), "ESSENTIALS"),
        (boto.SSLError(endpoint_url="x", error=OSError()), "AWS_CA_BUNDLE"),
        (refusal("hunter2 of a stranger's server"), "no code"),
        (refusal(""), "no reason"),
    ],
)
def test_errors_become_one_sentence(error: Any, says: str) -> None:
    """The sentence names what to do, and repeats no text of AWS's."""
    sentence = explain(error)
    assert says in sentence
    assert "hunter2" not in sentence
    assert "\n" not in sentence


def test_an_invalid_parameter_is_named() -> None:
    """Which one it is, and not the value that AWS repeats."""
    message = "1 validation error detected: Value 'hunter2' at 'poolName' failed to satisfy …"
    refused = {"Error": {"Code": "InvalidParameterException", "Message": message}}
    sentence = explain(ClientError(refused, "UpdateUserPool"))  # type: ignore[arg-type]
    assert "poolName" in sentence
    assert "hunter2" not in sentence


def test_the_permission_has_the_operations_name() -> None:
    """An operation's permission is its name under its service's prefix."""
    assert iam_action("UpdateUserPool") == "cognito-idp:UpdateUserPool"
    assert iam_action("AddPermission") == "lambda:AddPermission"
