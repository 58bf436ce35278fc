from bad_case import Bad

RUNS: list[Bad] = []
