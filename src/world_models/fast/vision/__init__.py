"""V's accelerated formulations."""
