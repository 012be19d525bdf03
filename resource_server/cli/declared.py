"""What the routes of an app demand of tokens: the source of what the pool must have."""

from flask import Flask

from resource_server.auth import requirements


def declared_scopes(app: Flask) -> tuple[str, ...]:
    """Return every scope that the app requires, by itself or as one of several, sorted."""
    scopes: set[str] = set()
    for _, requirement in requirements(app):
        scopes.update(requirement.scopes, requirement.any_of)
    return tuple(sorted(scopes))


def declared_groups(app: Flask) -> dict[str, str]:
    """Return every Cognito group that a route names, each with the first place that does."""
    groups: dict[str, str] = {}
    for where, requirement in requirements(app):
        for group in requirement.groups:
            groups.setdefault(group, where)
    return groups
