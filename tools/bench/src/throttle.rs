//! A share of a processor, as Lambda gives it to a small function: a control group with a CPU bandwidth limit.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use integration_tests::settings;

/// Length of the periods that Lambda's limit is enforced in.
const PERIOD: Duration = Duration::from_millis(20);

/// What 128 MB are given of a processor: 1,769 MB are one.
pub const SHARE_128_MB: f64 = 128.0 / 1769.0;

/// A control group; removed on drop, which needs its processes to be gone.
pub struct Throttle {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

impl Throttle {
    /// A group with a share of one processor, or why this machine lets nobody make one.
    pub fn create(share: f64) -> Result<Self, String> {
        let candidates = [
            (PathBuf::from("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us", Version::One),
            (PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"), "cpu.cfs_quota_us", Version::One),
            (PathBuf::from("/sys/fs/cgroup"), "cgroup.controllers", Version::Two),
        ];
        let (parent, _, version) = candidates
            .into_iter()
            .find(|(parent, file, _)| parent.join(file).exists())
            .ok_or("no CPU control group is mounted")?;
        if version == Version::Two {
            // The controller has to be handed down; where it is already, writing it changes nothing.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+cpu");
        }
        let folder = parent.join(format!("session-bench-{}", settings::random_hex(6)));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let throttle = Throttle { folder, version };
        let (period, quota) = (PERIOD.as_micros(), (PERIOD.as_micros() as f64 * share).round());
        match version {
            Version::One => {
                throttle.write("cpu.cfs_period_us", &period.to_string())?;
                throttle.write("cpu.cfs_quota_us", &quota.to_string())?;
            }
            Version::Two => throttle.write("cpu.max", &format!("{quota} {period}"))?,
        }
        Ok(throttle)
    }

    /// How the limit is enforced, for the report.
    pub fn means(&self) -> &'static str {
        match self.version {
            Version::One => "control group v1, cpu.cfs_quota_us",
            Version::Two => "control group v2, cpu.max",
        }
    }

    /// The file that takes processes in.
    pub fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Takes a process in, all its threads included.
    pub fn admit(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Periods so far in which the share was used up.
    pub fn throttled(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join("cpu.stat")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }

    fn write(&self, file: &str, value: &str) -> Result<(), String> {
        let path = self.folder.join(file);
        fs::write(&path, value).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // Processes that were just killed may take a moment to leave.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
