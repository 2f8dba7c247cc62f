"""Requests that are JSON, or a form with photos. Photos are not kept after the response."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from embedkit.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)

IMAGE = "image"
"""Name of the field with photos in a form."""
_MAX_FIELDS = 20
"""Maximum number of other fields in a form."""


def body_of(as_json: type[BaseModel], as_form: type[BaseModel]) -> dict[str, Any]:
    """Return the description of a request with one of two bodies, for the OpenAPI document."""
    kinds = {"application/json": as_json, "multipart/form-data": as_form}
    content = {kind: {"schema": model.model_json_schema()} for kind, model in kinds.items()}
    return {"requestBody": {"required": True, "content": content}}


async def read_request(
    request: Request, model: type[Model], max_images: int = 1
) -> tuple[Model, list[bytes]]:
    """Return the fields of a request, and the photos if it is a form.

    Raises :class:`BadInput` if the request is neither JSON nor a form, or a field is wrong.
    """
    fields, images = await _read(request, max_images)
    try:
        return model.model_validate(fields), images
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the request"
        raise BadInput(f"{name}: {first['msg']}") from error


async def _read(request: Request, max_images: int) -> tuple[Any, list[bytes]]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        try:
            return await request.json(), []
        except (ValueError, RecursionError) as error:
            raise BadInput("the request is neither JSON nor a form with a file") from error
    images = []
    fields: dict[str, str] = {}
    async with request.form(max_files=max_images, max_fields=_MAX_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != IMAGE:
                    raise BadInput(f"the field of a file must be called {IMAGE}")
                images.append(await value.read())
            elif name in fields:
                raise BadInput("a field is given twice")
            else:
                fields[name] = value
    return fields, images
