"""V: a convolutional VAE that turns a frame into z (paper, section 3.2, App. A.1)."""
