"""Simulators as gymnasium.Env that give uint8 64×64×3 frames."""
