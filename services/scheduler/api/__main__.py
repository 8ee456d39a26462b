"""``python -m services.scheduler.api``: write the table of operations in ``docs/api.md`` anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.scheduler import SchedulerApp
from services.scheduler.api._table import with_table
from services.scheduler.registry import MemoryRegistry

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


async def page_as_it_has_to_be() -> str:
    """The page with the operations of a scheduler as it is built."""
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"])
    return with_table(PAGE.read_text(encoding="utf-8"), app.document())


if __name__ == "__main__":
    PAGE.write_text(asyncio.run(page_as_it_has_to_be()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd())}")  # noqa: T201
