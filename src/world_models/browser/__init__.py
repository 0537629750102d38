"""M's dream as a page that any browser plays: exported, and served on this machine alone."""
