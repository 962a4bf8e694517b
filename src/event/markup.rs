//! Rich text as Jira writes it. The rooms that read it and the room that renders it meet here.

/// Text of a description, a comment or a worklog.
#[derive(Debug, Clone, Copy)]
pub enum Markup<'a> {
    /// Wiki markup or plain text: webhooks, REST v2, Data Center.
    Wiki(&'a str),
    /// An Atlassian document as JSON text: REST v3.
    Document(&'a str),
}

/// Turns it into Markdown, total and bounded. Handed to who normalizes, because `jira` may not import `render`.
pub type ToMarkdown = fn(Markup<'_>) -> String;
