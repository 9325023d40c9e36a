//! The document is a well-formed OpenAPI 3.1 document, and its routes are those of the template.

use std::collections::BTreeSet;

use integration_tests::routes::RouteTable;
use integration_tests::template::Template;
use integration_tests::{Stack, Value, json};

use super::contract::{document, operations, resolve, text, validator};

/// Calls `visit` with every object and its pointer.
fn walk(pointer: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(pointer, value);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(&format!("{pointer}/{}", super::contract::step(name)), member, visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{pointer}/{index}"), item, visit);
            }
        }
        _ => {}
    }
}

fn references() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk("", document(), &mut |_, value| {
        if let Some(reference) = value["$ref"].as_str() {
            found.insert(reference.to_owned());
        }
    });
    found
}

/// What the specification lets stand in each kind of object, extensions aside.
fn keys_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "operation" => {
            &["operationId", "tags", "summary", "description", "security", "parameters", "requestBody", "responses"]
        }
        "parameter" => &["name", "in", "required", "description", "schema", "example"],
        "requestBody" => &["required", "description", "content"],
        "response" => &["description", "headers", "content"],
        "header" => &["required", "description", "schema", "example"],
        "media" => &["schema", "examples"],
        "securityScheme" => &["type", "scheme", "bearerFormat", "description"],
        "root" => &["openapi", "jsonSchemaDialect", "info", "servers", "tags", "paths", "components"],
        _ => panic!("{kind}"),
    }
}

fn assert_keys(kind: &str, pointer: &str, value: &Value) {
    for key in value.as_object().unwrap_or_else(|| panic!("{pointer} is no object")).keys() {
        assert!(key.starts_with("x-") || keys_of(kind).contains(&key.as_str()), "{pointer}: {key} is no key of {kind}");
    }
}

/// Pointers of every response, the components' own included.
fn responses() -> Vec<String> {
    let inline = operations().into_iter().flat_map(|(_, _, pointer)| {
        let responses = document().pointer(&format!("{pointer}/responses")).and_then(Value::as_object);
        let statuses: Vec<String> = responses.expect("responses").keys().cloned().collect();
        statuses.into_iter().map(move |status| resolve(&format!("{pointer}/responses/{status}")).0)
    });
    inline.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn the_document_is_openapi_3_1() {
    let document = document();
    assert_keys("root", "", document);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    let tags: Vec<&Value> = document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (method, path, pointer) in operations() {
        let operation = document.pointer(&pointer).expect("an operation");
        assert_keys("operation", &pointer, operation);
        assert!(ids.insert(operation["operationId"].as_str().expect("an operationId")), "{pointer}: operationId twice");
        assert!(operation["summary"].is_string() && operation["security"].is_array(), "{pointer}");
        assert!(tags.contains(&&operation["tags"][0]), "{pointer}: unknown tag");
        let item = pointer.rsplit_once('/').expect("a path item").0;
        let mut in_path = BTreeSet::new();
        for list in [format!("{item}/parameters"), format!("{pointer}/parameters")] {
            for index in 0..document.pointer(&list).and_then(Value::as_array).map_or(0, Vec::len) {
                let (at, parameter) = resolve(&format!("{list}/{index}"));
                assert_keys("parameter", &at, parameter);
                validator(&format!("{at}/schema"));
                if parameter["in"] == "path" {
                    assert_eq!(parameter["required"], true, "{at}");
                    in_path.insert(format!("{{{}}}", parameter["name"].as_str().expect("a name")));
                }
            }
        }
        let named: BTreeSet<String> = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(in_path, named, "{method} {path}: parameters of the path");
        for requirement in operation["security"].as_array().expect("a list").iter().filter_map(Value::as_object) {
            for scheme in requirement.keys() {
                resolve(&format!("/components/securitySchemes/{scheme}"));
            }
        }
    }
    for (name, scheme) in document["components"]["securitySchemes"].as_object().expect("schemes") {
        assert_keys("securityScheme", name, scheme);
    }
}

#[test]
fn every_response_states_the_common_headers() {
    for pointer in responses() {
        let (_, response) = resolve(&pointer);
        assert_keys("response", &pointer, response);
        assert!(response["description"].is_string(), "{pointer}");
        for (name, _) in response["headers"].as_object().into_iter().flatten() {
            let (at, header) = resolve(&format!("{pointer}/headers/{name}"));
            assert_keys("header", &at, header);
        }
        // API Gateway's own answer is not ours to describe.
        if pointer != "/components/responses/Throttled" {
            for name in ["Cache-Control", "X-Request-Id", "Strict-Transport-Security", "X-Content-Type-Options"] {
                assert!(response["headers"][name].is_object(), "{pointer}: {name} is missing");
            }
            // Any answer to a caller with a quota says what is left of it; the public routes have no callers.
            let public = [
                "/.well-known/jwks.json",
                "/.well-known/oauth-authorization-server",
                "/health",
                "/openapi.json",
                "/console",
                "/console/{asset}",
                "/account",
                "/account/{asset}",
            ];
            let public = public.map(super::contract::step);
            let public = public.iter().any(|path| pointer.starts_with(&format!("/paths/{path}/")));
            for name in ["RateLimit-Policy", "RateLimit"].into_iter().filter(|_| !public) {
                assert!(response["headers"][name].is_object(), "{pointer}: {name} is missing");
            }
        }
        for (kind, media) in response["content"].as_object().into_iter().flatten() {
            assert_keys("media", &format!("{pointer} {kind}"), media);
        }
    }
}

#[test]
fn references_resolve_and_every_component_is_used() {
    let references = references();
    for reference in &references {
        resolve(reference.strip_prefix('#').expect("references stay inside the document"));
    }
    for (kind, components) in document()["components"].as_object().expect("components") {
        for name in components.as_object().expect("components").keys().filter(|_| kind != "securitySchemes") {
            let reference = format!("#/components/{kind}/{name}");
            assert!(references.contains(&reference), "{reference} is never used");
        }
    }
}

#[test]
fn schemas_compile_and_say_whether_they_are_closed() {
    let mut schemas = Vec::new();
    walk("", document(), &mut |pointer, value| {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        let is_schema = parent == "/components/schemas" || (name == "schema" && !pointer.contains("/schemas/"));
        if is_schema {
            schemas.push((pointer.to_owned(), value.clone()));
        }
    });
    assert!(schemas.len() > 50, "found {}", schemas.len());
    for (pointer, _) in &schemas {
        validator(pointer);
    }
    // What RFCs, callers or API Gateway may extend.
    let open = ["SessionData", "TokenForm", "IntrospectionForm", "OpenApiDocument", "GatewayMessage", "GrantForm"];
    for (name, schema) in document()["components"]["schemas"].as_object().expect("schemas") {
        let closed = schema["additionalProperties"] == false;
        assert_eq!(schema["type"] == "object" && !closed, open.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_paths_are_the_routes_of_the_template() {
    let table = RouteTable::from_template(Template::of_repository());
    let deployed: BTreeSet<_> = table.iter().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    let documented: BTreeSet<_> = operations().into_iter().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(documented, deployed);
}

#[tokio::test]
async fn the_service_serves_the_document_and_its_health() {
    let stack = Stack::start().await;
    let api = super::api::Api::new(&stack);
    let served = api.send("GET", "/openapi.json", |request| request).await.expect(200);
    assert_eq!(served.body, text().into_bytes(), "byte for byte");
    assert_eq!(api.send("GET", "/health", |request| request).await.expect(200).json(), json!({ "status": "ok" }));
    api.assert_complete(&["getOpenApiDocument", "getHealth"]);
}
