//! Runs the sections, each in a process group of its own and within its time.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::measurement::Findings;
use crate::report::{Outcome, Report};
use crate::sections::{SECTIONS, Section};

/// What the run is asked for.
pub struct Options {
    quick: bool,
    only: Vec<String>,
    out: PathBuf,
    document: Option<PathBuf>,
    command: String,
}

impl Options {
    /// Reads the arguments of `bench run`.
    pub fn parse(arguments: &[&str]) -> Self {
        let mut options = Options {
            quick: false,
            only: Vec::new(),
            out: "target/bench/report".into(),
            document: None,
            command: "make bench".into(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || (*words.next().unwrap_or_else(|| panic!("{word} needs a value"))).to_owned();
            match *word {
                "--quick" => options.quick = true,
                "--only" => options.only = names(&value()),
                "--out" => options.out = value().into(),
                "--document" => options.document = Some(value().into()),
                "--command" => options.command = value(),
                other => panic!("unknown argument: {other}"),
            }
        }
        options
    }
}

fn names(list: &str) -> Vec<String> {
    let names: Vec<String> =
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for name in &names {
        let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        assert!(known.contains(&name.as_str()), "unknown section {name}; there are {}", known.join(", "));
    }
    names
}

/// Runs what is asked for and writes the report. Fails when a section failed.
pub fn run(options: &Options) -> ExitCode {
    let chosen: Vec<&Section> = SECTIONS
        .iter()
        .filter(|section| options.only.is_empty() || options.only.iter().any(|name| name == section.name))
        .collect();
    let begun = Instant::now();
    let mut report = Report { command: options.command.clone(), machine: machine(options.quick), sections: Vec::new() };
    if !options.only.is_empty() {
        // What is not measured again stays as it was.
        report.sections = earlier(&options.out);
    }
    for (number, section) in chosen.iter().enumerate() {
        let limit = section.limit(options.quick);
        println!("[{}/{}] {} (at most {} s)", number + 1, chosen.len(), section.title, limit.as_secs());
        let outcome = outcome(section, options.quick, limit);
        match &outcome.failure {
            None => println!("      {:.0} s", outcome.seconds),
            Some(failure) => println!("      FAILED after {:.0} s: {failure}", outcome.seconds),
        }
        report.sections.retain(|earlier| earlier.section != outcome.section);
        report.sections.push(outcome);
        report.sections.sort_by_key(|outcome| SECTIONS.iter().position(|section| section.name == outcome.section));
        // After each section: whoever interrupts the run keeps what there is.
        report.write(&options.out).unwrap_or_else(|error| panic!("{}: {error}", options.out.display()));
    }
    if let Some(document) = &options.document {
        report.write_figures(document).unwrap_or_else(|error| panic!("{}: {error}", document.display()));
    }
    println!("{}: {:.0} s in all", options.out.join("report.md").display(), begun.elapsed().as_secs_f64());
    let ran = |outcome: &&Outcome| chosen.iter().any(|section| section.name == outcome.section);
    match report.sections.iter().filter(ran).any(|outcome| outcome.failure.is_some()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// The sections of the report that is there.
fn earlier(folder: &Path) -> Vec<Outcome> {
    let found = std::fs::read(folder.join("report.json")).ok();
    found
        .and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok())
        .map(|report| report.sections)
        .unwrap_or_default()
}

fn outcome(section: &Section, quick: bool, limit: Duration) -> Outcome {
    let file = std::env::temp_dir().join(format!("bench-{}-{}.json", std::process::id(), section.name));
    let circumstances = circumstances();
    let begun = Instant::now();
    let result = in_a_process(section.name, quick, limit, &file);
    let seconds = begun.elapsed().as_secs_f64();
    // A section writes what it has after each part, so that of a failed one the rest is kept.
    let found = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Findings>(&bytes).ok());
    let _ = std::fs::remove_file(&file);
    let failure = match (result, &found) {
        (Err(failure), _) => Some(failure),
        (Ok(()), None) => Some("it wrote no findings".to_owned()),
        (Ok(()), Some(_)) => None,
    };
    Outcome {
        section: section.name.to_owned(),
        title: section.title.to_owned(),
        circumstances,
        seconds,
        failure,
        findings: found.unwrap_or_default(),
    }
}

fn in_a_process(name: &str, quick: bool, limit: Duration, file: &Path) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let log = file.with_extension("log");
    let errors = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("section").arg(name).args(quick.then_some("--quick")).arg(file);
    // A group of its own: functions, stores and servers of a section end with it, whatever became of it.
    command.process_group(0).stdin(Stdio::null()).stderr(errors);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let group = child.id();
    let ended = wait(&mut child, limit);
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
    let _ = child.wait();
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    match ended {
        Some(true) => Ok(()),
        Some(false) => Err(what_it_said(&said)),
        None => Err(format!("not done after {} s; {}", limit.as_secs(), what_it_said(&said))),
    }
}

/// Whether the process succeeded; nothing when the time ran out.
fn wait(child: &mut Child, limit: Duration) -> Option<bool> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => return Some(false),
        }
    }
    None
}

/// The message of a panic, or the last lines.
fn what_it_said(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let panic = lines.iter().position(|line| line.contains(" panicked at "));
    let from = panic.unwrap_or(lines.len().saturating_sub(6));
    let shown = lines[from..].iter().take_while(|line| !line.starts_with("stack backtrace:")).take(12);
    let mut said = shown.map(|line| without_folders(line)).collect::<Vec<_>>().join(" / ");
    if said.len() > 1200 {
        said.truncate(said.floor_char_boundary(1200));
    }
    said
}

/// The first line that a program prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("not found").to_owned()
}

fn circumstances() -> String {
    let now = time::OffsetDateTime::now_utc();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let (hour, minute, commit) = (now.hour(), now.minute(), said("git", &["rev-parse", "--short", "HEAD"]));
    format!("{} {hour:02}:{minute:02} UTC, commit {commit}, load {load} before it", now.date())
}

/// A line whose absolute paths are cut to their last two names: the report is published.
fn without_folders(line: &str) -> String {
    let short = |word: &str| match word.starts_with('/') {
        true => word.rsplitn(3, '/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/"),
        false => word.to_owned(),
    };
    line.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// What the figures were taken on.
fn machine(quick: bool) -> Vec<(String, String)> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']).to_owned();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let redis = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let mut facts = vec![
        ("machine", format!("{cores} × {model}")),
        ("kernel", said("uname", &["-r"])),
        ("rustc", said("rustc", &["--version"])),
        ("redis", said(&redis, &["--version"])),
        ("node", said("node", &["--version"])),
        ("valgrind", said("valgrind", &["--version"])),
    ];
    if quick {
        facts.push(("mode", "QUICK: small sizes, to see that everything runs; the figures mean nothing".to_owned()));
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_panic_and_names_no_folder() {
        let said = "warming up\nthread 'main' (7) panicked at /somewhere/of/mine/src/lib.rs:3:9:\nno such thing\nstack backtrace:\n  1: x";
        assert_eq!(what_it_said(said), "thread 'main' (7) panicked at src/lib.rs:3:9: / no such thing");
        assert_eq!(what_it_said("one\n\ntwo"), "one / two");
    }

    #[test]
    fn arguments_are_read_and_unknown_sections_refused() {
        let options = Options::parse(&["--quick", "--only", "read, cold", "--out", "somewhere"]);
        assert!(options.quick && options.only == ["read", "cold"] && options.out == Path::new("somewhere"));
        assert!(std::panic::catch_unwind(|| Options::parse(&["--only", "nothing"])).is_err());
    }
}
