# ruff: noqa: INP001 - a program, no package
"""Ask this container's own service whether it is alive, for HEALTHCHECK; exit 1 if not.

The standard library alone: slim images have no curl. Only /healthz: a container must not be
restarted because the database is away.
"""

import http.client
import os
import sys


def main() -> int:
    """Return the exit code: 0 for a 200 within 2 seconds."""
    port = int(os.environ.get("PORT") or "8000")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return int(connection.getresponse().status != http.client.OK)
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"/healthz: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
