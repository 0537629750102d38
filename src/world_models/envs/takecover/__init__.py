"""ViZDoom's TakeCover, seen through a 64×64 window."""
