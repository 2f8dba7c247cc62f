"""The command line: parse arguments, call the API, print the result."""

from embedkit.cli.app import main as main
