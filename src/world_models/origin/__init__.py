"""Where results come from: what git's commits and DVC's lock files say of them."""
