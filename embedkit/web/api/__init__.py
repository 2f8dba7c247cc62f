"""The routes of the JSON API, version 1."""
