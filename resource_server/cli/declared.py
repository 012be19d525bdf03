"""What the routes of an app demand of tokens: the source of what the pool must have."""

from collections.abc import Iterator

from flask import Flask

from resource_server.auth import TokenRequirement, token_requirement


def declared_scopes(app: Flask) -> tuple[str, ...]:
    """Return every scope that a route demands, alone or as one of several; sorted."""
    scopes: set[str] = set()
    for _, requirement in _requirements(app):
        scopes.update(requirement.scopes, requirement.any_of)
    return tuple(sorted(scopes))


def declared_groups(app: Flask) -> dict[str, str]:
    """Return every Cognito group that a route names, each with the first route that does."""
    groups: dict[str, str] = {}
    for rule, requirement in _requirements(app):
        for group in requirement.groups:
            groups.setdefault(group, rule)
    return groups


def _requirements(app: Flask) -> Iterator[tuple[str, TokenRequirement]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        requirement = token_requirement(view) if view is not None else None
        if requirement is not None:
            yield rule.rule, requirement
