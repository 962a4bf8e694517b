//! Several processes on one Postgres: each is a store of its own, as each process would open it.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection, Executor, PgConnection};
use ticketwire::setting::Span;
use ticketwire::shutdown::Tasks;
use ticketwire::store::{DeadFilter, DeadSelection, Ended, ParkedState, Progress, Settings, Store, TicketEffect, UserRow, Write};
use tokio::task::JoinSet;

use super::fixtures::{Opened, Place, acme, archive_row, at, event_id, journal_row, parked_row};
use super::tickets;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(10);

/// What one lane writes for an event: with the same tickets, people, journal and parked rows as every other lane.
fn everything_of(number: u32, round: u32) -> Write {
    let newest = i64::from(number * 10 + round);
    let tickets = (0..8).map(|n| (n + number) % 8).map(|n| tickets::snapshot(&n.to_string(), newest, newest, "OPS-1"));
    let people = (0..4).map(|n| (n + round) % 4).map(|n| {
        let (name, email) = (Some(format!("name {newest}")), None);
        TicketEffect::User(UserRow { connection: acme(), id: format!("u{n}"), name, email, kind: "person", seen_at: at(newest) })
    });
    Write {
        archive: vec![archive_row(number, "500", None, 0, number.into())],
        journal: (0..4).map(|n| journal_row((n + number) % 20, "team", "#docs", Progress::Ended(Ended::Delivered))).collect(),
        park: vec![parked_row(&format!("d{number}"), number, "team", "#docs", ParkedState::Waiting)],
        tickets: tickets.chain(people).collect(),
        ..Write::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_the_same_rows_at_once() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    let (stores, mut lanes) = ([opened.store.clone(), opened.again().await], JoinSet::new());
    for lane in 0..8_usize {
        let store = stores[lane % 2].clone();
        lanes.spawn(async move {
            // Half of them bring the oldest last.
            let mut all: Vec<(u32, u32)> = (0..10).flat_map(|round| (0..20).map(move |number| (number, round))).collect();
            if lane % 2 == 1 {
                all.reverse();
            }
            for (number, round) in all {
                store.write(everything_of(number, round)).await.unwrap();
            }
        });
    }
    lanes.join_all().await;
    let counts = "SELECT CAST(count(*) AS TEXT) FROM archive UNION ALL SELECT CAST(count(*) AS TEXT) FROM journal \
        UNION ALL SELECT CAST(count(*) AS TEXT) FROM parked";
    assert_eq!(opened.lines(counts).await, ["20", "20", "20"]);
    let waited = "SELECT CAST(deadlocks AS TEXT) FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(opened.lines(waited).await, ["0"], "nobody waited in vain: all go through their rows in one order");
    let newest = i64::from(19 * 10 + 9);
    let summaries = opened.lines("SELECT DISTINCT summary FROM tickets").await;
    assert_eq!(summaries, [format!("summary-{newest}-{newest}")], "no older snapshot won");
    assert_eq!(opened.lines("SELECT DISTINCT name FROM users").await, [format!("name {newest}")]);
    let labels = opened.lines("SELECT DISTINCT label FROM ticket_labels ORDER BY label").await;
    assert_eq!(labels, ["kept".to_owned(), format!("label-{newest}")], "labels went with their snapshots");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_make_the_tables_once() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    let settings = Settings { schema: Some("wire_2".into()), ..opened.settings.clone() };
    let tasks = Tasks::new();
    let starting = (0..6).map(|_| Store::open(&settings, opened.dir.path(), &tasks));
    let stores: Vec<Store> = join_all(starting).await.into_iter().map(|store| store.expect("it opens")).collect();
    stores[0].write(Write { archive: vec![archive_row(1, "500", None, 0, 1)], ..Write::default() }).await.unwrap();
    assert_eq!(stores[5].archived_count().await, Ok(1));
    assert_eq!(opened.lines("SELECT CAST(count(*) AS TEXT) FROM wire_2.archive").await, ["1"]);
    assert_eq!(opened.store.archived_count().await, Ok(0), "the other schema is another store");
}

/// Waits until a session of the store waits for a lock.
async fn until_it_waits(watching: &mut PgConnection) {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ticketwire' \
        AND wait_event_type = 'Lock')";
    let waiting = async {
        while !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *watching).await.expect("it can be asked") {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("it waits for the lock");
}

/// The other one has the second row and wants the first; the store has the first and wants the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_met_another_is_tried_again() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    opened
        .write(Write { tickets: vec![tickets::snapshot("1", 1, 1, "OPS-1"), tickets::snapshot("2", 1, 1, "OPS-2")], ..Write::default() })
        .await;
    let (mut other, mut watching) = (opened.connect_to_server().await, opened.connect_to_server().await);
    // The other one is patient, so that the server finds the store in the way.
    other.execute("SET deadlock_timeout = '1h'; BEGIN; UPDATE tickets SET status = 'other' WHERE id = '2'").await.unwrap();
    let newer = vec![tickets::snapshot("1", 5, 5, "OPS-1"), tickets::snapshot("2", 5, 5, "OPS-2")];
    let meeting = async {
        until_it_waits(&mut watching).await;
        let taking = other.execute("UPDATE tickets SET status = 'other' WHERE id = '1'; COMMIT");
        tokio::time::timeout(LIMIT, taking).await.expect("it gets the row").unwrap();
    };
    let (written, ()) = tokio::join!(opened.store.write(Write { tickets: newer, ..Write::default() }), meeting);
    written.expect("it is written in the end");
    assert_eq!(opened.lines("SELECT summary, status FROM tickets ORDER BY id").await, ["summary-5-5 On Hold", "summary-5-5 On Hold"]);
}

/// An envelope does not go while somebody is about to wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_is_parking_does_not_expire() {
    let Some(place) = Place::postgres() else { return };
    let settings = Settings { archive_retention: Span::seconds(1), ..Settings::default() };
    let opened = Opened::with(&place, &settings).await;
    opened.write(Write { archive: vec![archive_row(1, "500", None, 0, 1), archive_row(2, "500", None, 0, 2)], ..Write::default() }).await;
    let (mut other, mut watching) = (opened.connect_to_server().await, opened.connect_to_server().await);
    let mut parking = other.begin().await.unwrap();
    let sql = "INSERT INTO parked VALUES ('d1', $1, 'team', '#docs', 0, NULL, 0, 1, 'p', 'waiting', 0, 1, 0, 0, 'ratelimited')";
    parking.execute(sqlx::query(sql).bind(event_id(1).as_str())).await.unwrap();
    let committing = async {
        until_it_waits(&mut watching).await;
        parking.commit().await.unwrap();
    };
    let (expired, ()) = tokio::join!(opened.store.expire(at(1_000_000)), committing);
    assert_eq!(expired, Ok(1));
    assert!(opened.store.archived(&event_id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn orders_of_another_process_wake_those_of_this() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    let other = opened.again().await;
    let mut orders = other.orders();
    // Whatever was counted before `other` looked for the first time is no news to it.
    let giving = async {
        loop {
            opened.store.set_control("sink/team", Some("paused"), at(1)).await.unwrap();
            tokio::time::sleep(PAUSE).await;
        }
    };
    let noticed = async {
        tokio::select! {
            changed = orders.changed() => changed.unwrap(),
            () = giving => {}
        }
    };
    tokio::time::timeout(LIMIT, noticed).await.expect("it is noticed");
    assert_eq!(other.control("sink/team").await, Ok(Some("paused".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_one_leader_until_that_is_gone() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    let other = opened.again().await;
    let first = opened.store.lead("reports").await.unwrap().expect("nobody leads yet");
    assert!(other.lead("reports").await.unwrap().is_none());
    assert!(opened.store.lead("reports").await.unwrap().is_none(), "nor twice in one process");
    let another_job = other.lead("reconcile").await.unwrap().expect("another job");
    assert!(first.is_held() && another_job.is_held());

    drop(first);
    let second = lead(&other, "reports").await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = \
        (SELECT oid FROM pg_database WHERE datname = current_database())";
    opened.connect_to_server().await.execute(sql).await.unwrap();
    tokio::time::timeout(LIMIT, second.lost()).await.expect("it is noticed");
    assert!(!second.is_held());
    lead(&opened.store, "reports").await;
}

#[tokio::test]
async fn connections_that_ended_while_nobody_used_them_are_replaced() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    opened.write(Write { archive: vec![archive_row(1, "500", None, 0, 1)], ..Write::default() }).await;
    assert_eq!(opened.store.archived_count().await, Ok(1));
    let sql = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'ticketwire'";
    let ended: i64 = sqlx::query_scalar(sql).fetch_one(&mut opened.connect_to_server().await).await.unwrap();
    assert!(ended >= 2, "the writer and a reader");
    opened.write(Write { archive: vec![archive_row(2, "500", None, 0, 2)], ..Write::default() }).await;
    assert_eq!(opened.store.archived_count().await, Ok(2));
}

/// Asks until nobody else leads.
async fn lead(store: &Store, job: &'static str) -> ticketwire::store::Lead {
    let asking = async {
        loop {
            if let Some(lead) = store.lead(job).await.unwrap() {
                return lead;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(LIMIT, asking).await.expect("the lead is given back")
}

/// Two processes that retry the same dead letter, and one that gives it up meanwhile: it goes on once, and as if it had never been tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_retried_once() {
    let Some(place) = Place::postgres() else { return };
    let opened = Opened::new(&place).await;
    let other = opened.again().await;
    let dead = |number: u32| parked_row(&format!("d{number}"), number, "team", "#docs", ParkedState::Dead);
    opened
        .write(Write {
            archive: (0..50).map(|number| archive_row(number, "500", None, 0, number.into())).collect(),
            journal: (0..50).map(|number| journal_row(number, "team", "#docs", Progress::Ended(Ended::Dead))).collect(),
            park: (0..50).map(dead).collect(),
            ..Write::default()
        })
        .await;
    let (first, second) = tokio::join!(
        opened.store.retry_dead(DeadSelection::Matching(DeadFilter::default()), at(9)),
        other.retry_dead(DeadSelection::Matching(DeadFilter::default()), at(9))
    );
    assert_eq!(first.unwrap() + second.unwrap(), 50);
    assert!(opened.store.dead_letters(&DeadFilter::default(), None, 9).await.unwrap().is_empty());
    let events: Vec<_> = (0..50).map(event_id).collect();
    assert!(opened.store.journal_of_events(&events).await.unwrap().is_empty());
}
