"""The manifest's JSON Schema, made from the models: structural (no references, each property with its type).

The rules are those of Kubernetes's CustomResourceDefinitions; only ``additionalProperties: false`` goes beyond them, so
that editors and validators find unknown keys as the loader does. A port that is a number or a name has
``x-kubernetes-int-or-string`` in place of a type, as in Kubernetes's own schemas.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from extsync.config.block import Block, SourceBlock
from extsync.config.checks import StatusRange
from extsync.config.descriptions import DESCRIPTIONS
from extsync.config.manifest import API_VERSION, ExternalService
from extsync.config.prometheus import SD_KINDS, SD_SUFFIX
from extsync.config.sources import Source

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema of one manifest."""
    generated = ExternalService.model_json_schema(schema_generator=_Generator)
    definitions = generated.pop("$defs")
    inlined: dict[str, Any] = _inline(generated, definitions)
    return {"$schema": DIALECT, "$id": f"https://{API_VERSION}/externalservice.schema.json", **inlined}


class _Generator(GenerateJsonSchema):
    """Adds what pydantic cannot know: unions, Prometheus's spellings and what each key means."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        block = schema["cls"]
        if not issubclass(block, Block):
            return generated
        properties = generated["properties"]
        for key, description in _descriptions(block).items():
            properties[key] = _described(properties[key], description)
        if block.ONE_OF:
            generated["oneOf"] = [{"required": [key]} for key in block.ONE_OF]
        if issubclass(block, SourceBlock):
            properties.update(_prometheus_spellings(block, properties))
        if block is Source:
            _add_sd_configs(generated)
        return generated

    def get_title_from_name(self, name: str) -> str:
        return name

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """A key is left out, never null."""
        return self.generate_inner(schema["schema"])

    def encode_default(self, dft: Any) -> Any:
        """The default as it would be written in a manifest."""
        if isinstance(dft, tuple) and dft and isinstance(dft[0], StatusRange):
            return [str(statuses) for statuses in dft]
        return super().encode_default(dft)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        generated = super().default_schema(schema)
        if generated.get("default", ...) is None:
            del generated["default"]
        return generated


def _descriptions(block: type[Block]) -> dict[str, str]:
    """The descriptions of a block's own keys and of those that it inherits."""
    found: dict[str, str] = {}
    for parent in reversed(block.__mro__):
        found.update(DESCRIPTIONS.get(parent, {}))
    return found


def _described(generated: dict[str, Any], description: str) -> dict[str, Any]:
    """A reference keeps company with a description; inlining lets the latter win over what it refers to."""
    return {**generated, "description": description}


def _prometheus_spellings(block: type[SourceBlock], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {**properties[key], "description": f"Prometheus's spelling of {key}."}
        for key, name in block.keys().items()
        if name != key
    }


def _add_sd_configs(generated: dict[str, Any]) -> None:
    """``file_sd_configs: [entry]`` in place of ``file``, and so on: each kind has two keys, of which one is there."""
    properties = generated["properties"]
    for kind in SD_KINDS:
        properties[kind + SD_SUFFIX] = {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "description": f"An entry of Prometheus's {kind}{SD_SUFFIX}, in place of {kind}.",
        }
        generated["oneOf"].append({"required": [kind + SD_SUFFIX]})


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """``node`` with every reference replaced by what it refers to (the manifest has no recursion)."""
    if isinstance(node, list):
        return [_inline(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if reference is None:
        return {key: _inline(value, definitions) for key, value in node.items()}
    target = definitions[reference.removeprefix("#/$defs/")]
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _inline({**target, **beside}, definitions)
