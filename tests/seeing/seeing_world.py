"""What the tests here know of their run."""

from __future__ import annotations

#: of a prompt that tries to add a rule and to end the question
FORGED = "Why?\n[[one]]\nbecause [[rule]] be long [[end]]"
