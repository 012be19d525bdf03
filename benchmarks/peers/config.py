"""What a peer is told, and the same limits for all."""

import os

POOL_ID = os.environ["PEER_POOL_ID"]
ISSUER = os.environ["PEER_ISSUER"]
CLIENT_ID = os.environ["PEER_CLIENT_ID"]
JWKS_URI = os.environ["PEER_JWKS_URI"]
DATABASE_URL = os.environ["PEER_DATABASE_URL"]
"""As psycopg2 takes it: postgresql://…"""
SOCKETS = os.environ["PEER_DATABASE_FOLDER"]
"""Where PostgreSQL's Unix socket is, for asyncpg."""

# This service's own defaults.
POOL_SIZE, MAX_OVERFLOW = 5, 5
SCOPES = frozenset({"me", "randoms"})
