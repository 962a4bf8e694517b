//! One life of the program: killed, asked to stop, or ended with the test.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::{ADMIN_TOKEN, SECRET, until};

const STOP_LIMIT: Duration = Duration::from_secs(15);

pub struct Service {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Service {
    pub fn spawn(mut command: Command, out: PathBuf, err: PathBuf) -> Self {
        let append = |path: &PathBuf| OpenOptions::new().create(true).append(true).open(path).expect("a file");
        command.stdin(Stdio::null()).stdout(append(&out)).stderr(append(&err));
        Self { child: command.spawn().expect("it starts"), out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc/PID/status`, as `VmHWM`, in MiB.
    pub fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).expect("such a line");
        value.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
    }

    /// The exit code, if it ended; -1 for a signal.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("it can be asked").map(|status| status.code().unwrap_or(-1))
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM: how long it took, and the exit code.
    pub async fn terminate(self) -> (Duration, i32) {
        self.stop_by("TERM").await
    }

    /// The same with another signal.
    pub async fn stop_by(mut self, signal: &str) -> (Duration, i32) {
        let begun = Instant::now();
        self.signal(signal);
        let code = until("it ends after a signal", STOP_LIMIT, async || self.ended()).await;
        (begun.elapsed(), code)
    }

    /// SIGHUP: reload.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &order]).status().expect("a shell").success());
    }

    /// All that was printed in all lives of the stage.
    pub fn printed(&self) -> String {
        let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        read(&self.out) + &read(&self.err)
    }

    pub fn tail(&self) -> String {
        let printed = self.printed();
        let lines: Vec<&str> = printed.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// What must stand in no log: secrets of the stage, signatures and tokens by their form, and addresses of people.
    fn assert_nothing_secret_was_logged(&self) {
        let log = std::fs::read(&self.err).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let is_secret = |word: &str| [SECRET, ADMIN_TOKEN, "xoxb-", "sha256=", "sha512="].iter().any(|secret| word.contains(secret));
        let found = log.split([' ', '"', '`', ',', '<', '>']).find(|word| is_secret(word) || is_address(word));
        assert!(found.is_none(), "the log holds `{}`", found.unwrap_or_default());
    }

    fn end(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Service {
    #[expect(clippy::print_stderr, reason = "a person who sees a test fail wants to see what the service said")]
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("the service printed last:\n{}", self.tail());
        } else {
            self.assert_nothing_secret_was_logged();
        }
    }
}

/// `somebody@somewhere.example`, also as a login in a URL.
fn is_address(word: &str) -> bool {
    let Some((before, after)) = word.split_once('@') else { return false };
    let somebody = before.chars().next_back().is_some_and(char::is_alphanumeric);
    somebody && after.split(['/', ':', ';', ')']).next().is_some_and(|place| place.trim_end_matches('.').contains('.'))
}

#[test]
fn an_address_is_known_by_its_form() {
    for address in ["jane@people.example", "amqp://guest:guest@127.0.0.1:5672/", "(bot@acme.example)"] {
        assert!(is_address(address), "{address}");
    }
    for other in ["@here", "a@b", "ticketwire@1", "no address."] {
        assert!(!is_address(other), "{other}");
    }
}
