//! A real broker or database of a test's own, which it may do anything to. It dies with the test.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

pub struct Server {
    folder: TempDir,
    name: &'static str,
    /// What the variable for tests says of such a service.
    pub address: String,
}

impl Server {
    /// `rabbitmq`, `postgres` or `kafka`. None, and said so: services for tests are not wanted here, or this one cannot be started.
    pub fn start(name: &'static str) -> Option<Self> {
        let variable = match name {
            "rabbitmq" => "TICKETWIRE_TEST_AMQP",
            "postgres" => "TICKETWIRE_TEST_POSTGRES",
            _ => "TICKETWIRE_TEST_KAFKA",
        };
        // Below it the servers are found and ended if this test is killed.
        let Some(shared) = std::env::var_os("TICKETWIRE_TEST_SERVICES").filter(|_| std::env::var_os(variable).is_some()) else {
            println!("skipped: no {name} of its own, because TICKETWIRE_TEST_SERVICES or {variable} is not set");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("own-").tempdir_in(PathBuf::from(shared)).expect("a folder");
        let said = script("start").arg(folder.path()).arg(name).output().expect("the script starts");
        let settings = std::fs::read_to_string(folder.path().join("env")).unwrap_or_default();
        let address = settings.lines().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='));
        let address = address.unwrap_or_else(|| panic!("{}", text(&said))).to_owned();
        Some(Self { folder, name, address })
    }

    /// `stop`, `start`, `kill`, `pause` or `resume`; returns when it is so.
    pub async fn control(&self, action: &'static str) {
        let mut control = script("control");
        control.arg(self.folder.path()).arg(self.name).arg(action);
        let done = tokio::task::spawn_blocking(move || control.output()).await.expect("no panic").expect("the script starts");
        assert!(done.status.success(), "{action}: {}", text(&done));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = script("stop").arg(self.folder.path()).output().expect("the script starts");
        assert!(stopped.status.success() || std::thread::panicking(), "{}", text(&stopped));
    }
}

fn script(name: &str) -> Command {
    Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/services").join(name))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
