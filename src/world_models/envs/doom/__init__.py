"""What the environments made of ViZDoom's scenarios share; no environment of its own."""
