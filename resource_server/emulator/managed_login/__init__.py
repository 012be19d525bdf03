"""Managed login of the emulated pools: what Cognito serves on a pool's own domain.

Each pool has its endpoints below its id: `/us-east-1_AbCdEf123/oauth2/authorize` and so on. They
read app clients as CreateUserPoolClient left them.

- app.py            the Flask app; who may call it from a browser
- grants.py         authorization codes and browser sessions
- clients.py        what an app client may do, and its secret
- authorization.py  the request that a sign-in begins with
- parameters.py     how parameters are read, empty and repeated ones
- pages.py          what people see: signing in and out
- exchange.py       what programs call: tokens, revocation, user information
- discovery.py      where all of this is, and the pool's keys
"""

from resource_server.emulator.managed_login.app import create_app

__all__ = ["create_app"]
