"""Accounts: a projection of the user directory, keyed by `sub`; passwords are not stored here."""
