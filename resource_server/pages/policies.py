"""Content-Security-Policy of each page: what it loads, and nothing else."""

from urllib.parse import urlsplit

_NOWHERE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

LANDING = (
    "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; "
    f"style-src 'self'; {_NOWHERE}"
)
"""The state is asked from /readyz; icon, script and style sheet are files of ours."""

BACK_FROM_LOGIN = f"default-src 'none'; script-src 'self'; {_NOWHERE}"
"""Swagger UI's page that hands the code to the window that opened it: one script."""


def docs(managed_login: str | None) -> str:
    """Return the policy of /docs, with Swagger UI on it.

    `data:` images are the arrows and marks of its style sheet. It trades the code at the managed
    login's token endpoint, which is another origin.
    """
    origin = ""
    if managed_login is not None:
        parts = urlsplit(managed_login)
        origin = f" {parts.scheme}://{parts.netloc}"
    return (
        f"default-src 'none'; connect-src 'self'{origin}; img-src 'self' data:; "
        f"script-src 'self'; style-src 'self'; {_NOWHERE}"
    )
