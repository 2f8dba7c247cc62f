"""Which addresses a recipe allows."""

from embedkit.collect.hosts import host_of, is_private, literal_address
from embedkit.collect.recipe import SourceRecipe
from embedkit.collect.states import BY_ADDRESS, BY_HOSTS


def forbidden(recipe: SourceRecipe, url: str) -> str | None:
    """Return why a recipe does not allow an address; None if it does."""
    host = host_of(url)
    if host not in recipe.hosts:
        return BY_HOSTS
    literal = literal_address(host)
    if literal and is_private(literal) and not recipe.hosts.names_exactly(host):
        return BY_ADDRESS
    return None
