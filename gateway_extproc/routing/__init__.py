"""Who may and shall answer: candidates, plans, attempts.  Pure."""
