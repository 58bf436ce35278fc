from bad_case import Bad

MODELS: list[Bad] = []
