//! The store against a real SQLite file and a real Postgres: archive, journal, control and retention. What waits, what commits, tickets,
//! and what several processes do to one Postgres: below.

#![expect(clippy::unwrap_used, reason = "each function here is the body of a test")]

mod commits;
mod expiry;
mod fixtures;
mod parked;
mod postgres;
mod replays;
mod shadows;
mod shared;
mod tickets;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ticketwire::clock::Timestamp;
use ticketwire::event::{self, Entity, EventId, Keyed, LaneId, Link, PartitionKey, Position};
use ticketwire::setting::Span;
use ticketwire::store::{
    Archived, DeadFilter, DeadSelection, Ended, EventFilter, EventPlace, ParkedState, Progress, Settings, Store, StoreError, ThreadRow,
    Worker, Write,
};

use fixtures::{Opened, Place, archive_row, at, envelope, event_id, journal_row, on_each_database, parked_row, sink};

on_each_database!(
    an_envelope_is_kept_once_and_comes_back_as_it_was,
    a_large_body_comes_back_too,
    an_event_that_cannot_be_read_does_not_hide_the_others,
    a_key_finds_everything_about_the_issues_that_ever_had_it,
    the_journal_says_how_far_each_delivery_came,
    control_rows_are_orders_that_wake_their_watchers,
    events_are_found_page_by_page_and_as_they_come,
    what_is_old_expires_but_not_what_a_parked_delivery_needs,
    a_closed_store_says_so,
    a_write_that_comes_again_changes_nothing,
    a_text_with_a_zero_character_is_stored,
    workers_live_until_they_leave_or_fall_silent,
    a_thread_is_where_its_last_beginning_is,
    one_process_leads_by_itself,
    times_of_the_whole_range_are_kept,
);

async fn an_envelope_is_kept_once_and_comes_back_as_it_was(place: Place) {
    let opened = Opened::new(&place).await;
    let first = archive_row(1, "500", Some("OPS-1"), 3, 7);
    let mut second = archive_row(1, "500", Some("OPS-1"), 3, 9);
    second.envelope = std::sync::Arc::new(event::Envelope { raw: "other".into(), ..(*second.envelope).clone() });
    opened.write(Write { archive: vec![first.clone()], ..Write::default() }).await;
    opened.write(Write { archive: vec![second], ..Write::default() }).await;
    let kept = opened.store.archived(&event_id(1)).await.unwrap().expect("it is there");
    assert_eq!((&*kept.envelope, kept.lane, kept.position), (&*first.envelope, LaneId(3), Position(7)));
    assert_eq!(opened.store.archived_count().await, Ok(1));
    assert!(opened.store.archived(&event_id(2)).await.unwrap().is_none());
}

async fn a_large_body_comes_back_too(place: Place) {
    let opened = Opened::new(&place).await;
    let mut row = archive_row(1, "500", None, 0, 1);
    let raw: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    row.envelope = std::sync::Arc::new(event::Envelope { raw: raw.clone().into(), ..(*row.envelope).clone() });
    opened.write(Write { archive: vec![row], ..Write::default() }).await;
    assert_eq!(opened.store.archived(&event_id(1)).await.unwrap().expect("it is there").envelope.raw, raw);
}

async fn an_event_that_cannot_be_read_does_not_hide_the_others(place: Place) {
    let opened = Opened::new(&place).await;
    let archive = (1..=3).map(|number| archive_row(number, "500", Some("OPS-1"), 0, number.into())).collect();
    opened.write(Write { archive, ..Write::default() }).await;
    opened.lines("UPDATE archive SET envelope = substr(envelope, 1, 2) WHERE position = 2").await;
    let found = opened.store.archived_by_key("OPS-1").await.unwrap();
    let ids: Vec<EventId> = found.into_iter().map(|archived| archived.envelope.event.id.clone()).collect();
    assert_eq!(ids, [event_id(1), event_id(3)]);
}

async fn a_key_finds_everything_about_the_issues_that_ever_had_it(place: Place) {
    let opened = Opened::new(&place).await;
    let mut link = envelope(6, "500", None);
    link.event.data.issue = None;
    link.event.data.entity = Some(Entity::Link(Link {
        id: "1".into(),
        kind: None,
        outward: None,
        inward: None,
        source: Keyed { id: "500".into(), key: None },
        destination: Keyed { id: "600".into(), key: Some("WEB-1".into()) },
    }));
    let mut linked = archive_row(6, "500", None, 0, 6);
    linked.envelope = std::sync::Arc::new(link);
    // Written in another order than received: event 4 is a comment without a key, 5 came after the move.
    let rows = vec![
        archive_row(5, "500", Some("WEB-9"), 0, 5),
        archive_row(4, "500", None, 0, 4),
        linked,
        archive_row(1, "500", Some("OPS-1"), 0, 1),
        archive_row(2, "501", Some("OPS-2"), 0, 2),
    ];
    opened.write(Write { archive: rows, ..Write::default() }).await;
    let check = async |key: &str, expected: &[u32]| {
        let found = opened.store.archived_by_key(key).await.unwrap();
        let ids: Vec<EventId> = found.iter().map(|archived| archived.envelope.event.id.clone()).collect();
        assert_eq!(ids, expected.iter().map(|number| event_id(*number)).collect::<Vec<_>>(), "{key}");
    };
    check("OPS-1", &[1, 4, 5, 6]).await;
    check("WEB-9", &[1, 4, 5, 6]).await;
    check("OPS-2", &[2]).await;
    check("NONE-1", &[]).await;
    // A key that only the ticket store knows.
    opened.write(Write { archive: vec![archive_row(8, "700", None, 1, 1)], ..Write::default() }).await;
    check("DOCS-7", &[]).await;
    opened.write(Write { tickets: vec![tickets::snapshot("700", 1, 1, "DOCS-7")], ..Write::default() }).await;
    check("DOCS-7", &[8]).await;
    // The move is the first that was seen of the issue.
    let mut moved = archive_row(9, "800", Some("OPS-9"), 2, 1);
    let mut told = (*moved.envelope).clone();
    let side = |key: &str| Some(event::Value { id: None, text: Some(key.into()) });
    told.event.data.changes =
        vec![event::Change { field: "Key".into(), name: Some("Key".into()), custom: false, from: side("DOCS-3"), to: side("OPS-9") }];
    moved.envelope = std::sync::Arc::new(told);
    opened.write(Write { archive: vec![moved, archive_row(10, "800", None, 2, 2)], ..Write::default() }).await;
    check("OPS-9", &[9, 10]).await;
    check("DOCS-3", &[9, 10]).await;
    // An event that names the issue by its id is of the key that others had.
    let keys = opened.store.issue_keys(&[event_id(1), event_id(4), event_id(8), event_id(10)]).await.unwrap();
    let keys: Vec<_> = [1, 4, 8, 10].map(|number| keys.get(&event_id(number)).map(String::as_str)).into();
    assert_eq!(keys, [Some("OPS-1"), Some("WEB-9"), Some("DOCS-7"), Some("OPS-9")]);
    let filter = EventFilter { issue_key: Some("DOCS-3".into()), ..EventFilter::default() };
    assert_eq!(opened.store.archived_page(&filter, None, 10).await.unwrap().len(), 2);
}

async fn events_are_found_page_by_page_and_as_they_come(place: Place) {
    let opened = Opened::new(&place).await;
    let store = &opened.store;
    assert_eq!(store.archive_end().await, Ok(0));
    let rows = (1..=6).map(|number| archive_row(number, if number % 2 == 0 { "500" } else { "501" }, Some("OPS-1"), 0, number.into()));
    opened.write(Write { archive: rows.collect(), ..Write::default() }).await;
    let number = |archived: &Archived| (1..=9).find(|number| event_id(*number) == archived.envelope.event.id).expect("one of ours");
    let pages = async |filter: &EventFilter| {
        let (mut found, mut after) = (Vec::<u32>::new(), None::<EventPlace>);
        loop {
            let page = store.archived_page(filter, after, 2).await.unwrap();
            found.extend(page.iter().map(|(_, archived)| number(archived)));
            let Some((last, _)) = page.last() else { return found };
            after = Some(*last);
        }
    };
    let all = EventFilter::default();
    assert_eq!(pages(&all).await, [6, 5, 4, 3, 2, 1]);
    let check = async |filter: EventFilter, expected: &[u32]| assert_eq!(pages(&filter).await, expected, "{filter:?}");
    check(EventFilter { since: Some(at(2)), until: Some(at(4)), ..all.clone() }, &[4, 3, 2]).await;
    check(EventFilter { kind: Some("issue.updated".into()), connection: Some("acme".into()), ..all.clone() }, &[6, 5, 4, 3, 2, 1]).await;
    check(EventFilter { kind: Some("issue.created".into()), ..all.clone() }, &[]).await;
    check(EventFilter { connection: Some("other".into()), ..all.clone() }, &[]).await;
    check(EventFilter { issue_key: Some("OPS-1".into()), since: Some(at(5)), ..all.clone() }, &[6, 5]).await;
    check(EventFilter { issue_key: Some("OPS-2".into()), ..all.clone() }, &[]).await;

    let end = store.archive_end().await.unwrap();
    assert!(store.archived_after(&all, end, 9).await.unwrap().is_empty());
    opened.write(Write { archive: vec![archive_row(8, "500", Some("OPS-1"), 0, 8)], ..Write::default() }).await;
    let come = store.archived_after(&all, end, 9).await.unwrap();
    assert_eq!(come.iter().map(|(_, archived)| number(archived)).collect::<Vec<_>>(), [8]);
    assert_eq!(store.archive_end().await, Ok(come[0].0));
}

async fn the_journal_says_how_far_each_delivery_came(place: Place) {
    let opened = Opened::new(&place).await;
    let started = journal_row(1, "team", "#docs", Progress::Started);
    let other = journal_row(1, "events", "events", Progress::Ended(Ended::Delivered));
    let withheld = journal_row(2, "team", "#docs", Progress::Ended(Ended::Withheld));
    opened.write(Write { journal: vec![started.clone(), other.clone(), withheld.clone()], ..Write::default() }).await;
    let (first, second, third) = (event_id(1), event_id(2), event_id(3));
    let found = opened.store.journal(&sink("team"), &[&first, &second, &third]).await.unwrap();
    assert_eq!(found, [started.clone(), withheld.clone()]);
    assert_eq!(opened.store.started(&sink("team")).await.unwrap(), std::slice::from_ref(&started));
    assert_eq!(opened.store.journal_of_events(&[first, second]).await.unwrap(), [other, started.clone(), withheld]);

    let mut ended = started;
    ended.progress = Progress::Ended(Ended::Dead);
    ended.reason = Some("channel_not_found".into());
    (ended.attempts, ended.unclean_runs, ended.rule) = (6, 2, None);
    opened.write(Write { journal: vec![ended.clone()], ..Write::default() }).await;
    assert_eq!(opened.store.journal(&sink("team"), &[&event_id(1)]).await.unwrap(), [ended]);
    assert!(opened.store.started(&sink("team")).await.unwrap().is_empty());
    assert!(opened.store.journal(&sink("team"), &[]).await.unwrap().is_empty());
}

async fn control_rows_are_orders_that_wake_their_watchers(place: Place) {
    let opened = Opened::new(&place).await;
    let mut orders = opened.store.orders();
    assert_eq!(opened.store.control("sink/team").await, Ok(None));
    opened.store.set_control("sink/team", Some("paused"), at(1)).await.unwrap();
    assert!(orders.has_changed().unwrap());
    orders.mark_unchanged();
    opened.store.set_control("sink/team", Some("running"), at(2)).await.unwrap();
    assert_eq!(opened.store.control("sink/team").await, Ok(Some("running".into())));
    opened.store.set_control("sink/team", None, at(3)).await.unwrap();
    assert_eq!(opened.store.control("sink/team").await, Ok(None));
    assert!(orders.has_changed().unwrap());
    orders.mark_unchanged();
    opened.store.check().await.unwrap();
    opened.write(Write { archive: vec![archive_row(1, "500", None, 0, 1)], ..Write::default() }).await;
    assert!(!orders.has_changed().unwrap(), "a write is no order");
}

async fn what_is_old_expires_but_not_what_a_parked_delivery_needs(place: Place) {
    let settings = Settings { archive_retention: Span::seconds(100), journal_retention: Span::seconds(200), ..Settings::default() };
    let opened = Opened::with(&place, &settings).await;
    // Enough for three steps; all were received at second 0 and recorded at second 0.
    let archive = (1..=1_200).map(|number| archive_row(number, "500", None, 0, u64::from(number)));
    let mut write = Write { archive: archive.collect(), ..Write::default() };
    write.journal = (1..=1_200).map(|number| journal_row(number, "team", "#docs", Progress::Ended(Ended::Delivered))).collect();
    write.journal.push(journal_row(1, "events", "events", Progress::Started));
    write.journal.push(journal_row(2, "events", "events", Progress::Ended(Ended::Dead)));
    write.park = vec![parked_row("d1", 2, "events", "events", ParkedState::Dead), parked_row("d2", 3, "events", "x", ParkedState::Waiting)];
    opened.write(write).await;

    assert_eq!(opened.store.expire(at(100_000)).await, Ok(0), "exactly as old as the retention is not older");
    assert_eq!(opened.store.expire(at(102_000)).await, Ok(1_198));
    assert_eq!(opened.store.archived_count().await, Ok(2));
    assert_eq!(opened.store.expire(at(202_000)).await, Ok(1_200));
    let left = opened.store.journal_of_events(&[event_id(1), event_id(2)]).await.unwrap();
    assert_eq!(left.iter().map(|row| row.progress).collect::<Vec<_>>(), [Progress::Started, Progress::Ended(Ended::Dead)]);
    opened.store.drop_dead(DeadSelection::Matching(DeadFilter::default()), at(202_000)).await.unwrap();
    assert_eq!(opened.store.expire(at(202_000)).await, Ok(2), "once the dead letter is given up, its envelope and its record go");
}

#[tokio::test]
async fn only_its_owner_reads_the_file() {
    let opened = Opened::new(&Place::Sqlite).await;
    opened.write(Write { archive: vec![archive_row(1, "500", None, 0, 1)], ..Write::default() }).await;
    let mut found = 0;
    for entry in std::fs::read_dir(opened.dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        found += 1;
    }
    assert!(found >= 1);
}

#[tokio::test]
async fn the_url_decides_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = ticketwire::shutdown::Tasks::new();
    let open = async |url: &str| Store::open(&Settings { url: url.into(), ..Settings::default() }, dir.path(), &tasks).await.map(drop);
    assert_eq!(open("sqlite:deep/er/other.db").await, Ok(()));
    assert!(dir.path().join("deep/er/other.db").exists());
    for url in ["mysql://user:hunter2@db/x", "file.db"] {
        let refused = open(url).await.expect_err("no store");
        assert!(
            matches!(&refused, StoreError::Unusable(why) if why.contains("no store that is known") && !why.contains("hunter2")),
            "{refused}"
        );
    }
    std::fs::write(dir.path().join("notes.txt"), "these are plain notes and no database at all, however long one reads").unwrap();
    let refused = open("sqlite:notes.txt").await.expect_err("not a database");
    assert!(matches!(&refused, StoreError::Unusable(why) if why.contains("notes.txt")), "{refused}");
}

async fn a_closed_store_says_so(place: Place) {
    let opened = Opened::new(&place).await;
    opened.store.close(Duration::from_secs(10)).await;
    assert!(matches!(opened.store.check().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(opened.store.archived_count().await, Err(StoreError::Unavailable(_))));
    assert!(opened.tasks.stop(Duration::from_secs(10)).await, "the writer ended");
}

async fn a_write_that_comes_again_changes_nothing(place: Place) {
    let opened = Opened::new(&place).await;
    let write = Write {
        archive: vec![archive_row(1, "500", Some("OPS-1"), 3, 7)],
        journal: vec![journal_row(1, "team", "#docs", Progress::Started)],
        park: vec![parked_row("d1", 1, "team", "#docs", ParkedState::Waiting)],
        tickets: vec![tickets::snapshot("500", 1, 1, "OPS-1")],
        ..Write::default()
    };
    let state =
        "SELECT (SELECT CAST(count(*) AS TEXT) FROM archive), (SELECT CAST(count(*) AS TEXT) FROM ticket_labels), id, reason FROM parked";
    opened.write(write.clone()).await;
    let once = opened.lines(state).await;
    // Whoever was not told that it was committed writes it again.
    opened.write(write).await;
    assert_eq!(opened.lines(state).await, once);
    assert_eq!(once.len(), 1);
}

/// JSON can hold it, a text of Postgres cannot; one bad character must not keep an event from being stored.
async fn a_text_with_a_zero_character_is_stored(place: Place) {
    let opened = Opened::new(&place).await;
    let mut row = journal_row(1, "team", "#docs", Progress::Ended(Ended::Dead));
    row.reason = Some("before\0after".into());
    opened.write(Write { journal: vec![row.clone()], ..Write::default() }).await;
    let found = opened.store.journal_of_events(&[event_id(1)]).await.unwrap().remove(0).reason.expect("a reason");
    assert!(found == "before\0after" || found == "before\u{fffd}after", "{found:?}");
}

async fn workers_live_until_they_leave_or_fall_silent(place: Place) {
    let opened = Opened::new(&place).await;
    let worker = |name: &str, started: i64, seen: i64| Worker {
        name: name.into(),
        road: "ticketwire".into(),
        started_at: at(started),
        seen_at: at(seen),
        roles: "receiver,worker".into(),
    };
    let check = async |now: i64, expected: &[&Worker]| {
        let found = opened.store.workers("ticketwire", at(now)).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "at {now}");
    };
    check(0, &[]).await;
    let (first, second) = (worker("b", 1_000, 1_000), worker("a", 2_000, 2_000));
    opened.store.beat(&first).await.unwrap();
    opened.store.beat(&second).await.unwrap();
    check(2_000, &[&second, &first]).await;
    check(16_000, &[&second, &first]).await;
    check(16_001, &[&second]).await;
    let again = worker("b", 30_000, 40_000);
    opened.store.beat(&again).await.unwrap();
    check(40_000, &[&again]).await;
    assert_eq!(opened.store.workers("another road", at(40_000)).await.unwrap(), []);
    opened.store.leave("b").await.unwrap();
    opened.store.leave("nobody").await.unwrap();
    check(40_000, &[]).await;
    opened.store.expire(at(200_000_000)).await.unwrap();
    assert!(opened.lines("SELECT name FROM workers").await.is_empty(), "the dead are forgotten after a day");
}

async fn a_thread_is_where_its_last_beginning_is(place: Place) {
    let opened = Opened::new(&place).await;
    let acme = "acme".parse().unwrap();
    let thread = |issue: &str, reference: &str, ms: i64| ThreadRow {
        sink: sink("team"),
        target: "#docs".into(),
        partition_key: PartitionKey::issue(&acme, issue),
        reference: reference.into(),
        at: at(ms),
    };
    let of =
        async |issue: &str, target: &str| opened.store.thread(&sink("team"), target, &PartitionKey::issue(&acme, issue)).await.unwrap();
    opened.write(Write { threads: vec![thread("1", "1.1", 0), thread("2", "2.1", 0), thread("1", "1.2", 1)], ..Write::default() }).await;
    assert_eq!((of("1", "#docs").await.as_deref(), of("2", "#docs").await.as_deref()), (Some("1.2"), Some("2.1")));
    assert_eq!((of("1", "#ops").await, of("3", "#docs").await), (None, None));
    opened.write(Write { threads: vec![thread("2", "2.2", 1_000_000_000_000)], ..Write::default() }).await;
    opened.store.expire(at(1_000_000_000_001)).await.unwrap();
    assert_eq!((of("1", "#docs").await, of("2", "#docs").await.as_deref()), (None, Some("2.2")), "old threads are forgotten");

    // Orders about rules are read together; what waits only to settle can be told apart.
    for (name, value) in [("rule/a b/enabled", "false"), ("rule/%/enabled", "true"), ("RULE/c/enabled", "x"), ("sink/rule/paused", "x")] {
        opened.store.set_control(name, Some(value), at(0)).await.unwrap();
    }
    let orders = [("rule/%/enabled", "true"), ("rule/a b/enabled", "false")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut found = opened.store.controls("rule/").await.unwrap();
    found.sort();
    assert_eq!(found, orders);
    assert_eq!(opened.store.waiting_because("it settles").await.unwrap(), []);
}

async fn one_process_leads_by_itself(place: Place) {
    let opened = Opened::new(&place).await;
    let lead = opened.store.lead("reports").await.unwrap().expect("nobody else leads");
    assert!(lead.is_held());
    drop(lead);
    opened.store.close(Duration::from_secs(10)).await;
    assert!(opened.tasks.stop(Duration::from_secs(10)).await, "nothing goes on after the lead was given back");
}

async fn times_of_the_whole_range_are_kept(place: Place) {
    let opened = Opened::new(&place).await;
    for (number, ms) in [(1, i64::MIN), (2, -1), (3, i64::MAX)] {
        let mut row = journal_row(number, "team", "#docs", Progress::Started);
        row.at = Timestamp::from_ms(ms);
        opened.write(Write { journal: vec![row.clone()], ..Write::default() }).await;
        assert_eq!(opened.store.journal_of_events(&[event_id(number)]).await.unwrap(), [row]);
    }
}
