//! The message of a rule that has no template: who did what to which ticket, linked, what changed, and what was said.
//!
//! One text for every kind of event, and for several events of one issue that are told together (`folded`). It names people, never
//! accounts, and leaves out what no person reads: ranks, long texts before and after, links that Jira keeps for itself.

pub const MESSAGE: &str = concat!(
    // Who. Of what is deleted the author is known, but not who deleted it.
    r#"{%- set said = comment.editor or comment.author or worklog.editor or worklog.author or attachment.author %}
{%- set is_gone = event.kind is endingwith("deleted") %}
{%- set doer = event.actor.name or ("" if is_gone else said.name) %}
{%- macro who() %}{{ doer | default("Somebody", true) | bold }}{% endmacro %}
{%- macro by() %}{% if doer %} by {{ doer | bold }}{% endif %}{% endmacro %}
{%- macro ticket() %}
{%- if issue.key %}{{ (issue.key ~ (" " ~ (issue.summary | truncate(120)) if issue.summary else "")) | link(issue.url) }}
{%- elif issue.url %}{{ "a ticket" | link(issue.url) }}
{%- else %}a ticket{% endif %}
{%- endmacro %}
{%- macro named(thing, what) %}{% if not thing.name is startingwith(what) %}{{ what }} {% endif %}{{ thing.name | bold }}{% endmacro %}
{%- macro value(text, id) %}
{%- if id is startingwith("time") %}{{ text | duration }}
{%- else %}{{ text | replace("\n", " ") | truncate(80) }}{% endif %}
{%- endmacro %}
{%- macro bullet(item) %}
{%- set label = item.name | default(item.field) | string %}
• {{ label[:1] | upper }}{{ label[1:] }}
{%- if item.field in ["description", "environment"] %} edited
{%- elif not item.to.text %}: {{ value(item.from.text, item.field) }} removed
{%- elif not item.from.text %}: {{ value(item.to.text, item.field) | bold }}
{%- else %}: {{ value(item.from.text, item.field) }} → {{ value(item.to.text, item.field) | bold }}{% endif %}
{%- endmacro %}
{%- set lines = event.changes | default([]) | rejectattr("field", "in", ["Rank", "Workflow", "timespent", "WorklogId", "Comment"]) | rejectattr("name", "in", ["Rank"]) | list %}
{%- set added = folded | selectattr("kind", "eq", "comment.created") | list %}
"#,
    // What.
    r#"
{%- if event.kind == "issue.created" %}{{ who() }} created {{ issue.type.name | default("the ticket") }} {{ ticket() }}
{%- set facts = [["Priority", issue.priority.name], ["Assignee", issue.assignee.name], ["Due", issue.due_on]] | selectattr(1) | list %}
{%- if facts %}
{% for fact in facts %}{{ fact[0] }}: {{ fact[1] | bold }}{% if not loop.last %} · {% endif %}{% endfor %}
{%- endif %}
{%- if issue.body %}
{{ issue.body | truncate(400) | quote }}
{%- endif %}
{%- if folded | length < 2 %}{% set lines = [] %}{% endif %}
{%- elif event.kind == "issue.updated" %}{{ who() }}
{%- if change.status.to %} moved {{ ticket() }}{% if change.status.from %} from {{ change.status.from }}{% endif %} to {{ change.status.to | bold }}
{%- set lines = lines | rejectattr("field", "eq", "status") | list %}
{%- elif change.assignee.to %} assigned {{ ticket() }} to {{ change.assignee.to | bold }}
{%- set lines = lines | rejectattr("field", "eq", "assignee") | list %}
{%- elif change.assignee.from %} took {{ change.assignee.from }} off {{ ticket() }}
{%- set lines = lines | rejectattr("field", "eq", "assignee") | list %}
{%- else %} updated {{ ticket() }}{% endif %}
{%- if added %} and commented{% endif %}
{%- elif event.kind == "issue.deleted" %}{{ who() }} deleted {{ ticket() }}
{%- elif event.kind == "issue.snapshot" %}{{ ticket() }} is {{ issue.status.name | default("there") | bold }}
{%- elif event.kind == "comment.created" %}{{ who() }} commented on {{ ticket() }}
{%- elif event.kind == "comment.updated" %}{{ who() }} edited a comment on {{ ticket() }}
{%- elif event.kind == "comment.deleted" and not doer %}A comment on {{ ticket() }} was deleted
{%- elif event.kind == "comment.deleted" %}{{ who() }} deleted a comment on {{ ticket() }}
{%- elif event.kind == "worklog.created" %}{{ who() }} logged {{ worklog.seconds | duration | default("work", true) | bold }} on {{ ticket() }}
{%- elif event.kind == "worklog.updated" %}{{ who() }} changed logged work{% if worklog.seconds %} to {{ worklog.seconds | duration | bold }}{% endif %} on {{ ticket() }}
{%- elif event.kind == "worklog.deleted" %}{{ who() }} deleted {{ worklog.seconds | duration | default("logged work", true) }}{% if worklog.seconds %} of logged work{% endif %} on {{ ticket() }}
{%- elif event.kind == "attachment.created" %}{{ who() }} attached {{ attachment.name | default("a file") | bold }} to {{ ticket() }}
{%- elif event.kind == "attachment.deleted" and not doer %}{{ attachment.name | default("A file") | bold }} was removed from {{ ticket() }}
{%- elif event.kind == "attachment.deleted" %}{{ who() }} removed {{ attachment.name | default("a file") | bold }} from {{ ticket() }}
{%- elif event.kind is startingwith("link.") %}{% set how = link.outward | default(link.type) | default("relates to") | string | replace("jira_subtask_outward", "has the subtask") %}
{%- if doer %}{{ who() }} {{ "unlinked" if is_gone else "linked" }} {{ ticket() }}{% else %}{{ "A link" if is_gone else "A new link" }} of {{ ticket() }}{{ " was removed" if is_gone }}{% endif %}: {{ how }} {{ link.destination.key | default("another ticket") | bold }}
"#,
    // What has no ticket is told without "somebody".
    r#"
{%- elif event.kind == "sprint.started" %}{{ named(sprint, "Sprint") }} was started{{ by() }}
{%- if sprint.end_at %}, until {{ sprint.end_at | date("%e %B") | trim }}{% endif %}
{%- if sprint.goal %}
{{ sprint.goal | truncate(300) | quote }}
{%- endif %}
{%- elif event.kind is startingwith("sprint.") %}{{ named(sprint, "Sprint") }} was {{ event.kind | split(".") | last }}{{ by() }}
{%- if sprint.previous.name and sprint.previous.name != sprint.name %} (it was {{ sprint.previous.name }}){% endif %}
{%- elif event.kind is startingwith("board.") %}{{ named(board, "Board") }} was {{ event.kind | split(".") | last }}{{ by() }}
{%- elif event.kind == "version.released" %}{{ named(version, "Version") }}{% if project.name %} of {{ project.name }}{% endif %} was released{{ by() }}
{%- elif event.kind is startingwith("version.") %}{{ named(version, "Version") }} was {{ {"unreleased": "taken back from release", "moved": "moved in the order of versions", "merged": "merged into another"}[event.kind | split(".") | last] | default(event.kind | split(".") | last) }}{{ by() }}
{%- elif event.kind is startingwith("project.") %}{{ named(project, "Project") }}{% if project.key %} ({{ project.key }}){% endif %} was {{ {"trashed": "moved to the trash", "restored": "restored from the trash", "unarchived": "restored from the archive"}[event.kind | split(".") | last] | default(event.kind | split(".") | last) }}{{ by() }}
{%- elif event.kind is startingwith("user.") %}{{ named(user, "User") }} was {{ event.kind | split(".") | last }}{{ by() }}
{%- elif event.kind is startingwith("filter.") %}{{ named(filter, "Filter") }} was {{ event.kind | split(".") | last }}{{ by() }}
{%- elif event.kind is startingwith("issuetype.") %}{{ named(issuetype, "Issue type") }} was {{ event.kind | split(".") | last }}{{ by() }}
{%- elif event.kind is startingwith("property.") %}{{ who() }} {{ "deleted" if is_gone else "set" }} property {{ property.key | default("of a ticket") | bold }}{% if issue %} of {{ ticket() }}{% endif %}
{%- elif event.kind == "option.changed" %}Option {{ option.key | default("of Jira") | bold }} was changed{% if option.value is not none %} to {{ option.value }}{% endif %}{{ by() }}
{%- elif event.kind == "report.row" %}{{ ticket() }}{% if issue.status.name %} · {{ issue.status.name | bold }}{% endif %}{% if issue.assignee.name %} · {{ issue.assignee.name }}{% endif %}
{%- elif event.kind == "app.expression_failed" %}App {{ app.key | default("of Jira") | bold }}: an expression of Jira failed
{%- elif event.kind is startingwith("app.") %}{% if app.key %}App {{ app.key | bold }}{% else %}An app{% endif %} was blocked from data of Jira
{%- elif event.kind == "event.unrecognized" %}Jira sent {{ unrecognized.event | default("something") | bold }}, which is not known here
{%- else %}{{ who() }}: {{ event.kind }}
{%- endif %}
"#,
    // The change in lines, and what was said.
    r#"
{%- for item in lines[:8] %}{{ bullet(item) }}{% endfor %}
{%- if lines | length > 8 %}
• and {{ (lines | length) - 8 }} more
{%- endif %}
{%- for part in folded %}
{%- if part.comment.body and part.kind != "comment.deleted" %}
{{ part.comment.body | truncate(500) | quote }}
{%- elif part.worklog.body and part.kind != "worklog.deleted" %}
{{ part.worklog.body | truncate(500) | quote }}
{%- endif %}
{%- endfor %}"#,
);
