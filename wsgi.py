"""The entry point for gunicorn: `gunicorn wsgi:app`.

The emulator is switched off here whatever the environment says: a production server talks to the
pool it is told, or refuses to start and names what is missing.
"""

from resource_server.app import create_app

app = create_app({"COGNITO_EMULATOR": "off"})
