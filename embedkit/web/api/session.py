"""The session of a browser: the token in exchange for a cookie."""

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from embedkit.web.api.parameters import State

router = APIRouter()


class SessionRequest(BaseModel):
    """The token that ``embedkit serve`` printed."""

    token: str = Field(max_length=200)


@router.post("/session", status_code=204, summary="Exchange the token for a cookie")
def start_session(server: State, request: SessionRequest) -> Response:
    """Set a cookie that scripts cannot read. Programs send the token with each request instead.

    Requests to this path need neither the token nor a cookie.
    """
    if not server.access.is_token(request.token):
        raise HTTPException(401, "the token is wrong; open the link that embedkit serve printed")
    response = Response(status_code=204)
    response.set_cookie(
        server.access.cookie_name,
        server.access.cookie,
        path="/",
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete("/session", status_code=204, summary="Remove the cookie")
def end_session(server: State) -> Response:
    """Sign the browser out."""
    response = Response(status_code=204)
    response.delete_cookie(server.access.cookie_name, path="/", httponly=True, samesite="strict")
    return response
