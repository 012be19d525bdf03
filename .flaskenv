# Read by the `flask` command alone, so nothing here reaches gunicorn.
FLASK_APP=resource_server
COGNITO_EMULATOR=embedded
LOG_FORMAT=text
