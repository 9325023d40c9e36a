//! The document, and whether a response is what it says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use integration_tests::{Response, Value, settings};
use jsonschema::{Draft, Validator};

/// Headers that HTTP itself brings: OpenAPI leaves `Content-Type` to the keys of `content`, and any answer to a request
/// with a proof of possession may carry `DPoP-Nonce`, as the document says once for all of them.
const OF_HTTP: [&str; 2] = ["content-type", "dpop-nonce"];

/// The bytes of the document.
pub fn text() -> String {
    let file = Path::new(settings::PACKAGE_DIR).join("../functions/openapi/openapi.json");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&text()).expect("openapi.json is JSON"));
    &DOCUMENT
}

/// The value at a JSON pointer, references followed, with the pointer at which it was found.
pub fn resolve(pointer: &str) -> (String, &'static Value) {
    let value = document().pointer(pointer).unwrap_or_else(|| panic!("openapi.json has nothing at {pointer}"));
    match value["$ref"].as_str() {
        Some(reference) => resolve(reference.strip_prefix('#').expect("references stay inside the document")),
        None => (pointer.to_owned(), value),
    }
}

/// One step of a JSON pointer.
pub fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Every operation: method in capitals, path, pointer.
pub fn operations() -> Vec<(String, String, String)> {
    let paths = document()["paths"].as_object().expect("paths");
    let items = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("a path item").keys().filter(|key| *key != "parameters");
        methods
            .map(move |method| (method.to_ascii_uppercase(), path.clone(), format!("/paths/{}/{method}", step(path))))
    });
    items.collect()
}

/// What is wrong with a value under the schema at a pointer, one sentence each.
pub fn schema_errors(pointer: &str, value: &Value) -> Vec<String> {
    validator(pointer)
        .iter_errors(value)
        .map(|error| format!("{error} at {:?}", error.instance_path.as_str()))
        .collect()
}

/// The validator of the schema at a pointer.
pub fn validator(pointer: &str) -> Arc<Validator> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().unwrap();
    let made = validators.entry(pointer.to_owned()).or_insert_with(|| {
        // The document itself as the schema's root, so that references inside it resolve; none of its own keys is a
        // keyword of JSON Schema.
        let mut root = document().clone();
        root["$ref"] = format!("#{}", pointer.replace('{', "%7B").replace('}', "%7D")).into();
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        Arc::new(options.build(&root).unwrap_or_else(|error| panic!("{pointer} is no schema: {error}")))
    });
    Arc::clone(made)
}

/// What is wrong with a response of the operation at a pointer, one sentence each.
pub fn violations(operation: &str, response: &Response) -> Vec<String> {
    let at = format!("{operation}/responses/{}", response.status);
    if document().pointer(&at).is_none() {
        return vec![format!("status {} is not documented", response.status)];
    }
    let (pointer, documented) = resolve(&at);
    let mut found = header_violations(&pointer, documented, response);
    found.extend(body_violations(&pointer, documented, response));
    found
}

fn header_violations(pointer: &str, documented: &'static Value, response: &Response) -> Vec<String> {
    let mut found = Vec::new();
    let headers = documented["headers"].as_object().into_iter().flatten();
    let known: BTreeMap<String, &String> = headers.map(|(name, _)| (name.to_ascii_lowercase(), name)).collect();
    let sent: BTreeSet<&str> = response.headers.keys().map(String::as_str).collect();
    for name in sent.iter().filter(|name| !OF_HTTP.contains(name) && !known.contains_key(**name)) {
        found.push(format!("header {name} is not documented"));
    }
    for (lower, name) in known {
        let (at, header) = resolve(&format!("{pointer}/headers/{}", step(name)));
        match response.headers.get(&lower) {
            None if header["required"] == true => found.push(format!("header {name} is missing")),
            None => {}
            Some(text) => {
                let value = text.parse::<u64>().map_or_else(|_| Value::from(text.as_str()), Value::from);
                let errors = schema_errors(&format!("{at}/schema"), &value);
                found.extend(errors.into_iter().map(|error| format!("header {name}: {error}")));
            }
        }
    }
    found
}

fn body_violations(pointer: &str, documented: &'static Value, response: &Response) -> Vec<String> {
    let stated = response.header("content-type");
    let Some(content) = documented["content"].as_object() else {
        let empty = response.body.is_empty() && stated.is_empty();
        return if empty { Vec::new() } else { vec!["a body, and none is documented".to_owned()] };
    };
    let essence = stated.split(';').next().unwrap_or_default().trim();
    if !content.contains_key(essence) {
        return vec![format!("content type {stated:?} is not documented")];
    }
    // Files of comma-separated values are text to their schema.
    let body = match essence {
        "text/csv" => Ok(Value::from(response.text())),
        _ => serde_json::from_slice::<Value>(&response.body),
    };
    let Ok(body) = body else {
        return vec!["the body is not JSON".to_owned()];
    };
    schema_errors(&format!("{pointer}/content/{}/schema", step(essence)), &body)
}

/// Every answer an operation documents: status and, for problems, code.
pub fn documented_answers(operation: &str) -> BTreeSet<(u16, String)> {
    let responses =
        document().pointer(&format!("{operation}/responses")).and_then(Value::as_object).expect("responses");
    let mut answers = BTreeSet::new();
    for status in responses.keys() {
        let (_, response) = resolve(&format!("{operation}/responses/{status}"));
        let number: u16 = status.parse().expect("a status code");
        let contents = response["content"].as_object().into_iter().flatten();
        let codes = contents.flat_map(|(_, media)| media["schema"]["properties"]["code"]["enum"].as_array());
        let codes: Vec<&Value> = codes.flatten().collect();
        if codes.is_empty() {
            answers.insert((number, String::new()));
        }
        answers.extend(codes.iter().map(|code| (number, code.as_str().expect("a code").to_owned())));
    }
    answers
}
