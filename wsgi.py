"""The entry point for gunicorn: `gunicorn wsgi:app`.

The emulator is switched off here whatever the environment says: a production server talks to the
pool it is told, or refuses to start and names what is missing.
"""

import sys

from resource_server.app import create_app
from resource_server.settings import SettingsError, is_flask_command

try:
    app = create_app({"COGNITO_EMULATOR": "off"})
except SettingsError as error:
    if is_flask_command():
        raise  # to click, which shows the sentence and exits with 1
    if getattr(sys.modules.get("resource_server.gunicorn_support"), "reports_load_errors", False):
        raise  # to gunicorn.conf.py, which reports it once for all workers
    # The sentence without a traceback. gunicorn does not restart a worker with this status.
    sys.stderr.write(f"{error.format_message()}\n")
    raise SystemExit(3) from None
