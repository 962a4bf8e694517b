//! A disk that is full, cannot be written, or gives back other bytes than were written.
//!
//! Full and read-only ones are small file systems of a mount namespace of the service's own, where the system lets us make one.

use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::stage::{Load, Scene, Service, Stage, Story, is_long, until};

const LIMIT: Duration = Duration::from_secs(60);
/// Beside the 32 MiB that must stay free and the reserve, room for the log and the store.
const DISK_MIB: u32 = 192;

/// The program with something mounted for it alone; none, and said so, where that is not permitted.
fn in_namespace(stage: &Stage, mount: &str) -> Option<Command> {
    let is_permitted =
        Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/tmp"]).output().is_ok_and(|made| made.status.success());
    if !is_permitted {
        eprintln!("skipped: no file system can be mounted here (unshare -rm)");
        return None;
    }
    let config = stage.config().display().to_string();
    let program = stage.command(&["serve", "-c", &config]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]).arg(program.get_program()).args(program.get_args());
    command.current_dir(stage.path("")).env_remove("TICKETWIRE_ADMIN_TOKEN");
    Some(command)
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let file = std::fs::File::create(path).expect("a file");
    let (piece, mut at) = (vec![7; 1 << 16], 0);
    while file.write_all_at(&piece, at).is_ok() {
        at += piece.len() as u64;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_loses_nothing_and_recovers_by_itself() {
    let stage = Arc::new(Stage::new());
    let data = stage.path("data");
    std::fs::create_dir_all(&data).expect("a folder");
    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let Some(command) = in_namespace(&stage, &format!("mount -t tmpfs -o size={DISK_MIB}m none {}", data.display())) else { return };
    let service = stage.serve_by(command).await;
    let filler = PathBuf::from(format!("/proc/{}/root{}/filler", service.id(), data.display()));
    let load = Load::start(&stage);
    let mut story = 900_000;
    let fills = if is_long() { 200 } else { 20 };
    for number in 0..fills {
        let goal = load.count() + 30;
        until("the load goes on", LIMIT, async || (load.count() >= goal).then_some(())).await;
        fill(&filler);
        let what = "it refuses, and says when to come again";
        let (status, retry_after) = until(what, LIMIT, async || {
            // Always another one: what is known to be stored is answered 200 on a full disk, too.
            story += 1;
            let answer = stage.post_and_see("acme", Story::new(story, "OPS").created().to_string().as_bytes()).await;
            (answer.0 != 200).then_some(answer)
        })
        .await;
        assert_eq!((status, retry_after.is_some_and(|seconds| seconds > 0)), (503, true), "fill {number}");
        std::fs::remove_file(&filler).expect("the room comes back");
    }
    let goal = load.count() + 30;
    until("it accepts again", LIMIT, async || (load.count() >= goal).then_some(())).await;
    let accepted: HashSet<String> = load.stop().await.into_values().flat_map(|taken| taken.ids).collect();
    until("all that was accepted is in the file", LIMIT, async || {
        let ids: HashSet<String> = stage.ids(super::EVENTS).into_iter().collect();
        accepted.is_subset(&ids).then_some(())
    })
    .await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    let ids = stage.ids(super::EVENTS);
    let different: HashSet<&String> = ids.iter().collect();
    assert_eq!(stage.cli_json(&["dead", "list"]).await, serde_json::json!([]));
    assert_eq!(different.len(), ids.len(), "a full disk made it write twice");
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
    eprintln!("full disk: {fills} times, {} accepted, 0 missing, 0 repeated, 0 dead", accepted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_written_is_told_at_the_start() {
    let stage = Stage::new();
    let folder = stage.path("store");
    std::fs::create_dir_all(&folder).expect("a folder");
    let store = format!("[store]\nurl = \"sqlite:{}/tickets.sqlite\"\n", folder.display());
    stage.configure(&format!("{store}{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let mount = format!("mount --bind {0} {0} && mount -o remount,bind,ro {0}", folder.display());
    let Some(command) = in_namespace(&stage, &mount) else { return };
    let service = stage.serve().await;
    let first = stage.post("acme", &Story::new(1, "OPS").created(), "1").await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    service.terminate().await;

    let mut service = Service::spawn(command, stage.path("serve.out"), stage.path("serve.err"));
    let code = until("it ends", LIMIT, async || service.ended()).await;
    let told = service.printed();
    assert!(code > 0 && told.contains("read") && told.contains("tickets.sqlite"), "{code}: {}", service.tail());

    let _service = stage.serve().await;
    let second = stage.post("acme", &Story::new(2, "OPS").created(), "2").await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    assert_eq!(stage.ids(super::EVENTS), [first, second].concat());
}

/// Where what was written of the newest file of the log ends.
fn newest(stage: &Stage) -> (std::fs::File, u64) {
    let files = crate::stage::files_below(&stage.path("data")).into_iter();
    let path = files.filter(|path| path.extension().is_some_and(|extension| extension == "raftlog")).max().expect("a log");
    let end = std::fs::read(&path).expect("read").iter().rposition(|byte| *byte != 0).expect("something was written") as u64 + 1;
    (std::fs::OpenOptions::new().write(true).open(path).expect("a file"), end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_garbled_tail_is_cut_off_and_told() {
    for (case, garbled) in [("torn", 0_u64), ("flipped", 40)] {
        let stage = Stage::new();
        stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
        let service = stage.serve().await;
        let mut story = Story::new(1, "OPS");
        let mut ids = stage.post("acme", &story.created(), "0").await;
        for number in 1..40 {
            ids.extend(stage.post("acme", &story.renamed(&format!("step {number}")), &number.to_string()).await);
        }
        service.kill();
        let (file, end) = newest(&stage);
        file.write_all_at(&[0xa5; 96], end - garbled).expect("written");

        let service = stage.serve().await;
        assert!(service.printed().contains("bytes of `") && service.printed().contains("cut off"), "{case}: {}", service.tail());
        let last = stage.post("acme", &story.renamed("afterwards"), "last").await;
        // What was garbled is the newest write, which may be an event.
        let wanted: HashSet<&String> = ids.iter().take(39).chain(&last).collect();
        until("all else is in the file", LIMIT, async || {
            let came = stage.ids(super::EVENTS);
            wanted.iter().all(|id| came.contains(id)).then_some(())
        })
        .await;
        let (_, code) = service.terminate().await;
        assert_eq!(code, 0, "{case}");
    }
}
