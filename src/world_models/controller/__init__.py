"""C: a small policy from what the agent knows to what it does (paper, section 3.4)."""
