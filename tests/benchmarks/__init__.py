"""What `make bench` makes of what it measures; neither wrk nor the peers are needed."""
