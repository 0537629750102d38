"""Where C lives: reality, or M's dream."""
