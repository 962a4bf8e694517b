//! The ready-made message as it looks in Slack, for every kind of event: from recorded webhooks to text.

use std::collections::BTreeMap;

use super::context::{self, Known};
use super::fold;
use super::names::Names;
use crate::clock::Timestamp;
use crate::event::{Event, Kind};
use crate::jira::{Headers, Received, normalize};
use crate::render::{self, Dialect, Template};

/// Everything in `tests/corpus`, by file.
fn recorded() -> BTreeMap<String, Vec<Event>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(folder).expect("a folder").filter_map(|entry| Some(entry.ok()?.path()));
    let events = |path: std::path::PathBuf| {
        let body = std::fs::read(&path).expect("a body");
        let received = Received {
            connection: &"acme".parse().expect("a name"),
            base_url: &"https://acme.atlassian.net".parse().expect("a URL"),
            body: &body,
            headers: &Headers::default(),
            received_at: Timestamp::from_ms(1_765_440_000_000),
            to_markdown: render::to_markdown,
        };
        Some((path.file_stem()?.to_str()?.to_owned(), normalize(&received)))
    };
    files.filter(|path| path.extension().is_some_and(|name| name == "json")).filter_map(events).collect()
}

fn ready_made() -> (Template, Names) {
    let names = Names::of_events();
    let template = Template::compile(render::default::MESSAGE, Dialect::SlackMrkdwn, &|path| names.check(path).is_ok());
    (template.expect("the ready-made message compiles"), names)
}

fn told(event: &Event) -> String {
    let (template, names) = ready_made();
    template.render(&context::of_event(&Known::of(event), &names)).expect("a text")
}

#[test]
#[expect(clippy::too_many_lines, reason = "the messages are what is tested")]
fn every_kind_reads_well() {
    let mut by_kind: BTreeMap<Kind, String> = BTreeMap::new();
    for (_, events) in recorded() {
        for event in events {
            let text = told(&event);
            assert!(!text.is_empty() && !text.contains("557058:1a2b") && !text.contains("None") && !text.starts_with('\n'), "{text}");
            // The longest of a kind shows most of its parts.
            let longest = by_kind.entry(event.kind()).or_default();
            if text.len() > longest.len() {
                *longest = text;
            }
        }
    }
    let all: Vec<String> = by_kind.iter().map(|(kind, text)| format!("{kind}\n{text}\n")).collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    issue.created
    *Ravi Rao* created Bug <https://acme.atlassian.net/browse/OPS-42|OPS-42 Disk full on db-3>
    Priority: *High* · Assignee: *Lena Weiß* · Due: *2025-12-24*
    > See *runbook*

    issue.updated
    *Jane Doe* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    • Project: Website → *Operations*
    • Key: WEB-7 → *OPS-41*

    issue.deleted
    *Jane Doe* deleted <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    comment.created
    *Lena Weiß* commented on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    comment.updated
    *Jane Doe* edited a comment on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    comment.deleted
    *Ravi Rao* deleted a comment on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    worklog.created
    *Ravi Rao* logged *1h* on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > debugging

    worklog.updated
    *Ravi Rao* changed logged work to *1h* on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > debugging

    worklog.deleted
    *Ravi Rao* deleted 1h of logged work on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    attachment.created
    *Jane Doe* attached *log.txt* to <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    attachment.deleted
    *log.txt* was removed from <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    link.created
    A new link of a ticket: has the subtask *another ticket*

    link.deleted
    A link of a ticket was removed: relates to *another ticket*

    sprint.created
    *Sprint 3* was created

    sprint.updated
    *Sprint 3* was updated (it was Sprint three)

    sprint.started
    *Sprint 3* was started, until 24 December
    > ship

    sprint.closed
    *Sprint 3* was closed

    sprint.deleted
    *Sprint 3* was deleted

    board.created
    Board *OPS board* was created

    board.updated
    Board *OPS board* was updated

    board.configured
    Board *OPS board* was configured

    board.deleted
    Board *OPS board* was deleted

    version.created
    Version *1.0* was created

    version.updated
    Version *1.0* was updated

    version.released
    Version *1.0* was released

    version.unreleased
    Version *1.0* was taken back from release

    version.moved
    Version *1.0* was moved in the order of versions

    version.merged
    Version *1.0* was merged into another

    version.deleted
    Version *1.0* was deleted

    project.created
    Project *Operations* (OPS) was created

    project.updated
    Project *Operations* (OPS) was updated

    project.trashed
    Project *Operations* (OPS) was moved to the trash

    project.restored
    Project *Operations* (OPS) was restored from the trash

    project.archived
    Project *Operations* (OPS) was archived

    project.unarchived
    Project *Operations* (OPS) was restored from the archive

    project.deleted
    Project *Operations* (OPS) was deleted

    user.created
    User *Jane Doe* was created

    user.updated
    User *Jane Doe* was updated

    user.deleted
    User *Lena Weiß* was deleted

    filter.created
    Filter *Mine* was created

    filter.updated
    Filter *Mine* was updated

    filter.deleted
    Filter *Mine* was deleted

    issuetype.created
    Issue type *Incident* was created

    issuetype.updated
    Issue type *Incident* was updated

    issuetype.deleted
    Issue type *Incident* was deleted

    property.set
    *Jane Doe* set property *review.state* of <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    property.deleted
    *Jane Doe* deleted property *review.state* of <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    option.changed
    Option *jira.option.timetracking_provider* was changed to true

    app.access_blocked
    App *dev.example.charts* was blocked from data of Jira

    app.container_access_blocked
    An app was blocked from data of Jira

    app.expression_failed
    App *dev.example.charts*: an expression of Jira failed

    event.unrecognized
    Jira sent *connect_addon_disabled*, which is not known here
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "the messages are what is tested")]
fn a_change_is_readable() {
    let recorded = recorded();
    let all: Vec<String> = recorded
        .iter()
        .filter(|(file, _)| {
            ["issue-updated", "old-server", "post-function", "twin", "issue-created", "issuelink"].iter().any(|name| file.starts_with(name))
        })
        .map(|(file, events)| format!("{file}\n{}\n", events.iter().map(told).collect::<Vec<_>>().join("\n")))
        .collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    issue-created-cloud
    *Jane Doe* created Bug <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    Priority: *High* · Due: *2025-12-24*
    > See *runbook*

    issue-created-restricted
    *Jane Doe* created Bug <https://acme.atlassian.net/browse/OPS-43|OPS-43 Disk full on db-3>
    Priority: *High* · Due: *2025-12-24*
    > See *runbook*

    issue-created-server
    *Ravi Rao* created Bug <https://acme.atlassian.net/browse/OPS-42|OPS-42 Disk full on db-3>
    Priority: *High* · Assignee: *Lena Weiß* · Due: *2025-12-24*
    > See *runbook*

    issue-updated-cloud
    *Jane Doe* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress*

    issue-updated-comment-and-change
    *Ravi Rao* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress*
    *Ravi Rao* commented on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    issue-updated-comment-and-unnumbered-change
    *Ravi Rao* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress*
    *Ravi Rao* commented on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    issue-updated-custom-field
    *Jane Doe* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    • Story Points: 2 → *3*
    • Sprint: *Sprint 3*

    issue-updated-empty-changelog
    *Automation for Jira* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    issue-updated-server
    *Ravi Rao* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress*

    issue-updated-without-changelog
    *Jane Doe* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    issue-updated-without-changelog-id
    *Ravi Rao* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress*

    issue-updated-worklog-and-change
    *Ravi Rao* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    *Ravi Rao* logged *1h* on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > debugging

    issuelink-created
    A new link of a ticket: relates to *another ticket*

    issuelink-created-old-server
    A new link of a ticket: has the subtask *another ticket*

    issuelink-deleted
    A link of a ticket was removed: relates to *another ticket*

    old-server-changelog
    *Lena Weiß* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress*

    old-server-comment
    *Lena Weiß* commented on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    post-function
    *Ravi Rao* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    post-function-bare
    *Somebody* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    twin-comment-deleted
    *Ravi Rao* updated <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    twin-comment-deleted-with-comment
    *Ravi Rao* deleted a comment on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    twin-comment-edited
    *Ravi Rao* edited a comment on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    twin-comment-untyped-edited
    *Ravi Rao* edited a comment on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    twin-comment-untyped-new
    *Ravi Rao* commented on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    twin-commented
    *Ravi Rao* commented on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > ping

    twin-worklog-deleted
    *Ravi Rao* deleted 1h of logged work on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>

    twin-worklog-edited
    *Ravi Rao* changed logged work to *1h* on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > debugging

    twin-worklogged
    *Ravi Rao* logged *1h* on <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3>
    > debugging
    ");
}

#[test]
fn what_is_told_together_reads_as_one() {
    let (recorded, (template, names)) = (recorded(), ready_made());
    let of = |file: &str| recorded.get(file).into_iter().flatten();
    let events: Vec<&Event> = of("issue-updated-comment-and-change").chain(of("issue-updated-custom-field")).collect();
    let sum = fold::merged(&events).expect("events");
    let known = Known { folded: &fold::in_order(&events), ..Known::of(&sum) };
    let text = template.render(&context::of_event(&known, &names)).expect("a text");
    insta::assert_snapshot!(text, @r"
    *Jane Doe* moved <https://acme.atlassian.net/browse/OPS-41|OPS-41 Disk full on db-3> from To Do to *In Progress* and commented
    • Story Points: 2 → *3*
    • Sprint: *Sprint 3*
    > ping
    ");
}
