//! What sinks in shadow mode would have sent: kept once, read in order, page by page, and gone with the journal.

#![expect(clippy::unwrap_used, reason = "each function here is the body of a test")]

use ticketwire::setting::Span;
use ticketwire::store::{Ended, Progress, Settings, ShadowFilter, ShadowRow, Write};

use super::fixtures::{Opened, Place, at, event_id, journal_row, key, on_each_database, sink};

on_each_database!(a_record_is_kept_once_and_read_in_order, a_shadowed_delivery_ended_and_may_act_later, records_go_with_the_journal,);

const ALL: ShadowFilter = ShadowFilter { since: None, until: None };

fn row(number: u32, to: &str, ms: i64, text: Option<&str>) -> ShadowRow {
    ShadowRow { key: key(number, to, "#docs"), rule: Some("docs on hold".into()), at: at(ms), message: text.map(str::to_owned) }
}

async fn a_record_is_kept_once_and_read_in_order(place: Place) {
    let opened = Opened::new(&place).await;
    let write = async |shadows: Vec<ShadowRow>| opened.write(Write { shadows, ..Write::default() }).await;
    // In the order in which they would have been sent, which is not that of their ids; of one delivery the last record stands.
    let sent = [row(7, "team", 10, Some("{\"text\":\"seven\"}")), row(2, "team", 20, None), row(2, "other", 20, None)];
    write(vec![row(7, "team", 10, None), sent[0].clone(), sent[1].clone(), sent[2].clone()]).await;
    write(vec![sent[1].clone()]).await;
    let mut once_more = row(7, "team", 30, Some("{\"text\":\"once more\"}"));
    once_more.key.generation = 1;
    (once_more.rule, once_more.message) = (None, Some("{\"text\":\"a \\u0000 in it\"}".into()));
    write(vec![once_more.clone()]).await;

    let (store, team) = (&opened.store, sink("team"));
    let all = store.shadows(&team, &ALL, None, 9).await.unwrap();
    assert_eq!(all.iter().map(|(_, row)| row).collect::<Vec<_>>(), [&sent[0], &sent[1], &once_more]);
    let mut read = Vec::new();
    let mut after = None;
    while let Some((number, row)) = store.shadows(&team, &ALL, after, 1).await.unwrap().pop() {
        after = Some(number);
        read.push(row);
    }
    assert_eq!(read, [sent[0].clone(), sent[1].clone(), once_more.clone()], "page by page");
    for (since, until, count) in [(20, 20, 1), (11, 30, 2), (31, 99, 0), (0, 9, 0)] {
        let filter = ShadowFilter { since: Some(at(since)), until: Some(at(until)) };
        assert_eq!(store.shadows(&team, &filter, None, 9).await.unwrap().len(), count, "{since} to {until}");
    }
}

async fn a_shadowed_delivery_ended_and_may_act_later(place: Place) {
    let opened = Opened::new(&place).await;
    let write = async |progress| opened.write(Write { journal: vec![journal_row(1, "team", "#docs", progress)], ..Write::default() }).await;
    // One row after the other: what it said before never shows through.
    for progress in [Ended::Shadowed, Ended::Withheld, Ended::Shadowed, Ended::Delivered].map(Progress::Ended) {
        write(progress).await;
        let rows = opened.store.journal(&sink("team"), &[&event_id(1)]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.progress).collect::<Vec<_>>(), [progress]);
        let delivered = opened.store.delivered_counts().await.unwrap();
        assert_eq!(delivered.len(), usize::from(progress == Progress::Ended(Ended::Delivered)), "{delivered:?}");
    }
}

async fn records_go_with_the_journal(place: Place) {
    let settings = Settings { journal_retention: Span::seconds(200), ..Settings::default() };
    let opened = Opened::with(&place, &settings).await;
    // Enough for three steps.
    let mut shadows: Vec<ShadowRow> = (1..=1_200).map(|number| row(number, "team", 0, None)).collect();
    shadows.push(row(1_201, "team", 1_000, None));
    opened
        .write(Write { shadows, journal: vec![journal_row(1, "team", "#docs", Progress::Ended(Ended::Shadowed))], ..Write::default() })
        .await;
    let left = async || opened.store.shadows(&sink("team"), &ALL, None, 9_999).await.unwrap().len();
    assert_eq!((opened.store.expire(at(200_000)).await, left().await), (Ok(0), 1_201), "exactly as old as the retention is not older");
    assert_eq!((opened.store.expire(at(200_001)).await, left().await), (Ok(1_201), 1), "records and the row of the journal");
}
