"""From labels to an answer: heads trained on a split, judged on its test part, put to new photos."""
