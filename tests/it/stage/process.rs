//! One life of the program: killed, asked to stop, or ended with the test.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::until;

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
    pub async fn terminate(mut self) -> (Duration, i32) {
        let begun = Instant::now();
        self.signal("TERM");
        let code = until("it ends after SIGTERM", STOP_LIMIT, async || self.ended()).await;
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
        }
    }
}
