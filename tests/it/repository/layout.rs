use super::files::{names, read, root, texts};
use integration_tests::settings;
use integration_tests::template::Template;
use std::collections::BTreeSet;

/// Name, methods and path of a route.
type Route = (String, String, String);

fn functions() -> Vec<String> {
    names("functions")
}

fn routes_of_template() -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for function in Template::of_repository().functions() {
        for (method, path) in function.http_events() {
            routes.insert((function.name(), method.to_ascii_uppercase(), path.to_owned()));
        }
    }
    routes
}

fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// One name per function, wherever it stands.
#[test]
fn every_function_has_a_folder_a_package_a_resource_and_an_event() {
    let functions = functions();
    assert_eq!(names("events"), functions, "a folder of events for each function and no other");
    let mut resources: Vec<_> = Template::of_repository().functions().iter().map(|resource| resource.name()).collect();
    resources.sort();
    assert_eq!(resources, functions, "a resource for each function and no other");
    for function in &functions {
        assert!(!names(format!("events/{function}")).is_empty(), "{function} has no event");
        assert_eq!(names(format!("functions/{function}/src")), ["lib.rs", "main.rs"]);
        let manifest = read(format!("functions/{function}/Cargo.toml"));
        assert!(manifest.starts_with(&format!("[package]\nname = \"{function}\"\n")), "{manifest}");
        assert!(!manifest.contains("[[bin]]") && !manifest.contains("[lib]"), "{function} renames its binary");
        assert!(settings::functions_dir().join(function).exists(), "{function} is not built");
        let resource = Template::of_repository().function(function).expect("a resource");
        let properties = resource.properties();
        assert_eq!(properties["CodeUri"], format!("functions/{function}/"));
        assert!(properties["FunctionName"].to_string().contains(&format!("-{function}\"")), "{properties}");
        assert_ne!(properties["Description"].as_str(), None, "{function} has no description");
        let alike = function.replace('-', "");
        let wanted = resource.logical_id.strip_suffix("Function").map(str::to_ascii_lowercase);
        assert_eq!(wanted.as_deref(), Some(alike.as_str()));
    }
}

/// `make test` runs the tests of some packages only: no other may have any.
#[test]
fn tests_stand_where_they_are_run() {
    let script = read("scripts/run_tests.py");
    let tested = quoted(script.lines().find(|line| line.starts_with("TESTED = ")).expect("the tested packages"));
    let mut found = BTreeSet::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| path.ends_with(".rs")) {
        if text.contains("#[test]") || text.contains("#[tokio::test") {
            let folder: Vec<&str> = path.split('/').collect();
            let depth = if ["functions", "tools"].contains(&folder[0]) { 2 } else { 1 };
            let manifest = read(format!("{}/Cargo.toml", folder[..depth].join("/")));
            found.insert(quoted(manifest.lines().find(|line| line.starts_with("name = ")).expect("a name")).remove(0));
        }
    }
    assert_eq!(found, tested.into_iter().collect(), "packages with tests, and those that `make test` runs");
}

/// `make dev` and the deployed API route alike.
#[test]
fn the_local_router_has_the_routes_of_the_template() {
    let manifest = read("Cargo.toml");
    let mut router = BTreeSet::new();
    for block in manifest.split("[[workspace.metadata.lambda.watch.router]]").skip(1) {
        let line = |name: &str| block.lines().find(|line| line.starts_with(&format!("{name} = "))).expect(name);
        let function = quoted(line("function")).remove(0);
        let path = quoted(line("path")).remove(0);
        for method in quoted(line("methods")) {
            assert!(router.insert((function.clone(), method, path.clone())), "{function} {path} twice");
        }
    }
    assert_eq!(router, routes_of_template());
}

/// Every HTTP event is one of its function's routes, and every route has an event.
#[test]
fn every_route_has_an_event() {
    let mut seen = BTreeSet::new();
    for function in functions() {
        for case in names(format!("events/{function}")) {
            let event: serde_json::Value =
                serde_json::from_str(&read(format!("events/{function}/{case}"))).expect(&case);
            let Some((method, path)) = event["routeKey"].as_str().and_then(|key| key.split_once(' ')) else { continue };
            assert_eq!(event["requestContext"]["http"]["method"], method);
            assert_eq!(event["requestContext"]["routeKey"], event["routeKey"]);
            assert_eq!(event["requestContext"]["http"]["path"], event["rawPath"]);
            seen.insert((function.clone(), method.to_owned(), path.to_owned()));
        }
    }
    assert_eq!(seen, routes_of_template());
}

/// Versions and features stand in one place.
#[test]
fn members_take_dependencies_from_the_workspace() {
    let root_manifest = read("Cargo.toml");
    let mut members: Vec<String> = functions().iter().map(|name| format!("functions/{name}")).collect();
    members.extend(["shared".to_owned(), "tests".to_owned()]);
    for member in members {
        let manifest = read(format!("{member}/Cargo.toml"));
        let mut dependencies = false;
        for line in manifest.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                dependencies = line.contains("dependencies");
                assert!(!dependencies || line.ends_with("dependencies]"), "{member}: {line}");
            } else if dependencies {
                let plain = line.ends_with(".workspace = true");
                // The harness is built for tests alone, so what it adds reaches no function.
                let added = member == "tests" && line.contains("{ workspace = true, features = [");
                assert!(plain || added, "{member}: {line}");
                let name = line.split(['.', ' ']).next().expect("a name");
                assert!(root_manifest.contains(&format!("\n{name} = ")), "{member}: {name} is not in the workspace");
            }
        }
        for inherited in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(manifest.contains(&format!("\n{inherited}.workspace = true\n")), "{member}: {inherited}");
        }
    }
}

/// A file that outgrows a screen a few times over is two files.
#[test]
fn files_stay_small() {
    let sources = [".rs", ".py", ".lua", ".sql", ".md", ".toml", ".sh"];
    for (path, text) in texts() {
        let lines = text.lines().count();
        assert!(!sources.iter().any(|end| path.ends_with(end)) || lines <= 700, "{path} has {lines} lines");
    }
}

/// No file knows the machine it was written on.
#[test]
fn no_file_names_a_folder_of_a_machine() {
    let here = root();
    let mut folders = ["root", "home", "Users", "mnt", "work"].map(|name| format!("/{name}/")).to_vec();
    folders.push(format!("{}/", here.display()));
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            for folder in &folders {
                let named = line.match_indices(folder.as_str()).any(|(at, _)| {
                    // A longer path may contain the same words further in.
                    !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "._-})$~:".contains(c))
                });
                assert!(!named, "{path}:{}: {line}", number + 1);
            }
        }
    }
}
