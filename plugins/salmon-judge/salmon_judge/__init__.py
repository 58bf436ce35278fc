"""The paper's judge, its labeller, and how both judge and reward model are asked (arXiv 2310.05910, 3.1 and 3.2)."""
