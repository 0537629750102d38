"""M: an MDN-RNN that predicts the next z (paper, section 3.3, App. A.2). Never sees a pixel."""
