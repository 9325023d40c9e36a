//! `template.yaml` as data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use crate::{settings, yaml};

/// A SAM template.
pub struct Template {
    document: Value,
}

/// One `AWS::Serverless::Function`.
#[derive(Clone, Copy)]
pub struct Function<'a> {
    /// Name of the resource.
    pub logical_id: &'a str,
    resource: &'a Value,
    globals: &'a Value,
}

impl Template {
    /// The template of this repository, read once.
    pub fn of_repository() -> &'static Self {
        static TEMPLATE: LazyLock<Template> = LazyLock::new(|| Template::read(&settings::template_file()));
        &TEMPLATE
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        Self { document: yaml::parse(text) }
    }

    /// The whole template, intrinsic functions in their long form.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Every function.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let resources = self.document["Resources"].as_object().into_iter().flatten();
        let globals = &self.document["Globals"]["Function"];
        resources
            .filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function")
            .map(|(logical_id, resource)| Function { logical_id, resource, globals })
            .collect()
    }

    /// The function with this binary.
    pub fn function(&self, name: &str) -> Option<Function<'_>> {
        self.functions().into_iter().find(|function| function.name() == name)
    }
}

impl<'a> Function<'a> {
    /// Name of the binary: `Metadata.BuildProperties.Binary`, else the resource name in kebab case without `Function`.
    pub fn name(&self) -> String {
        match self.resource["Metadata"]["BuildProperties"]["Binary"].as_str() {
            Some(binary) => binary.to_owned(),
            None => kebab_case(self.logical_id.strip_suffix("Function").unwrap_or(self.logical_id)),
        }
    }

    /// The resource's properties.
    pub fn properties(&self) -> &'a Value {
        &self.resource["Properties"]
    }

    /// Variables of its environment with their values as the template writes them, those of all functions included.
    pub fn variables(&self) -> BTreeMap<&'a str, &'a Value> {
        let layers = [self.globals, self.properties()];
        let variables = layers.map(|layer| layer["Environment"]["Variables"].as_object());
        variables.into_iter().flatten().flatten().map(|(name, value)| (name.as_str(), value)).collect()
    }

    /// Method and path of every HTTP API event.
    pub fn http_events(&self) -> Vec<(&'a str, &'a str)> {
        let events = self.properties()["Events"].as_object().into_iter().flatten();
        events
            .filter(|(_, event)| event["Type"] == "HttpApi")
            .map(|(_, event)| {
                let properties = &event["Properties"];
                (properties["Method"].as_str().unwrap_or("ANY"), properties["Path"].as_str().unwrap_or("$default"))
            })
            .collect()
    }
}

fn kebab_case(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}
