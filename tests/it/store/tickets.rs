//! The ticket store never goes back in time: whatever order effects come in, together or one by one, the rows end the same.

use proptest::prelude::{Just, Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use ticketwire::store::{ChangeRow, CommentRow, HeldTicket, ProjectRow, TicketEffect, TicketRow, UserRow, Version, Write};

use super::fixtures::{Opened, Place, acme, at, on_each_database};

on_each_database!(
    a_history_in_its_order,
    only_a_newer_rest_answer_lifts_a_tombstone,
    equal_versions_apply_and_labels_go_with_them,
    the_last_row_tells_the_level_and_what_is_held,
    many_rows_of_one_write_take_several_statements,
    columns_that_others_read_are_text_under_their_names,
    the_questions_of_the_documentation_have_answers,
);

const DOCUMENTATION: &str = include_str!("../../../docs/tickets.md");

pub fn ticket(id: &str, updated: i64, observed: i64, key: &str) -> TicketRow {
    let text = |name: &str| Some(format!("{name}-{updated}-{observed}"));
    TicketRow {
        connection: acme(),
        id: id.into(),
        version: Version { updated: at(updated), observed: at(observed) },
        from_rest: false,
        key: Some(key.into()),
        project_key: key.split('-').next().map(Into::into),
        kind: Some("Story".into()),
        summary: text("summary"),
        body: None,
        status: Some("On Hold".into()),
        status_category: Some("indeterminate".into()),
        assignee: None,
        reporter: Some("u1".into()),
        security_level: None,
        level_known: true,
        created_at: Some(at(0)),
        updated_at: Some(at(updated)),
        labels: vec![format!("label-{updated}"), "kept".into(), "kept".into()],
    }
}

pub fn snapshot(id: &str, updated: i64, observed: i64, key: &str) -> TicketEffect {
    TicketEffect::Ticket(Box::new(ticket(id, updated, observed, key)))
}

pub fn change(ticket: &str, id: &str) -> ChangeRow {
    let (from_id, to_id) = (Some("1".into()), Some("3".into()));
    let (from_value, to_value) = (Some("To Do".into()), Some("On Hold".into()));
    let (ticket_id, field, author) = (ticket.into(), "status".into(), Some("u1".into()));
    ChangeRow { connection: acme(), id: id.into(), ticket_id, field, from_id, from_value, to_id, to_value, author, at: at(5) }
}

fn from_rest(id: &str, updated: i64, observed: i64, key: &str) -> TicketEffect {
    TicketEffect::Ticket(Box::new(TicketRow { from_rest: true, ..ticket(id, updated, observed, key) }))
}

fn deleted(id: &str, ms: i64) -> TicketEffect {
    let (key, project_key) = (Some("OPS-1".into()), Some("OPS".into()));
    TicketEffect::TicketDeleted { connection: acme(), id: id.into(), key, project_key, at: at(ms) }
}

fn comment(id: &str, ticket: &str, updated: i64, body: &str) -> TicketEffect {
    let (created_at, updated_at) = (Some(at(10)), Some(at(updated)));
    let author = Some("u1".into());
    let row =
        CommentRow { connection: acme(), id: id.into(), ticket_id: ticket.into(), author, body: Some(body.into()), created_at, updated_at };
    TicketEffect::Comment(Box::new(row))
}

fn comment_deleted(id: &str, ticket: &str, ms: i64) -> TicketEffect {
    TicketEffect::CommentDeleted { connection: acme(), id: id.into(), ticket_id: ticket.into(), at: at(ms) }
}

fn user(name: Option<&str>, email: Option<&str>, kind: &'static str, ms: i64) -> TicketEffect {
    let (name, email) = (name.map(Into::into), email.map(Into::into));
    TicketEffect::User(UserRow { connection: acme(), id: "u1".into(), name, email, kind, seen_at: at(ms) })
}

fn project(key: &str, name: Option<&str>, kind: Option<&'static str>, ms: i64) -> TicketEffect {
    let (key, name) = (Some(key.into()), name.map(Into::into));
    TicketEffect::Project(ProjectRow { connection: acme(), id: "p1".into(), key, name, kind, seen_at: at(ms) })
}

const TICKETS: &str = "SELECT id, key, project_key, summary, updated_at, deleted_at FROM tickets ORDER BY id";
const ALL: [&str; 6] = [
    TICKETS,
    "SELECT ticket_id, label FROM ticket_labels ORDER BY ticket_id, label",
    "SELECT id, ticket_id, body, updated_at, deleted_at FROM comments ORDER BY id",
    "SELECT id, ticket_id, field, from_id, to_value, at FROM changes ORDER BY id",
    "SELECT id, name, email, kind FROM users ORDER BY id",
    "SELECT id, key, name, kind FROM projects ORDER BY id",
];

async fn rows(opened: &Opened) -> Vec<String> {
    let mut found = Vec::new();
    for sql in ALL {
        found.extend(opened.lines(sql).await);
    }
    found
}

/// What happened to a moved ticket, a deleted one that was known, one that was not, and their comments.
fn history() -> Vec<TicketEffect> {
    vec![
        snapshot("1", 10, 11, "OPS-1"),
        snapshot("1", 20, 21, "OPS-1"),
        snapshot("1", 30, 31, "WEB-4"),
        snapshot("1", 30, 29, "WEB-3"),
        snapshot("2", 10, 11, "OPS-2"),
        deleted("2", 40),
        deleted("2", 35),
        snapshot("2", 39, 45, "OPS-2"),
        from_rest("2", 38, 38, "OPS-2"),
        deleted("3", 50),
        comment("c1", "1", 10, "first"),
        comment("c1", "1", 20, "edited"),
        comment("c1", "1", 30, "edited again"),
        comment("c2", "2", 10, "first"),
        comment("c2", "2", 60, "too late"),
        comment_deleted("c2", "2", 55),
        comment_deleted("c3", "3", 56),
        TicketEffect::Change(Box::new(change("1", "10508.0"))),
        TicketEffect::Change(Box::new(change("1", "10508.1"))),
        user(Some("Jane Doe"), None, "person", 30),
        user(None, Some("jane@example.com"), "unknown", 20),
        user(Some("J. Doe"), Some("j@example.com"), "app", 10),
        project("OPS", Some("Operations"), Some("software"), 10),
        project("RUN", Some("Running"), None, 20),
        project("OLD", None, Some("unknown"), 5),
    ]
}

async fn a_history_in_its_order(place: Place) {
    let opened = Opened::new(&place).await;
    opened.write(Write { tickets: history(), ..Write::default() }).await;
    let found = rows(&opened).await.join("\n");
    insta::allow_duplicates! {
        insta::assert_snapshot!(found, @r"
    1 WEB-4 WEB summary-30-31 1970-01-01T00:00:00.030Z -
    2 OPS-2 OPS summary-39-45 1970-01-01T00:00:00.039Z 1970-01-01T00:00:00.040Z
    3 OPS-1 OPS - - 1970-01-01T00:00:00.050Z
    1 kept
    1 label-30
    2 kept
    2 label-39
    c1 1 edited again 1970-01-01T00:00:00.030Z -
    c2 2 too late 1970-01-01T00:00:00.060Z 1970-01-01T00:00:00.055Z
    c3 3 - - 1970-01-01T00:00:00.056Z
    10508.0 1 status 1 On Hold 1970-01-01T00:00:00.005Z
    10508.1 1 status 1 On Hold 1970-01-01T00:00:00.005Z
    u1 Jane Doe jane@example.com person
    p1 RUN Running software
    ");
    }
}

mod every_order_ends_the_same {
    use super::Place;

    #[test]
    fn sqlite() {
        super::every_order_ends_the_same(&Place::Sqlite, 48);
    }

    /// Tables are made anew for each order, which takes a server longer.
    #[test]
    fn postgres() {
        if let Some(place) = Place::postgres() {
            super::every_order_ends_the_same(&place, 12);
        }
    }
}

/// Every order, cut into every kind of batch, ends as the order in which it happened.
fn every_order_ends_the_same(place: &Place, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime.block_on(Opened::new(place));
    let run = |effects: Vec<TicketEffect>, cuts: &[bool]| {
        runtime.block_on(async {
            let opened = first.beside().await;
            let mut batch = Vec::new();
            for (place, effect) in effects.into_iter().enumerate() {
                batch.push(effect);
                if cuts[place % cuts.len()] {
                    opened.write(Write { tickets: std::mem::take(&mut batch), ..Write::default() }).await;
                }
            }
            opened.write(Write { tickets: batch, ..Write::default() }).await;
            rows(&opened).await
        })
    };
    let expected = run(history(), &[true]);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let orders = (Just(history()).prop_shuffle(), prop::collection::vec(any::<bool>(), 25));
    let shuffled = orders.prop_map(|(mut effects, cuts)| {
        // Events come again.
        effects.extend(effects[..5].to_vec());
        (effects, cuts)
    });
    runner
        .run(&shuffled, |(effects, cuts)| {
            proptest::prop_assert_eq!(run(effects, &cuts), expected.clone());
            Ok(())
        })
        .unwrap();
}

async fn only_a_newer_rest_answer_lifts_a_tombstone(place: Place) {
    /// The effects one by one, and all in one write.
    async fn check(first: &Opened, what: &str, effects: Vec<TicketEffect>, expected: Option<&str>) {
        let (single, together) = (first.beside().await, first.beside().await);
        for effect in effects.clone() {
            single.write(Write { tickets: vec![effect], ..Write::default() }).await;
        }
        together.write(Write { tickets: effects, ..Write::default() }).await;
        for opened in [single, together] {
            assert_eq!(opened.lines("SELECT deleted_at FROM tickets").await, [expected.unwrap_or("-")], "{what}");
        }
    }
    let first = Opened::new(&place).await;
    let tombstone = Some("1970-01-01T00:00:00.040Z");
    let create = snapshot("1", 10, 11, "OPS-1");
    check(&first, "never seen", vec![deleted("1", 40)], tombstone).await;
    check(&first, "a webhook that says it is newer", vec![deleted("1", 40), snapshot("1", 50, 51, "OPS-1")], tombstone).await;
    check(&first, "an older answer", vec![create.clone(), deleted("1", 40), from_rest("1", 10, 40, "OPS-1")], tombstone).await;
    check(&first, "a newer answer", vec![create.clone(), deleted("1", 40), from_rest("1", 10, 41, "OPS-1")], None).await;
    check(
        &first,
        "a newer answer, fields no news",
        vec![snapshot("1", 20, 11, "OPS-1"), deleted("1", 40), from_rest("1", 10, 41, "OPS-1")],
        None,
    )
    .await;
    let lifted = vec![deleted("1", 40), from_rest("1", 10, 41, "OPS-1"), deleted("1", 40)];
    check(&first, "told again what was lifted", lifted.clone(), None).await;
    check(&first, "deleted again", [lifted, vec![deleted("1", 60)]].concat(), Some("1970-01-01T00:00:00.060Z")).await;
    check(&first, "deleted by a clock behind ours", vec![from_rest("1", 10, 7_200_000, "OPS-1"), deleted("1", 40)], tombstone).await;
}

async fn equal_versions_apply_and_labels_go_with_them(place: Place) {
    let opened = Opened::new(&place).await;
    let labelled = |updated: i64, labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        TicketEffect::Ticket(Box::new(TicketRow { labels, ..ticket("1", updated, 1, "OPS-1") }))
    };
    let check = async |effect: TicketEffect, expected: &[&str]| {
        opened.write(Write { tickets: vec![effect], ..Write::default() }).await;
        assert_eq!(opened.lines("SELECT label FROM ticket_labels ORDER BY label").await, expected);
    };
    check(labelled(10, &["red", "urgent"]), &["red", "urgent"]).await;
    check(labelled(9, &["old"]), &["red", "urgent"]).await;
    check(labelled(10, &["red", "later"]), &["later", "red"]).await;
    check(labelled(11, &[]), &[]).await;
}

async fn the_last_row_tells_the_level_and_what_is_held(place: Place) {
    let opened = Opened::new(&place).await;
    let secret = TicketRow { security_level: Some("Staff only".into()), ..ticket("2", 1, 1, "OPS-2") };
    let effects = vec![snapshot("1", 1, 1, "OPS-1"), TicketEffect::Ticket(Box::new(secret)), deleted("2", 5), deleted("3", 5)];
    opened.write(Write { tickets: effects, ..Write::default() }).await;
    let level = async |id: &str| opened.store.ticket_level(&acme(), id).await.unwrap();
    assert_eq!(level("1").await, Some(None));
    assert_eq!(level("2").await, Some(Some("Staff only".into())), "also of a deleted ticket");
    assert_eq!(level("3").await, None, "a tombstone alone knows no level");
    assert_eq!(level("4").await, None);
    opened
        .write(Write { tickets: vec![project("OPS", None, Some("service_desk"), 1), snapshot("5", 1, 1, "WEB-5")], ..Write::default() })
        .await;
    let held = opened.store.tickets_held(&acme(), &["5", "4", "3", "2", "1"]).await.unwrap();
    let told = |ticket: &HeldTicket| (ticket.id.clone(), ticket.is_whole, ticket.is_deleted, ticket.is_service);
    let expected = [("1", true, false, true), ("2", true, true, true), ("3", false, true, true), ("5", true, false, false)];
    assert_eq!(held.iter().map(told).collect::<Vec<_>>(), expected.map(|(id, whole, gone, service)| (id.to_owned(), whole, gone, service)));
    assert_eq!(held[3].project_key.as_deref(), Some("WEB"));
    assert!(opened.store.tickets_held(&"other".parse().unwrap(), &["1"]).await.unwrap().is_empty());
}

async fn many_rows_of_one_write_take_several_statements(place: Place) {
    let opened = Opened::new(&place).await;
    let effects = (0..1_000).map(|n| snapshot(&n.to_string(), n, n, "OPS-1")).collect();
    opened.write(Write { tickets: effects, ..Write::default() }).await;
    assert_eq!(opened.lines("SELECT CAST(count(*) AS TEXT) FROM tickets").await, ["1000"]);
    assert_eq!(opened.lines("SELECT CAST(count(*) AS TEXT) FROM ticket_labels").await, ["2000"]);
    let ids: Vec<String> = (0..1_500).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(opened.store.tickets_held(&acme(), &ids).await.unwrap().len(), 1_000);
}

async fn columns_that_others_read_are_text_under_their_names(place: Place) {
    let opened = Opened::new(&place).await;
    let check = async |table: &'static str, columns: &str| {
        let found = opened.columns(table).await;
        for column in columns.split(' ') {
            assert!(found.contains(&(column.to_owned(), "TEXT".to_owned())), "{table}.{column} in {found:?}");
            assert!(DOCUMENTATION.contains(&format!("`{column}`")), "{table}.{column} is not documented");
        }
    };
    let ticket = "connection id key project_key type summary body status status_category assignee reporter security_level \
        created_at updated_at deleted_at";
    check("tickets", ticket).await;
    check("ticket_labels", "connection ticket_id label").await;
    check("comments", "connection id ticket_id author body created_at updated_at deleted_at").await;
    check("changes", "connection id ticket_id field from_id from_value to_id to_value author at").await;
    check("users", "connection id name email kind").await;
    check("projects", "connection id key name kind").await;
}

async fn the_questions_of_the_documentation_have_answers(place: Place) {
    let opened = Opened::new(&place).await;
    let labelled = TicketRow { assignee: Some("u1".into()), labels: vec!["guide".into()], ..ticket("1", 10, 11, "OPS-1") };
    let effects = vec![
        TicketEffect::Ticket(Box::new(labelled)),
        snapshot("2", 10, 11, "OPS-2"),
        deleted("2", 40),
        snapshot("3", 10, 11, "WEB-3"),
        user(Some("Jane Doe"), None, "person", 5),
        TicketEffect::Change(Box::new(change("1", "10508.0"))),
        comment("c1", "1", 20, "edited"),
        comment("c2", "1", 20, "gone"),
        comment_deleted("c2", "1", 55),
        comment("c3", "3", 20, "elsewhere"),
    ];
    opened.write(Write { tickets: effects, ..Write::default() }).await;
    let queries: Vec<&'static str> = DOCUMENTATION.split("```sql\n").skip(1).filter_map(|rest| rest.split(";\n```").next()).collect();
    let mut answers = Vec::new();
    for query in queries {
        answers.push(opened.lines(query).await);
    }
    let expected = [
        "OPS-1 On Hold Jane Doe summary-10-11",
        "1970-01-01T00:00:00.005Z OPS-1 To Do Jane Doe",
        "OPS-1 1970-01-01T00:00:00.010Z Jane Doe edited",
    ];
    assert_eq!(answers, expected.map(|line| vec![line.to_owned()]));
}
