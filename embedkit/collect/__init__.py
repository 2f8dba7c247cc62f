"""Photos from the web, in folders by label."""
