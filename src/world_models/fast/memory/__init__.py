"""M's accelerated formulations."""
