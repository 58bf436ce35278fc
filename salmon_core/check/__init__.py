"""What `salmon check` finds by doing: every file opened, every component tried, in a process that may be ended."""
