"""The reward over HTTP: `salmon serve`, and `python -m salmon_serve job.json` beside a trainer's steps.

A request goes through `app` (endpoints) and `admission` (ids, room in the queue) to `scorer`, the one thread that has
the reward; there `decoding` makes rollouts of its items, and the answers come back the same way.
"""
