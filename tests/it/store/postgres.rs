//! What becomes of the store when its Postgres dies, falls silent or refuses: a server of its own, which the test may do anything to.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use ticketwire::setting::{SecretSource, Span};
use ticketwire::shutdown::Tasks;
use ticketwire::store::{Settings, Store, StoreError, Write};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fixtures::{Opened, Place, archive_row, event_id};

const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(10);

/// A server that dies with this.
struct Server {
    folder: tempfile::TempDir,
    url: String,
}

impl Server {
    /// None, and said so: services for tests are not wanted, or cannot be started here.
    fn start() -> Option<Self> {
        Place::postgres()?;
        // Where it is found and ended if this test is killed.
        let shared = std::env::var("TICKETWIRE_TEST_SERVICES").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
        let folder = tempfile::Builder::new().prefix("own-").tempdir_in(shared).expect("a folder");
        let said = script("start").arg(folder.path()).arg("postgres").output().expect("the script starts");
        let settings = std::fs::read_to_string(folder.path().join("env")).unwrap_or_default();
        let url = settings.lines().find_map(|line| line.strip_prefix("TICKETWIRE_TEST_POSTGRES="));
        Some(Self { url: url.unwrap_or_else(|| panic!("{}", text(&said))).to_owned(), folder })
    }

    async fn control(&self, action: &'static str) {
        let mut control = script("control");
        control.arg(self.folder.path()).arg("postgres").arg(action);
        let done = tokio::task::spawn_blocking(move || control.output()).await.expect("no panic").expect("the script starts");
        assert!(done.status.success(), "{action}: {}", text(&done));
    }

    async fn open(&self, settings: &Settings) -> Opened {
        Opened::with(&Place::Postgres(self.url.clone()), settings).await
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

fn one(number: u32) -> Write {
    Write { archive: vec![archive_row(number, "500", None, 0, number.into())], ..Write::default() }
}

async fn until_it_is_written(store: &Store, number: u32) {
    let writing = async {
        while let Err(err) = store.write(one(number)).await {
            assert!(matches!(err, StoreError::Unavailable(_)), "{err}");
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(LIMIT, writing).await.expect("it comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_the_server() {
    let Some(server) = Server::start() else { return };
    let opened = server.open(&Settings::default()).await;
    let (is_over, mut lanes) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for lane in 0..8_u32 {
        let (store, is_over) = (opened.store.clone(), Arc::clone(&is_over));
        lanes.spawn(async move {
            let (mut answered, mut refused) = (Vec::new(), 0_u32);
            for number in (lane * 100_000..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                match store.write(one(number)).await {
                    Ok(()) => answered.push(number),
                    Err(StoreError::Unavailable(_)) => refused += 1,
                    Err(err) => panic!("only a person can mend it: {err}"),
                }
            }
            (answered, refused)
        });
    }
    for action in ["kill", "start", "stop", "start"] {
        if action != "start" {
            let before = opened.store.archived_count().await.unwrap();
            let going_on = async { while opened.store.archived_count().await.unwrap() <= before {} };
            tokio::time::timeout(LIMIT, going_on).await.expect("writing goes on");
        }
        server.control(action).await;
    }
    until_it_is_written(&opened.store, 99_000).await;
    is_over.store(true, Ordering::Relaxed);
    let told = lanes.join_all().await;
    assert!(told.iter().any(|(_, refused)| *refused > 0), "the server was away");
    for number in told.iter().flat_map(|(answered, _)| answered) {
        assert!(opened.store.archived(&event_id(*number)).await.unwrap().is_some(), "{number} was answered and is not there");
    }
    assert!(told.iter().map(|(answered, _)| answered.len()).sum::<usize>() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_not_waited_for() {
    let Some(server) = Server::start() else { return };
    let settings = Settings { timeout: Span::seconds(1), ..Settings::default() };
    let opened = server.open(&settings).await;
    opened.write(one(1)).await;
    assert_eq!(opened.store.archived_count().await, Ok(1));
    let lead = opened.store.lead("reports").await.unwrap().expect("nobody leads yet");

    server.control("pause").await;
    let began = Instant::now();
    let (write, read) = tokio::join!(opened.store.write(one(2)), opened.store.archived_count());
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    // Now without a connection: nobody says hello, either.
    let (write, read) = tokio::join!(opened.store.write(one(3)), opened.store.archived_count());
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    tokio::time::timeout(LIMIT, lead.lost()).await.expect("it is noticed");
    let opening = Store::open(&opened.settings, opened.dir.path(), &Tasks::new()).await;
    assert!(matches!(opening, Err(StoreError::Unavailable(_))));

    server.control("resume").await;
    until_it_is_written(&opened.store, 4).await;
    assert!(opened.store.archived(&event_id(1)).await.unwrap().is_some());
    assert!(opened.store.archived(&event_id(4)).await.unwrap().is_some());
    let reading = async { while opened.store.archived_count().await.is_err() {} };
    tokio::time::timeout(LIMIT, reading).await.expect("all readers come back");
}

/// Connections that fell silent for ever, as behind a firewall that forgot them, must not be missing once their callers went away.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_nobody_waits_for_come_back() {
    let Some(server) = Server::start() else { return };
    let opened = server.open(&Settings::default()).await;
    // Two, because within a transaction one sees the others as they were when one first looked.
    let (mut locking, mut watching) = (opened.connect_to_server().await, opened.connect_to_server().await);
    locking.execute("BEGIN; LOCK TABLE archive").await.unwrap();
    let mut reading = JoinSet::new();
    let all_at_once = |reading: &mut JoinSet<u64>| {
        for _ in 0..8 {
            let store = opened.store.clone();
            reading.spawn(async move {
                loop {
                    if let Ok(count) = store.archived_count().await {
                        return count;
                    }
                }
            });
        }
    };
    all_at_once(&mut reading);
    let sql = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'ticketwire' AND wait_event_type = 'Lock'";
    let all_wait = async {
        loop {
            let waiting: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut watching).await.unwrap();
            if waiting.len() == 4 {
                return waiting;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let waiting = tokio::time::timeout(LIMIT, all_wait).await.expect("all readers wait for the lock");
    assert!(Command::new("kill").arg("-STOP").args(&waiting).status().unwrap().success());
    reading.shutdown().await;
    locking.execute("COMMIT").await.unwrap();

    all_at_once(&mut reading);
    let counts = tokio::time::timeout(LIMIT, reading.join_all()).await.expect("they end");
    assert_eq!(counts, [0; 8]);
    assert!(Command::new("kill").arg("-CONT").args(&waiting).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_without_the_password() {
    let Some(server) = Server::start() else { return };
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    admin.execute("CREATE ROLE wire LOGIN PASSWORD 'right'").await.unwrap();
    admin.execute("CREATE DATABASE own OWNER wire").await.unwrap();
    let sql = "SELECT current_setting('hba_file'), (SELECT setting FROM pg_settings WHERE name = 'port')";
    let (rules, port): (String, String) = sqlx::query_as(sql).fetch_one(&mut admin).await.unwrap();
    std::fs::write(&rules, "host all ticketwire all trust\nhost all all all scram-sha-256\n").unwrap();
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let open = async |url: String, password: Option<&str>| {
        let settings = Settings { url, password: password.map(SecretSource::literal), ..Settings::default() };
        Store::open(&settings, folder.path(), &Tasks::new()).await.map(drop)
    };
    // The rules are in force once a wrong password is refused.
    let refusing = async {
        while open(format!("postgres://wire:hunter2@127.0.0.1:{port}/own"), None).await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(LIMIT, refusing).await.expect("the rules are read");

    let check = async |url: String, password: Option<&str>, is_passing: bool, expected: &str| {
        let err = open(url.clone(), password).await.expect_err(&url);
        assert_eq!(matches!(err, StoreError::Unavailable(_)), is_passing, "{url}: {err}");
        assert!(err.to_string().contains(expected) && !err.to_string().contains("hunter2"), "{url}: {err}");
    };
    let wrong = "password authentication failed for user \"wire\"";
    check(format!("postgres://wire:hunter2@127.0.0.1:{port}/own"), None, false, wrong).await;
    check(format!("postgres://wire@127.0.0.1:{port}/own"), Some("hunter2"), false, wrong).await;
    check(format!("postgres://wire:right@127.0.0.1:{port}/gone"), None, false, "database \"gone\" does not exist").await;
    check(format!("postgres://wire:right@127.0.0.1:{port}/own?sslmode=require"), None, false, "server does not support TLS").await;
    check(format!("postgres://wire:right@127.0.0.1:{port}/own?sslrootcert=gone.pem"), None, false, "/gone.pem` cannot be read").await;
    check("postgres://wire:hunter2@127.0.0.1:1/own".into(), None, true, "Postgres at `127.0.0.1:1`").await;
    assert_eq!(open(format!("postgres://wire@127.0.0.1:{port}/own?sslmode=prefer"), Some("right")).await, Ok(()));
}
