"""Blind studies: answers of two policies compared by people, or a judge, who do not know whose they are."""
