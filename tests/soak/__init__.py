"""The harness of `make soak` itself: it must see what it looks for."""
