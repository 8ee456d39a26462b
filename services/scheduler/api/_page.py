"""Some of many: what a list is answered with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.scheduler.api._model import PageModel, PageQuery

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")


@dataclass(slots=True, frozen=True)
class Page(Generic[_Key]):
    """Some of many. A page beyond the last is empty."""

    number: int
    size: int
    count: int  #: of all
    shown: Sequence[_Key]

    @classmethod
    def of(cls, keys: Sequence[_Key], asked: PageQuery) -> Page[_Key]:
        """The page of `keys` that was asked for."""
        start = (asked.page - 1) * asked.items_per_page
        return cls(asked.page, asked.items_per_page, len(keys), keys[start : start + asked.items_per_page])

    def answer(self, model: type[PageModel[_Item]], items: Iterable[_Item]) -> PageModel[_Item]:
        """The page as `model`, with its `items`, one for each that is shown. They are not checked again."""
        return model.model_construct(
            page=self.number, item_count=self.count, page_count=-(-self.count // self.size), items=list(items)
        )
