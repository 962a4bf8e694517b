//! What must hold for any text at all.

use proptest::prelude::*;

use super::{live, through_markdown, wiki};
use crate::event::Markup;
use crate::render::{Dialect, Template, read, to_markdown};

/// Texts with much markup in them, whole and broken.
fn markup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<!channel>",
        "<",
        ">",
        "&",
        "|",
        "[",
        "]",
        "http://a.invalid",
        "https://b.invalid/x",
        "mailto:a@b.invalid",
        "*",
        "_",
        "-",
        "`",
        "```",
        "{code}",
        "{{",
        "}}",
        "{noformat}",
        "{quote}",
        "{panel:title=x}",
        "{panel}",
        "{color:red}",
        "\n",
        "\n\n",
        " ",
        "word",
        "h1. ",
        "* ",
        "# ",
        "||",
        "!",
        "!a.png!",
        "\\",
        "[~x]",
        "(",
        ")",
        "~",
        "é",
        "1. ",
        "    ",
        "\t",
        "----",
        "@here",
        "<http://a.invalid|",
        "](",
    ]);
    prop::collection::vec(prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => ".{0,6}"], 0..40).prop_map(|pieces| pieces.concat())
}

fn node() -> impl Strategy<Value = serde_json::Value> {
    let kinds = || {
        prop::sample::select(vec![
            "paragraph",
            "heading",
            "bulletList",
            "orderedList",
            "listItem",
            "taskList",
            "taskItem",
            "panel",
            "table",
            "tableRow",
            "tableCell",
            "blockquote",
            "codeBlock",
            "expand",
            "odd",
            "mediaSingle",
            "doc",
        ])
    };
    let marks = prop::sample::select(vec!["strong", "em", "strike", "code", "link", "underline"]);
    let leaf = (markup(), marks, markup()).prop_map(|(text, mark, href)| serde_json::json!({"type": "text", "text": text, "marks": [{"type": mark, "attrs": {"href": format!("http://{href}")}}]}));
    let other = (prop::sample::select(vec!["mention", "emoji", "status", "inlineCard", "media", "date", "hardBreak"]), markup())
        .prop_map(|(kind, text)| serde_json::json!({"type": kind, "attrs": {"text": text, "url": text, "alt": text, "timestamp": text}}));
    prop_oneof![leaf, other].prop_recursive(6, 40, 4, move |inner| {
        (kinds(), prop::collection::vec(inner, 0..4), markup()).prop_map(|(kind, content, title)| serde_json::json!({"type": kind, "attrs": {"title": title, "level": 2, "language": title}, "content": content}))
    })
}

/// Templates that do all that an author may do with a value.
fn template() -> impl Strategy<Value = String> {
    let value =
        prop::sample::select(vec!["issue.summary", "issue.body", "issue.labels[0]", "issue.none", "'a'", "issue.labels | join('|')"]);
    let filter = prop::sample::select(vec![
        "upper",
        "lower",
        "title",
        "capitalize",
        "trim",
        "reverse",
        "truncate(9)",
        "link(issue.url)",
        "link('https://a.invalid')",
        "default('x')",
        "string",
        "replace('a', '<')",
        "replace('&', '>')",
        "first",
        "last",
        "join",
        "list",
        "split('|')",
        "lines",
        "urlencode",
        "length",
        "unique",
        "sort",
    ]);
    let chain = (value, prop::collection::vec(filter, 0..4))
        .prop_map(|(value, filters)| std::iter::once(value).chain(filters).collect::<Vec<_>>().join(" | "));
    (chain.clone(), chain, 0..8).prop_map(|(one, two, form)| match form {
        6 => format!("{{{{ ({one})[1:] }}}}{{{{ ({two})[:9] }}}}"),
        7 => format!("{{% for c in {one} %}}{{{{ c }}}}{{% endfor %}}"),
        0 => format!("{{{{ {one} }}}}"),
        1 => format!("{{{{ ({one}) ~ ({two}) }}}}"),
        2 => format!("{{% set x %}}{{{{ {one} }}}}{{% endset %}}{{{{ x ~ ({two}) }}}}"),
        3 => format!("{{% set x = {one} %}}{{{{ [x, {two}] | join(', ') }}}}"),
        4 => format!("{{% macro m(a) %}}{{{{ a }}}}{{% endmacro %}}{{{{ m({one}) }}}}{{{{ [{two}] }}}}"),
        _ => format!("{{% filter upper %}}{{{{ {one} }}}}{{% endfilter %}}{{{{ {{'k': {two}}} }}}}"),
    })
}

proptest! {
    #[test]
    fn no_wiki_text_is_live(text in markup()) {
        for mrkdwn in [wiki(&text, Dialect::SlackMrkdwn), through_markdown(Markup::Wiki(&text), Dialect::SlackMrkdwn), Dialect::SlackMrkdwn.escape(&text)] {
            prop_assert_eq!(live(&mrkdwn), None, "{}", &mrkdwn);
        }
    }

    #[test]
    fn no_document_is_live(node in node()) {
        let json = node.to_string();
        let direct = Dialect::SlackMrkdwn.write(&read(Markup::Document(&json)));
        prop_assert_eq!(live(&direct), None, "{}", &direct);
        let mrkdwn = through_markdown(Markup::Document(&json), Dialect::SlackMrkdwn);
        prop_assert_eq!(live(&mrkdwn), None, "{}", &mrkdwn);
    }

    #[test]
    fn no_cut_makes_anything_live(text in markup(), characters in 0_usize..60) {
        let whole = wiki(&text, Dialect::SlackMrkdwn);
        let cut = Dialect::SlackMrkdwn.truncate(&whole, characters);
        prop_assert_eq!(live(&cut), None, "{}", &cut);
        prop_assert!(cut.chars().count() <= characters);
        let without_entities = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        prop_assert!(!without_entities.contains('&'), "{}", &cut);
    }

    #[test]
    fn plain_words_stay_as_they_are(words in "([a-z0-9é,;'\"/%@]{1,9} ?){0,12}[a-z0-9]") {
        prop_assert_eq!(to_markdown(Markup::Wiki(&words)), words.clone());
        prop_assert_eq!(through_markdown(Markup::Wiki(&words), Dialect::Plain), words);
    }

    /// Escaping for Markdown loses and adds nothing.
    #[test]
    fn an_escaped_literal_shows_itself(text in "[a-z0-9 *_`~<>&|#+=()!\\[\\]\\\\.:{}-]{0,40}") {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(Dialect::Plain.convert(&Dialect::Markdown.escape(&text)), text);
    }

    #[test]
    fn no_value_in_a_template_is_live(text in markup(), source in template()) {
        let context = serde_json::json!({"issue": {"summary": text, "url": text, "body": to_markdown(Markup::Wiki(&text)), "labels": [text, text], "none": null}});
        let Ok(template) = Template::compile(&source, Dialect::SlackMrkdwn, &|path| path.first() == Some(&"issue")) else { return Ok(()) };
        if let Ok(mrkdwn) = template.render(&context) {
            prop_assert_eq!(live(&mrkdwn), None, "{} by {}", &mrkdwn, &source);
        }
    }

    #[test]
    fn no_template_panics(source in "[{}%#| a-z.\\[\\]()\"'=,\\né-]{0,60}") {
        if let Ok(template) = Template::compile(&source, Dialect::SlackMrkdwn, &|_| true) {
            let _rendered = template.render(&serde_json::json!({}));
        }
    }
}
