//! What only explains an event, or finds it, goes when the archive lets go of it.

use std::sync::Arc;

use ticketwire::event::{Change, Value};
use ticketwire::setting::Span;
use ticketwire::store::{Ended, EventFilter, ParkedState, Progress, Settings, Write};

use super::fixtures::{Opened, Place, archive_row, at, event_id, journal_row, on_each_database, parked_row};

on_each_database!(former_keys_and_what_was_filtered_go_with_their_event,);

async fn former_keys_and_what_was_filtered_go_with_their_event(place: Place) {
    let settings = Settings { archive_retention: Span::seconds(100), journal_retention: Span::seconds(200), ..Settings::default() };
    let opened = Opened::with(&place, &settings).await;
    let mut write = Write::default();
    for number in [1, 2] {
        let mut row = archive_row(number, "500", Some("OPS-9"), 0, number.into());
        let mut moved = (*row.envelope).clone();
        let side = |key: String| Some(Value { id: None, text: Some(key) });
        let (from, to) = (side(format!("DOCS-{number}")), side("OPS-9".into()));
        moved.event.data.changes = vec![Change { field: "Key".into(), name: None, custom: false, from, to }];
        row.envelope = Arc::new(moved);
        write.archive.push(row);
        for (sink, ended) in [("a", Ended::Filtered), ("b", Ended::Withheld), ("c", Ended::Shadowed), ("d", Ended::Delivered)] {
            write.journal.push(journal_row(number, sink, "#docs", Progress::Ended(ended)));
        }
    }
    // The envelope of the second is needed still.
    write.park.push(parked_row("d1", 2, "team", "#docs", ParkedState::Waiting));
    opened.write(write.clone()).await;
    opened.write(write).await;
    let found = async |key: &str| {
        let filter = EventFilter { issue_key: Some(key.into()), ..EventFilter::default() };
        opened.store.archived_page(&filter, None, 9).await.unwrap().len()
    };
    assert_eq!((found("DOCS-1").await, found("DOCS-2").await, found("DOCS-3").await), (2, 2, 0));

    assert_eq!(opened.store.expire(at(102_000)).await, Ok(1));
    assert_eq!(opened.lines("SELECT key FROM former_keys ORDER BY key").await, ["DOCS-2"]);
    assert_eq!((found("DOCS-1").await, found("DOCS-2").await), (0, 1));
    let left = opened.store.journal_of_events(&[event_id(1), event_id(2)]).await.unwrap();
    let left: Vec<Progress> = left.iter().map(|row| row.progress).collect();
    let kept = [Ended::Withheld, Ended::Shadowed, Ended::Delivered, Ended::Filtered, Ended::Withheld, Ended::Shadowed, Ended::Delivered];
    assert_eq!(left, kept.map(Progress::Ended));
}
