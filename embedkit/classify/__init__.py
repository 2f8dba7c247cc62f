"""From labels to an answer: heads are trained on a split, judged on its test part, put to use."""
