"""What people see in a browser: the landing page and the API's documentation."""
