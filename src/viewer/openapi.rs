//! `/api/openapi.json`: the routes for programs that generate clients, tests and documentation. What documents look like
//! comes from the types; a test holds the addresses and the table of routes together.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::document::Word;
use super::health::{DetailedHealth, Health};
use super::http::Problem;
use super::public::{PublicDocument, PublicHistory, PublicIncidents, PublicService};
use crate::status::history::{History, Incidents};
use crate::status::{Document, Service};

/// The description of all routes, in OpenAPI 3.1.
pub(super) fn document() -> Value {
    // What is inside one document must not refer to another, or a tool needs the network to read it.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let schemas = &mut settings.into_generator();
    let whole =
        seen(schemas.subschema_for::<Document>().into(), schemas.subschema_for::<PublicDocument>().into());
    let service =
        seen(schemas.subschema_for::<Service>().into(), schemas.subschema_for::<PublicService>().into());
    let history =
        seen(schemas.subschema_for::<History>().into(), schemas.subschema_for::<PublicHistory>().into());
    let incidents =
        seen(schemas.subschema_for::<Incidents>().into(), schemas.subschema_for::<PublicIncidents>().into());
    let word: Value = schemas.subschema_for::<Word<'static>>().into();
    let paths = json!({
        "/": page("The status page", "A person's view; it asks /api/status by itself."),
        "/admin": details(page("The page with all details", "As the status page, with every detail of every check.")),
        "/static/status.js": asset("The script of page and widget", "text/javascript"),
        "/static/status.css": asset("Their style", "text/css"),
        "/favicon.svg": asset("The icon", "image/svg+xml"),
        "/favicon.ico": get(
            "The icon's old address",
            "Leads to /favicon.svg.",
            json!({ "301": { "description": "It is elsewhere.", "headers": { "Location": text_header("Where.") } } }),
        ),
        "/api/status": either(get(
            "The state of all services",
            "The document that the monitor wrote, with a word of the viewer on top: how far it can be believed. Who looks at \
             `fail_count` alone must look at `stale`, too.",
            json!({
                "200": dated("The document.", json!({ "allOf": [word, whole] })),
                "503": json_response("There is no data; the counts are 0.", word.clone()),
            }),
        )),
        "/api/status/{key}": either(keyed(get(
            "The state of one service",
            "Its part of the document, with the viewer's word on top.",
            json!({
                "200": dated("The service.", json!({ "allOf": [word, service] })),
                "404": problem(schemas, "No service has this key."),
                "503": problem(schemas, "There is no data."),
            }),
        ))),
        "/api/history/{key}": either(keyed(get(
            "The past of one service",
            "90 days and 24 hours of uptime, the latency of each of those hours, failures, changes of state and incidents, with \
             the viewer's word on top. What is not `known` nobody watched: it is neither up nor down.",
            json!({
                "200": tagged("The past.", json!({ "allOf": [word, history] })),
                "404": problem(schemas, "No service has this key."),
                "503": problem(schemas, "There is no data."),
            }),
        ))),
        "/api/incidents": either(get(
            "The latest incidents of all services",
            "With the viewer's word on top.",
            json!({
                "200": tagged("The incidents.", json!({ "allOf": [word, incidents] })),
                "503": problem(schemas, "They cannot be read."),
            }),
        )),
        "/api/openapi.json": asset("This description", "application/json"),
        "/api/schema/status.json": asset("The JSON Schema of status.json", "application/schema+json"),
        "/api/schema/history.json": asset("The JSON Schema of the past of one service", "application/schema+json"),
        "/api/schema/incidents.json": asset("The JSON Schema of the latest incidents", "application/schema+json"),
        "/api/schema/monitor.json": asset("The JSON Schema of monitor.yml", "application/schema+json"),
        "/badge.svg": asset("The worst state of all services as a picture", "image/svg+xml"),
        "/badge/{key}.svg": keyed(with_responses(
            asset("The state of a service as a picture", "image/svg+xml"),
            json!({ "404": problem(schemas, "No service has this key.") }),
        )),
        "/metrics": details(get(
            "Figures for Prometheus",
            "OpenMetrics or the older text format, whichever is asked for.",
            json!({ "200": { "description": "The figures.", "content": {
                "text/plain": { "schema": { "type": "string" } },
                "application/openmetrics-text": { "schema": { "type": "string" } },
            } } }),
        )),
        "/health": of_services(get(
            "Whether all is well",
            "For load balancers: 200 only while a monitor is at work and every service that counts is ok.",
            json!({
                "200": json_response("All is well.", of::<Health>(schemas)),
                "404": problem(schemas, "A service that shall count does not exist."),
                "503": json_response("Something is not, or nobody can tell.", of::<Health>(schemas)),
            }),
        )),
        "/health/detailed": details(of_services(get(
            "Whether all is well, and what is not",
            "As /health, with every service that counts.",
            json!({
                "200": json_response("All is well.", of::<DetailedHealth>(schemas)),
                "404": problem(schemas, "A service that shall count does not exist."),
                "503": json_response("Something is not, or nobody can tell.", of::<DetailedHealth>(schemas)),
            }),
        ))),
        "/livez": get(
            "Whether the viewer itself is alive",
            "It looks at nothing, so that the data never makes it look dead.",
            json!({ "200": json_response("It is.", json!({
                "type": "object",
                "properties": { "status": { "const": "ok" }, "version": { "type": "string" } },
                "required": ["status", "version"],
            })) }),
        ),
    });
    let problem: Value = schemas.subschema_for::<Problem>().into();
    let refused = |description: &str| json_response(description, problem.clone());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Wellkeep's viewer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the monitor of this host found and did. Reading only: GET and HEAD (405 for all else). An \
                 answer is told by its ETag, and not sent again to who has it (304). A Host that is not this machine's name \
                 is answered with 421.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        // Seen from this document: so it is right behind a proxy, too, whatever path that shows the viewer below.
        "servers": [{ "url": "..", "description": "This viewer" }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": {
                "Unauthorized": with(refused("Credentials are missing or wrong."), "headers", json!({
                    "WWW-Authenticate": text_header("How to log in.")
                })),
                "Forbidden": refused("The details are shown to nobody."),
                "TooManyRequests": with(refused("Too many wrong credentials."), "headers", json!({
                    "Retry-After": text_header("So many seconds to wait.")
                })),
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`viewer: access: token`" },
                "login": { "type": "http", "scheme": "basic", "description": "`viewer: access: user` and `password`" },
            },
        },
    })
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().into()
}

/// With the details, or without them where they are not for everybody.
fn seen(everything: Value, public: Value) -> Value {
    json!({ "anyOf": [everything, public] })
}

fn get(summary: &str, description: &str, responses: Value) -> Value {
    json!({ "get": { "summary": summary, "description": description, "responses": responses } })
}

fn page(summary: &str, description: &str) -> Value {
    let html = json!({ "text/html": { "schema": { "type": "string" } } });
    get(summary, description, json!({ "200": { "description": "The page.", "content": html } }))
}

fn asset(summary: &str, content_type: &str) -> Value {
    let content = json!({ content_type: {} });
    json!({ "get": { "summary": summary, "responses": { "200": { "description": "It.", "content": content } } } })
}

fn json_response(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn tagged(description: &str, schema: Value) -> Value {
    let headers = json!({ "ETag": text_header("Tells this answer from others.") });
    with(json_response(description, schema), "headers", headers)
}

fn dated(description: &str, schema: Value) -> Value {
    with(
        json_response(description, schema),
        "headers",
        json!({
            "Age": text_header("Seconds since the monitor made the document."),
            "ETag": text_header("Tells this answer from others."),
            "Last-Modified": text_header("When the monitor made the document; only while it can be believed."),
        }),
    )
}

fn problem(schemas: &mut SchemaGenerator, description: &str) -> Value {
    json_response(description, of::<Problem>(schemas))
}

fn text_header(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "string" } })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn with_responses(mut path: Value, responses: Value) -> Value {
    for (status, response) in responses.as_object().into_iter().flatten() {
        path["get"]["responses"][status] = response.clone();
    }
    path
}

fn with_parameter(mut path: Value, parameter: Value) -> Value {
    match path["get"]["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(parameter),
        None => path["get"]["parameters"] = json!([parameter]),
    }
    path
}

fn keyed(path: Value) -> Value {
    let parameter = json!({
        "name": "key", "in": "path", "required": true, "description": "The key of a service, as in monitor.yml",
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9_.-]+$" },
    });
    with_parameter(path, parameter)
}

fn of_services(path: Value) -> Value {
    let parameter = json!({
        "name": "services", "in": "query", "description": "The services that count, by key; all unless given",
        "schema": { "type": "array", "items": { "type": "string" } }, "style": "form", "explode": false,
    });
    with_parameter(path, parameter)
}

/// For whom a route with details refuses, which is nobody unless `viewer: access:` or `public_details: false` is set.
fn refusing(path: Value) -> Value {
    with_responses(
        path,
        json!({
            "401": { "$ref": "#/components/responses/Unauthorized" },
            "403": { "$ref": "#/components/responses/Forbidden" },
            "429": { "$ref": "#/components/responses/TooManyRequests" },
        }),
    )
}

fn details(path: Value) -> Value {
    let mut path = refusing(path);
    // The empty one: without `viewer: access:` nobody is asked.
    path["get"]["security"] = json!([{ "token": [] }, { "login": [] }, {}]);
    path
}

fn either(path: Value) -> Value {
    let parameter = json!({
        "name": "details", "in": "query", "allowEmptyValue": true, "schema": { "type": "string" },
        "description": "Be refused rather than given less, where the details need credentials",
    });
    details(with_parameter(path, parameter))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::access::For;
    use super::super::routes::addresses;
    use super::*;

    #[test]
    fn every_route_is_described_with_whom_it_is_for_and_nothing_else_is() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        let known: Vec<_> = addresses().collect();
        assert_eq!(described, known.iter().map(|(address, _)| &**address).collect());
        for (address, whom) in &known {
            let is_refusing = paths[&**address]["get"]["responses"].get("401").is_some();
            assert_eq!(is_refusing, *whom != For::Everybody, "{address}");
        }
    }

    #[test]
    fn it_is_openapi_and_refers_to_nothing_outside_of_itself() {
        let text = document().to_string();
        let spec = oas3::from_json(&text).unwrap();
        assert!(spec.validate_version().is_ok());
        assert_eq!(spec.operations().count(), addresses().count());
        let document = document();
        for reference in references(&document) {
            let place = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is elsewhere"));
            assert!(document.pointer(place).is_some(), "{reference} is nowhere");
        }
    }

    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(entries) => {
                let own = entries.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(entries.values().flat_map(references)).collect()
            }
            Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }
}
