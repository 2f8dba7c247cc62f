"""Export a head with its networks as one graph that runs without embedkit."""
