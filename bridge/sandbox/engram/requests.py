"""HTTP requests taken apart, with the framework's own complaints: plain text, before any handler is reached."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

import numpy as np

from bridge.sandbox.engram import answers, instants
from bridge.sandbox.engram.answers import Answer, Refused
from bridge.sandbox.engram.vectors import DIMENSIONS, Vector

INVALID: Final = "INVALID_MEMORY_INPUT"
_JSON_TYPE = re.compile(r"application/(?:[^;]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


@dataclass(slots=True)
class Request:
    """One HTTP request, read in full."""

    method: str
    identity: str
    query: Mapping[str, str]
    space: str | None
    content_type: str
    body: bytes
    # A write that is to be acknowledged and not made.
    dropped: bool = field(default=False)

    def space_name(self, in_body: str | None = None) -> str:
        """The space that the request means: header, then the query of a GET, then the body, then `default`."""
        named = (self.space, self.query.get("space") if self.method == "GET" else None, in_body)
        return next((name for name in named if name is not None), "default")

    def number(self, key: str, default: int) -> int:
        """A whole number of the query."""
        text = self.query.get(key)
        if text is None:
            return default
        if not re.fullmatch(r"\+?\d+", text, re.ASCII):
            raise Refused(answers.as_text(400, f"The query string cannot be read: {key} is not a whole number."))
        return int(text)

    def fraction(self, key: str, default: float) -> float:
        """A number of the query."""
        try:
            return float(self.query.get(key, default))
        except ValueError:
            raise Refused(answers.as_text(400, f"The query string cannot be read: {key} is not a number.")) from None

    def flag(self, key: str) -> bool:
        """A boolean of the query."""
        text = self.query.get(key, "false")
        if text not in ("true", "false"):
            raise Refused(answers.as_text(400, f"The query string cannot be read: {key} is neither true nor false."))
        return text == "true"

    def document(self) -> "Document":
        """The JSON object in the body."""
        if not _JSON_TYPE.fullmatch(self.content_type.strip()):
            raise Refused(answers.as_text(415, "The body must be JSON, with the content type application/json."))
        try:
            text = self.body.decode()
            document = json.loads(text, parse_constant=_no_constant)
            # JSON may spell half of a surrogate pair, which is no text.
            json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Refused(answers.as_text(400, f"The body is not JSON: {error}")) from error
        if not isinstance(document, dict):
            raise Refused(answers.as_text(422, "The body is JSON but not an object."))
        return Document(document)


class Document:
    """A JSON object whose fields are read by type; what does not fit is answered with 422. Null counts as missing."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def text(self, key: str) -> str | None:
        """A text, if there is one."""
        value = self._fields.get(key)
        if value is not None and not isinstance(value, str):
            _unfit(key, "a string")
        return value

    def needed_text(self, key: str) -> str:
        """A text that must be there."""
        value = self._fields.get(key)
        if key not in self._fields:
            raise Refused(answers.as_text(422, f"The body does not fit: missing field `{key}`."))
        if not isinstance(value, str):
            _unfit(key, "a string")
        return value

    def number(self, key: str) -> float | None:
        """A number, if there is one."""
        value = self._fields.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            _unfit(key, "a number")
        return float(value)

    def flag(self, key: str) -> bool:
        """A boolean; false where it is missing."""
        value = self._fields.get(key)
        if value is not None and not isinstance(value, bool):
            _unfit(key, "a boolean")
        return bool(value)

    def texts(self, key: str) -> None:
        """Check a list of texts, which nobody keeps."""
        value = self._fields.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
            _unfit(key, "a list of strings")

    def instant(self, key: str) -> int | None:
        """An instant, if there is one."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return instants.parse(text)
        except ValueError as error:
            raise Refused(answers.as_text(422, f"The body does not fit: {key}: {error}.")) from error

    def vector(self, key: str) -> Vector | None:
        """A vector, if there is one; a wrong length is the handler's complaint, in JSON."""
        return None if self._fields.get(key) is None else checked_vector(self._list(key))

    def numbers(self, key: str) -> Vector:
        """Numbers that must be there, as many as there are."""
        return np.array(self._list(key), dtype=np.float32)

    def _list(self, key: str) -> list[float]:
        value = self._fields.get(key)
        if not isinstance(value, list) or not all(type(entry) in (int, float) for entry in value):
            _unfit(key, "a list of numbers")
        return value


def checked_vector(numbers: list[float]) -> Vector:
    """768 numbers as a vector. (The real server also takes 400.)"""
    if len(numbers) != DIMENSIONS:
        raise Refused(invalid(f"An embedding must have {DIMENSIONS} numbers; this one has {len(numbers)}."))
    with np.errstate(over="ignore"):
        return np.array(numbers, dtype=np.float32)


def invalid(message: str) -> Answer:
    """A handler's 400."""
    return answers.error(400, INVALID, message)


def _unfit(key: str, wanted: str) -> NoReturn:
    raise Refused(answers.as_text(422, f"The body does not fit: {key} must be {wanted}."))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
