//! One Lambda environment: a function binary in a process of its own, and its Runtime API.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{self, Dial};
use crate::runtime_api::{Invocation, Outcome, RuntimeApi};
use crate::{settings, signal};

/// What an environment is made of.
#[derive(Clone)]
pub struct EnvironmentSpec {
    /// Name of the function.
    pub function: String,
    /// Its binary.
    pub binary: PathBuf,
    /// Variables beyond those Lambda itself sets.
    pub variables: Vec<(String, String)>,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`; nothing is limited to it.
    pub memory_mb: u32,
    /// How long one invocation may take, initialisation of a cold environment included.
    pub timeout: Duration,
    /// The wall clock of the process, when a test controls it.
    pub dial: Option<Dial>,
}

impl EnvironmentSpec {
    /// The binary `function` from [`settings::functions_dir`], with no variables.
    pub fn new(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            binary: settings::functions_dir().join(function),
            variables: Vec::new(),
            memory_mb: 256,
            timeout: Duration::from_secs(30),
            dial: None,
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.dial.as_ref().map_or_else(OffsetDateTime::now_utc, Dial::now)
    }
}

/// Why an invocation gave no result.
#[derive(Clone, Debug)]
pub enum InvokeError {
    /// The function posted an error: `{errorType, errorMessage, …}`.
    Function(Value),
    /// The initialisation failed.
    Init(Value),
    /// The process ended before it answered.
    Exited {
        /// How it ended.
        status: String,
        /// Last lines of its log.
        log: String,
    },
    /// No answer before the deadline. As on Lambda, the environment is killed.
    TimedOut,
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(error) => write!(f, "the function failed: {error}"),
            Self::Init(error) => write!(f, "the initialisation failed: {error}"),
            Self::Exited { status, log } => {
                write!(f, "the process ended ({status}); its log ends:\n{log}")
            }
            Self::TimedOut => write!(f, "no answer before the deadline"),
        }
    }
}

impl std::error::Error for InvokeError {}

/// A running (or ended) environment. Dropping it kills the process.
pub struct Environment {
    spec: EnvironmentSpec,
    api: RuntimeApi,
    pid: u32,
    spawned: Instant,
    log: PathBuf,
    exit: watch::Receiver<Option<ExitStatus>>,
    monitor: JoinHandle<()>,
}

impl Environment {
    /// Starts the process. It initialises itself while the caller goes on.
    pub async fn spawn(spec: EnvironmentSpec) -> Self {
        let api = RuntimeApi::start(&spec.function).await;
        let log = settings::log_dir().join(format!("{}-{}.log", spec.function, settings::random_hex(8)));
        // The process writes its file itself: not a line is lost when either side is killed.
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let errors = output.try_clone().expect("a second handle of the log file");
        let spawned = Instant::now();
        let mut child = Command::new(&spec.binary)
            .env_clear()
            .envs(lambda_variables(&spec, &api))
            .envs(spec.variables.iter().cloned())
            .envs(spec.dial.iter().flat_map(Dial::variables))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", spec.binary.display()));
        let pid = child.id().expect("a process that was just started");
        let (ended, exit) = watch::channel(None);
        let faked = spec.dial.is_some();
        let monitor = tokio::spawn(async move {
            let _remains = faked.then(|| clock::Remains::of(pid));
            if let Ok(status) = child.wait().await {
                ended.send_replace(Some(status));
            }
        });
        Self { spec, api, pid, spawned, log, exit, monitor }
    }

    /// Waits until the function asks for work. Returns how long it took since the start of the process.
    pub async fn ready(&self) -> Result<Duration, InvokeError> {
        let (mut first_poll, mut init_error, mut exit) =
            (self.api.first_poll(), self.api.init_error(), self.exit.clone());
        tokio::select! {
            biased;
            Ok(at) = first_poll.wait_for(Option::is_some) => Ok(at.expect("waited for") - self.spawned),
            Ok(error) = init_error.wait_for(Option::is_some) => Err(InvokeError::Init(error.clone().expect("waited for"))),
            _ = exit.wait_for(Option::is_some) => Err(self.exited()),
            () = tokio::time::sleep(self.spec.timeout) => Err(InvokeError::TimedOut),
        }
    }

    /// Invokes the function with the timeout of the specification.
    pub async fn invoke(&self, event: &Value) -> Result<Value, InvokeError> {
        self.invoke_within(event, self.spec.timeout).await
    }

    /// Invokes the function with a deadline `timeout` from now.
    pub async fn invoke_within(&self, event: &Value, timeout: Duration) -> Result<Value, InvokeError> {
        let deadline = self.spec.now() + timeout;
        let invocation = Invocation {
            request_id: uuid(),
            payload: event.to_string().into(),
            deadline_ms: (deadline.unix_timestamp_nanos() / 1_000_000).try_into().unwrap_or_default(),
            trace_id: format!("Root=1-{}-{};Sampled=0", settings::random_hex(4), settings::random_hex(12)),
        };
        match tokio::time::timeout(timeout, self.outcome(invocation)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.kill9().await;
                Err(InvokeError::TimedOut)
            }
        }
    }

    async fn outcome(&self, invocation: Invocation) -> Result<Value, InvokeError> {
        let (mut init_error, mut exit) = (self.api.init_error(), self.exit.clone());
        let outcome = self.api.submit(invocation);
        tokio::select! {
            biased;
            outcome = outcome => outcome.map_err(|_| self.exited()).and_then(into_result),
            Ok(error) = init_error.wait_for(Option::is_some) => Err(InvokeError::Init(error.clone().expect("waited for"))),
            _ = exit.wait_for(Option::is_some) => Err(self.exited()),
        }
    }

    fn exited(&self) -> InvokeError {
        let log = self.log_text();
        let start = log.lines().count().saturating_sub(20);
        InvokeError::Exited {
            status: self.exit.borrow().map_or_else(|| "unknown".to_owned(), |status| status.to_string()),
            log: log.lines().skip(start).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Freezes the process, as Lambda does between invocations.
    pub async fn freeze(&self) {
        signal::stop(self.pid).await;
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        signal::resume(self.pid);
    }

    /// Kills the process on the spot and waits until it is gone.
    pub async fn kill9(&self) {
        if self.is_running() {
            signal::send(self.pid, "KILL");
            let _ = self.exit.clone().wait_for(Option::is_some).await;
        }
    }

    /// Whether the process still lives.
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The Runtime API, for its counters.
    pub fn api(&self) -> &RuntimeApi {
        &self.api
    }

    /// File with everything the process printed.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything the process printed so far.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The printed lines that are JSON documents.
    pub fn log_records(&self) -> Vec<Value> {
        self.log_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // The task owns the process, which dies with it.
        self.monitor.abort();
    }
}

fn into_result(outcome: Outcome) -> Result<Value, InvokeError> {
    match outcome {
        Outcome::Error(error) => Err(InvokeError::Function(error)),
        Outcome::Response { body, content_type, .. } if content_type.contains("http-integration-response") => {
            Ok(crate::gateway::buffered(&body))
        }
        Outcome::Response { body, .. } if body.is_empty() => Ok(Value::Null),
        Outcome::Response { body, .. } => Ok(serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()))),
    }
}

/// What Lambda sets for every function of the `provided.al2023` runtime.
fn lambda_variables(spec: &EnvironmentSpec, api: &RuntimeApi) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = [
        ("AWS_LAMBDA_RUNTIME_API", api.authority()),
        ("AWS_LAMBDA_FUNCTION_NAME", spec.function.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec.memory_mb.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", spec.function)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", format!("[$LATEST]{}", settings::random_hex(16))),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO".to_owned()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    // Tools of the developer that must reach the process: coverage and backtraces.
    for name in ["PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"] {
        variables.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    variables
}

/// A random UUID in the form Lambda uses for request ids.
pub(crate) fn uuid() -> String {
    let hex = settings::random_hex(16);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
