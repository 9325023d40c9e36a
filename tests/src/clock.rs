//! A wall clock that tests control, seen by function processes and Redis through libfaketime.
//!
//! Only the wall clock moves. The monotonic clock stays true, so timers, timeouts and back-offs of the processes keep
//! their real length.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use crate::settings;

/// One wall clock with a dial per process. Clones share the clock.
#[derive(Clone)]
pub struct Clock {
    inner: Arc<Inner>,
}

struct Inner {
    directory: TempDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    offset: Duration,
    /// Where the hands stand still, in place of `offset`.
    frozen: Option<OffsetDateTime>,
    /// Label of a process → how far its own dial is off the common one.
    skews: HashMap<String, Duration>,
}

/// The clock as one process sees it.
#[derive(Clone)]
pub struct Dial {
    clock: Clock,
    label: String,
}

impl Clock {
    /// A clock that shows the true time until it is moved.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder for the clock");
        let inner = Inner { directory, state: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Moves every dial forward.
    pub fn advance(&self, by: std::time::Duration) {
        self.shift(by.try_into().expect("an advance fits a signed duration"));
    }

    /// Moves every dial, backwards for a negative duration.
    pub fn shift(&self, by: Duration) {
        let mut state = self.inner.state.lock().unwrap();
        state.offset += by;
        state.frozen = state.frozen.map(|frozen| frozen + by);
        self.write_all(&state);
    }

    /// Stops every dial at the next whole second. From then on only [`advance`](Self::advance) and
    /// [`shift`](Self::shift) move them, by whole seconds.
    pub fn freeze(&self) {
        let mut state = self.inner.state.lock().unwrap();
        let next = OffsetDateTime::now_utc() + state.offset + Duration::SECOND;
        state.frozen = Some(next.replace_nanosecond(0).expect("zero is valid"));
        self.write_all(&state);
    }

    /// Sets one process apart from the others. Environments are labelled `function/index`, Redis `redis`.
    pub fn skew(&self, label: &str, by: Duration) {
        let mut state = self.inner.state.lock().unwrap();
        state.skews.insert(label.to_owned(), by);
        self.write(label, &state, by);
    }

    /// What the common clock shows.
    pub fn now(&self) -> OffsetDateTime {
        self.inner.state.lock().unwrap().now()
    }

    /// The dial of the process labelled `label`.
    pub fn dial(&self, label: &str) -> Dial {
        let mut state = self.inner.state.lock().unwrap();
        let skew = *state.skews.entry(label.to_owned()).or_default();
        self.write(label, &state, skew);
        Dial { clock: self.clone(), label: label.to_owned() }
    }

    fn path(&self, label: &str) -> PathBuf {
        self.inner.directory.path().join(label.replace('/', "~"))
    }

    fn write_all(&self, state: &State) {
        for (label, skew) in &state.skews {
            self.write(label, state, *skew);
        }
    }

    fn write(&self, label: &str, state: &State, skew: Duration) {
        let path = self.path(label);
        let draft = path.with_extension(settings::random_hex(4));
        let text = match state.frozen {
            Some(frozen) => {
                let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]\n");
                (frozen + skew).format(&format).expect("a time can be written")
            }
            None => {
                let offset = state.offset + skew;
                let sign = if offset.is_negative() { '-' } else { '+' };
                let magnitude = offset.unsigned_abs();
                format!("{sign}{}.{:09}\n", magnitude.as_secs(), magnitude.subsec_nanos())
            }
        };
        // A rename, so that no reader ever sees an empty or a half-written file.
        std::fs::write(&draft, text).expect("the clock can be written");
        std::fs::rename(&draft, &path).expect("the clock can be replaced");
    }
}

impl State {
    fn now(&self) -> OffsetDateTime {
        self.frozen.unwrap_or_else(|| OffsetDateTime::now_utc() + self.offset)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Dial {
    /// What this process believes the time is.
    pub fn now(&self) -> OffsetDateTime {
        let state = self.clock.inner.state.lock().unwrap();
        let skew = state.skews.get(&self.label).copied().unwrap_or_default();
        state.now() + skew
    }

    /// The variables that put a process under this dial.
    pub fn variables(&self) -> Vec<(String, String)> {
        let library = settings::faketime_library();
        assert!(Path::new(&library).exists(), "TEST_FAKETIME_LIBRARY names no file: {}", library.display());
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.clock.path(&self.label).display().to_string()),
            // Read the file at every call: a moved clock is seen at once.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// [`variables`](Self::variables) for a program that allocates through a shared jemalloc, such as Redis.
    ///
    /// jemalloc asks for the time while the loader still starts libfaketime, which waits for jemalloc in turn. With the
    /// C library named first, memory comes from there.
    pub fn variables_without_jemalloc(&self) -> Vec<(String, String)> {
        let mut variables = self.variables();
        variables[0].1.push_str(" libc.so.6");
        variables
    }
}

/// The shared memory libfaketime makes for a process and leaves behind when it is killed. A later process with the same
/// id would refuse to start over it. Dropping this removes it.
pub(crate) struct Remains(u32);

impl Remains {
    pub(crate) fn of(pid: u32) -> Self {
        Self(pid)
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        for name in [format!("faketime_shm_{}", self.0), format!("sem.faketime_sem_{}", self.0)] {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}
