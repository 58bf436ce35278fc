"""The one reward over HTTP: `salmon serve`, and `python -m salmon_core.serving job.json` for trainers.

`run` starts and stops the server, `app` answers requests, `scorer` is the one thread that owns the reward, `client` is
what asks from another process.
"""
