"""Image classification: split the labelled images, train heads, evaluate them, classify photos."""
