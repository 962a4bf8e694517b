//! What waits, in which order it goes on, and what becomes of dead letters.

use ticketwire::clock::Timestamp;
use ticketwire::event::{LaneCount, LaneId, PartitionKey, Position};
use ticketwire::store::{
    DeadFilter, DeadSelection, DeliveryKey, Ended, ParkedRow, ParkedState, Progress, Store, StoreError, Waiting, WaitingKey, Write,
};

use super::fixtures::{Opened, Place, acme, archive_row, at, event_id, journal_row, on_each_database, parked_row, sink};

on_each_database!(
    what_is_due_comes_oldest_first_and_never_overtakes_its_issue,
    what_cannot_be_read_holds_up_only_its_own_issue,
    a_dead_letter_holds_nobody_up,
    times_change_for_a_target_or_an_issue,
    it_is_known_where_and_how_many_wait,
    a_delivery_is_parked_once,
    what_waits_goes_on_in_the_lanes_of_another_road,
    what_waits_for_a_sink_that_is_given_up_ends,
    dead_letters_are_retried_or_dropped,
    dead_letters_are_found_by_what_they_are,
);

fn waiting(id: &str, number: u32, issue: &str, target: &str, not_before: i64) -> ParkedRow {
    let mut row = parked_row(id, number, "team", target, ParkedState::Waiting);
    row.partition_key = PartitionKey::issue(&acme(), issue);
    row.not_before = at(not_before);
    row
}

async fn parked(opened: &Opened, rows: Vec<ParkedRow>) {
    let archive = rows
        .iter()
        .map(|row| archive_row(u32::try_from(row.position.0).expect("a small number"), "500", None, 0, row.position.0))
        .collect();
    opened.write(Write { archive, park: rows, ..Write::default() }).await;
}

async fn due(store: &Store, now: i64, limit: usize) -> Vec<String> {
    let due = store.due(&sink("team"), LaneId(0), at(now), limit).await.expect("it can be read");
    due.parked.into_iter().map(|parked| parked.row.id).collect()
}

fn all() -> DeadFilter {
    DeadFilter::default()
}

async fn what_is_due_comes_oldest_first_and_never_overtakes_its_issue(place: Place) {
    let opened = Opened::new(&place).await;
    let rows = vec![
        waiting("d4", 4, "B", "#docs", 5),
        waiting("d1", 1, "A", "#docs", 50),
        waiting("d2", 2, "A", "#docs", 10),
        waiting("d3", 3, "A", "#ops", 10),
        waiting("d5", 5, "B", "#docs", 90),
        waiting("d6", 6, "B", "#docs", 0),
    ];
    parked(&opened, rows).await;
    let store = &opened.store;
    assert_eq!(due(store, 4, 9).await, [""; 0]);
    assert_eq!(due(store, 5, 9).await, ["d4"], "d6 waits behind d5");
    assert_eq!(due(store, 20, 9).await, ["d3", "d4"], "d2 waits behind d1, the other target does not");
    assert_eq!(due(store, 50, 9).await, ["d1", "d2", "d3", "d4"]);
    assert_eq!(due(store, 90, 9).await, ["d1", "d2", "d3", "d4", "d5", "d6"]);
    assert_eq!(due(store, 90, 2).await, ["d1", "d2"]);
    assert!(store.due(&sink("team"), LaneId(1), at(90), 9).await.unwrap().parked.is_empty());
    assert!(store.due(&sink("other"), LaneId(0), at(90), 9).await.unwrap().parked.is_empty());

    let whole = store.due(&sink("team"), LaneId(0), at(5), 1).await.unwrap().parked.remove(0);
    assert_eq!((whole.row.key.event_id, &whole.envelope.event.id), (event_id(4), &event_id(4)));
    assert_eq!((whole.row.reason.as_str(), whole.row.attempts, whole.row.rule.as_deref()), ("ratelimited", 1, Some("docs on hold")));

    opened.write(Write { unpark: vec!["d4".into(), "d1".into()], ..Write::default() }).await;
    assert_eq!(due(store, 20, 9).await, ["d2", "d3"]);
}

/// As a newer program leaves it behind, which was taken back.
async fn what_cannot_be_read_holds_up_only_its_own_issue(place: Place) {
    let opened = Opened::new(&place).await;
    let rows = vec![waiting("d1", 1, "A", "#docs", 0), waiting("d2", 2, "A", "#docs", 0), waiting("d3", 3, "B", "#docs", 0)];
    parked(&opened, rows).await;
    opened.lines("UPDATE archive SET envelope = substr(envelope, 1, 2) WHERE position = 1").await;
    let due = opened.store.due(&sink("team"), LaneId(0), at(9), 9).await.expect("the others can be read");
    assert_eq!(due.parked.iter().map(|parked| parked.row.id.as_str()).collect::<Vec<_>>(), ["d3"]);
    let [(row, why)] = &due.unreadable[..] else { panic!("{:?}", due.unreadable) };
    assert_eq!(row.id, "d1");
    assert!(why.to_string().contains(event_id(1).as_str()), "{why}");
}

async fn a_dead_letter_holds_nobody_up(place: Place) {
    let opened = Opened::new(&place).await;
    let mut first = waiting("d1", 1, "A", "#docs", 50);
    parked(&opened, vec![first.clone(), waiting("d2", 2, "A", "#docs", 0)]).await;
    assert_eq!(due(&opened.store, 10, 9).await, [""; 0]);
    (first.state, first.attempts, first.reason) = (ParkedState::Dead, 6, "is_archived".into());
    opened.write(Write { tried: vec![first.clone()], ..Write::default() }).await;
    assert_eq!(due(&opened.store, 10, 9).await, ["d2"]);
    let dead = opened.store.dead_letter("d1").await.unwrap().expect("it is dead");
    assert_eq!((dead.reason.as_str(), dead.attempts, dead.state), ("is_archived", 6, ParkedState::Dead));
    assert!(opened.store.dead_letter("d2").await.unwrap().is_none(), "what waits is no dead letter");
}

async fn times_change_for_a_target_or_an_issue(place: Place) {
    let opened = Opened::new(&place).await;
    let rows = vec![waiting("d1", 1, "A", "#docs", 1), waiting("d2", 2, "B", "#docs", 1), waiting("d3", 3, "A", "#ops", 1)];
    parked(&opened, rows.clone()).await;
    let mut other = parked_row("d9", 9, "other", "#docs", ParkedState::Waiting);
    other.not_before = at(1);
    parked(&opened, vec![other]).await;
    let times = async || opened.lines("SELECT id, CAST(not_before AS TEXT) FROM parked ORDER BY id").await;
    let postpone = async |waiting: Waiting, ms: i64| opened.write(Write { postpone: vec![(waiting, at(ms))], ..Write::default() }).await;

    postpone(Waiting::Key(sink("team"), "#docs".into(), PartitionKey::issue(&acme(), "A")), 20).await;
    assert_eq!(times().await, ["d1 20", "d2 1", "d3 1", "d9 1"]);
    postpone(Waiting::Target(sink("team"), "#docs".into()), 30).await;
    assert_eq!(times().await, ["d1 30", "d2 30", "d3 1", "d9 1"]);
    postpone(Waiting::Target(sink("team"), "#docs".into()), 25).await;
    assert_eq!(times().await, ["d1 30", "d2 30", "d3 1", "d9 1"], "who waits longer goes on waiting");

    let mut tried = rows[0].clone();
    (tried.attempts, tried.last_at, tried.reason, tried.not_before) = (2, at(77), "timed out".into(), at(88));
    let mut gone = rows[1].clone();
    gone.id = "d-gone".into();
    opened.write(Write { tried: vec![tried, gone], ..Write::default() }).await;
    let row = opened.store.parked_of_events(&[event_id(1)]).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.last_at, row.reason.as_str(), row.not_before, row.first_at), (2, at(77), "timed out", at(88), at(1)));
    assert_eq!(times().await.len(), 4, "a row that went does not come back by a try");
}

async fn it_is_known_where_and_how_many_wait(place: Place) {
    let opened = Opened::new(&place).await;
    let mut elsewhere = waiting("d5", 5, "C", "#docs", 3);
    elsewhere.lane = LaneId(7);
    let mut dead = waiting("d6", 6, "D", "#docs", 0);
    dead.state = ParkedState::Dead;
    let rows =
        vec![waiting("d1", 1, "A", "#docs", 40), waiting("d2", 2, "A", "#docs", 10), waiting("d3", 3, "B", "#ops", 5), elsewhere, dead];
    parked(&opened, rows).await;
    let keys = opened.store.waiting_keys(&sink("team"), LaneId(0)).await.unwrap();
    let key = |target: &str, issue: &str, count: u64, ms: i64| WaitingKey {
        target: target.into(),
        partition_key: PartitionKey::issue(&acme(), issue),
        count,
        not_before: at(ms),
    };
    assert_eq!(keys, [key("#docs", "A", 2, 40), key("#ops", "B", 1, 5)]);
    let counts = opened.store.waiting_counts().await.unwrap();
    assert_eq!(counts, [(sink("team"), LaneId(0), 3, at(1)), (sink("team"), LaneId(7), 1, at(5))]);
    assert_eq!(opened.store.dead_counts().await.unwrap(), [(sink("team"), 1)]);
}

async fn a_delivery_is_parked_once(place: Place) {
    let opened = Opened::new(&place).await;
    let first = waiting("d1", 1, "A", "#docs", 1);
    parked(&opened, vec![first]).await;
    let mut again = waiting("d2", 1, "A", "#docs", 9);
    again.reason = "timed out".into();
    parked(&opened, vec![again]).await;
    let rows = opened.store.parked_of_events(&[event_id(1), event_id(2)]).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.id.as_str(), row.reason.as_str())).collect::<Vec<_>>(), [("d1", "ratelimited")]);

    let homeless = waiting("d7", 7, "A", "#docs", 1);
    let refused = opened.store.write(Write { park: vec![homeless], ..Write::default() }).await;
    assert!(matches!(&refused, Err(StoreError::Rejected(why)) if why.contains("archive")), "{refused:?}");
}

async fn dead_letters_are_retried_or_dropped(place: Place) {
    let opened = Opened::new(&place).await;
    let dead = |number: u32| parked_row(&format!("d{number}"), number, "team", "#docs", ParkedState::Dead);
    parked(&opened, (1..=300).map(dead).collect()).await;
    let mut orders = opened.store.orders();
    let journal = (1..=300).map(|number| journal_row(number, "team", "#docs", Progress::Ended(Ended::Dead))).collect();
    opened.write(Write { journal, ..Write::default() }).await;
    let found = opened.store.dead_letters(&all(), None, 1_000).await.unwrap();
    assert_eq!(found.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), (1..=300).map(|n| format!("d{n}")).collect::<Vec<_>>());
    assert_eq!(opened.store.dead_letters(&all(), None, 2).await.unwrap().len(), 2);

    assert_eq!(opened.store.retry_dead(DeadSelection::Ids(vec!["d2".into(), "nobody".into()]), at(1_000)).await, Ok(1));
    assert!(orders.has_changed().unwrap());
    orders.mark_unchanged();
    let row = opened.store.parked_of_events(&[event_id(2)]).await.unwrap().remove(0);
    assert_eq!((row.state, row.attempts, row.not_before, row.first_at), (ParkedState::Waiting, 0, at(1_000), at(1_000)));
    assert_eq!((row.key.generation, row.reason.as_str()), (0, "ratelimited"));
    assert!(opened.store.journal_of_events(&[event_id(2)]).await.unwrap().is_empty(), "it may act again");
    assert_eq!(opened.store.retry_dead(DeadSelection::Ids(vec!["d2".into()]), at(2_000)).await, Ok(0), "it is not dead any more");

    let many: Vec<String> = (3..=202).map(|number| format!("d{number}")).collect();
    assert_eq!(opened.store.drop_dead(DeadSelection::Ids(many), at(2_500)).await, Ok(200));
    assert!(orders.has_changed().unwrap());
    let dropped = opened.store.journal_of_events(&[event_id(3)]).await.unwrap().remove(0);
    let why = Some("dropped at 1970-01-01T00:00:02.500Z: ratelimited".to_owned());
    assert_eq!((dropped.progress, dropped.reason), (Progress::Ended(Ended::Dead), why));
    assert!(opened.store.parked_of_events(&[event_id(3)]).await.unwrap().is_empty());
    assert_eq!(opened.store.retry_dead(DeadSelection::Matching(all()), at(3_000)).await, Ok(99));
    assert_eq!(opened.store.drop_dead(DeadSelection::Matching(all()), at(3_000)).await, Ok(0));
    assert_eq!(opened.store.retry_dead(DeadSelection::Ids(vec![]), at(3_000)).await, Ok(0), "none is not all");
}

async fn dead_letters_are_found_by_what_they_are(place: Place) {
    let opened = Opened::new(&place).await;
    let dead = |number: u32, to: &str, target: &str, reason: &str, last_at: i64| {
        let row = parked_row(&format!("d{number}"), number, to, target, ParkedState::Dead);
        ParkedRow { reason: reason.into(), last_at: at(last_at), ..row }
    };
    let rows = vec![
        dead(1, "team", "#docs", "Slack answered `channel_not_found`", 10),
        dead(2, "team", "#ops", "Slack answered `channel_not_found`", 20),
        dead(3, "team", "#ops", "100% refused_", 30),
        dead(4, "out", "out", "HTTP 400", 40),
    ];
    parked(&opened, rows).await;
    let check = async |filter: DeadFilter, expected: &[&str]| {
        let (mut found, mut after) = (Vec::<ParkedRow>::new(), None);
        loop {
            let page = opened.store.dead_letters(&filter, after.as_ref().map(|(at, id): &(Timestamp, String)| (*at, id.as_str())), 1);
            let Some(row) = page.await.unwrap().pop() else { break };
            after = Some((row.first_at, row.id.clone()));
            found.push(row);
        }
        assert_eq!(found.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    check(all(), &["d1", "d2", "d3", "d4"]).await;
    check(DeadFilter { sink: Some("team".into()), ..all() }, &["d1", "d2", "d3"]).await;
    check(DeadFilter { target: Some("#ops".into()), ..all() }, &["d2", "d3"]).await;
    check(DeadFilter { reason: Some("CHANNEL_not".into()), ..all() }, &["d1", "d2"]).await;
    check(DeadFilter { reason: Some("0% ref".into()), ..all() }, &["d3"]).await;
    check(DeadFilter { reason: Some("HTTP_400".into()), ..all() }, &[]).await;
    check(DeadFilter { since: Some(at(30)), ..all() }, &["d3", "d4"]).await;
    let ops = DeadFilter { target: Some("#ops".into()), reason: Some("slack".into()), ..all() };
    assert_eq!(opened.store.retry_dead(DeadSelection::Matching(ops), at(1_000)).await, Ok(1));
    assert_eq!(opened.store.drop_dead(DeadSelection::Matching(DeadFilter { sink: Some("team".into()), ..all() }), at(1_000)).await, Ok(2));
    check(all(), &["d4"]).await;
}

#[test]
fn ids_can_be_typed_and_differ() {
    let ids: std::collections::HashSet<String> = (0..10_000).map(|_| ParkedRow::new_id()).collect();
    assert_eq!(ids.len(), 10_000);
    let typed = |id: &String| id.len() == 11 && id.starts_with('d') && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    assert!(ids.iter().all(typed));
}

async fn what_waits_goes_on_in_the_lanes_of_another_road(place: Place) {
    let opened = Opened::new(&place).await;
    let store = &opened.store;
    let lanes = |count: u16| LaneCount::new(count).expect("a number of lanes");
    assert_eq!(store.enter_road("embedded/16", lanes(16), at(1)).await, Ok(0));
    let rows = vec![waiting("d2", 2, "A", "#docs", 0), waiting("d1", 1, "A", "#docs", 0), waiting("d3", 3, "B", "#docs", 0)];
    parked(&opened, rows).await;
    assert_eq!(store.enter_road("embedded/16", lanes(16), at(2)).await, Ok(0), "the same road");
    assert_eq!(store.enter_road("embedded/1", lanes(1), at(3)).await, Ok(3));
    // What the new road brings begins at 1 and goes behind.
    let later = ParkedRow { lane: LaneId(0), position: Position(1), ..waiting("d4", 4, "A", "#docs", 0) };
    let mut archived = archive_row(4, "500", None, 0, 1);
    archived.lane = LaneId(0);
    opened.write(Write { archive: vec![archived], park: vec![later], ..Write::default() }).await;
    assert_eq!(due(store, 9, 9).await, ["d1", "d2", "d3", "d4"]);
    // A row that is made from one that was moved stands where that stood.
    let first = store.due(&sink("team"), LaneId(0), at(9), 1).await.unwrap().parked.remove(0).row;
    let beside = ParkedRow { id: "d0".into(), key: DeliveryKey { target: "#ops".into(), ..first.key.clone() }, ..first };
    opened.write(Write { park: vec![beside], ..Write::default() }).await;
    let places = opened.lines("SELECT DISTINCT CAST(position AS TEXT) FROM parked WHERE id IN ('d0', 'd1')").await;
    assert_eq!(places.len(), 1, "{places:?}");
    let lane = PartitionKey::issue(&acme(), "A").lane(lanes(16));
    assert_eq!(store.enter_road("kafka/16", lanes(16), at(4)).await, Ok(5));
    let found = store.due(&sink("team"), lane, at(9), 9).await.unwrap().parked;
    let ids: Vec<&str> = found.iter().filter(|parked| &*parked.row.key.target == "#docs").map(|parked| parked.row.id.as_str()).collect();
    assert_eq!(ids.iter().filter(|id| **id != "d3").collect::<Vec<_>>(), [&"d1", &"d2", &"d4"]);
}

async fn what_waits_for_a_sink_that_is_given_up_ends(place: Place) {
    let opened = Opened::new(&place).await;
    let store = &opened.store;
    let mut dead = waiting("d2", 2, "A", "#docs", 0);
    dead.state = ParkedState::Dead;
    parked(&opened, vec![waiting("d1", 1, "A", "#docs", 0), dead]).await;
    let mut other = parked_row("d9", 9, "other", "#docs", ParkedState::Waiting);
    other.not_before = at(1);
    parked(&opened, vec![other]).await;
    opened.write(Write { journal: vec![journal_row(1, "team", "#docs", Progress::Tried)], ..Write::default() }).await;
    assert_eq!(store.give_up(&sink("team"), at(5)).await, Ok(1));
    assert_eq!(opened.lines("SELECT id FROM parked ORDER BY id").await, ["d2", "d9"]);
    let rows = store.journal(&sink("team"), &[&event_id(1)]).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(row.progress, Progress::Ended(Ended::Dead));
    assert!(row.reason.as_deref().is_some_and(|reason| reason.contains("given up")), "{row:?}");
}
