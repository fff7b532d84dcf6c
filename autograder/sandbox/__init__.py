"""The wall: student code runs in a worker, a fork of a warm zygote, and only plain values come back.

Trusted side (the judge's process): rungs.py raises the wall, zygotes.py owns it, and ../proxy.py speaks over it.
Untrusted side: zygote.py forks, harden.py and seccomp take rights away, worker.py loads one module and computes.
Both sides speak wire.py (frames) and codec.py (values). No pickle anywhere.
"""
