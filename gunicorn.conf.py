"""Read by `gunicorn wsgi:app` in this folder."""

# A token of a user in a hundred groups has 24,000 characters, and the verifier reads 32,768;
# gunicorn's own limit for a header, 8,190, would answer with a page of HTML.
limit_request_field_size = 33_000
