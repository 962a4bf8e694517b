//! Whether Slack would make anything of a text but what it says: a mention, or a link that leads elsewhere than it shows.

use ticketwire::render::link::Url;

/// The first thing in it that is alive.
pub fn live(mrkdwn: &str) -> Option<&str> {
    let mut rest = mrkdwn;
    while let Some(start) = rest.find('<') {
        let token = &rest[start + 1..];
        let is_honest = token.find('>').filter(|end| {
            let (address, label) = token[..*end].split_once('|').unwrap_or((&token[..*end], ""));
            // Marks of our own are no part of what a reader sees.
            let bare: String = read(label).chars().filter(|c| !"*_~`\u{200b}".contains(*c)).collect();
            let leads = Url::parse(&read(address)).filter(|_| !address.contains(char::is_whitespace) && !token[..*end].contains('<'));
            leads.is_some_and(|url| !(label.contains('|') || url.is_disguised_as(&bare) && url.is_disguised_as(&read(label))))
        });
        let Some(end) = is_honest else { return Some(&rest[start..]) };
        rest = &token[end + 1..];
    }
    None
}

fn read(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[test]
fn what_is_alive_is_seen() {
    for text in [
        "a <!channel>",
        "<@U1>",
        "<#C1|x>",
        "<https://a.invalid",
        "<javascript:a>",
        "<https://a.invalid|https://b.invalid>",
        "<https://a.invalid|a|b>",
    ] {
        assert!(live(text).is_some(), "{text}");
    }
    for text in
        ["", "&lt;!channel&gt;", "@here", "<https://a.invalid>", "<https://a.invalid/?a=1&amp;b|docs> <mailto:a@b.invalid|a@b.invalid>"]
    {
        assert_eq!(live(text), None, "{text}");
    }
}
