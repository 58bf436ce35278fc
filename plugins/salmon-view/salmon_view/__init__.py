"""`salmon view`: pages on runs, finished or going on; and `salmon report --html`, the same as one file.

`runs` reads run folders, by `salmon_core.seeing`; `pages` make markup of that, by `html`, which escapes whatever is not
markup; `app` answers requests that `gate` lets through; `worker` has the models, in a process of its own.
"""
