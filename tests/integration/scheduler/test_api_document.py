"""The document of the API is one as others read it, and says what everything is."""

from __future__ import annotations

from openapi_spec_validator import OpenAPIV31SpecValidator

from services.scheduler import SchedulerApp
from services.scheduler.registry import MemoryRegistry


async def test_the_document_of_all_operations_is_valid_and_every_field_of_it_is_described() -> None:
    document = SchedulerApp(MemoryRegistry(lambda: 0.0), [b"key"]).document()
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    assert not [name for name in schemas if "__" in name], "two models of one name"
    fields = [(name, field, kind) for name, schema in schemas.items() for field, kind in schema.get("properties", {}).items()]
    assert [f"{name}.{field}" for name, field, kind in fields if "description" not in kind] == []
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    parameters = [(each["operationId"], one) for each in operations for one in each["parameters"]]
    assert [f"{where} {one['name']}" for where, one in parameters if not one.get("description")] == []
