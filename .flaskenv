# Read only by the `flask` command, so nothing here reaches gunicorn. The environment and .env win.
FLASK_APP=resource_server
# The emulator for `flask run`, unless a user pool is named (docs/settings.md).
COGNITO_EMULATOR=auto
LOG_FORMAT=text
