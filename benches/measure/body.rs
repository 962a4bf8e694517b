//! Bodies of `jira:issue_updated` as Cloud sends them: 8,192 bytes, each another event, signed.
//!
//! Four people with pictures, a description of a good kilobyte in words or in wiki markup, forty custom fields of which most are `null`, and a long text field that fills
//! the rest.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ticketwire::receive::{Proof, Source, Verifier};
use ticketwire::setting::Secret;

pub const LENGTH: usize = 8_192;
pub const CONNECTION: &str = "bench";
pub const SITE: &str = "https://bench.atlassian.example";
pub const SECRET: &str = "a secret of the bench";
/// Issues that the events are spread over, and so lanes.
pub const ISSUES: u64 = 1_000;

const DESCRIPTION: &str = r"h2. What happens\r\n\r\nThe nightly export of *orders* stops after about {{20 000}} rows and leaves a file that _looks_ complete. Nobody notices until the numbers are compared.\r\n\r\nh2. Steps\r\n\r\n# Open [the export page|https://shop.example/admin/export] and choose *Last month*\r\n# Wait until the bar is full\r\n# Compare the number of rows with the report\r\n\r\n{code:sql}\nSELECT count(*) FROM orders WHERE placed_at >= '2025-11-01';\n{code}\r\n\r\n||Month||Rows expected||Rows found||\r\n|September|18 211|18 211|\r\n|October|24 873|20 000|\r\n|November|31 002|20 000|\r\n\r\n* The log shows no error\r\n* A second run gives the same file\r\n\r\n{quote}We have sent the short file to the auditors twice.{quote}";

const WORDS: &str = "The export stops early and nobody notices until the numbers are compared. ";

/// What the description is written in: markup is read and written anew, words are only looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Description {
    Words,
    Markup,
}

/// The body of the event with this number. Events of one issue are `ISSUES` apart.
pub fn body(number: u64, description: Description) -> Vec<u8> {
    let description = if description == Description::Markup { DESCRIPTION } else { &WORDS.repeat(15) };
    let issue = 10_000 + number % ISSUES;
    let at = 1_765_440_000_000 + number;
    let (minutes, ms) = (number / 60_000 % 60, number % 60_000);
    let updated = format!("2025-12-11T09:{minutes:02}:{:02}.{:03}+0100", ms / 1_000, ms % 1_000);
    let [jane, omar, li, ada] = ["Jane Doe", "Omar Example", "Li Sample", "Ada Fictional"].map(person);
    let mut custom = String::new();
    for field in 0..40 {
        let value = match field {
            0 => "3.0".to_owned(),
            1 => format!("\"0|i{number:05}:\""),
            2 => "[{\"id\":7,\"name\":\"Sprint 3\",\"state\":\"active\",\"boardId\":2,\"goal\":\"\"}]".to_owned(),
            3 => format!("{{\"self\":\"{SITE}/rest/api/2/customFieldOption/10101\",\"value\":\"Shop\",\"id\":\"10101\"}}"),
            4 => "\"{pullrequest={dataType=pullrequest, state=OPEN, stateCount=1}}\"".to_owned(),
            5 => format!("[{}]", person("Eve Invented")),
            _ => "null".to_owned(),
        };
        // Writing to text cannot fail.
        let _ = write!(custom, "\"customfield_{}\":{value},", 10_016 + field);
    }
    let head = format!(
        "{{\"timestamp\":{at},\"webhookEvent\":\"jira:issue_updated\",\"issue_event_type_name\":\"issue_generic\",\"user\":{jane},\
         \"issue\":{{\"id\":\"{issue}\",\"self\":\"{SITE}/rest/api/2/issue/{issue}\",\"key\":\"BENCH-{issue}\",\"fields\":{{\
         \"statuscategorychangedate\":\"{updated}\",\"fixVersions\":[],\"resolution\":null,\"lastViewed\":null,\
         \"priority\":{{\"self\":\"{SITE}/rest/api/2/priority/2\",\"iconUrl\":\"{SITE}/images/icons/high.svg\",\"name\":\"High\",\"id\":\"2\"}},\
         \"labels\":[\"export\",\"orders\"],\"timeestimate\":null,\"versions\":[],\"issuelinks\":[],\"assignee\":{omar},\
         \"status\":{{\"self\":\"{SITE}/rest/api/2/status/3\",\"description\":\"\",\"name\":\"In Progress\",\"id\":\"3\",\
         \"statusCategory\":{{\"id\":4,\"key\":\"indeterminate\",\"colorName\":\"yellow\",\"name\":\"In Progress\"}}}},\
         \"components\":[{{\"self\":\"{SITE}/rest/api/2/component/10200\",\"id\":\"10200\",\"name\":\"Export\"}}],\
         \"creator\":{li},\"subtasks\":[],\"reporter\":{ada},\"aggregateprogress\":{{\"progress\":0,\"total\":0}},\
         \"issuetype\":{{\"self\":\"{SITE}/rest/api/2/issuetype/10001\",\"id\":\"10001\",\"description\":\"\",\"name\":\"Bug\",\"subtask\":false,\"hierarchyLevel\":0}},\
         \"project\":{{\"self\":\"{SITE}/rest/api/2/project/10000\",\"id\":\"10000\",\"key\":\"BENCH\",\"name\":\"Bench\",\"projectTypeKey\":\"software\",\"simplified\":false}},\
         \"watches\":{{\"watchCount\":3,\"isWatching\":true}},\"created\":\"2025-12-10T09:00:00.000+0100\",\"updated\":\"{updated}\",\
         \"description\":\"{description}\",\"security\":null,\"summary\":\"The export of orders stops after 20 000 rows\",\"duedate\":\"2025-12-24\",\
         {custom}\"customfield_10090\":\""
    );
    let tail = format!(
        "\"}}}},\"changelog\":{{\"id\":\"{}\",\"items\":[{{\"field\":\"status\",\"fieldtype\":\"jira\",\"fieldId\":\"status\",\
         \"from\":\"10000\",\"fromString\":\"To Do\",\"to\":\"3\",\"toString\":\"In Progress\"}},{{\"field\":\"assignee\",\"fieldtype\":\"jira\",\
         \"fieldId\":\"assignee\",\"from\":null,\"fromString\":null,\"to\":\"557058:12\",\"toString\":\"Omar Example\"}}]}},\"matchedWebhookIds\":[3]}}",
        500_000 + number
    );
    let filler = "Acceptance: the file has as many rows as the report. ".bytes().cycle();
    let mut text = head.into_bytes();
    let missing = LENGTH.checked_sub(text.len() + tail.len()).expect("the members are shorter than the body");
    text.extend(filler.take(missing));
    text.extend_from_slice(tail.as_bytes());
    text
}

fn person(name: &str) -> String {
    let id = format!("557058:{}", name.len());
    let mut pictures = String::new();
    for size in ["48x48", "24x24", "16x16", "32x32"] {
        let comma = if pictures.is_empty() { "" } else { "," };
        let _ = write!(pictures, "{comma}\"{size}\":\"https://avatar.example/{}/{size}.png\"", name.len());
    }
    format!(
        "{{\"self\":\"{SITE}/rest/api/2/user?accountId={id}\",\"accountId\":\"{id}\",\"avatarUrls\":{{{pictures}}},\
         \"displayName\":\"{name}\",\"active\":true,\"timeZone\":\"Europe/Berlin\",\"accountType\":\"atlassian\"}}"
    )
}

/// A request of HTTP/1.1 as it goes over the wire.
pub fn request(number: u64, description: Description) -> Vec<u8> {
    let body = body(number, description);
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(&body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut request = format!(
        "POST /hooks/{CONNECTION} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {LENGTH}\r\n\
         X-Hub-Signature: sha256={signature}\r\nX-Atlassian-Webhook-Identifier: bench-{number}\r\nX-Atlassian-Webhook-Flow: Primary\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(&body);
    request
}

/// The connection that these requests are for.
pub fn source() -> anyhow::Result<Source> {
    let proof = Proof { secrets: vec![Secret::new(SECRET)], token: None, basic: None };
    let connection = CONNECTION.parse().map_err(anyhow::Error::msg)?;
    let base_url = SITE.parse().map_err(anyhow::Error::msg)?;
    Ok(Source { connection, base_url, verifier: Verifier::new(&proof) })
}
