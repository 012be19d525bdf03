"""What others would write: the same four endpoints, each as its framework's users do it.

They run in an environment of their own (benchmarks/run), never in that of this project, and know
nothing of it: PEER_* in the environment tells them all.
"""
