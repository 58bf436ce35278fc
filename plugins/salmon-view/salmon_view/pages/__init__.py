"""Pages, each a function from what was read to markup."""
