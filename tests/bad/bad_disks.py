from bad_case import Bad

DISKS: list[Bad] = []
