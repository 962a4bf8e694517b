//! The queue with its disk, and the store.

use std::time::Duration;

use tokio::sync::watch;

use super::{Finding, Running, is_left_out};
use crate::app::road;
use crate::config::Config;
use crate::jira::Flavour;
use crate::queue::{Share, embedded};
use crate::setting::SinkName;
use crate::store::{Store, Tables};

const ABOUT: &str = "queue";
const STORE: &str = "store";
/// A broker that is there answers sooner.
const LIMIT: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(2);

pub(super) async fn queue(config: &Config, running: Option<&Running>) -> Vec<Finding> {
    let mut findings = vec![disk(config)];
    if let Some(running) = running {
        findings.push(revision(&running.config, config.hash()));
        findings.extend(orphans(&running.places, config));
    }
    if config.queue.is_broker() {
        if !is_left_out(config, "queue", "") {
            findings.extend(tokio::time::timeout(LIMIT, broker(config)).await.unwrap_or_else(|_| vec![silent()]));
        }
        findings.extend(beside_a_broker(config));
    }
    findings
}

/// Whether the service that answers works by what was looked at here.
fn revision(running: &str, here: &str) -> Finding {
    if running == here {
        return Finding::ok(ABOUT, "a service runs by this configuration and answers");
    }
    let next = "restart it, or see its log for why the reload was refused; a file that has just changed is taken up within seconds, \
        and variables that override the file for the service must be set here, too";
    let what = format!("the running service uses {running}, not this file");
    Finding::problem("configuration", what, format!("the hash of this one is {here}"), next)
}

/// Room for queue, store and spool: they lie on one disk unless paths say otherwise.
fn disk(config: &Config) -> Finding {
    let (about, dir) = ("disk", &config.data_dir);
    let look = match embedded::look(&config.queue.embedded, &dir.join("queue")) {
        Ok(look) => look,
        Err(err) => {
            let next = "run this as the user of the service, and make `data_dir` readable and writable for it";
            return Finding::problem(about, "the data directory cannot be looked at", format!("`{}`: {err}", dir.display()), next);
        }
    };
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(dir);
    if let Err(err) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        let next = "run this as the user of the service, and make `data_dir` writable for it";
        return Finding::problem(about, "the data directory cannot be written", format!("`{}`: {err}", there.display()), next);
    }
    let state = if look.is_open { "; a service has it open" } else { "" };
    let evidence = format!("{} are free at `{}`, {} must stay free{state}", size(look.free), dir.display(), size(look.needed));
    let next = "make room, or move `data_dir` to a larger disk; `queue.min_free` says how much must stay free";
    match look.free {
        free if free < look.needed => Finding::problem(about, "the disk is too full: webhooks are answered 503", evidence, next),
        free if free < look.needed.saturating_mul(2) => Finding::advice(about, "the disk is filling up", evidence, next),
        _ => Finding { evidence, ..Finding::ok(about, "there is room on the disk") },
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib >= 10 << 10 => format!("{} GiB", mib >> 10),
        mib => format!("{mib} MiB"),
    }
}

async fn broker(config: &Config) -> Vec<Finding> {
    let (_share, shared) = watch::channel(Share::All);
    let queue = match road::connect(config, shared).await {
        Ok(queue) => queue,
        Err(err) => {
            let next = "see that the broker runs and is reached from here at `queue.url`, and that user, password and rights are as docs/rabbitmq.md \
                or docs/kafka.md says";
            return vec![Finding::problem(ABOUT, "the broker cannot be used", err.to_string(), next)];
        }
    };
    let mut findings = vec![match queue.check().await {
        Ok(()) => Finding::ok(ABOUT, format!("the broker answers, with {} lanes", queue.lanes().get())),
        Err(err) => Finding::problem(ABOUT, "the broker takes nothing now", err.to_string(), "see its log, its disk and its memory"),
    }];
    let configured: Vec<SinkName> = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    match queue.orphans(&configured).await {
        Ok(places) => findings.extend(orphans(&places, config)),
        Err(err) => findings.push(Finding::problem(ABOUT, "who has a place on the broker cannot be told", err.to_string(), "try again")),
    }
    // What it did not close in time ends with this process.
    let _ = queue.close(CLOSE).await;
    findings
}

fn silent() -> Finding {
    let evidence = format!("no answer within {} s", LIMIT.as_secs());
    Finding::problem(ABOUT, "the broker does not answer", evidence, "see that it runs and is reached from here at `queue.url`")
}

/// Places that hold events for nobody.
fn orphans(places: &[SinkName], config: &Config) -> Vec<Finding> {
    let is_orphan = |place: &&SinkName| **place != SinkName::archive() && !config.sinks.iter().any(|sink| sink.name == **place);
    let found = |place: &SinkName| {
        let evidence = "what comes is kept for it, and no sink takes it";
        let next = format!("configure `[sink.{place}]` again, or give its place up");
        Finding::advice(ABOUT, format!("there is a place for `{place}`, which is not configured"), evidence, next)
    };
    places.iter().filter(is_orphan).map(found).collect()
}

/// What goes well with a broker.
fn beside_a_broker(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.store.url.starts_with("sqlite:") {
        let next = "for several processes set `store.url` to a PostgreSQL";
        findings.push(Finding::advice(STORE, "a broker with a store of its own serves one process only", "`store.url` is SQLite", next));
    }
    let never_repeats = |connection: &&crate::config::Connection| connection.flavour == Some(Flavour::Datacenter);
    if let Some(connection) = config.connections.iter().find(never_repeats).filter(|_| !config.receiver.spool) {
        let evidence =
            format!("`{}` is a Data Center, which sends each webhook once; while the broker is away it is lost", connection.name);
        findings.push(Finding::advice(ABOUT, "what the broker does not take is lost", evidence, "write `spool = true` under `[receiver]`"));
    }
    findings
}

pub(super) async fn store(config: &Config) -> Vec<Finding> {
    if is_left_out(config, "store", "") {
        return Vec::new();
    }
    let looked = tokio::time::timeout(LIMIT, Store::look(&config.store, &config.data_dir)).await;
    let look = match looked {
        Ok(Ok(look)) => look,
        Ok(Err(err)) => {
            let next = "see that it runs and is reached from here at `store.url`, and that the user may read and write it";
            return vec![Finding::problem(STORE, "the store cannot be used", err.to_string(), next)];
        }
        Err(_) => {
            let evidence = format!("no answer within {} s", LIMIT.as_secs());
            return vec![Finding::problem(
                STORE,
                "the store does not answer",
                evidence,
                "see that it runs and is reached from here at `store.url`",
            )];
        }
    };
    vec![match look.tables {
        Tables::Ours => Finding::ok(STORE, format!("{} answers, with the tables of this version", look.name)),
        Tables::None => Finding::ok(STORE, format!("{}: its tables are made at the first start", look.name)),
        Tables::Older => {
            let next = "back it up before the next start: older programs do not read it afterwards";
            Finding::advice(STORE, "the tables are of an older version and are changed at the next start", look.name, next)
        }
        Tables::Newer => {
            let next = "run the newer program, or go back to a backup that was made before it";
            Finding::problem(STORE, "a newer program made the tables, so this one does not start", look.name, next)
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::check::Level;

    fn config(text: &str) -> (tempfile::TempDir, Config) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        std::fs::write(&path, format!("data_dir = {:?}\n{text}", directory.path().join("data"))).expect("a file");
        let config = Config::load(Some(&path), []).unwrap_or_else(|problems| panic!("{problems}"));
        (directory, config)
    }

    #[tokio::test]
    async fn a_store_is_looked_at_and_left_as_it_was() {
        let (_directory, config) = config("");
        assert_eq!(store(&config).await.first().map(|finding| finding.level), Some(Level::Ok));
        assert!(!config.data_dir.exists(), "something was made");
        let tasks = crate::shutdown::Tasks::new();
        let open = Store::open(&config.store, &config.data_dir, &tasks).await.expect("it opens");
        assert!(store(&config).await.first().is_some_and(|finding| finding.what.ends_with("with the tables of this version")));
        open.close(CLOSE).await;
        std::fs::write(config.data_dir.join("ticketwire.sqlite"), "no database at all, but long enough to be looked at").expect("a file");
        assert_eq!(store(&config).await.first().map(|finding| finding.level), Some(Level::Problem));
    }

    #[test]
    fn room_is_held_against_what_must_stay_free() {
        for (min_free, level) in [("1MiB", Level::Ok), ("1000000GiB", Level::Problem)] {
            let (_directory, config) = config(&format!("[queue]\nmin_free = {min_free:?}\n"));
            assert_eq!(disk(&config).level, level, "{min_free}");
            assert!(!config.data_dir.exists(), "something was made");
        }
    }

    #[test]
    fn places_of_nobody_are_named() {
        let (_directory, config) = config("[sink.events]\ntype = \"file\"\npath = \"events\"\n");
        let places = ["events", "old"].map(|name| name.parse().expect("a name")).to_vec();
        let found = orphans(&[places, vec![SinkName::archive()]].concat(), &config);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "there is a place for `old`, which is not configured");
    }
}
