"""UserDirectory: what every one of them keeps, and how Cognito's tells what went wrong."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol
from uuid import uuid4

import pytest
from botocore.exceptions import NoCredentialsError, ProfileNotFound, ReadTimeoutError
from botocore.stub import Stubber

from resource_server.emulator import gaps
from resource_server.identity.cognito import admin_client
from resource_server.identity.cognito_directory import CognitoUserDirectory
from resource_server.identity.directory import DirectoryUser, UserDirectory
from resource_server.identity.errors import (
    DirectoryForbidden,
    IdentityUnavailable,
    NoSuchUser,
    TooManyRequests,
)
from resource_server.testing import CognitoIdp
from tests.conftest import REGION, without_aws_credentials
from tests.fake_directory import InMemoryDirectory

POOL_ID = f"{REGION}_Example12"
SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"
ATTRIBUTES = [
    {"Name": "sub", "Value": SUB},
    {"Name": "email", "Value": "grace@example.com"},
    {"Name": "name", "Value": "Grace Hopper"},
]
GRACE = DirectoryUser(SUB, "grace", "grace@example.com", "Grace Hopper", True, "CONFIRMED")
FOUND = {"Username": "grace", "Enabled": True, "UserStatus": "CONFIRMED"}


# What every directory keeps: the one in memory, which other tests use, and Cognito's on moto


class Populated(Protocol):
    """A directory, and a way to put somebody into it."""

    directory: UserDirectory

    def add(self, username: str, email: str | None = None, name: str | None = None) -> str:
        """Add a user; return the `sub`."""

    def rename(self, sub: str, username: str) -> None:
        """Give a user another name, though somebody may be known by it."""


class OnMoto:
    """Cognito's, on moto."""

    def __init__(self, cognito: CognitoIdp) -> None:
        self._cognito = cognito
        self.directory: UserDirectory = CognitoUserDirectory(
            lambda: admin_client(REGION), pool_id=cognito.pool_id
        )

    def add(self, username: str, email: str | None = None, name: str | None = None) -> str:
        """See Populated."""
        given = {"email": email, "name": name}
        created = self._cognito.client.admin_create_user(
            UserPoolId=self._cognito.pool_id,
            Username=username,
            UserAttributes=[{"Name": k, "Value": v} for k, v in given.items() if v is not None],
            MessageAction="SUPPRESS",
        )["User"]
        [sub] = [each["Value"] for each in created["Attributes"] if each["Name"] == "sub"]
        return str(sub)

    def rename(self, sub: str, username: str) -> None:
        """See Populated; the emulator itself lets nobody take a name that is another's `sub`."""
        [pool] = [pool for pool in gaps.pools() if pool.id == self._cognito.pool_id]
        [user] = [user for user in pool.users.values() if user.id == sub]
        del pool.users[user.username]
        user.username = username
        pool.users[username] = user


class InMemory:
    """The one that other tests use."""

    def __init__(self) -> None:
        self._users = InMemoryDirectory()
        self.directory: UserDirectory = self._users

    def add(self, username: str, email: str | None = None, name: str | None = None) -> str:
        """See Populated."""
        sub = str(uuid4())
        status = "FORCE_CHANGE_PASSWORD"
        self._users.put(DirectoryUser(sub, username, email, name, status=status))
        return sub

    def rename(self, sub: str, username: str) -> None:
        """See Populated."""
        self._users.put(replace(self._users.users[sub], username=username))


@pytest.fixture(params=["moto", "memory"])
def populated(request: pytest.FixtureRequest) -> Populated:
    """An empty directory of either kind."""
    if request.param == "memory":
        return InMemory()
    return OnMoto(request.getfixturevalue("mock_cognito_client"))


def test_a_user_is_told_whole(populated: Populated) -> None:
    """sub, name, e-mail, full name, enabled or not, status; what is not known is None."""
    sub = populated.add("grace", "grace@example.com", "Grace Hopper")
    bare = populated.add("bare")
    assert populated.directory.get(sub) == DirectoryUser(
        sub, "grace", "grace@example.com", "Grace Hopper", True, "FORCE_CHANGE_PASSWORD"
    )
    expected = DirectoryUser(bare, "bare", status="FORCE_CHANGE_PASSWORD")
    assert populated.directory.get(bare) == expected


def test_pages_list_everybody_once(populated: Populated) -> None:
    """Sixty a page; the last page leads nowhere."""
    subs = {populated.add(f"user{number}") for number in range(125)}
    sizes, listed, following = [], [], None
    while True:
        page = populated.directory.page(following)
        sizes.append(len(page.users))
        listed += [user.sub for user in page.users]
        following = page.following
        if following is None:
            break
    assert sizes == [60, 60, 5]
    assert sorted(listed) == sorted(subs)
    assert populated.directory.estimated_size() == 125


def test_an_empty_directory_is_one_empty_page(populated: Populated) -> None:
    """Nobody is no error."""
    page = populated.directory.page()
    assert (list(page.users), page.following) == ([], None)


def test_disabling_and_enabling_show_and_may_be_repeated(populated: Populated) -> None:
    """A second time changes nothing; the others stay as they are."""
    sub, other = populated.add("grace"), populated.add("ada")
    for change, enabled in (
        (populated.directory.disable, False),
        (populated.directory.enable, True),
    ):
        for _ in range(2):
            change("grace")
            assert populated.directory.get(sub).enabled is enabled
            [listed] = [user for user in populated.directory.page().users if user.sub == sub]
            assert listed.enabled is enabled
            assert populated.directory.get(other).enabled


def test_an_unknown_user_is_no_such_user(populated: Populated) -> None:
    """Whatever is asked for; a user name is no `sub`."""
    populated.add("grace")
    directory = populated.directory
    attempts: list[Callable[[], object]] = [
        lambda: directory.get(str(uuid4())),
        lambda: directory.get("grace"),
        lambda: directory.disable("nobody"),
        lambda: directory.enable("nobody"),
    ]
    for attempt in attempts:
        with pytest.raises(NoSuchUser):
            attempt()


def test_a_user_is_found_by_sub_name_or_address(populated: Populated) -> None:
    """Several users may have one address, which is told; nobody is an empty answer."""
    sub = populated.add("grace", "grace@example.com")
    shared = {populated.add(name, "office@example.com") for name in ("ada", "linus")}
    for name in (sub, "grace", "grace@example.com"):
        assert [user.sub for user in populated.directory.find(name)] == [sub]
    assert {user.sub for user in populated.directory.find("office@example.com")} == shared
    for name in ("nobody", "nobody@example.com", str(uuid4()), "", "a b", "x" * 500, 'a"@b\\'):
        assert list(populated.directory.find(name)) == []


def test_a_name_that_is_anothers_sub_misleads_nobody(populated: Populated) -> None:
    """Who signs up under somebody's `sub` is not taken for them, and can still be named."""
    victim = populated.add("victim")
    impostor = populated.add("impostor")
    populated.rename(impostor, victim)
    assert populated.directory.get(victim).username == "victim"
    assert [user.sub for user in populated.directory.find(victim)] == [victim]
    assert [user.sub for user in populated.directory.find(impostor)] == [impostor]


# Cognito's alone


@pytest.fixture
def boto_client(aws_credentials: None) -> Iterator[Any]:
    """A real client, which the tests stub."""
    client = admin_client(REGION)
    yield client
    client.close()


@pytest.fixture
def directory(boto_client: Any, stub: Stubber) -> CognitoUserDirectory:
    """The directory on scripted answers."""
    return CognitoUserDirectory(lambda: boto_client, pool_id=POOL_ID)


def test_a_page_is_asked_for_like_this(directory: CognitoUserDirectory, stub: Stubber) -> None:
    """Sixty users, no AttributesToGet (which fails for users without one), and the token back."""
    users = [{**FOUND, "Attributes": ATTRIBUTES}]
    asked = {"UserPoolId": POOL_ID, "Limit": 60}
    answer = {"Users": users, "PaginationToken": "opaque"}
    stub.add_response("list_users", answer, asked)
    stub.add_response("list_users", {"Users": []}, {**asked, "PaginationToken": "opaque"})
    first = directory.page()
    assert list(first.users) == [GRACE]
    assert directory.page(first.following).following is None


def test_a_sub_is_asked_for_by_name_first(directory: CognitoUserDirectory, stub: Stubber) -> None:
    """AdminGetUser takes a `sub` and is up to date; a search is for what it does not know."""
    by_name = {"UserPoolId": POOL_ID, "Username": SUB}
    stub.add_response("admin_get_user", {**FOUND, "UserAttributes": ATTRIBUTES}, by_name)
    assert directory.get(SUB) == GRACE

    federated = {**FOUND, "Username": "Google_1", "UserStatus": "EXTERNAL_PROVIDER"}
    search = {"UserPoolId": POOL_ID, "Limit": 60, "Filter": f'sub = "{SUB}"'}
    stub.add_client_error("admin_get_user", "UserNotFoundException")
    stub.add_response("list_users", {"Users": [{**federated, "Attributes": ATTRIBUTES}]}, search)
    assert directory.get(SUB).username == "Google_1"


def test_a_search_cannot_be_led_astray(directory: CognitoUserDirectory, stub: Stubber) -> None:
    """Quotation marks and backslashes are escaped, as the API reference asks."""
    asked = {"UserPoolId": POOL_ID, "Limit": 60, "Filter": r'email = "a\"b\\c@d"'}
    stub.add_client_error("admin_get_user", "UserNotFoundException")
    stub.add_response("list_users", {"Users": []}, asked)
    assert list(directory.find(r'a"b\c@d')) == []


OPERATIONS: dict[str, Callable[[CognitoUserDirectory], object]] = {
    "list_users": lambda directory: directory.page(),
    "admin_get_user": lambda directory: directory.get(SUB),
    "admin_disable_user": lambda directory: directory.disable("grace"),
    "admin_enable_user": lambda directory: directory.enable("grace"),
}
ACTIONS = {
    "list_users": "cognito-idp:ListUsers",
    "admin_get_user": "cognito-idp:AdminGetUser",
    "admin_disable_user": "cognito-idp:AdminDisableUser",
    "admin_enable_user": "cognito-idp:AdminEnableUser",
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS)


@each_operation
@pytest.mark.parametrize("code", ["AccessDeniedException", "NotAuthorizedException"])
def test_a_missing_permission_is_named(
    directory: CognitoUserDirectory,
    stub: Stubber,
    operation: str,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The IAM action, as a policy writes it; AWS's message, which names accounts, is not told."""
    stub.add_client_error(operation, code, "User: arn:aws:iam::123456789012:user/x is not …")
    with pytest.raises(DirectoryForbidden) as caught:
        OPERATIONS[operation](directory)
    assert caught.value.action == ACTIONS[operation]
    assert "123456789012" not in f"{caught.value} {caplog.text}"
    assert f"Allow {ACTIONS[operation]}" in caplog.text


@each_operation
@pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException"])
def test_throttling_says_how_long_to_wait(
    directory: CognitoUserDirectory, stub: Stubber, operation: str, code: str
) -> None:
    """Seconds, as Cognito's quotas are by the second."""
    stub.add_client_error(operation, code)
    with pytest.raises(TooManyRequests) as caught:
        OPERATIONS[operation](directory)
    assert caught.value.retry_after == 5


@each_operation
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ResourceNotFoundException", "AWS_USER_POOL_ID"),
        ("ExpiredTokenException", "expired"),
        ("UnrecognizedClientException", "does not accept these credentials"),
        ("InternalErrorException", ""),
        ("SomethingNewException", ""),
    ],
)
def test_other_faults_are_unavailable(
    directory: CognitoUserDirectory, stub: Stubber, operation: str, code: str, says: str
) -> None:
    """With a sentence of ours where somebody can do something about it."""
    stub.add_client_error(operation, code, "Their text")
    with pytest.raises(IdentityUnavailable) as caught:
        OPERATIONS[operation](directory)
    assert says in str(caught.value)
    assert "Their text" not in str(caught.value)


def test_an_estimate_that_may_not_be_asked_for_is_none(
    directory: CognitoUserDirectory, stub: Stubber
) -> None:
    """cognito-idp:DescribeUserPool is no condition for anything."""
    stub.add_client_error("describe_user_pool", "AccessDeniedException")
    assert directory.estimated_size() is None


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("Enabled", replace(GRACE, enabled=None)),
        ("UserStatus", replace(GRACE, status="UNKNOWN")),
        ("email", replace(GRACE, email=None)),
        ("name", replace(GRACE, full_name=None)),
    ],
)
def test_a_user_may_lack_what_the_model_does_not_require(
    directory: CognitoUserDirectory, stub: Stubber, missing: str, expected: DirectoryUser
) -> None:
    """Whether they are enabled is then not known, which changes nothing here."""
    user = {**FOUND, "Attributes": [each for each in ATTRIBUTES if each["Name"] != missing]}
    user.pop(missing, None)
    stub.add_response("list_users", {"Users": [user]})
    assert list(directory.page().users) == [expected]


@pytest.mark.parametrize("missing", ["Username", "Attributes", "sub"])
def test_a_user_described_by_half_is_unavailable(
    directory: CognitoUserDirectory, stub: Stubber, missing: str
) -> None:
    """An answer that makes no sense is no KeyError."""
    user = {**FOUND, "Attributes": [each for each in ATTRIBUTES if each["Name"] != missing]}
    user.pop(missing, None)
    stub.add_response("list_users", {"Users": [user]})
    with pytest.raises(IdentityUnavailable):
        directory.page()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoCredentialsError(), "docs/users.md"),
        (ProfileNotFound(profile="secret-profile"), "docs/users.md"),
        (ReadTimeoutError(endpoint_url="https://secret"), ""),
    ],
)
def test_what_fails_before_cognito_is_unavailable(
    error: Exception, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without credentials a sentence says what to do; botocore's own text is not told."""

    def make_client() -> Any:
        raise error

    directory = CognitoUserDirectory(make_client, pool_id=POOL_ID)
    with pytest.raises(IdentityUnavailable) as caught:
        directory.page()
    assert says in str(caught.value)
    assert type(error).__name__ in caplog.text
    assert "secret" not in f"{caught.value} {caplog.text}"


def test_a_process_without_credentials_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """boto3 itself finds none: the sentence says what to do, once in the log as well."""
    without_aws_credentials(monkeypatch)
    caplog.set_level(logging.ERROR)
    directory = CognitoUserDirectory(lambda: admin_client(REGION), pool_id=POOL_ID)
    with pytest.raises(IdentityUnavailable, match="no usable AWS credentials"):
        directory.disable("grace")
    assert "no usable AWS credentials" in caplog.text


def test_users_show_no_personal_data_in_their_repr() -> None:
    """They may end in a trace."""
    assert "example.com" not in repr(GRACE)
    assert "Hopper" not in repr(GRACE)
