"""What the API says of itself: the forms of bodies and answers, with examples, and the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from json import dumps
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from featurestore import __version__
from featurestore.serve.feast import FeastQuestion
from featurestore.serve.historical import FORMATS, HistoricalQuestion, LatestQuestion
from featurestore.serve.online import Question, Questions
from featurestore.serving.decoding import Status

REFERENCE = "#/components/schemas/{model}"
TEXT, WHOLE, OBJECT = {"type": "string"}, {"type": "integer"}, {"type": "object"}
VALUE = {"$ref": REFERENCE.format(model="Value")}
WARNINGS = {"type": "array", "items": TEXT}


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties), **more}


def _listing(name: str) -> dict[str, Any]:
    return _object({name: {"type": "array", "items": OBJECT}})


SCHEMAS: Mapping[str, Any] = {
    "Error": _object(
        {"error": _object({"code": TEXT, "message": TEXT, "hint": {"type": ["string", "null"]}})},
        examples=[
            {"error": {"code": "usage", "message": "there is no feature 'agee'", "hint": "did you mean 'age'?"}}
        ],
    ),
    "Value": _object(
        {
            "value": {"description": "null where there is none"},
            "computed_at": {"type": ["string", "null"], "format": "date-time"},
            "version": WHOLE, "sha256": TEXT,
            "status": {"enum": list(get_args(Status))},
        }
    ),
    "Answer": _object(
        {
            "entity_type": TEXT,
            "entities": {
                "type": "array",
                "items": _object(
                    {
                        "entity_id": {"type": ["string", "object"]},
                        "features": {"type": "object", "additionalProperties": VALUE},
                    }
                ),
            },
            "warnings": WARNINGS,
        },
        examples=[
            {
                "entity_type": "patient",
                "entities": [
                    {
                        "entity_id": "007",
                        "features": {
                            "age_normalized": {
                                "value": 0.7, "computed_at": "2025-01-13T14:45:00Z", "version": 1,
                                "sha256": "9f86d081884c", "status": "ok",
                            }
                        },
                    }
                ],
                "warnings": [],
            }
        ],
    ),
    "Answers": _object({"answers": {"type": "array", "items": {"$ref": REFERENCE.format(model="Answer")}}}),
    "FeastAnswer": _object(
        {
            "metadata": _object({"feature_names": WARNINGS}),
            "results": {
                "type": "array",
                "items": _object(
                    {
                        "values": {"type": "array"},
                        "statuses": {
                            "type": "array",
                            "items": {"enum": ["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]},
                        },
                        "event_timestamps": {"type": "array", "items": {"type": "string", "format": "date-time"}},
                    }
                ),
            },
        }
    ),
    "Health": _object({"status": TEXT, "version": TEXT}),
    "Ready": _object({"status": {"enum": ["ready", "not ready"]}, "stores": OBJECT}),
    "Features": _object({"features": {"type": "array", "items": OBJECT}, "problems": {"type": "array"}}),
    "Runs": _listing("runs"), "DataSets": _listing("datasets"), "Document": OBJECT,
}  # fmt: skip


def body_of(*models: str) -> dict[str, Any]:
    """The part of an operation that says what its JSON body is: one of these forms."""
    forms = [{"$ref": REFERENCE.format(model=model)} for model in models]
    schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def errors(*models: str, missing: bool = False) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation: one of these forms, or an error. ``missing`` is where its path names a thing."""
    forms = [{"$ref": REFERENCE.format(model=model)} for model in models]
    schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    }
    said = {
        400: "The question can't be answered.", 401: "No token, or an unknown one.", 403: "Not with this token.",
        413: "Too much in one request.", 500: "Something that whoever runs the server has to repair.",
        503: "A store is gone, or there is too much to do: try again.", 504: "It took too long.",
    }  # fmt: skip
    if missing:
        said[404] = "There is nothing of that name."
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(model="Error")}}}
    return found | {status: {"description": text, "content": content} for status, text in sorted(said.items())}


def table_answers() -> dict[int | str, dict[str, Any]]:
    """The answers of an operation that gives a table in the format that is accepted."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {kind: binary for kind, form in FORMATS.items() if form != "json"}
    content["application/json"] = {"schema": {"$ref": REFERENCE.format(model="Document")}}
    found = errors("Document")
    said = {406: "None of the accepted formats.", 415: "The body is packed."}
    more = {status: {**found[400], "description": text} for status, text in said.items()}
    return found | more | {200: {"description": "The table.", "content": content}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application."""
    document = get_openapi(
        title="featurestore", version=__version__, routes=app.routes,
        description="Online and historical features. Nothing can be changed here.",
    )  # fmt: skip
    forms = (Question, Questions, FeastQuestion, HistoricalQuestion, LatestQuestion)
    _, models = models_json_schema([(form, "validation") for form in forms], ref_template=REFERENCE)
    document.setdefault("components", {})["schemas"] = {**models["$defs"], **SCHEMAS}
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}, {}]
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)  # FastAPI's own form, which is not answered
    return document


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto}h2{margin-top:2.5rem}code{font-size:.95em}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}pre{background:#222}a{color:#8bf}}"
)


def page(document: Mapping[str, Any]) -> str:
    """The document as a page of its own: no script, nothing that is loaded from elsewhere."""
    schemas = document["components"]["schemas"]
    parts = [
        f"<h1>{escape(document['info']['title'])} {escape(document['info']['version'])}</h1>",
        f"<p>{escape(document['info']['description'])} For programs: <a href='/openapi.json'>/openapi.json</a>.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(method, path, operation, schemas))
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>featurestore</title><style>{STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}.</p>"]
    if operation.get("description"):
        parts.append(f"<p>{escape(operation['description'])}</p>")
    listed = "".join(
        f"<li><code>{escape(item['name'])}</code> {escape(item.get('description', ''))}</li>"
        for item in operation.get("parameters", ())
    )
    parts.append(f"<ul>{listed}</ul>" if listed else "")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    for title, schema in (("Body", body), ("Answer", answer)):
        example = _example(schema, schemas)
        if example is not None:
            shown = escape(dumps(example, indent=2, ensure_ascii=False))
            parts.append(f"<p>{title}, for example:</p><pre>{shown}</pre>")
    return "".join(parts)


def _example(schema: Mapping[str, Any] | None, schemas: Mapping[str, Any]) -> Any:
    if schema is None:
        return None
    form = schema.get("anyOf", [schema])[0]
    return next(iter(schemas.get(form.get("$ref", "").rpartition("/")[2], {}).get("examples", ())), None)
