"""The faults, in the order they are tried; importing registers them."""

from soak.scenarios import workers  # isort: skip
from soak.scenarios import database  # isort: skip
from soak.scenarios import cognito  # isort: skip
from soak.scenarios import keys  # isort: skip
from soak.scenarios import clients  # isort: skip
from soak.scenarios import machines  # isort: skip
from soak.scenarios import endurance  # isort: skip

__all__ = ["clients", "cognito", "database", "endurance", "keys", "machines", "workers"]
