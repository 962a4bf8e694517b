//! Literals, links and cuts in each dialect.

use super::*;

#[test]
fn a_literal_is_escaped_where_it_must_be() {
    for (text, markdown, mrkdwn) in [
        ("a & b <c> \"d\"", r#"a & b \<c> "d""#, "a &amp; b &lt;c&gt; \"d\""),
        ("&lt;!channel&gt;", r"\&lt;!channel\&gt;", "&amp;lt;!channel&amp;gt;"),
        ("<!channel> look", r"\<!channel> look", "&lt;!channel&gt; look"),
        ("*bold* 2*3", r"\*bold\* 2\*3", "*\u{200b}bold* 2*3"),
        ("snake_case _x_", r"snake_case \_x\_", "snake_case _\u{200b}x_"),
        ("[x](javascript:y)", r"[x\](javascript:y)", "[x](javascript:y)"),
        ("# no heading", r"\# no heading", "# no heading"),
        ("1. no item", r"1\. no item", "1. no item"),
        ("- no item", r"\- no item", "- no item"),
        ("in - the - middle #1", "in - the - middle #1", "in - the - middle #1"),
        ("`x`", r"\`x\`", "`\u{200b}x`"),
        ("cc @here and @jane", "cc @here and @jane", "cc @\u{200b}here and @jane"),
        ("a\n---\nb", "a\n\\---\nb", "a\n---\nb"),
        ("a | b\n--- | ---", "a | b\n\\--- | ---", "a | b\n--- | ---"),
    ] {
        assert_eq!(Dialect::Markdown.escape(text), markdown, "{text}");
        assert_eq!(Dialect::SlackMrkdwn.escape(text), mrkdwn, "{text}");
        assert_eq!(Dialect::Plain.escape(text), text);
        assert_eq!(Dialect::Plain.convert(&Dialect::Markdown.escape(text)), text);
    }
}

#[test]
fn a_link_says_where_it_leads() {
    for (label, address, expected) in [
        ("DOCS-1", "https://a.example/browse/DOCS-1", "<https://a.example/browse/DOCS-1|DOCS-1>"),
        ("a|b>c", "https://a.example/x|y>z", "<https://a.example/x%7Cy%3Ez|a¦b&gt;c>"),
        ("", "https://a.example", "<https://a.example>"),
        ("https://b.example", "https://a.example", "https://b.example (<https://a.example>)"),
        ("DOCS-1", "javascript:x", "DOCS-1"),
        ("two\nlines", "https://a.example", "<https://a.example|two lines>"),
    ] {
        assert_eq!(Dialect::SlackMrkdwn.link(label, address), expected, "{label} {address}");
    }
    assert_eq!(Dialect::Markdown.link("a]b", "https://a.example/(x)"), r"[a\]b](https://a.example/%28x%29)");
    assert_eq!(Dialect::Plain.link("a", "https://a.example"), "a (https://a.example)");
}

#[test]
fn a_cut_leaves_whole_tokens() {
    for (dialect, text, characters, expected) in [
        (Dialect::Plain, "abcdef", 4, "abc…"),
        (Dialect::Plain, "abcd", 4, "abcd"),
        (Dialect::Plain, "éàü!", 3, "éà…"),
        (Dialect::SlackMrkdwn, "ab &amp; cd", 7, "ab…"),
        (Dialect::SlackMrkdwn, "ab &amp; cd", 10, "ab &amp;…"),
        (Dialect::SlackMrkdwn, "a <https://a.example|b> c", 12, "a…"),
        (Dialect::SlackMrkdwn, "```\nlong code here\n```", 16, "```\nlong co…\n```"),
        (Dialect::Markdown, "a [b](https://a.example) c", 12, "a…"),
        (Dialect::Markdown, r"abc\*d", 5, "abc…"),
        (Dialect::Plain, "abc", 0, ""),
    ] {
        assert_eq!(dialect.truncate(text, characters), expected, "{text}");
    }
}
