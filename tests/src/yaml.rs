//! The part of YAML that SAM templates use, read into JSON.
//!
//! Block and flow collections, plain, quoted and block scalars, comments, and the short forms of the intrinsic functions,
//! which become their long forms (`!Ref X` → `{"Ref": "X"}`). Anchors, merge keys and several documents are not read.

use serde_json::{Map, Value};

/// Reads a document. Panics on what it cannot read, naming the line.
pub fn parse(text: &str) -> Value {
    let mut reader = Reader { lines: text.lines().map(str::trim_end).collect(), at: 0 };
    reader.block(0).unwrap_or(Value::Null)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next line with content, as its indentation and its text without comment.
    fn peek(&mut self) -> Option<(usize, &'a str)> {
        while let Some(line) = self.lines.get(self.at) {
            let content = without_comment(line.trim_start());
            if !content.is_empty() && content != "---" {
                return Some((line.len() - line.trim_start().len(), content));
            }
            self.at += 1;
        }
        None
    }

    /// The collection or scalar that starts on the next line, indented by at least `least`.
    fn block(&mut self, least: usize) -> Option<Value> {
        let (indent, content) = self.peek().filter(|(indent, _)| *indent >= least)?;
        if is_item(content) {
            Some(self.sequence(indent))
        } else if split_key(content).is_some() {
            Some(self.mapping(indent))
        } else {
            self.at += 1;
            Some(self.value(content, indent))
        }
    }

    fn mapping(&mut self, indent: usize) -> Value {
        let mut members = Map::new();
        while let Some((at, content)) = self.peek() {
            if at != indent || is_item(content) {
                break;
            }
            let Some((key, rest)) = split_key(content) else {
                panic!("line {}: expected `key: value`, found {content:?}", self.at + 1);
            };
            self.at += 1;
            members.insert(key, self.member(rest, indent));
        }
        Value::Object(members)
    }

    /// The value of a key at `indent`, which may start on its line or on the following ones.
    fn member(&mut self, rest: &'a str, indent: usize) -> Value {
        if !rest.is_empty() {
            return self.value(rest, indent);
        }
        // A sequence may stand as deep as its key.
        match self.peek() {
            Some((at, next)) if at == indent && is_item(next) => self.sequence(indent),
            _ => self.block(indent + 1).unwrap_or(Value::Null),
        }
    }

    fn sequence(&mut self, indent: usize) -> Value {
        let mut items = Vec::new();
        while let Some((at, content)) = self.peek().filter(|(_, content)| is_item(content)) {
            if at != indent {
                break;
            }
            self.at += 1;
            items.push(self.item(content, indent));
        }
        Value::Array(items)
    }

    /// What follows the dash of `content`, whose column is `indent`.
    fn item(&mut self, content: &'a str, indent: usize) -> Value {
        let rest = content[1..].trim_start();
        let inner = indent + content.len() - rest.len();
        if rest.is_empty() {
            return self.block(indent + 1).unwrap_or(Value::Null);
        }
        if is_item(rest) {
            let first = self.item(rest, inner);
            let Value::Array(others) = self.sequence(inner) else { unreachable!("a sequence") };
            return std::iter::once(first).chain(others).collect();
        }
        let Some((key, value)) = split_key(rest) else {
            return self.value(rest, indent);
        };
        let first = self.member(value, inner);
        let Value::Object(others) = self.mapping(inner) else { unreachable!("a mapping") };
        std::iter::once((key, first)).chain(others).collect()
    }

    /// A value whose first line is `text`, below a key or dash at `indent`.
    fn value(&mut self, text: &'a str, indent: usize) -> Value {
        if let Some(tagged) = text.strip_prefix('!') {
            let (tag, rest) = tagged.split_once(' ').unwrap_or((tagged, ""));
            let inner = self.member(rest.trim_start(), indent);
            return Value::Object(Map::from_iter([(long_form(tag), inner)]));
        }
        if text.starts_with(['|', '>']) {
            return Value::String(self.block_scalar(indent));
        }
        let mut whole = text.to_owned();
        if text.starts_with(['{', '[']) {
            while flow_depth(&whole) > 0 {
                let (_, more) = self.peek().expect("a flow collection is closed");
                self.at += 1;
                whole = format!("{whole} {more}");
            }
            return Flow { text: &whole, at: 0 }.value();
        }
        // A plain or quoted scalar goes on over deeper lines.
        while let Some((_, more)) = self.peek().filter(|(at, _)| *at > indent) {
            self.at += 1;
            whole = format!("{whole} {more}");
        }
        scalar(&whole)
    }

    fn block_scalar(&mut self, indent: usize) -> String {
        let mut lines: Vec<&str> = Vec::new();
        while let Some(line) = self.lines.get(self.at) {
            let depth = line.len() - line.trim_start().len();
            if !line.is_empty() && depth <= indent {
                break;
            }
            lines.push(line);
            self.at += 1;
        }
        let margin =
            lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len()).min();
        let cut = |line: &&str| line.get(margin.unwrap_or(0)..).unwrap_or("").to_owned();
        lines.iter().map(cut).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

/// `{a: b, c: [d, e]}` in a text of its own.
struct Flow<'a> {
    text: &'a str,
    at: usize,
}

impl Flow<'_> {
    fn value(&mut self) -> Value {
        match self.next() {
            '{' => {
                let mut members = Map::new();
                self.at += 1;
                while self.next() != '}' {
                    let Value::String(key) = scalar_text(&self.token(&[':', ',', '}'])) else { unreachable!() };
                    let mut value = Value::Null;
                    if self.next() == ':' {
                        self.at += 1;
                        value = self.value();
                    }
                    members.insert(key, value);
                    self.skip_comma();
                }
                self.at += 1;
                Value::Object(members)
            }
            '[' => {
                let mut items = Vec::new();
                self.at += 1;
                while self.next() != ']' {
                    items.push(self.value());
                    self.skip_comma();
                }
                self.at += 1;
                Value::Array(items)
            }
            '!' => {
                let tag = self.token(&[' ', ',', '}', ']']);
                let inner = self.value();
                Value::Object(Map::from_iter([(long_form(&tag[1..]), inner)]))
            }
            _ => scalar(&self.token(&[',', '}', ']'])),
        }
    }

    /// The next character that is not a blank.
    fn next(&mut self) -> char {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next().expect("a flow collection is closed")
    }

    fn skip_comma(&mut self) {
        if self.next() == ',' {
            self.at += 1;
        }
    }

    /// Text up to one of `ends` outside quotes. A colon ends a key only before a blank.
    fn token(&mut self, ends: &[char]) -> String {
        self.next();
        let rest = &self.text[self.at..];
        let mut quote = None;
        let end = rest.char_indices().find(|(at, c)| {
            match (quote, c) {
                (None, '"' | '\'') if *at == 0 => quote = Some(*c),
                (Some(open), c) if open == *c => quote = None,
                (None, ':') => {
                    return ends.contains(&':') && rest[at + 1..].starts_with([' ', '{', '[']);
                }
                (None, c) => return ends.contains(c),
                _ => {}
            }
            false
        });
        let length = end.map_or(rest.len(), |(at, _)| at);
        self.at += length;
        rest[..length].trim().to_owned()
    }
}

/// Whether a line starts an item of a sequence.
fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// `key: rest` or `key:`, the key possibly quoted.
fn split_key(content: &str) -> Option<(String, &str)> {
    if content.starts_with(['{', '[', '!', '|', '>']) {
        return None;
    }
    let after_quote = match content.chars().next()? {
        quote @ ('"' | '\'') => content[1..].find(quote)? + 2,
        _ => 0,
    };
    let tail = &content[after_quote..];
    let colon = after_quote + tail.find(": ").or_else(|| tail.ends_with(':').then(|| tail.len() - 1))?;
    let Value::String(key) = scalar_text(&content[..colon]) else { unreachable!("text") };
    Some((key, content[colon + 1..].trim_start()))
}

fn without_comment(content: &str) -> &str {
    let mut quote = None;
    let mut previous = ' ';
    for (at, c) in content.char_indices() {
        match (quote, c) {
            (None, '#') if previous == ' ' => return content[..at].trim_end(),
            // A quote opens a scalar only at its start; within a word it is an apostrophe.
            (None, '"' | '\'') if " [{,(".contains(previous) => quote = Some(c),
            // A doubled single quote stands for one and does not end the scalar.
            (None, '\'') if previous == c => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        previous = c;
    }
    content
}

fn flow_depth(text: &str) -> i32 {
    text.chars().map(|c| i32::from("{[".contains(c)) - i32::from("}]".contains(c))).sum()
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" | "~" => Value::Null,
        _ => text.parse::<i64>().map_or_else(|_| scalar_text(text), Value::from),
    }
}

fn scalar_text(text: &str) -> Value {
    let text = text.trim();
    let quoted = |quote| text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote);
    let plain = if quoted('"') {
        serde_json::from_str(text).unwrap_or_else(|_| text[1..text.len() - 1].to_owned())
    } else if quoted('\'') {
        text[1..text.len() - 1].replace("''", "'")
    } else {
        text.to_owned()
    };
    Value::String(plain)
}

fn long_form(tag: &str) -> String {
    match tag {
        "Ref" | "Condition" => tag.to_owned(),
        other => format!("Fn::{other}"),
    }
}
