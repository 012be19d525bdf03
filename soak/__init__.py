"""Faults on purpose: the service in real processes, and what it does when something dies.

`make soak` starts gunicorn, PostgreSQL, the Cognito emulator and, where they are installed,
redis-server and nginx, all on loopback; breaks one thing after the other under load; holds what
was seen against what docs/http.md and docs/tokens.md promise; and writes docs/reliability.md.

- daemons.py    processes, started and ended
- neighbours.py PostgreSQL, the emulator, redis-server, nginx
- instance.py   the service under gunicorn
- faulty.py     a proxy that breaks what passes through it
- load.py       clients that record every answer
- ledger.py     what was acknowledged, held against the table
- lab.py        all of it together, for one run
- findings.py   a scenario's promise, and what was seen
- scenarios/    the faults
- report.py     the table
"""
