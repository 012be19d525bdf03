"""The test kit: real tokens without AWS.

Imported by tests, ours and other people's, never by the app.
"""
