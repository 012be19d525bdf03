"""The entry point for gunicorn: `gunicorn wsgi:app`.

The emulator is switched off here whatever the environment says: a production server talks to the
pool it is told, or refuses to start and names what is missing.
"""

import sys

from resource_server.app import create_app

if "gunicorn" in sys.modules:  # also with a configuration that is not gunicorn.conf.py
    from resource_server import gunicorn_support

    gunicorn_support.install()

app = create_app({"COGNITO_EMULATOR": "off"})
