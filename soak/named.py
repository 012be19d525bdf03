"""The service as it is, with the worker's process id in each answer."""

import os

from flask import Response

from wsgi import app


@app.after_request
def _name_worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
