//! What is built in, what may be configured, and who may use which key.

use integration_tests::Value;
use integration_tests::template::Template;

use super::files::{read, texts};
use super::sources::{code, sources};

/// T-83: what KMS logs in clear names the purpose and the stack, and nobody.
#[test]
fn t_83_encryption_contexts_name_no_person() {
    let mut found = Vec::new();
    for (path, code) in sources("shared/src").into_iter().chain(sources("functions")) {
        for rest in code.split("encryption_context(").skip(1) {
            found.push((path.clone(), rest.split(')').next().expect("an argument").to_owned()));
        }
    }
    assert!(found.len() >= 4, "{found:?}");
    for (path, arguments) in found {
        let allowed = ["\"purpose\", purpose.as_str(", "\"stack\", &self.stack"];
        assert!(allowed.contains(&arguments.as_str()), "{path}: {arguments}");
    }
}

/// T-85: no function writes a file, so no scratch disk ever holds a secret. Signed anchors of the audit, which hold none, may
/// lie in a folder when the service runs on somebody's own machine.
#[test]
fn t_85_no_function_writes_a_file() {
    for (path, code) in sources("shared/src").into_iter().chain(sources("functions")) {
        for word in ["fs::write", "File::create", "OpenOptions", "tempfile"] {
            assert!(!code.contains(word) || path == "shared/src/adapters/anchors.rs", "{path} names {word}");
        }
    }
}

/// T-87: every function that may decrypt may do so with the stack's key, by its ARN, for purposes that are listed, and
/// neither a function nor the key lets anybody make grants.
#[test]
fn t_87_decryption_is_bound_to_stack_and_purpose() {
    let mut decrypting = 0;
    for function in Template::of_repository().functions() {
        let policies = function.properties()["Policies"].as_array().cloned().unwrap_or_default();
        let statements = policies.iter().filter_map(|policy| policy["Statement"].as_array()).flatten();
        for statement in statements {
            let actions = match &statement["Action"] {
                Value::Array(actions) => actions.iter().filter_map(Value::as_str).collect(),
                action => vec![action.as_str().unwrap_or_default()],
            };
            assert!(!actions.iter().any(|action| action.contains('*') || action.ends_with("Grant")), "{actions:?}");
            if !actions.iter().any(|action| ["kms:Decrypt", "kms:Encrypt"].contains(action)) {
                continue;
            }
            decrypting += 1;
            let name = function.name();
            assert!(
                statement["Resource"].to_string().contains("RingKey.Arn")
                    || statement["Resource"].to_string().contains("\"RingKey\",\"Arn\""),
                "{name}: {}",
                statement["Resource"]
            );
            let condition = &statement["Condition"]["StringEquals"];
            for key in ["kms:EncryptionContext:stack", "kms:EncryptionContext:purpose"] {
                assert!(!condition[key].is_null(), "{name}: no condition on {key}");
            }
        }
    }
    assert!(decrypting > 10, "{decrypting} functions decrypt");
    // What the key itself allows anybody whom IAM lets near it.
    let key = &Template::of_repository().document()["Resources"]["RingKey"]["Properties"]["KeyPolicy"]["Statement"];
    for statement in key.as_array().expect("statements") {
        let actions: Vec<&str> =
            statement["Action"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(!actions.is_empty() && !actions.contains(&"kms:CreateGrant"), "{statement}");
        assert!(!actions.iter().any(|action| action.contains('*')), "{statement}");
        let condition = &statement["Condition"]["StringEquals"];
        let bound = ["kms:EncryptionContext:stack", "kms:EncryptionContext:purpose"];
        assert!(!actions.contains(&"kms:Decrypt") || bound.iter().all(|key| !condition[*key].is_null()), "{statement}");
    }
}

/// T-101: the crates that decide about tokens and keys are the ones that were chosen, and what has open advisories is not in.
#[test]
fn t_101_the_lock_file_holds_what_was_chosen() {
    let lock = read("Cargo.lock");
    let versions = |name: &str| -> Vec<String> {
        let mark = format!("name = \"{name}\"\nversion = \"");
        lock.split(&mark).skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
    };
    let major =
        |version: &String| -> u32 { version.split('.').next().and_then(|text| text.parse().ok()).expect("a number") };
    let jwt = versions("jsonwebtoken");
    assert!(jwt.len() == 1 && jwt.iter().all(|version| major(version) >= 11), "{jwt:?}");
    assert_eq!(versions("ring").len(), 1);
    for absent in ["rsa", "aws-lc-rs", "openssl", "native-tls"] {
        assert!(versions(absent).is_empty(), "{absent} is built in");
    }
    let sources: Vec<&str> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    assert!(sources.iter().all(|line| line.starts_with("source = \"registry+")), "a dependency from elsewhere");
}

/// T-102: nothing that helps a test is in a function that is deployed: no feature switches, and no variable of the template
/// opens what is shut.
#[test]
fn t_102_no_back_door_is_built_or_configured() {
    for (path, text) in texts().into_iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let of_functions = path.starts_with("shared/") || path.starts_with("functions/");
        assert!(!of_functions || !text.contains("[features]"), "{path} has features");
    }
    for function in Template::of_repository().functions() {
        for variable in function.variables().keys() {
            assert!(
                !variable.contains("LOOPBACK") && !variable.contains("MAY_DIFFER") && !variable.starts_with("TEST_"),
                "{} sets {variable}",
                function.name()
            );
        }
    }
    for (path, text) in sources("functions").into_iter().chain(sources("shared/src")) {
        let code = code(&text);
        assert!(!code.contains("debug_assertions") && !code.contains("TEST_"), "{path}");
    }
}
