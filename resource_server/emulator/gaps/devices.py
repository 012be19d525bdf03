"""Devices of users, in pools that remember them: their keys bind refresh tokens.

Source: Cognito guide, "Working with user devices in your user pool", and API reference,
DeviceConfigurationType and GetTokensFromRefreshToken. DEVICE_SRP_AUTH, by which a remembered device
signs in without a second factor, is not emulated.
"""

import secrets
import uuid

from moto.cognitoidp.models import CognitoIdpUser, CognitoIdpUserPool
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult

from resource_server.emulator.gaps.directory import bearer, not_authorized, parameter, refusal
from resource_server.emulator.gaps.records import Device, RefreshToken, record_of


def remembers(pool: CognitoIdpUserPool) -> bool:
    """Return whether a pool remembers devices: any value of DeviceConfiguration turns it on."""
    return pool.extended_config.get("DeviceConfiguration") is not None


def make(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> dict[str, str]:
    """Give a user a device that waits to be confirmed. Return NewDeviceMetadata."""
    key, group = f"{pool.region}_{uuid.uuid4()}", f"-{secrets.token_urlsafe(6)}"
    record_of(user).devices[key] = Device(group_key=group)
    return {"DeviceKey": key, "DeviceGroupKey": group}


def require_known(user: CognitoIdpUser, key: str) -> None:
    """Reject the key of a device that is not the user's."""
    if key not in record_of(user).devices:
        raise _unknown()


def require_for_refresh(user: CognitoIdpUser, token: RefreshToken, key: str | None) -> None:
    """Refuse to refresh without the token's own device, or before that was confirmed."""
    if token.device_key is None:
        return
    device = record_of(user).devices.get(token.device_key)
    if key != token.device_key or device is None or not device.confirmed:
        raise not_authorized("Invalid Refresh Token")


def confirm_device(self: CognitoIdpResponse) -> ActionResult:
    """Confirm the device of a sign-in, which moto lacks."""
    pool, user = bearer(self)
    key = parameter(self, "DeviceKey")
    require_known(user, key)
    record_of(user).devices[key].confirmed = True
    configuration = pool.extended_config.get("DeviceConfiguration") or {}
    necessary = bool(configuration.get("DeviceOnlyRememberedOnUserPrompt"))
    return ActionResult({"UserConfirmationNecessary": necessary})


def _unknown() -> JsonRESTError:
    return refusal("ResourceNotFoundException", "Device does not exist.")
