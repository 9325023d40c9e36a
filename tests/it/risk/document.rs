//! `docs/SECURITY.md` against the code: inputs (ASVS 8.1.3), weights, thresholds and the golden table (8.1.4).

use std::collections::BTreeSet;
use std::path::Path;

use integration_tests::settings;
use shared::core::device::TrustLevel;
use shared::core::policy::RiskPolicy;
use shared::core::risk::{Assessment, Signal, Signals, Verdict};

/// A file of the repository.
pub fn read(path: &str) -> String {
    let file = Path::new(settings::PACKAGE_DIR).join("..").join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The document.
pub fn document() -> String {
    read("docs/SECURITY.md")
}

/// Cells of the table under a header row.
fn table(header: &str) -> Vec<Vec<String>> {
    let document = document();
    let rows = document.split(header).nth(1).unwrap_or_else(|| panic!("no table {header}"));
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// The fields of a struct, as its source names them.
fn fields(path: &str, name: &str) -> BTreeSet<String> {
    let source = read(path);
    let body = source.split(&format!("pub struct {name} {{")).nth(1).expect("the struct");
    let lines = body.lines().take_while(|line| !line.starts_with('}'));
    lines.filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next().map(str::to_owned)).collect()
}

/// 8.1.3: nothing is judged by that the document does not name, and the document names nothing that is not.
#[test]
fn asvs_8_1_3_the_document_lists_every_input() {
    let listed: BTreeSet<String> =
        table("| input | where it comes from | signals |").into_iter().map(|row| row[0].clone()).collect();
    let mut read = BTreeSet::new();
    for (path, name) in
        [("shared/src/core/context.rs", "ClientContext"), ("shared/src/core/risk/history.rs", "History")]
    {
        read.extend(fields(path, name).into_iter().map(|field| format!("{name}.{field}")));
    }
    // What the judgement itself takes beside those two, and what it takes from the record.
    let scene = fields("shared/src/core/risk/assess.rs", "Scene");
    let derived = ["digests", "network", "fingerprint", "sighting", "place", "history"];
    read.extend(
        scene.into_iter().filter(|field| !derived.contains(&field.as_str())).map(|field| format!("Scene.{field}")),
    );
    let judged =
        [read_code("shared/src/core/risk/assess.rs"), read_code("shared/src/core/risk/judgement.rs")].join("\n");
    for word in judged.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')) {
        for part in ["header.", "attributes."] {
            let field = word.split(part).nth(1).map(|rest| rest.split('.').next().unwrap_or_default());
            let outcome = ["standing", "risk_score", "risk", "revision", "set_fingerprint", "encode"];
            if let Some(field) = field.filter(|field| !field.is_empty() && !outcome.contains(field)) {
                read.insert(format!("record.{field}"));
            }
        }
    }
    assert_eq!(listed, read);
}

fn read_code(path: &str) -> String {
    let text = read(path);
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn asvs_8_1_4_weights_and_thresholds_are_those_of_the_code() {
    let weights = table("| signal | weight | holds when |");
    let expected = Signal::ALL.map(|signal| (signal.as_str().to_owned(), signal.weight().to_string()));
    assert_eq!(weights.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect::<Vec<_>>(), expected);
    let policy = RiskPolicy::default();
    let thresholds = table("| verdict | from score | what it does |");
    let expected = [
        ("allow".to_owned(), "0".to_owned()),
        ("step_up".to_owned(), policy.step_up_at.to_string()),
        ("quarantine".to_owned(), policy.quarantine_at.to_string()),
        ("end".to_owned(), format!("{} (never)", policy.end_at)),
    ];
    assert_eq!(thresholds.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect::<Vec<_>>(), expected);
}

/// 8.1.4: signals to score to verdict under the default policy, line by line.
#[test]
fn asvs_8_1_4_the_golden_table_holds() {
    let rows = table("| signals | score | verdict | verdict on a known device |");
    assert!(rows.len() > 15, "{} rows", rows.len());
    let policy = RiskPolicy::default();
    for row in rows {
        let words: BTreeSet<&str> = row[0].split(", ").filter(|word| !word.is_empty() && *word != "none").collect();
        let signals = Signal::ALL
            .into_iter()
            .fold(Signals::default(), |set, signal| set.and(signal, words.contains(signal.as_str())));
        assert_eq!(signals.words().len(), words.len(), "unknown words in {row:?}");
        let new = Assessment::of(signals, TrustLevel::New, &policy);
        let known = Assessment::of(signals, TrustLevel::Known, &policy);
        let found = [new.score.to_string(), new.verdict.as_str().to_owned(), known.verdict.as_str().to_owned()];
        assert_eq!(found, row[1..4], "{row:?}");
    }
}

/// 8.1.4, over every set of signals: one more never weakens the verdict, more trust never strengthens it, and what an
/// honest traveller behind a VPN shows together never reaches quarantine by default.
#[test]
fn asvs_8_1_4_t_92_verdicts_are_monotone_and_spare_the_traveller() {
    let policies =
        [(40, 70, 101), (1, 1, 1), (20, 50, 90), (101, 101, 101)].map(|(step_up_at, quarantine_at, end_at)| {
            RiskPolicy { step_up_at, quarantine_at, end_at, ..RiskPolicy::default() }
        });
    let traveller = [Signal::NetworkChange, Signal::CountryChange, Signal::ImpossibleTravel];
    for bits in 0..1 << Signal::ALL.len() {
        let set = Signals::from_bits(bits);
        for policy in &policies {
            let verdicts = TrustLevel::ALL.map(|trust| Assessment::of(set, trust, policy).verdict);
            assert!(verdicts.is_sorted_by(|less, more| less >= more), "{:?}: {verdicts:?}", set.words());
            for (signal, trust) in
                Signal::ALL.into_iter().flat_map(|signal| TrustLevel::ALL.map(|trust| (signal, trust)))
            {
                let more = Assessment::of(set.and(signal, true), trust, policy);
                assert!(more.verdict >= Assessment::of(set, trust, policy).verdict, "{:?} and {signal:?}", set.words());
            }
        }
        if set.iter().all(|signal| traveller.contains(&signal)) {
            let verdict = Assessment::of(set, TrustLevel::New, &RiskPolicy::default()).verdict;
            assert!(verdict <= Verdict::StepUp, "{:?}", set.words());
        }
    }
}
