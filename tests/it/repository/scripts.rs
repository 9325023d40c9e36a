use super::files::{names, read};
use integration_tests::stores::{RedisOptions, RedisServer};
use std::collections::BTreeSet;

const FOLDER: &str = "shared/src/adapters/redis/scripts";
const PRELUDE: &str = "record.lua";

/// The Lua files; the functions that call them lie beside.
fn lua_files() -> impl Iterator<Item = String> {
    names(FOLDER).into_iter().filter(|name| name.ends_with(".lua"))
}

fn scripts() -> Vec<(String, String)> {
    let files = lua_files().filter(|name| name != PRELUDE);
    files.map(|name| (name.clone(), read(format!("{FOLDER}/{name}")))).collect()
}

/// Numbers that stand in front of a word after two spaces: how headers number their keys and arguments.
fn numbered(text: &str) -> BTreeSet<u32> {
    let fields = text.split("  ").filter_map(|field| field.trim_start_matches("--").trim().split(' ').next());
    fields.filter_map(|number| number.parse().ok()).collect()
}

fn used(code: &str, array: &str) -> BTreeSet<u32> {
    let opening = format!("{array}[");
    let uses = code.split(&opening).skip(1);
    uses.map(|rest| rest.split(']').next().and_then(|index| index.parse().ok()).expect("a constant index")).collect()
}

/// Whoever reads a script finds in its header what goes in and what comes out, and the header tells the truth.
#[test]
fn headers_document_keys_arguments_and_reply() {
    for (name, text) in scripts() {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        let code: String = text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        let at = |word: &str| {
            let found = header.iter().position(|line| line.starts_with(&format!("-- {word} ")));
            found.unwrap_or_else(|| panic!("{name} documents no {word}"))
        };
        let (keys, arguments, reply) = (at("KEYS"), at("ARGV"), at("Reply"));
        assert!(0 < keys && keys < arguments && arguments < reply, "{name}: purpose, KEYS, ARGV, Reply");
        assert!(header[0].len() > 10, "{name} does not say what it is for");
        let documented = |lines: &[&str], word: &str| {
            let text = lines.join("\n").replacen(word, "", 1).replace('\n', "  ");
            let numbers = numbered(&text);
            let expected: BTreeSet<u32> = (1..=numbers.len() as u32).collect();
            assert_eq!(numbers, expected, "{name}: {word} are numbered from 1 without a gap");
            numbers
        };
        let keys = documented(&header[keys..arguments], "KEYS");
        let arguments = documented(&header[arguments..reply], "ARGV");
        // Keys may stand there for the hash slot alone; an argument that nothing reads is a mistake.
        let unknown: Vec<_> = used(&code, "KEYS").difference(&keys).copied().collect();
        assert!(unknown.is_empty(), "{name} uses undocumented KEYS {unknown:?}");
        assert_eq!(used(&code, "ARGV"), arguments, "{name}: ARGV used and documented");
    }
}

#[tokio::test]
async fn a_real_redis_takes_every_script() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = server.connection().await;
    let prelude = read(format!("{FOLDER}/{PRELUDE}"));
    for (name, text) in scripts() {
        for flags in ["", "#!lua flags=allow-oom\n"] {
            let script = format!("{flags}{prelude}{text}");
            let loaded: redis::RedisResult<String> =
                redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut connection).await;
            assert!(loaded.is_ok(), "{name}: {loaded:?}");
        }
    }
}

/// Scripts name keys as keys.rs does, and the architecture lists them all.
#[test]
fn key_letters_of_scripts_code_and_documentation_agree() {
    let source = read("shared/src/adapters/redis/keys.rs");
    let source = source.split("#[cfg(test)]").next().expect("the code");
    let letters: BTreeSet<String> = source.split("key('").skip(1).map(|rest| rest[..1].to_owned()).collect();
    assert!(letters.len() >= 6, "{letters:?}");

    let mut in_scripts = BTreeSet::new();
    for name in lua_files() {
        let text = read(format!("{FOLDER}/{name}"));
        in_scripts.extend(text.split("key(slot, '").skip(1).map(|rest| rest[..1].to_owned()));
        let joined = text.match_indices(":' .. slot").map(|(at, _)| text[at - 1..at].to_owned());
        in_scripts.extend(joined.filter(|letter| letter.chars().all(char::is_alphanumeric)));
    }
    assert!(in_scripts.is_subset(&letters), "{in_scripts:?} of {letters:?}");
    for letter in ["s", "u", "e", "x"] {
        assert!(in_scripts.contains(letter), "{in_scripts:?}");
    }

    let architecture = read("docs/ARCHITECTURE.md");
    let rows = architecture.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(letter);
    assert_eq!(rows.collect::<BTreeSet<_>>(), letters);
}

/// The letter of a text that begins like a key, `s:{…`.
fn letter(text: &str) -> Option<String> {
    let (letter, rest) = text.split_once(":{")?;
    (letter.len() == 1 && !rest.is_empty()).then(|| letter.to_owned())
}
