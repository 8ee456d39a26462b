"""What the models of all requests and answers share."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_ITEMS = 100
MAX_ITEMS_PER_PAGE = 1000  #: some 600 KB of JSON, and a few milliseconds of the loop
MAX_PAGE = 1_000_000

_Item = TypeVar("_Item")


class ApiModel(BaseModel):
    """A body, a query or an answer. What a request says besides is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PageQuery(ApiModel):
    """Which page of a list is wanted."""

    page: int = Field(default=1, ge=1, le=MAX_PAGE, description="Number of the page, from 1.")
    items_per_page: int = Field(default=DEFAULT_ITEMS, ge=1, le=MAX_ITEMS_PER_PAGE, description="Most items of the page.")


class PageModel(ApiModel, Generic[_Item]):
    """A page of a list. One beyond the last is empty."""

    page: int = Field(description="Number of the page, from 1.")
    item_count: int = Field(description="Items of all pages.")
    page_count: int = Field(description="Pages that there are.")
    items: list[_Item] = Field(description="Those of this page.")
