"""What the pool must be like for this service, what differs, and how it is made so.

Rule of this folder: no Flask. The scopes that routes declare are handed in (`Target`); from there
on the pool follows the code.

- aws.py       the clients, and AWS errors as sentences that tell what to do
- bundle.py    the trigger as a zip that is the same on every machine
- state.py     the pool as it is
- plan.py      what differs, as the calls that mend it
- apply.py     these calls, made
- doctor.py    faults in plain words
"""
