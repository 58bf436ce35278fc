from bad_case import Bad

PLUGINS: list[Bad] = []
