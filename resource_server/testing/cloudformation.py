"""AWS::Cognito types for moto's CloudFormation, which knows none, so that templates can be tested.

`register()` teaches moto the four that an API needs: UserPool, UserPoolClient,
UserPoolResourceServer and UserPoolGroup (CloudFormation template reference, "Amazon Cognito").

Needs `moto[cloudformation]`; imported by those who deploy a template in a test.
"""

from abc import abstractmethod
from typing import Any, Self

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.cognitoidp.models import CognitoIdpBackend, CognitoIdpUserPool, cognitoidp_backends
from moto.core.common_models import CloudFormationModel


def register() -> None:
    """Let moto's CloudFormation make these types, in this process; twice changes nothing."""
    # moto collects the subclasses of its model class once: importing this module is too late.
    for collected in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        collected.cache_clear()


class _Resource:
    """A resource of a stack: it holds what `Ref` and `Fn::GetAtt` answer."""

    type_name: str
    name_property = ""
    attribute_names: tuple[str, ...] = ()

    def __init__(self, backend: CognitoIdpBackend, name: str, properties: dict[str, Any]) -> None:
        self.backend = backend
        self.attributes: dict[str, str] = {}
        self.physical_resource_id = self.make(name, properties)

    @abstractmethod
    def make(self, name: str, properties: dict[str, Any]) -> str:
        """Make it in moto's Cognito and return what `Ref` answers."""

    @abstractmethod
    def change(self, properties: dict[str, Any]) -> None:
        """Change it where it is; nothing is replaced here."""

    @abstractmethod
    def delete(self, account_id: str, region_name: str) -> None:
        """Delete it. moto knows no order: its pool may be gone already, and it with it."""

    @classmethod
    def cloudformation_type(cls) -> str:
        """Return the type's name in templates."""
        return cls.type_name

    @classmethod
    def cloudformation_name_type(cls) -> str:
        """Return the property that holds the name; a name is made where it is left out."""
        return cls.name_property

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Tell whether `Fn::GetAtt` knows an attribute."""
        return attr in cls.attribute_names

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Answer `Fn::GetAtt`."""
        if attribute_name not in self.attributes:
            raise UnformattedGetAttTemplateException
        return self.attributes[attribute_name]

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Self:
        """Make the resource as a template describes it."""
        backend = cognitoidp_backends[account_id][region_name]
        return cls(backend, resource_name, cloudformation_json["Properties"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Self,
        new_resource_name: str,  # noqa: ARG003 - moto's signature, also below
        cloudformation_json: dict[str, Any],
        account_id: str,  # noqa: ARG003
        region_name: str,  # noqa: ARG003
    ) -> Self:
        """Change the resource to what a template says now."""
        original_resource.change(cloudformation_json["Properties"])
        return original_resource

    def pool(self, properties: dict[str, Any]) -> CognitoIdpUserPool:
        """Return the pool that a resource belongs to."""
        return self.backend.describe_user_pool(properties["UserPoolId"])


class UserPool(_Resource, CloudFormationModel):
    """AWS::Cognito::UserPool."""

    type_name = "AWS::Cognito::UserPool"
    name_property = "UserPoolName"
    attribute_names = ("Arn", "ProviderName", "ProviderURL", "UserPoolId")

    def make(self, name: str, properties: dict[str, Any]) -> str:
        """Make the pool, as CreateUserPool and SetUserPoolMfaConfig would."""
        self._pool = self.backend.create_user_pool(name, _parameters(properties))
        self._set_mfa(properties)
        provider = f"cognito-idp.{self._pool.region}.amazonaws.com/{self._pool.id}"
        self.attributes = {
            "Arn": self._pool.arn,
            "ProviderName": provider,
            "ProviderURL": f"https://{provider}",
            "UserPoolId": self._pool.id,
        }
        return self._pool.id

    def change(self, properties: dict[str, Any]) -> None:
        """Change the pool, as UpdateUserPool would; its schema stays."""
        parameters = _parameters(properties)
        parameters.pop("Schema", None)
        self._pool.update_extended_config(parameters)
        self._set_mfa(properties)

    def delete(self, account_id: str, region_name: str) -> None:  # noqa: ARG002 - moto's signature
        """Delete the pool and all that is in it."""
        self.backend.user_pools.pop(self._pool.id, None)

    def _set_mfa(self, properties: dict[str, Any]) -> None:
        totp = {"Enabled": "SOFTWARE_TOKEN_MFA" in properties.get("EnabledMfas", [])}
        mode = properties.get("MfaConfiguration", "OFF")
        self.backend.set_user_pool_mfa_config(self._pool.id, {}, totp, mode)


def _parameters(properties: dict[str, Any]) -> dict[str, Any]:
    """Make parameters of CreateUserPool of a pool's properties."""
    own = {"UserPoolName", "UserPoolTags", "EnabledMfas"}
    parameters = {name: value for name, value in properties.items() if name not in own}
    # moto keeps this list, and takes the schema out of what it is given.
    return parameters | {"UserPoolTags": properties.get("UserPoolTags", {})}


class UserPoolClient(_Resource, CloudFormationModel):
    """AWS::Cognito::UserPoolClient."""

    type_name = "AWS::Cognito::UserPoolClient"
    name_property = "ClientName"
    attribute_names = ("ClientId", "ClientSecret", "Name")

    def make(self, name: str, properties: dict[str, Any]) -> str:
        """Make the app client, as CreateUserPoolClient would."""
        self._pool = self.pool(properties)
        client = self.backend.create_user_pool_client(
            self._pool.id,
            properties.get("GenerateSecret", False),
            self._parameters(properties) | {"ClientName": name},
        )
        self.attributes = {"ClientId": client.id, "Name": name}
        if client.generate_secret:
            self.attributes["ClientSecret"] = client.secret
        return client.id

    def change(self, properties: dict[str, Any]) -> None:
        """Change the app client, as UpdateUserPoolClient would."""
        client = self._pool.clients[self.physical_resource_id]
        client.extended_config.update(self._parameters(properties))

    def delete(self, account_id: str, region_name: str) -> None:  # noqa: ARG002 - moto's signature
        """Delete the app client."""
        self._pool.clients.pop(self.physical_resource_id, None)

    @staticmethod
    def _parameters(properties: dict[str, Any]) -> dict[str, Any]:
        own = {"UserPoolId", "GenerateSecret"}
        return {name: value for name, value in properties.items() if name not in own}


class UserPoolResourceServer(_Resource, CloudFormationModel):
    """AWS::Cognito::UserPoolResourceServer."""

    type_name = "AWS::Cognito::UserPoolResourceServer"

    def make(self, name: str, properties: dict[str, Any]) -> str:  # noqa: ARG002 - it is required
        """Make the resource server, as CreateResourceServer would."""
        self._pool = self.pool(properties)
        identifier = str(properties["Identifier"])
        self.backend.create_resource_server(
            self._pool.id, identifier, properties["Name"], properties.get("Scopes", [])
        )
        return identifier

    def change(self, properties: dict[str, Any]) -> None:
        """Change its name and scopes, as UpdateResourceServer would."""
        server = self._pool.resource_servers[self.physical_resource_id]
        server.name, server.scopes = properties["Name"], properties.get("Scopes", [])

    def delete(self, account_id: str, region_name: str) -> None:  # noqa: ARG002 - moto's signature
        """Delete the resource server."""
        self._pool.resource_servers.pop(self.physical_resource_id, None)


class UserPoolGroup(_Resource, CloudFormationModel):
    """AWS::Cognito::UserPoolGroup."""

    type_name = "AWS::Cognito::UserPoolGroup"
    name_property = "GroupName"

    def make(self, name: str, properties: dict[str, Any]) -> str:
        """Make the group, as CreateGroup would."""
        self._pool = self.pool(properties)
        self.backend.create_group(self._pool.id, name, *self._parameters(properties))
        return name

    def change(self, properties: dict[str, Any]) -> None:
        """Change the group, as UpdateGroup would."""
        self._pool.groups[self.physical_resource_id].update(*self._parameters(properties))

    def delete(self, account_id: str, region_name: str) -> None:  # noqa: ARG002 - moto's signature
        """Delete the group; its members stay users."""
        if self._pool.id in self.backend.user_pools:
            self.backend.delete_group(self._pool.id, self.physical_resource_id)

    @staticmethod
    def _parameters(properties: dict[str, Any]) -> tuple[Any, Any, Any]:
        get = properties.get
        return get("Description"), get("RoleArn"), get("Precedence")
