"""The keywords of JSON Schema: which are read, which are annotations, which are refused."""

from __future__ import annotations

import difflib

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
# Keywords that do not restrict a value.
ANNOTATIONS = frozenset(
    "$schema $id id $comment $anchor $dynamicAnchor $recursiveAnchor $vocabulary $defs definitions "
    "title description default example examples deprecated readOnly writeOnly discriminator "
    "contentMediaType contentEncoding contentSchema".split()
)
# Keywords whose value is applied to the same value as the schema that they stand in.
APPLIED_IN_PLACE = (
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
)
STRUCTURE = frozenset(["type", "enum", "const", "nullable", "excluded", *APPLIED_IN_PLACE])
KEYWORDS_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format", "excludedPattern"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": (
        "items",
        "prefixItems",
        "additionalItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "unevaluatedItems",
    ),
    "object": (
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "unevaluatedProperties",
        "absent",
    ),
}
RESTRICTIONS = STRUCTURE.union(*KEYWORDS_OF_TYPE.values())
# Keywords that have no effect without the other one.
NEEDS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
# Keywords that restrict a value by the standard, and that cannot be compiled.
REFUSED = {
    "contains": "describe the items one by one: prefixItems, items",
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "extends": "it is of draft 3: use allOf",
    "disallow": "it is of draft 3: use not",
    "divisibleBy": "it is of draft 3: use multipleOf",
}
# Keywords of redraft itself, for what a negation asks for. A schema cannot have them.
INTERNAL = frozenset(["absent", "excluded", "excludedPattern"])
KEYWORDS = (ANNOTATIONS | RESTRICTIONS | REFUSED.keys() | NEEDS.keys()) - INTERNAL

# The keywords whose values are schemas, lists of schemas, and objects of schemas.
OF_SCHEMA = (
    "additionalItems additionalProperties contains contentSchema else if items not propertyNames "
    "then unevaluatedItems unevaluatedProperties"
).split()
OF_SCHEMA_LIST = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
OF_SCHEMA_OBJECT = ("properties", "patternProperties", "dependentSchemas", "dependencies")
DEFINITIONS = ("$defs", "definitions")

# The drafts, by a part of the address in `$schema`.
DRAFTS = {
    "draft-03": 3,
    "draft-04": 4,
    "draft-05": 4,
    "draft-06": 6,
    "draft-07": 7,
    "2019-09": 2019,
    "2020-12": 2020,
}


def draft_of(address: object) -> int | None:
    """Return the draft that `$schema` names; None where it names none of json-schema.org's."""
    if not isinstance(address, str) or "json-schema.org" not in address:
        return None
    return next((draft for part, draft in DRAFTS.items() if part in address), None)


def similar_keyword(name: str) -> str | None:
    """Return the known keyword that a name is a misspelling of, None where there is none."""
    near = difflib.get_close_matches(name[:100], KEYWORDS, n=1, cutoff=0.8)
    return near[0] if near else None
