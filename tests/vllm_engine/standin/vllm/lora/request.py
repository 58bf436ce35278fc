class LoRARequest:
    def __init__(self, name: str, number: int, path: str):
        self.name, self.number, self.path = name, number, path
