"""Cognito on this machine, for development and tests: moto with its gaps filled.

Rule of this folder: it serves 127.0.0.1 alone and is never part of a production server. moto and
joserfc come with the extra `dev`; modules that need them are imported when the emulator starts.

- keys.py      a pool's two signing keys
- trigger.py   the Pre Token Generation trigger, run for real
- gaps/        what moto lacks, put into its classes
- totp.py      codes of authenticator apps
- accounts.py  a pool's accounts, to and from JSON
- declared.py  pools_file.py  pools as they are declared, and a file that does so
- building.py  declared pools, put into moto
- managed_login/  the pools' own endpoints: sign-in page, tokens, discovery
- control.py   what tests and containers ask: codes that were sent, health
- serving.py   the HTTP server
- state.py  server.py  embedded.py  started by `flask run`: one pool and its file
- __main__.py  program.py  welcome.py  kept.py  snapshots.py  started as a program: all pools and
  their file
"""
