//! Strict JSON: one meaning per document. Unknown fields, duplicate keys, wrong types and trailing bytes are refused,
//! and the refusal names the field.

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// One thing that is wrong with a request, told to the caller.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// Path of the field (`device.type`), header, or parameter; `body` for the document as a whole.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// A named field and what is wrong with it.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldError { field: field.into(), detail: detail.into() }
    }
}

/// Parses a body into a type whose structs deny unknown fields.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, FieldError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| FieldError::new(field(&error.path().to_string(), error.inner()), describe(error.inner())))?;
    deserializer.end().map_err(|_| FieldError::new("body", "must be one JSON document without trailing bytes"))?;
    Ok(parsed)
}

/// Where the fault is. A field that is missing or stands twice is named by the words of the error; its path ends at the
/// object around it. Text that breaks off inside an object has no field at all.
fn field(path: &str, error: &serde_json::Error) -> String {
    if error.classify() != serde_json::error::Category::Data {
        return "body".to_owned();
    }
    let text = error.to_string();
    let own = ["missing field `", "duplicate field `"].into_iter().find_map(|start| text.strip_prefix(start));
    let own = own.and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    let around = if path == "." { "" } else { path };
    match own {
        None if around.is_empty() => "body".to_owned(),
        None => around.to_owned(),
        Some(name) if around.is_empty() || around == name => name.to_owned(),
        Some(name) if around.ends_with(&format!(".{name}")) => around.to_owned(),
        Some(name) => format!("{around}.{name}"),
    }
}

/// The parser's own words without positions, and without values: a value may be personal or secret.
fn describe(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => {
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            match text.split_once(", expected ") {
                Some((found, expected)) if found.starts_with("invalid") => format!("expected {expected}"),
                _ => text.to_owned(),
            }
        }
        _ => "must be valid JSON".to_owned(),
    }
}

/// A JSON object that refuses duplicate keys at any depth.
#[derive(Debug, Clone, PartialEq)]
pub struct StrictObject(pub Map<String, Value>);

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match StrictValue::deserialize(deserializer)?.0 {
            Value::Object(object) => Ok(StrictObject(object)),
            _ => Err(de::Error::custom("expected an object")),
        }
    }
}

/// A JSON value that refuses duplicate keys at any depth.
struct StrictValue(Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(StrictValue)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(StrictValue(value)) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, StrictValue(value))) = entries.next_entry::<String, StrictValue>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom("a key stands twice in an object"));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[allow(dead_code)]
        count: Option<u32>,
        #[allow(dead_code)]
        data: Option<StrictObject>,
        #[allow(dead_code)]
        nested: Option<Nested>,
    }

    #[derive(Debug, Deserialize)]
    struct Nested {
        #[allow(dead_code)]
        count: u32,
    }

    fn refused(text: &str) -> FieldError {
        parse::<Body>(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn refusals_name_the_field_and_hide_the_value() {
        assert_eq!(refused(r#"{"count":"secret"}"#), FieldError::new("count", "expected u32"));
        assert_eq!(refused(r#"{"extra":1}"#).field, "extra");
        assert_eq!(refused(r#"{"count":1,"count":2}"#), FieldError::new("count", "duplicate field `count`"));
        assert_eq!(refused(r#"{"nested":{"count":1,"count":2}}"#).field, "nested.count");
        assert_eq!(refused(r#"{"nested":{}}"#), FieldError::new("nested.count", "missing field `count`"));
        assert_eq!(refused(r#"{"nested":{"count":1"#), FieldError::new("body", "must be valid JSON"));
        assert_eq!(refused(r#"{"data":{"a":{"b":1,"b":2}}}"#).field, "data.a");
        assert_eq!(refused(r#"{"data":[]}"#).field, "data");
        assert_eq!(refused(r#"{} {}"#).field, "body");
        assert_eq!(refused("{").detail, "must be valid JSON");
        assert_eq!(refused("\u{feff}{}").detail, "must be valid JSON");
        let deep = format!(r#"{{"data":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
        assert_eq!(refused(&deep).detail, "must be valid JSON");
    }
}
