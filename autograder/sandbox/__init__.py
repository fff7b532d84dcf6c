"""The wall: student code runs in a worker, a fork of a warm zygote, and only plain values come back.

both/       what both sides use: wire.py (frames), codec.py (values); no pickle anywhere
inside/     in the box: zygote.py forks, harden.py takes rights away, worker.py loads one module and computes
outside/    trusted: zygotes.py owns the zygote, session.py asks a worker and checks its answers
rungs/      the kinds of isolation, of which ladder.py chooses the best that works, as prove.py tries them
"""
