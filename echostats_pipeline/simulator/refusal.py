"""Errors of the simulated Web API.

Belongs here: `ApiError` and its HTTP forms. Not here: when it is raised.
"""

from starlette.responses import JSONResponse, PlainTextResponse, Response


class ApiError(Exception):
    """An answer of the Web API other than 200.

    Args:
        status: HTTP status.
        message: None leaves the key out.
        challenge: The error of the ``WWW-Authenticate`` header.
        reason: Spotify's machine-readable reason, for example ``QUOTA_EXCEEDED``.
        retry_after: Value of the header ``Retry-After``.
        plain: Send the message as text instead of JSON.
    """

    def __init__(
        self,
        status: int,
        message: str | None,
        *,
        challenge: str | None = None,
        reason: str | None = None,
        retry_after: str | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.challenge = challenge
        self.reason = reason
        self.retry_after = retry_after
        self.plain = plain

    def response(self) -> Response:
        """Return ``{"error": {"status": ..., "message": ...}}``, or the message as text."""
        headers = {}
        if self.challenge:
            headers["WWW-Authenticate"] = (
                f'Bearer realm="spotify", error="{self.challenge}", error_description="{self.message}"'
            )
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        if self.plain:
            return PlainTextResponse(self.message, self.status, headers)
        said = {"message": self.message, "reason": self.reason}
        error = {"status": self.status, **{key: value for key, value in said.items() if value is not None}}
        return JSONResponse({"error": error}, self.status, headers)
