"""The command line: parse, call, show. No work is done here."""

from embedkit.cli.app import main as main
