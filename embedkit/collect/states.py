"""Kinds and states of the addresses in a manifest, and the reasons for states."""

LIST, POST, IMAGE = "list", "post", "image"
"""Kinds of addresses: a page of a list, the page of a single post, an image."""

SEEN, FETCHED, STORED = "seen", "fetched", "stored"
REDIRECTED, SKIPPED, FAILED = "redirected", "skipped", "failed"
"""States of an address. ``seen`` is to be requested; ``requested`` is under way; ``fetched`` is a
page that was read, ``stored`` an image on disk; ``skipped`` is what the site or the recipe forbids.
"""

BY_ROBOTS = "robots.txt forbids it"
BY_HOSTS = "its host is not in hosts"
BY_ADDRESS = "its host has a private address"
CHECKED_AGAIN = (BY_ROBOTS, BY_HOSTS, BY_ADDRESS)
"""Reasons for ``skipped`` that each run checks again, without a request."""
