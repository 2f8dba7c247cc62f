"""Review: photos that probably have a wrong label, do not belong, or are of poor quality."""
