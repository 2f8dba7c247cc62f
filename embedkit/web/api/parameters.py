"""Types of parameters that several routes have."""

from typing import Annotated, TypeAlias

from fastapi import Depends
from pydantic import Field

from embedkit.web.state import Server, server_of, writable

State: TypeAlias = Annotated[Server, Depends(server_of)]
"""The state of the server."""
WritableState: TypeAlias = Annotated[Server, Depends(writable)]
"""The state of a server that accepts changes; a read-only one refuses the request."""
Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 as hex."""
