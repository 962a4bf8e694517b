//! Both readers through all dialects, with what hostile tickets hold.

mod corpus;
mod properties;

use super::*;

fn wiki(text: &str, dialect: Dialect) -> String {
    dialect.write(&read(Markup::Wiki(text)))
}

/// What a sink for people shows of an event's body: through our own Markdown.
fn through_markdown(markup: Markup<'_>, dialect: Dialect) -> String {
    dialect.convert(&to_markdown(markup))
}

/// Everything in a text that Slack would act upon, except plain links.
fn live(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let token = &rest[start + 1..];
        let is_link = ["http://", "https://", "mailto:"]
            .iter()
            .any(|scheme| token.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
        let Some(end) = token.find('>').filter(|_| is_link) else { return Some(&rest[start..]) };
        let (address, label) = token[..end].split_once('|').unwrap_or((&token[..end], ""));
        if address.contains(|c: char| c.is_whitespace() || c == '<') || label.contains(['<', '|']) {
            return Some(&rest[start..]);
        }
        rest = &token[end + 1..];
    }
    None
}

#[test]
fn wiki_markup_in_every_dialect() {
    for (text, plain, markdown, mrkdwn) in [
        ("h2. Why\n\n*bold* and {{code}}", "Why\n\nbold and code", "## Why\n\n**bold** and `code`", "*Why*\n\n*bold* and `code`"),
        ("_i_ -s- +u+ ??c?? x", "i s u c x", "*i* ~~s~~ u *c* x", "_i_ ~s~ u _c_ x"),
        ("snake_case_name a-b-c 2*3*4", "snake_case_name a-b-c 2*3*4", r"snake_case_name a-b-c 2\*3\*4", "snake_case_name a-b-c 2*3*4"),
        ("*a _b_ c*", "a b c", "**a *b* c**", "*a _b_ c*"),
        ("* a\n** b\n# c", "- a\n  - b\n\n1. c", "- a\n    - b\n\n1. c", "• a\n    • b\n\n1. c"),
        ("||A||B||\n|1|2 \\| 3|", "A | B\n1 | 2 | 3", "| A | B |\n| --- | --- |\n| 1 | 2 \\| 3 |", "```\nA | B\n--|------\n1 | 2 | 3\n```"),
        ("[docs|https://a.example/x]", "docs (https://a.example/x)", "[docs](https://a.example/x)", "<https://a.example/x|docs>"),
        ("see https://a.example/x.", "see https://a.example/x.", "see https://a.example/x.", "see <https://a.example/x>."),
        ("[https://a.example/?b=1&c=2]", "https://a.example/?b=1&c=2", "https://a.example/?b=1&c=2", "<https://a.example/?b=1&amp;c=2>"),
        ("[x|javascript:alert(1)]", "[x|javascript:alert(1)]", "[x|javascript:alert(1)]", "[x|javascript:alert(1)]"),
        ("[~accountid:557058:1a2b] [~jane]", "@557058:1a2b @jane", "@557058:1a2b @jane", "@557058:1a2b @jane"),
        (
            "!shot.png|thumbnail! [^a.txt]",
            "[attachment: shot.png] [attachment: a.txt]",
            "[attachment: shot.png] [attachment: a.txt]",
            "[attachment: shot.png] [attachment: a.txt]",
        ),
        ("{code:java}\nint a = 1 < 2;\n{code}", "int a = 1 < 2;", "```java\nint a = 1 < 2;\n```", "```\nint a = 1 &lt; 2;\n```"),
        ("x {noformat}a*b{noformat} y", "x a*b y", "x `a*b` y", "x `a*b` y"),
        ("{quote}\na\n\nb\n{quote}\nbq. c", "> a\n>\n> b\n\n> c", "> a\n>\n> b\n\n> c", "> a\n>\n> b\n\n> c"),
        ("{panel:title=T}x{panel}", "T: x", "> **T**\n>\n> x", "> *T*\n>\n> x"),
        ("{color:red}r{color} \\*x\\*", "r *x*", r"r \*x\*", "r *\u{200b}x*"),
        ("a\\\\ b -- c (/)", "a\nb – c ✅", "a\nb – c ✅", "a\nb – c ✅"),
        ("one\r\ntwo", "one\ntwo", "one\ntwo", "one\ntwo"),
        ("C:\\temp \\\\server\\share", "C:\\temp \\\\server\\share", "C:\\temp \\\\\\server\\share", "C:\\temp \\\\server\\share"),
        ("[*ERROR*] disk", "[ERROR] disk", "[**ERROR**] disk", "[*ERROR*] disk"),
        ("* x\n{code}\ny\n{code}", "- x\n\ny", "- x\n\n```\ny\n```", "• x\n\n```\ny\n```"),
    ] {
        assert_eq!(wiki(text, Dialect::Plain), plain, "plain: {text}");
        assert_eq!(to_markdown(Markup::Wiki(text)), markdown, "Markdown: {text}");
        assert_eq!(wiki(text, Dialect::SlackMrkdwn), mrkdwn, "mrkdwn: {text}");
        assert_eq!(through_markdown(Markup::Wiki(text), Dialect::SlackMrkdwn), mrkdwn, "mrkdwn from Markdown: {text}");
    }
}

const RICH: &str = r#"{"type":"doc","version":1,"content":[
        {"type":"heading","attrs":{"level":3},"content":[{"type":"text","text":"Plan"}]},
        {"type":"paragraph","content":[
            {"type":"text","text":"see "},{"type":"text","text":"bold ","marks":[{"type":"strong"}]},{"type":"text","text":"docs","marks":[{"type":"strong"},{"type":"link","attrs":{"href":"https://a.example"}}]},
            {"type":"hardBreak"},{"type":"mention","attrs":{"id":"1","text":"@Jane"}},{"type":"text","text":" "},{"type":"emoji","attrs":{"shortName":":smile:","text":"😄"}},
            {"type":"text","text":" "},{"type":"date","attrs":{"timestamp":"1765411200000"}},{"type":"text","text":" "},{"type":"status","attrs":{"text":"Done","color":"green"}}]},
        {"type":"taskList","content":[{"type":"taskItem","attrs":{"state":"DONE"},"content":[{"type":"text","text":"one"}]},{"type":"taskItem","attrs":{"state":"TODO"},"content":[{"type":"text","text":"two"}]}]},
        {"type":"orderedList","attrs":{"order":3},"content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"three"}]},{"type":"codeBlock","attrs":{"language":"rust"},"content":[{"type":"text","text":"let a = 1;"}]}]}]},
        {"type":"panel","attrs":{"panelType":"warning"},"content":[{"type":"paragraph","content":[{"type":"text","text":"hot"}]}]},
        {"type":"expand","attrs":{"title":"More"},"content":[{"type":"paragraph","content":[{"type":"text","text":"inside"}]}]},
        {"type":"mediaSingle","content":[{"type":"media","attrs":{"type":"file","id":"7","alt":"a.png"}}]},
        {"type":"blockCard","attrs":{"url":"https://b.example/c"}},
        {"type":"strange","content":[{"type":"paragraph","content":[{"type":"odd","attrs":{"text":"shown"}}]}]},
        {"type":"rule"},
        {"type":"table","content":[{"type":"tableRow","content":[{"type":"tableHeader","content":[{"type":"paragraph","content":[{"type":"text","text":"K"}]}]},{"type":"tableHeader","content":[]}]},
            {"type":"tableRow","content":[{"type":"tableCell","content":[{"type":"paragraph","content":[{"type":"text","text":"v"}]}]},{"type":"tableCell","content":[{"type":"paragraph","content":[{"type":"text","text":"w"}]}]}]}]}]}"#;

#[test]
fn a_document_in_every_dialect() {
    let document = read(Markup::Document(RICH));
    insta::assert_snapshot!(Dialect::Plain.write(&document), @r"
    Plan

    see bold docs (https://a.example)
    @Jane 😄 2025-12-11 [Done]

    [x] one
    [ ] two

    3. three
      let a = 1;

    Warning: hot

    More

    inside

    [attachment: a.png]

    https://b.example/c

    shown

    ---

    K | 
    v | w
    ");
    insta::assert_snapshot!(Dialect::Markdown.write(&document), @r"
    ### Plan

    see **bold [docs](https://a.example)**
    @Jane 😄 2025-12-11 **Done**

    - [x] one
    - [ ] two

    3. three

        ```rust
        let a = 1;
        ```

    > hot

    **More**

    inside

    [attachment: a.png]

    https://b.example/c

    shown

    ---

    | K |  |
    | --- | --- |
    | v | w |
    ");
    insta::assert_snapshot!(Dialect::SlackMrkdwn.write(&document), @r"
    *Plan*

    see *bold <https://a.example|docs>*
    @Jane 😄 2025-12-11 `Done`

    ☑ one
    ☐ two

    3. three
        ```
        let a = 1;
        ```

    > hot

    *More*

    inside

    [attachment: a.png]

    <https://b.example/c>

    shown

    ---

    ```
    K |
    --|--
    v | w
    ```
    ");
    // A status is strong text in Markdown; all else survives the way through it.
    let direct = Dialect::SlackMrkdwn.write(&document).replace("`Done`", "*Done*");
    assert_eq!(through_markdown(Markup::Document(RICH), Dialect::SlackMrkdwn), direct);
}

#[test]
fn what_is_no_document_is_shown_as_text() {
    let deep = format!("{}{{\"text\":\"deep down\"}}{}", r#"{"content":["#.repeat(5000), "]}".repeat(5000));
    for (json, expected) in [
        ("not json", "not json"),
        ("", ""),
        ("null", ""),
        ("{}", ""),
        ("\"a string\"", "a string"),
        (r#"{"type":"doc","content":[{"type":"text","text":"cut"#, r#"{"type":"doc","content":\[{"type":"text","text":"cut"#),
        (r#"[{"type":"text","text":"a"}]"#, "a"),
        (r#"{"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"half"}]}"#, "half"),
        (&deep, "deep down"),
    ] {
        let written = to_markdown(Markup::Document(json));
        assert_eq!(written.replace("\\[", "["), expected.replace("\\[", "["), "{}", &json[..json.len().min(80)]);
    }
}

#[test]
fn plain_text_comes_out_byte_for_byte() {
    for text in [
        "body-marker-123 disk login cache",
        "body-marker-first, edited",
        "It fails (see below) at 10:30 - always!\n\nWhy? 1.5 > 1, a & b, f(x) = [y], 50% @ home; #3 is \"fine\".",
        "snake_case, a - b, x < y, C:\\temp, {braces}, a | b",
    ] {
        assert_eq!(to_markdown(Markup::Wiki(text)), text);
        assert_eq!(through_markdown(Markup::Wiki(text), Dialect::Plain), text);
    }
}

#[test]
fn hostile_text_stays_text() {
    let places = [
        "<!channel>",
        "hello <@U123>",
        "<#C1|general>",
        "<!subteam^S1|@team>",
        "<http://evil.invalid|https://bank.example>",
        "&lt;!channel&gt;",
        "[<!channel>|http://a.invalid]",
        "[a|http://b.invalid/><!channel>]",
        "http://b.invalid/><!channel>",
        "[https://bank.example|http://evil.invalid]",
        "{code}<!channel>{code}",
        "{code}\n``` <!everyone>\n```\n{code}",
        "{noformat}<!here>{noformat}",
        "{{<@U1>}}",
        "!<!channel>!",
        "!<!channel>.png!",
        "h1. <!everyone>",
        "bq. <!here>",
        "* <!here>",
        "|<!here>|`|",
        "{panel:title=<!here>}x{panel}",
        "[~accountid:U1><!here>]",
        "[^<!here>]",
        "[#<!here>]",
        "*<!here>*",
        "```<!channel>```",
        "`<@U1>` > quote",
        "[x|http://a.invalid|<!here>]",
        "[|http://a.invalid]",
        "[a\\|b|http://a.invalid/|]",
        "[*<!here>*|mailto:a@b.invalid]",
        "{adf}{\"type\":\"text\",\"text\":\"<!here>\"}{adf}",
        "](http://evil.invalid)",
        "[a](http://evil.invalid)",
        "![a](http://evil.invalid)",
        "<img src=x>",
        "[a]: http://evil.invalid",
    ];
    for text in places {
        for mrkdwn in [
            wiki(text, Dialect::SlackMrkdwn),
            through_markdown(Markup::Wiki(text), Dialect::SlackMrkdwn),
            Dialect::SlackMrkdwn.escape(text),
        ] {
            assert_eq!(live(&mrkdwn), None, "{text} became {mrkdwn}");
        }
    }
    let forged = "[https://bank.example|http://evil.invalid]";
    assert_eq!(wiki(forged, Dialect::SlackMrkdwn), "https://bank.example (<http://evil.invalid>)");
    assert_eq!(to_markdown(Markup::Wiki(forged)), "https://bank.example (http://evil.invalid)");
    for literal in ["[a](http://evil.invalid)", "![a](http://evil.invalid)", "[a]: http://evil.invalid", "<img src=x>"] {
        let markdown = to_markdown(Markup::Wiki(literal));
        assert_eq!(Dialect::Plain.convert(&markdown), literal, "{markdown}");
    }
}

#[test]
fn a_document_can_ping_nobody() {
    let json = r#"{"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"<!channel> & <@U123>"},
        {"type":"text","text":"<!here>","marks":[{"type":"link","attrs":{"href":"http://c.invalid/><!channel>"}}]},{"type":"mention","attrs":{"id":"U123","text":"@<!channel>"}}]},
        {"type":"codeBlock","content":[{"type":"text","text":"``` <!everyone>"}]}]}"#;
    let mrkdwn = through_markdown(Markup::Document(json), Dialect::SlackMrkdwn);
    assert_eq!(live(&mrkdwn), None, "{mrkdwn}");
    insta::assert_snapshot!(mrkdwn.replace('\u{200b}', "·"), @r"
    &lt;!channel&gt; &amp; &lt;@U123&gt;<http://c.invalid/%3E%3C!channel%3E|&lt;!here&gt;>@&lt;!channel&gt;

    ```
    `·`·` &lt;!everyone&gt;
    ```
    ");
}

#[test]
fn a_hundred_thousand_brackets_do_not_stall() {
    let openers = [
        "[",
        "{",
        "{{",
        "*",
        "(",
        "!a",
        "> ",
        "_a ",
        "{code}",
        "{quote}",
        "{panel:a}",
        "|",
        "[a|",
        "http://",
        "mailto:",
        "~x ",
        "\\",
        "`",
        "* ",
        "{color:",
        " -- ",
        "{noformat}{code}",
        "!a.b|c ",
        "<",
        "&",
    ];
    for opener in openers {
        let text = opener.repeat(100_000 / opener.len());
        let start = tokio::time::Instant::now();
        let markdown = to_markdown(Markup::Wiki(&text));
        let mrkdwn = Dialect::SlackMrkdwn.convert(&markdown);
        assert!(markdown.len() <= MAX_BYTES && mrkdwn.len() <= MAX_BYTES, "{opener}");
        assert_eq!(live(&mrkdwn), None, "{opener}");
        // Work that grows with the square would take minutes, whatever the machine.
        assert!(start.elapsed().as_secs() < 10, "{opener}: {:?}", start.elapsed());
    }
}

#[test]
fn what_is_too_long_ends_with_an_ellipsis() {
    let text = "*a* ".repeat(200_000);
    for dialect in [Dialect::Plain, Dialect::Markdown, Dialect::SlackMrkdwn] {
        let written = wiki(&text, dialect);
        assert!(written.len() <= MAX_BYTES);
        assert!(written.ends_with('…'), "{dialect:?}");
    }
}
