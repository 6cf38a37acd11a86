"""How much a request takes from limits and budgets, and what its client reads of them.  Pure."""
