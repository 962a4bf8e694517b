//! The receiver's own TLS, its addresses, and user name and password as a proof.

use std::time::Duration;

use reqwest::tls::TlsInfo;

use crate::stage::{SECRET, Stage, Story, signature, until};

const SOON: Duration = Duration::from_secs(20);

fn connection(webhook: &str) -> String {
    format!("[connection.acme]\nurl = \"https://acme.example\"\nflavour = \"cloud\"\nwebhook = {{ {webhook} }}\n")
}

fn signed() -> String {
    connection(&format!("secrets = [{SECRET:?}]"))
}

/// A new certificate in the place of the one before; its DER.
fn certificate(stage: &Stage) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["wire.example".to_owned()]).expect("a certificate");
    std::fs::create_dir_all(stage.path("data")).expect("a folder");
    std::fs::write(stage.path("data/wire.key"), made.signing_key.serialize_pem()).expect("a file");
    std::fs::write(stage.path("data/wire.pem"), made.cert.pem()).expect("a file");
    made.cert.der().to_vec()
}

/// The status of a signed body over TLS, and whose certificate was shown.
async fn post(stage: &Stage, body: &str) -> (u16, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().tls_info(true).tls_danger_accept_invalid_certs(true).build().expect("a client");
    let request = client.post(format!("https://127.0.0.1:{}/hooks/acme", stage.receiver)).body(body.to_owned());
    let answer = request.header("X-Hub-Signature", signature(SECRET, body.as_bytes())).send().await.expect("an answer");
    let shown = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate).expect("a certificate").to_vec();
    (answer.status().as_u16(), shown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_takes_up_another_certificate_by_itself() {
    let stage = Stage::new();
    let first = certificate(&stage);
    stage.configure_receiver("tls = { certificate = \"wire.pem\", key = \"wire.key\" }\n", &signed());
    let service = stage.serve().await;
    let body = Story::new(1, "OPS").created().to_string();
    assert_eq!(post(&stage, &body).await, (200, first.clone()));
    assert!(stage.try_post("/hooks/acme", b"{}", &[]).await.is_none(), "it speaks without TLS too");
    let second = certificate(&stage);
    until("the new certificate is shown", SOON, async || (post(&stage, &body).await == (200, second.clone())).then_some(())).await;
    // Half of a pair is refused, and the one of before stays.
    std::fs::write(stage.path("data/wire.pem"), "no certificate").expect("a file");
    service.hang_up();
    until("it is refused", SOON, async || stage.metrics().await.contains("ticketwire_config_reload_success 0").then_some(())).await;
    assert_eq!(post(&stage, &body).await, (200, second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_passwords_stand_beside_the_signature() {
    let stage = Stage::new();
    stage.configure_receiver("allow = [\"192.0.2.0/24\"]\ntrusted_proxies = [\"127.0.0.1\"]\n", &signed());
    let service = stage.serve().await;
    let body = Story::new(1, "OPS").created().to_string();
    let signature = signature(SECRET, body.as_bytes());
    let signed = ("X-Hub-Signature", signature.as_str());
    let ask = async |headers: &[(&str, &str)]| stage.try_post("/hooks/acme", body.as_bytes(), headers).await.expect("an answer").status;
    assert_eq!(ask(&[signed]).await, 401, "the proxy itself may not send");
    assert_eq!(ask(&[signed, ("X-Forwarded-For", "192.0.2.7")]).await, 200);
    assert_eq!(ask(&[signed, ("X-Forwarded-For", "192.0.2.7, 203.0.113.9")]).await, 401);
    assert_eq!(ask(&[("X-Forwarded-For", "192.0.2.7")]).await, 401, "an address is no proof");

    // The list may change live, and so may the proofs.
    let proofs = connection(&format!("secrets = [{SECRET:?}], basic = {{ username = \"jira\", password = \"pass\" }}"));
    stage.configure_receiver("allow = [\"127.0.0.0/8\"]\n", &proofs);
    service.hang_up();
    let right = ("Authorization", "Basic amlyYTpwYXNz");
    until("the password is asked for", SOON, async || (ask(&[signed, right]).await == 200).then_some(())).await;
    assert_eq!(ask(&[signed]).await, 401);
    assert_eq!(ask(&[right]).await, 401, "all proofs must hold");
    assert_eq!(ask(&[signed, ("Authorization", "Basic amlyYTpwYXNzMg==")]).await, 401);
    assert!(!service.printed().contains("192.0.2"), "an address is logged");
}
