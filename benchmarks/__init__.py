"""Where the numbers of docs/performance.md come from. Run by `make bench`, never by the tests."""
