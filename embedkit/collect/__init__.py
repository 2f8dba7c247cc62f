"""Collect: photos from web pages, with the class that caption, tags and address give them."""
