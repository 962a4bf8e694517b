//! What only the embedded queue promises: it outlives a kill, garbled files and a full disk, and belongs to one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use ticketwire::event::{Came, Change, Detail, Envelope, Event, LaneCount, Position};
use ticketwire::queue::embedded::{Embedded, Settings};
use ticketwire::queue::{PublishError, Queue, QueueError};
use ticketwire::setting::{ByteSize, Span};

use super::stage::{Home, Stage, Which, embedded, event, events, ids, ids_of, lane_of, name, settings, take, within};

#[tokio::test]
async fn a_full_disk_refuses_and_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let full = Settings { min_free: Some(ByteSize(1 << 60)), ..settings(Which::Embedded) };
    let queue = Embedded::open(&full, dir.path(), None).expect("opened");
    let PublishError::Full(why) = queue.publish(vec![event(7, 0)]).await.expect_err("refused") else { panic!("not full") };
    assert!(why.contains("make room"), "{why}");
    assert!(matches!(queue.check().await, Err(QueueError::Full(why)) if why.contains("make room")));
    // What is inside gets out all the same.
    drop(queue.subscribe(&name("docs")).await.expect("subscribed"));
    assert_eq!(queue.backlog().await.expect("counted").len(), 4);
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Embedded::open(&settings(Which::Embedded), dir.path(), None).expect("opened");
    let refused = Embedded::open(&settings(Which::Embedded), dir.path(), None).err();
    assert!(matches!(refused, Some(QueueError::Unusable(why)) if why.contains("another process")));
    drop(first);
    drop(Embedded::open(&settings(Which::Embedded), dir.path(), None).expect("opened again"));
}

#[tokio::test]
async fn another_number_of_lanes_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Embedded::open(&settings(Which::Embedded), dir.path(), None).expect("opened"));
    let other = Settings { lanes: LaneCount::default(), ..settings(Which::Embedded) };
    let refused = Embedded::open(&other, dir.path(), None).err();
    assert!(matches!(refused, Some(QueueError::Unusable(why)) if why.contains("set `queue.lanes = 4`")));
    drop(Embedded::open(&settings(Which::Embedded), dir.path(), None).expect("opened again"));
}

#[tokio::test]
async fn cursors_survive_closing_exactly() {
    let mut stage = Stage::new(Which::Embedded).await;
    let sent = events(7, 0..30);
    drop(stage.subscribe("docs").await);
    stage.publish(&sent).await;
    for passed in 1..=30 {
        let mut lane = stage.lane_of("docs", &sent[0]).await;
        assert_eq!(ids(&take(&mut lane, 1).await), ids_of(&sent[passed - 1..passed]));
        drop(lane);
        stage = stage.reopen().await;
        assert_eq!(stage.queue.passed(&name("docs"), lane_of(&sent[0])).await, Ok(Some(Position(passed as u64))));
    }
}

#[tokio::test]
async fn what_nobody_claims_for_long_is_let_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let impatient = Settings { unclaimed_after: Span(Duration::ZERO), ..settings(Which::Embedded) };
    let queue: Arc<dyn Queue> = Arc::new(Embedded::open(&impatient, dir.path(), None).expect("opened"));
    let stage = Stage { which: Which::Embedded, home: Home::Dir(dir), queue };
    drop(stage.subscribe("away").await);
    let sent = events(7, 0..10);
    let mut lane = stage.lane_of("here", &sent[0]).await;
    stage.publish(&sent).await;
    take(&mut lane, 10).await;
    // The last entry of a lane is always kept.
    within(async {
        while stage.waiting("away").await != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut lane = stage.lane_of("away", &sent[0]).await;
    assert_eq!(ids(&take(&mut lane, 1).await), ids_of(&sent[9..]));
}

/// The first event with what its body says. Counted: it is made once, however many read it from memory.
fn renew(came: &Came<'_>, body: &[u8]) -> Vec<Event> {
    RENEWED.fetch_add(1, Ordering::Relaxed);
    let mut event = event(7, 0).event.clone();
    event.data.received_at = came.received_at;
    event.data.changes.push(Change {
        field: String::from_utf8(body.to_vec()).expect("text"),
        name: None,
        custom: false,
        from: None,
        to: None,
    });
    vec![event]
}

static RENEWED: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn events_in_brief_come_out_whole_from_memory_and_from_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Arc::new(Embedded::open(&settings(Which::Embedded), dir.path(), Some(renew)).expect("opened"));
    let brief = Arc::new(Envelope { renewable: true, raw: "summary".into(), ..Envelope::clone(&event(7, 0)) });
    let queue = open();
    assert_eq!(queue.detail(), Detail::Brief);
    for sink in ["docs", "team"] {
        drop(queue.subscribe(&name(sink)).await.expect("subscribed"));
    }
    let publish = || queue.publish(vec![Arc::clone(&brief), Arc::clone(&brief)]);
    publish().await.expect("published");
    assert_eq!(changed_fields(queue.as_ref(), &brief).await, ["summary"; 2]);
    assert_eq!(RENEWED.load(Ordering::Relaxed), 1, "it was made whole once for both");
    drop(queue);
    assert_eq!(changed_fields(open().as_ref(), &brief).await, ["summary"; 2]);
    assert_eq!(RENEWED.load(Ordering::Relaxed), 3, "what is read from the log is made whole by whoever reads it");
}

/// What the next event of the lane says to either sink.
async fn changed_fields(queue: &Embedded, brief: &Envelope) -> Vec<String> {
    let mut fields = Vec::new();
    for sink in ["docs", "team"] {
        let mut subscription = queue.subscribe(&name(sink)).await.expect("subscribed");
        let mut lanes = Vec::new();
        for _ in queue.lanes().lanes() {
            lanes.push(within(subscription.next_lane()).await.expect("a lane"));
        }
        let lane = lanes.iter_mut().find(|lane| lane.id() == lane_of(brief)).expect("its lane");
        let seen = take(lane, 1).await;
        assert_eq!(seen[0].envelope.raw, brief.raw);
        fields.extend(seen[0].envelope.event.data.changes.iter().map(|change| change.field.clone()));
    }
    fields
}

/// The files as they are at this moment: what a killed process leaves behind.
fn image(stage: &Stage) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(copy.path().join("log")).expect("a directory");
    for file in std::fs::read_dir(stage.dir().join("log")).expect("the log") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), copy.path().join("log").join(file.file_name())).expect("copied");
    }
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_a_kill() {
    let stage = Stage::new(Which::Embedded).await;
    let sent = events(7, 0..200);
    drop(stage.subscribe("docs").await);
    stage.publish(&sent).await;
    let queue = Arc::clone(&stage.queue);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let mut load = tokio::task::JoinSet::new();
    load.spawn(async move {
        for number in 200.. {
            queue.publish(vec![event(7, number)]).await.expect("published");
            if stopped.try_recv().is_ok() {
                return number;
            }
        }
        0
    });
    for _ in 0..5 {
        let copy = image(&stage);
        let stage = Stage { which: Which::Embedded, queue: Arc::new(embedded(Which::Embedded, copy.path())), home: Home::Dir(copy) };
        let mut lane = stage.lane_of("docs", &sent[0]).await;
        assert_eq!(ids(&take(&mut lane, 200).await), ids_of(&sent));
        // It goes on where it ends, without a gap.
        let waiting = stage.waiting("docs").await;
        stage.publish(&events(7, 0..1)).await;
        let rest = take(&mut lane, waiting as usize + 1).await;
        assert_eq!(rest.last().map(|seen| seen.position), Some(Position(200 + waiting + 1)));
    }
    stop.send(()).expect("the load goes on");
    assert!(within(load.join_all()).await[0] >= 200);
}

#[tokio::test]
async fn a_garbled_tail_costs_the_newest_batch_at_most() {
    let stage = Stage::new(Which::Embedded).await;
    let sent = events(7, 0..20);
    drop(stage.subscribe("docs").await);
    stage.publish(&sent).await;
    let garble: [fn(&mut Vec<u8>, usize); 3] = [
        |bytes, end| bytes.truncate(end - 3),
        |bytes, end| bytes[end - 8..end].fill(0xa5),
        |bytes, end| bytes.splice(end.., [0xff; 32]).for_each(drop),
    ];
    for (case, garble) in garble.into_iter().enumerate() {
        let copy = image(&stage);
        let files = std::fs::read_dir(copy.path().join("log")).expect("the log").map(|file| file.expect("a file").path());
        let newest = files.filter(|path| path.extension().is_some_and(|end| end == "raftlog")).max().expect("a log file");
        let mut bytes = std::fs::read(&newest).expect("read");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written") + 1;
        garble(&mut bytes, end);
        std::fs::write(&newest, bytes).expect("written");

        let stage = Stage { which: Which::Embedded, queue: Arc::new(embedded(Which::Embedded, copy.path())), home: Home::Dir(copy) };
        let kept = stage.waiting("docs").await as usize;
        assert!(kept >= 19, "case {case}: {kept}");
        stage.publish(&events(7, 90..91)).await;
        let mut lane = stage.lane_of("docs", &sent[0]).await;
        let seen = take(&mut lane, kept + 1).await;
        assert_eq!(ids(&seen[..kept]), ids_of(&sent[..kept]), "case {case}");
        assert_eq!(ids(&seen[kept..]), ids_of(&events(7, 90..91)), "case {case}");
    }
}
