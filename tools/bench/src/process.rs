//! What the kernel tells of a process: processor time and memory.

use std::fs;
use std::time::Duration;

/// Processor time of all threads of a process so far, user and system.
pub fn cpu_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap_or_else(|error| panic!("process {pid}: {error}"));
    let nanos: u64 = tasks.filter_map(Result::ok).filter_map(|task| on_processor(&task.path().join("schedstat"))).sum();
    Duration::from_nanos(nanos)
}

/// The first number of a schedstat file: nanoseconds on the processor.
fn on_processor(file: &std::path::Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}

/// A line of `/proc/<pid>/status` in kilobytes, such as `VmHWM`.
pub fn memory_kilobytes(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Memory that the machine could still give, in bytes.
pub fn memory_available() -> u64 {
    let status = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = status.lines().find_map(|text| text.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Processor time spent by some processes while something ran.
pub struct Meter {
    pids: Vec<u32>,
    begun: Vec<Duration>,
}

impl Meter {
    /// Begins to measure.
    pub fn start(pids: &[u32]) -> Self {
        Meter { pids: pids.to_vec(), begun: pids.iter().map(|pid| cpu_time(*pid)).collect() }
    }

    /// Time of each process since then.
    pub fn read(&self) -> Vec<Duration> {
        self.pids.iter().zip(&self.begun).map(|(pid, begun)| cpu_time(*pid).saturating_sub(*begun)).collect()
    }

    /// Time of all of them since then, in microseconds.
    pub fn micros(&self) -> f64 {
        self.read().iter().map(Duration::as_secs_f64).sum::<f64>() * 1e6
    }
}
