//! The signatures that are published, and what must not pass for one.

use std::time::Duration;

use crate::stage::{Stage, until};

const SECRETS: [&str; 2] = ["It's a Secret to Everybody", "schlüssel-🔑"];
const VECTORS: [(&str, &str); 3] = [
    ("Hello World!", "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
    ("", "66a0c074deaa0f489ead6537e0d32f9a344b90bbeda705b6ed45ecd3b413fb40"),
    ("{\"summary\":\"Größe – 日本\"}", "4a2c558862d6d1cb7869156d1ea22a4b91c8d89426832a47b049068932153e51"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_signatures_pass_and_near_ones_do_not() {
    let stage = Stage::new();
    stage.configure(&format!(
        "[connection.acme]\nurl = \"https://acme.example\"\nwebhook = {{ secrets = [\"{}\", \"{}\"] }}\n{}",
        SECRETS[0],
        SECRETS[1],
        super::DATA_SINKS
    ));
    let _service = stage.serve().await;
    let post = async |body: &str, header: &str, value: String| {
        stage.try_post("/hooks/acme", body.as_bytes(), &[(header, &value)]).await.expect("an answer")
    };
    let mut ids = Vec::new();
    for (body, digest) in VECTORS {
        let near = [
            ("X-Hub-Signature", format!("sha1={digest}")),
            ("X-Hub-Signature", format!("sha256={}", &digest[2..])),
            ("X-Hub-Signature", format!("sha256={digest}00")),
            ("X-Hub-Signature", format!("sha256={}{}", &digest[..63], if digest.ends_with('0') { '1' } else { '0' })),
            ("X-Hub-Signature", digest.to_owned()),
            ("X-Hub-Signature-256", format!("sha256={digest}")),
        ];
        for (header, value) in near {
            assert_eq!(post(body, header, value.clone()).await.status, 401, "{body:?}: {header}: {value}");
        }
        assert_eq!(post(&format!("{body} "), "X-Hub-Signature", format!("sha256={digest}")).await.status, 401, "another body");
        let answer = post(body, "X-Hub-Signature", format!("sha256={digest}")).await;
        assert_eq!((answer.status, answer.ids.len()), (200, 1), "{body:?}");
        ids.extend(answer.ids);
    }
    until("the vectors are in the file", Duration::from_secs(20), async || (stage.lines(super::EVENTS).len() >= 3).then_some(())).await;
    let mut stored = stage.ids(super::EVENTS);
    stored.sort();
    ids.sort();
    assert_eq!(stored, ids);
    eprintln!("vectors: 3 published ones taken, 21 near ones refused");
}
