from types import SimpleNamespace


class PoolerConfig(SimpleNamespace):
    pass
