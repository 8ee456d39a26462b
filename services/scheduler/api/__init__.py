"""The HTTP API: operations with models, which check requests and which the OpenAPI document is made of."""

from services.scheduler.api._model import ApiModel, PageModel, PageQuery
from services.scheduler.api._operation import Answer, ApiRole, Asked, Operation

__all__ = ["Answer", "ApiModel", "ApiRole", "Asked", "Operation", "PageModel", "PageQuery"]
