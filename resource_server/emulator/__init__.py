"""Cognito on this machine, for development and tests: moto with its gaps filled.

Rule of this folder: it serves 127.0.0.1 alone and is never part of a production server. moto and
joserfc come with the extra `dev`; modules that need them are imported when the emulator starts.

- keys.py      a pool's two signing keys
- trigger.py   the Pre Token Generation trigger, run for real
- gaps/        what moto lacks, put into its classes
- totp.py      codes of authenticator apps
- accounts.py  a pool and its accounts, to and from JSON
- server.py    the HTTP server and its file
- embedded.py  started by `flask run`
"""
