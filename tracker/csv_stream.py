"""CSV answers: streamed, and safe to open in a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

CHUNK_ROWS = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula may begin, the full-width signs included."""


def safe(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value


async def stream(
    request: web.Request, name: str, columns: Sequence[str], rows: AsyncIterator[Sequence[Any]]
) -> web.StreamResponse:
    """Answer with the rows as they come, `name` being the file's."""
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    response.content_type, response.charset = "text/csv", "utf-8"
    await response.prepare(request)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    count = 0
    async for row in rows:
        writer.writerow([safe(cell) for cell in row])
        count += 1
        if count % CHUNK_ROWS == 0:
            await response.write(_taken(buffer))
    await response.write(_taken(buffer))
    await response.write_eof()
    return response


def _taken(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return data
