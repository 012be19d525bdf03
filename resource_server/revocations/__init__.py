"""The deny list: tokens that are refused although they verify.

Cognito cannot call an access token back: a revoked one verifies until it expires. Rows live in the
application's database, so that every process and machine sees them and a restart forgets none;
each process holds the live ones in memory.

- models.py    the table
- store.py     rows written and read
- snapshot.py  one process's view, and the DenyList that the verifier asks
"""
