//! The message of a rule that has no template: who did what to which ticket, with a link, what changed, and what was said.
//!
//! One text for every kind of event.

pub const MESSAGE: &str = r#"{{ event.actor.name | default("Somebody") }}
{%- if event.kind == "comment.created" %} commented on
{%- elif event.kind == "comment.updated" %} edited a comment on
{%- elif event.kind == "comment.deleted" %} deleted a comment on
{%- elif event.kind == "worklog.created" %} logged work on
{%- elif event.kind == "worklog.updated" %} edited logged work on
{%- elif event.kind == "worklog.deleted" %} deleted logged work on
{%- elif event.kind == "attachment.created" %} attached {{ attachment.name | default("a file") }} to
{%- elif event.kind == "attachment.deleted" %} removed {{ attachment.name | default("a file") }} from
{%- else %} {{ event.kind | split(".") | last | replace("_", " ") }}
{%- if not issue %} {{ event.kind | split(".") | first }}{% endif %}
{%- endif %}
{%- if issue %} {{ issue.key | default(issue.id) | link(issue.url) }}
{%- if issue.summary %} {{ issue.summary }}{% endif %}
{%- else %}
{%- set what = sprint.name or version.name or board.name or project.name or user.name or filter.name %}
{%- if what %} {{ what }}{% endif %}
{%- endif %}
{%- for item in event.changes[:10] %}
{{ item.name | default(item.field) }}: {{ item.from.text | default("none") | replace("\n", " ") | truncate(80) }} → {{ item.to.text | default("none") | replace("\n", " ") | truncate(80) }}
{%- endfor %}
{%- if comment.body and event.kind != "comment.deleted" %}
{{ comment.body | truncate(500) }}
{%- elif worklog.body and event.kind != "worklog.deleted" %}
{{ worklog.body | truncate(500) }}
{%- endif %}"#;
