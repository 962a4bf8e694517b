//! What a template's author can write, what is refused, and what a ticket's text can never do.

use serde_json::json;

use super::*;

const ROOTS: [&str; 23] = [
    "link",
    "property",
    "option",
    "app",
    "issuetype",
    "unrecognized",
    "report",
    "folded",
    "changes",
    "event",
    "actor",
    "issue",
    "project",
    "change",
    "comment",
    "worklog",
    "now",
    "attachment",
    "sprint",
    "version",
    "board",
    "user",
    "filter",
];

/// A schema in small.
fn known(path: &[&str]) -> bool {
    match path {
        ["field", name] => *name == "Story Points",
        ["change", ..] | ["issue", "custom", ..] => true,
        [root] => ROOTS.contains(root),
        [root, member, ..] => ROOTS.contains(root) && !["sumary", "nope"].contains(member),
        [] => false,
    }
}

fn context() -> serde_json::Value {
    json!({
        "event": {"kind": "issue.updated", "actor": {"name": "Jane <Doe>"}, "occurred_at": "2026-11-22T10:00:00.123Z",
            "changes": [{"field": "status", "name": "Status", "from": {"text": "To Do"}, "to": {"text": "Done <!here>"}}]},
        "issue": {"key": "DOCS-41", "url": "https://acme.example/browse/DOCS-41", "summary": "a & b <!channel>", "body": "## Why\n\n**bold** [x](https://a.example)",
            "assignee": null, "labels": ["a<b", "c"], "due_on": "2026-12-24", "status": {"id": "3", "name": "On Hold"}, "reporter": {"id": "5b:1", "name": "Max <M>", "email": null}},
        "change": {"status": {"to": "Done"}},
        "comment": {"body": "plain \\<!channel> text"},
        "field": {"Story Points": 5},
        "worklog": null,
    })
}

fn render(source: &str, dialect: Dialect) -> String {
    Template::compile(source, dialect, &known)
        .unwrap_or_else(|err| panic!("{source}: {err}"))
        .render(&context())
        .unwrap_or_else(|err| panic!("{source}: {err}"))
}

#[test]
fn values_are_escaped_once() {
    for (source, expected) in [
        ("*{{ issue.key }}* {{ issue.summary }}", "*DOCS-41* a &amp; b &lt;!channel&gt;"),
        ("{{ issue.summary | upper }}", "A &amp; B &lt;!CHANNEL&gt;"),
        ("{{ issue.summary | truncate(6) }}", "a &amp; b…"),
        ("{{ issue.labels | join(', ') }} {{ issue.labels | length }}", "a&lt;b, c 2"),
        ("{{ issue.summary | replace('&', '<') }}", "a &lt; b &lt;!channel&gt;"),
        ("{{ '<' ~ issue.summary }}", "&lt;a &amp; b &lt;!channel&gt;"),
        ("{% set x %}{{ issue.summary }}{% endset %}{{ x }}", "a &amp; b &lt;!channel&gt;"),
        ("{% set x = issue.summary %}{{ x }}", "a &amp; b &lt;!channel&gt;"),
        ("{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(issue.labels[0]) }}", "[a&lt;b]"),
        ("{{ issue.key | link(issue.url) }}", "<https://acme.example/browse/DOCS-41|DOCS-41>"),
        ("{{ issue.summary | link(issue.url) }}", "<https://acme.example/browse/DOCS-41|a &amp; b &lt;!channel&gt;>"),
        ("{{ issue.summary | link(issue.url) | link(issue.url) | length > 0 }}", "true"),
        ("{{ issue.key | link(issue.summary) }}", "DOCS-41"),
        ("{{ issue.key | link(issue.url) ~ issue.summary }}", "<https://acme.example/browse/DOCS-41|DOCS-41>a &amp; b &lt;!channel&gt;"),
        (
            "{{ [issue.key | link(issue.url), issue.summary] | join('<') }}",
            "<https://acme.example/browse/DOCS-41|DOCS-41>&lt;a &amp; b &lt;!channel&gt;",
        ),
        ("{{ issue.summary | link(issue.url) | upper }}", "A &amp; B &lt;!CHANNEL&gt;"),
        ("{{ issue.key | link(issue.url) | reverse }}", "14-SCOD"),
        ("{% filter upper %}{{ issue.summary }}{% endfilter %}", "A &amp; B &lt;!CHANNEL&gt;"),
        ("{{ issue.status }}", "On Hold"),
        ("{{ issue.assignee | bold }}{{ issue.summary | bold }}", "*a &amp; b &lt;!channel&gt;*"),
        ("{{ issue.reporter }} {{ issue.reporter.id }} {{ issue.reporter | mention }}", "Max &lt;M&gt; 5b:1 <@jira:5b:1|Max &lt;M&gt;>"),
        ("{{ issue.body | quote }}", "> *Why*\n>\n> *bold* <https://a.example|x>"),
        ("{{ 9000 | duration }} {{ '45' | duration }} {{ 0 | duration }} {{ 'soon' | duration }}", "2h 30m 45s 0m soon"),
    ] {
        assert_eq!(render(source, Dialect::SlackMrkdwn), expected, "{source}");
    }
    assert_eq!(render("{{ issue.summary }}", Dialect::Plain), "a & b <!channel>");
    assert_eq!(render("{{ issue.summary }}", Dialect::Markdown), r"a & b \<!channel>");
}

#[test]
fn a_body_is_converted_and_never_raw() {
    for (source, expected) in [
        ("{{ issue.body }}", "*Why*\n\n*bold* <https://a.example|x>"),
        ("{{ comment.body }}", "plain &lt;!channel&gt; text"),
        ("{{ comment.body | truncate(12) }}", "plain &lt;!…"),
        ("{{ comment.body | upper }}", "PLAIN &lt;!CHANNEL&gt; TEXT"),
        ("{% set b = comment.body %}{{ b }}", "plain &lt;!channel&gt; text"),
        ("{{ comment.body ~ '!' }}", "plain &lt;!channel&gt; text!"),
        ("{{ [comment.body] | join }}", "plain &lt;!channel&gt; text"),
        ("{{ [comment.body] }}", "[plain &lt;!channel&gt; text]"),
        ("{{ comment.body | string }}", "plain &lt;!channel&gt; text"),
        ("{{ comment.body | replace('plain', '<') }}", "&lt; &lt;!channel&gt; text"),
        ("{% if comment.body %}y{% endif %}{% if worklog.body %}n{% endif %}", "y"),
        ("{{ comment.body | length }} {{ comment.body | default('x') }}", "21 plain &lt;!channel&gt; text"),
        ("{{ worklog.body | default('none') }}", "none"),
    ] {
        assert_eq!(render(source, Dialect::SlackMrkdwn), expected, "{source}");
    }
    assert_eq!(render("{{ issue.body }}", Dialect::Markdown), "## Why\n\n**bold** [x](https://a.example)");
    assert_eq!(render("{{ issue.body }}", Dialect::Plain), "Why\n\nbold x (https://a.example)");
}

#[test]
fn null_prints_as_nothing() {
    for (source, expected) in [
        ("[{{ issue.assignee }}]", "[]"),
        ("[{{ issue.assignee.name }}]", "[]"),
        ("[{{ issue.assignee.manager.name | upper }}]", "[]"),
        ("[{{ worklog.author.name ~ 'x' }}]", "[x]"),
        ("[{{ change.priority.to }}]", "[]"),
        ("[{{ issue.assignee.name | default('nobody') }}]", "[nobody]"),
        ("{% if issue.assignee is none %}free{% endif %}", "free"),
        ("{% for item in worklog.items %}x{% else %}none{% endfor %}", "none"),
        (
            "[{{ issue.assignee | length }}{{ issue.assignee | truncate(3) }}{{ issue.assignee | date }}{{ issue.assignee | join(',') }}{{ issue.assignee | lower | replace('a', 'b') }}]",
            "[0]",
        ),
        ("{{ issue.key | link(issue.assignee) }}", "DOCS-41"),
        ("{{ field(\"Story Points\") }}", "5"),
    ] {
        assert_eq!(render(source, Dialect::SlackMrkdwn), expected, "{source}");
    }
}

#[test]
fn dates_are_written_as_asked() {
    for (source, expected) in [
        ("{{ event.occurred_at | date }}", "2026-11-22 10:00"),
        ("{{ event.occurred_at | date('%H:%M', 'Europe/Berlin') }}", "11:00"),
        ("{{ issue.due_on | date('%d.%m.%Y') }}", "24.12.2026"),
    ] {
        assert_eq!(render(source, Dialect::Plain), expected, "{source}");
    }
    for source in
        ["{{ issue.summary | date }}", "{{ event.occurred_at | date('%H', 'Nowhere/Else') }}", "{{ event.occurred_at | date('%!') }}"]
    {
        let template = Template::compile(source, Dialect::Plain, &known).expect("a template");
        assert!(matches!(template.render(&context()), Err(RenderError::Failed { line: Some(1), .. })), "{source}");
    }
}

#[test]
fn a_slip_is_found_at_its_line() {
    for (source, line, reason) in [
        ("a\n{{ issue.sumary }}", Some(2), "line 2: unknown name `issue.sumary`"),
        ("{{ isue.key }}", Some(1), "line 1: unknown name `isue.key`"),
        ("{# {{ x }} #}\n\n{% if isue %}{% endif %}", Some(3), "line 3: unknown name `isue`"),
        ("{{ issue['nope'] }}", Some(1), "line 1: unknown name `issue.nope`"),
        ("{{ issue.key | shout }}", Some(1), "line 1: there is no filter `shout`"),
        ("{{ issue.key | safe }}", Some(1), "line 1: there is no filter `safe`"),
        ("{% if issue is blue %}{% endif %}", Some(1), "line 1: there is no test `blue`"),
        ("{% include 'x' %}", Some(1), "line 1: `include` cannot be used here"),
        ("{%- import 'x' as y %}", Some(1), "line 1: `import` cannot be used here"),
        ("{% autoescape false %}{{ issue.key }}{% endautoescape %}", Some(1), "line 1: `autoescape` cannot be used here"),
        ("{% for issue in event.changes %}{% endfor %}", Some(1), "line 1: `issue` is a name of the event already"),
        ("{% if issue.assignee == none %}{% endif %}", Some(1), "line 1: a value cannot be compared with `none`"),
        ("{{ debug() }}", Some(1), "line 1: there is no function `debug`"),
        ("{{ issue.key.upper() }}", Some(1), "line 1: `issue.key` has no function `upper`"),
        ("{{ field('Points') }}", Some(1), "line 1: unknown name `field.Points`"),
        ("{{ field(issue.key) }}", Some(1), "line 1: `field` needs the name of a field"),
    ] {
        let err = Template::compile(source, Dialect::Plain, &known).expect_err(source);
        assert_eq!((err.line, err.to_string().as_str()), (line, reason), "{source}");
        assert!(!err.hint.is_empty());
    }
    let err = Template::compile("a\n{% if issue %}", Dialect::Plain, &known).expect_err("no end");
    assert_eq!(err.line, Some(2), "{err}");
    let hint = Template::compile("{{ issue.sumary }}", Dialect::Plain, &known).expect_err("a slip").hint;
    assert_eq!(hint, "`issue` has no member `sumary`");
    assert!(Template::compile(&"x".repeat(20_000), Dialect::Plain, &known).is_err());
    assert!(Template::compile(&"{{ (".repeat(3_000), Dialect::Plain, &known).is_err());
}

#[test]
fn references_tell_what_a_template_needs() {
    let source = "{{ issue.key }} {{ change.status.to }} {% for c in event.changes %}{{ c.field }}{% endfor %} {{ field('Story Points') }} \
                  {{ issue.key ~ issue.custom['customfield_1'].value }} {{ issue.labels[0] }} {% raw %}{{ nope }}{% endraw %} {{ 'text.x' }} {{ issue.key | link(url=project.name) }}";
    let paths = Template::compile(source, Dialect::Plain, &known).expect("a template").references();
    let paths: Vec<String> = paths.iter().map(|path| path.join("/")).collect();
    assert_eq!(
        paths,
        [
            "issue/key",
            "change/status/to",
            "event/changes",
            "field/Story Points",
            "issue/custom/customfield_1/value",
            "issue/labels",
            "project/name"
        ]
    );
}

#[test]
fn work_is_bounded() {
    let source = "{% for a in range(10000) %}{% for b in range(10000) %}{{ issue.key }}{% endfor %}{% endfor %}";
    let template = Template::compile(source, Dialect::Plain, &known).expect("a template");
    assert_eq!(template.render(&context()), Err(RenderError::TooMuchWork));
    let source = "{{ ('a' * 3000) | replace('a', 'b' * 3000) }}";
    let template = Template::compile(source, Dialect::Plain, &known).expect("a template");
    assert_eq!(template.render(&context()), Err(RenderError::TooMuchWork));
    let source = "{{ 'x' * 300000 }}";
    let text = Template::compile(source, Dialect::Plain, &known).expect("a template").render(&context()).expect("a text");
    assert!(text.len() <= MAX_BYTES && text.ends_with('…'));
}

#[test]
fn blocks_keep_their_structure() {
    let json = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "*{{ issue.key }}* {{ issue.summary }}"}},
        {"type": "header", "text": {"type": "plain_text", "text": "{{ issue.summary }}"}},
        {"type": "image", "image_url": "{{ issue.url }}?a=1&b=2", "alt_text": "fixed & kept"}]);
    let template = JsonTemplate::compile(&json, Dialect::SlackMrkdwn, &known).expect("blocks");
    assert_eq!(
        template.render(&context()),
        Ok(json!([{"type": "section", "text": {"type": "mrkdwn", "text": "*DOCS-41* a &amp; b &lt;!channel&gt;"}},
            {"type": "header", "text": {"type": "plain_text", "text": "a & b <!channel>"}},
            {"type": "image", "image_url": "https://acme.example/browse/DOCS-41?a=1&b=2", "alt_text": "fixed & kept"}]))
    );
    assert_eq!(template.references(), [["issue", "key"], ["issue", "summary"], ["issue", "url"]]);
    let err = JsonTemplate::compile(&json!([{"text": {"text": "{{ isue.key }}"}}]), Dialect::SlackMrkdwn, &known).expect_err("a slip");
    assert_eq!(err.to_string(), "`[0].text.text`: line 1: unknown name `isue.key`");
}
