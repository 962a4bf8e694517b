//! What is answered is committed, whole, whoever else writes, and is there after a crash.
#![expect(clippy::print_stdout, reason = "figures, and what was skipped, are for whoever runs the tests")]

use std::sync::Arc;
use std::time::Duration;

use ticketwire::event::{Envelope, EventId};
use ticketwire::shutdown::Tasks;
use ticketwire::store::{Ended, ParkedState, Progress, Settings, Store, StoreError, TicketEffect, Write};
use tokio::task::JoinSet;

use super::fixtures::{Opened, Place, archive_row, event_id, journal_row, on_each_database, parked_row, sink};
use super::tickets;

on_each_database!(closing_commits_what_waits, without_a_handle_the_writer_ends, a_fault_of_the_database_is_not_looked_for_in_single_writes,);
on_each_database!("multi_thread": everything_that_many_tasks_wrote_is_there, only_the_guilty_write_fails_and_nothing_of_it_stays, throughput);

/// A window's worth: for each event an archive row, a journal row, a ticket and two changes.
fn whole(numbers: std::ops::Range<u32>, raw: &Arc<str>) -> Write {
    let mut write = Write::default();
    for number in numbers {
        let id = (number % 1_000).to_string();
        let mut row = archive_row(number, &id, Some("OPS-1"), 0, number.into());
        row.envelope = Arc::new(Envelope { raw: raw.as_bytes().to_vec().into(), ..(*row.envelope).clone() });
        write.archive.push(row);
        write.journal.push(journal_row(number, "tickets", "tickets", Progress::Ended(Ended::Delivered)));
        write.tickets.push(tickets::snapshot(&id, number.into(), number.into(), "OPS-1"));
        write.tickets.extend((0..2).map(|item| TicketEffect::Change(Box::new(tickets::change(&id, &format!("{number}.{item}"))))));
    }
    write
}

async fn everything_that_many_tasks_wrote_is_there(place: Place) {
    let opened = Opened::new(&place).await;
    let (mut tasks, raw) = (JoinSet::new(), Arc::from("{}"));
    for task in 0..64_u32 {
        let (store, raw) = (opened.store.clone(), Arc::clone(&raw));
        tasks.spawn(async move {
            for round in 0..10 {
                let first = task * 100 + round * 10;
                store.write(whole(first..first + 1 + round, &raw)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let expected = 64 * (1..=10).sum::<u64>();
    assert_eq!(opened.store.archived_count().await, Ok(expected));
    let lines = opened.lines("SELECT CAST(count(*) AS TEXT) FROM journal UNION ALL SELECT CAST(count(*) AS TEXT) FROM changes").await;
    assert_eq!(lines, [expected.to_string(), (expected * 2).to_string()]);
    println!("64 tasks: {expected} events in 640 writes");
}

async fn only_the_guilty_write_fails_and_nothing_of_it_stays(place: Place) {
    let opened = Opened::new(&place).await;
    opened.write(Write { archive: vec![archive_row(9_999, "1", None, 0, 1)], ..Write::default() }).await;
    let taken = parked_row("dtaken", 9_999, "team", "#docs", ParkedState::Waiting);
    opened.write(Write { park: vec![taken], ..Write::default() }).await;
    let (mut good, mut guilty) = (JoinSet::new(), JoinSet::new());
    for number in 0..300_u32 {
        let store = opened.store.clone();
        let mut write = whole(number..number + 1, &Arc::from("{}"));
        if number % 10 == 3 {
            // Another delivery has this id already.
            write.park.push(parked_row("dtaken", number, "team", "#docs", ParkedState::Waiting));
            guilty.spawn(async move { store.write(write).await });
        } else {
            good.spawn(async move { store.write(write).await });
        }
    }
    assert!(good.join_all().await.iter().all(Result::is_ok));
    let refused = guilty.join_all().await;
    assert_eq!(refused.len(), 30);
    assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Rejected(_)))), "{refused:?}");
    assert_eq!(opened.store.archived_count().await, Ok(271));
    assert!(opened.store.archived(&event_id(13)).await.unwrap().is_none());
    assert!(opened.store.journal_of_events(&[event_id(13)]).await.unwrap().is_empty());
    assert!(opened.lines("SELECT id FROM changes WHERE id LIKE '13.%'").await.is_empty());
    opened.store.check().await.unwrap();
}

async fn a_fault_of_the_database_is_not_looked_for_in_single_writes(place: Place) {
    let opened = Opened::new(&place).await;
    opened.lines("DROP TABLE parked").await;
    let parks = Write { park: vec![parked_row("d1", 1, "team", "#docs", ParkedState::Waiting)], ..Write::default() };
    let records = Write { journal: vec![journal_row(2, "team", "#docs", Progress::Started)], ..Write::default() };
    // On one thread both are handed over before the writer looks.
    let answers = tokio::join!(opened.store.write(parks), opened.store.write(records));
    assert!(matches!(answers, (Err(StoreError::Unusable(_)), Err(StoreError::Unusable(_)))), "{answers:?}");
    assert!(opened.store.journal_of_events(&[event_id(2)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let opened = Opened::new(&Place::Sqlite).await;
    opened.write(whole(0..50, &Arc::from("{}"))).await;
    // As the files lie now, without any of the work of closing.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(opened.dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let again = Opened::within(&Settings::default(), copy).await;
    assert_eq!(again.store.archived_count().await, Ok(50));
    let events: Vec<EventId> = (0..50).map(event_id).collect();
    assert_eq!(again.store.journal_of_events(&events).await.unwrap().len(), 50);
}

async fn without_a_handle_the_writer_ends(place: Place) {
    let opened = Opened::new(&place).await;
    let tasks = Tasks::new();
    let store = Store::open(&opened.settings, opened.dir.path(), &tasks).await.unwrap();
    store.write(whole(0..50, &Arc::from("{}"))).await.unwrap();
    drop(store);
    assert!(tasks.stop(Duration::from_secs(10)).await, "without a handle the writer ends");
    assert_eq!(opened.store.archived_count().await, Ok(50));
}

async fn closing_commits_what_waits(place: Place) {
    let opened = Opened::new(&place).await;
    let mut writes = JoinSet::new();
    for number in 0..40 {
        let store = opened.store.clone();
        writes.spawn(async move { store.write(whole(number..number + 1, &Arc::from("{}"))).await });
    }
    // On one thread all writes are handed over before the closing is.
    tokio::task::yield_now().await;
    opened.store.close(Duration::from_secs(10)).await;
    let accepted = writes.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(opened.lines("SELECT CAST(count(*) AS TEXT) FROM archive").await, [accepted.to_string()]);
    assert!(accepted > 0);
}

#[tokio::test]
async fn a_locked_file_is_a_passing_fault() {
    let opened = Opened::new(&Place::Sqlite).await;
    let mut other = opened.connect().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let answer = opened.store.write(whole(0..1, &Arc::from("{}"))).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert_eq!(opened.store.archived_count().await, Ok(0), "readers go on");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    opened.write(whole(0..1, &Arc::from("{}"))).await;
    assert_eq!(opened.store.archived_count().await, Ok(1));
}

#[tokio::test]
async fn a_full_disk_is_a_passing_fault() {
    let Ok(small) = std::env::var("TICKETWIRE_SMALL_DISK") else {
        println!("skipped: TICKETWIRE_SMALL_DISK names no folder on a disk of a few MiB");
        return;
    };
    let opened = Opened::within(&Settings::default(), tempfile::tempdir_in(&small).unwrap()).await;
    let ballast = opened.dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let noise =
        |number: u64| (0..2_000).map(|n| format!("{:016x}", (n + number * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect::<String>();
    let mut stored = 0;
    let refused = loop {
        match opened.store.write(whole(stored..stored + 1, &noise(stored.into()).into())).await {
            Ok(()) => stored += 1,
            Err(err) => break err,
        }
        assert!(stored < 100_000, "the disk never became full");
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert_eq!(opened.store.archived_count().await, Ok(stored.into()), "reading goes on");
    std::fs::remove_file(ballast).unwrap();
    opened.write(whole(stored..stored + 1, &noise(0).into())).await;
    assert_eq!(opened.store.archived_count().await, Ok(u64::from(stored) + 1));
    println!("full after {stored} events: {refused}");
}

async fn throughput(place: Place) {
    let opened = Opened::new(&place).await;
    let raw: Arc<str> =
        (0..200).map(|n| format!("{{\"id\":\"{n}\",\"name\":\"customfield_{n}\",\"v\":{}}}", n * 7)).collect::<String>().into();
    for batch in [16_u32, 256] {
        let writes: Vec<Write> =
            (0..16 * 256 / batch).map(|n| whole(n * batch + batch * 10_000..(n + 1) * batch + batch * 10_000, &raw)).collect();
        let (count, began) = (16 * 256, tokio::time::Instant::now());
        let mut tasks = JoinSet::new();
        let mut lanes: Vec<Vec<Write>> = (0..16).map(|_| Vec::new()).collect();
        for (place, write) in writes.into_iter().enumerate() {
            lanes[place % 16].push(write);
        }
        for lane in lanes {
            let store = opened.store.clone();
            tasks.spawn(async move {
                for write in lane {
                    store.write(write).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let rate = f64::from(count) / began.elapsed().as_secs_f64();
        println!("16 lanes, windows of {batch}, bodies of {} bytes: {rate:.0} events/s", raw.len());
    }
    assert_eq!(opened.store.started(&sink("tickets")).await, Ok(Vec::new()));
}
