"""The user directory: signing up, signing in, signing out.

Rule of this folder: no Flask, no SQLAlchemy; boto3 in cognito.py alone. `provider.py` says what the
application needs, `errors.py` what can go wrong, `cognito.py` does it with Amazon Cognito.
`cognito_errors.py` is the table that says what each error of Cognito means.
"""
