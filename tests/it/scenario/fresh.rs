//! `serve` in an empty folder, without a file.

use std::os::unix::fs::PermissionsExt;

use crate::stage::{Stage, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_without_a_file() {
    let stage = Stage::new();
    let variables = [
        ("TICKETWIRE__RECEIVER__LISTEN", format!("127.0.0.1:{}", stage.receiver)),
        ("TICKETWIRE__ADMIN__LISTEN", format!("127.0.0.1:{}", stage.admin)),
    ];
    let command = |arguments: &[&str]| {
        let mut command = stage.command(arguments);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command
    };
    let service = stage.serve_by(command(&["serve"])).await;
    let token = std::fs::metadata(stage.path("ticketwire-data/admin.token")).expect("a token");
    assert_eq!(token.permissions().mode() & 0o777, 0o600, "the token is for its owner only");
    let listed = said(command(&["queue", "status", "--json"])).await;
    assert_eq!((listed.code, listed.json().is_array()), (0, true), "{listed:?}");
    let unknown = stage.try_post("/hooks/nobody", b"{}", &[]).await.expect("an answer");
    assert_ne!(unknown.status, 200, "nobody asked for this connection");
    let (took, code) = service.terminate().await;
    assert_eq!(code, 0);
    eprintln!("fresh: ready without a file, stopped in {took:.1?}");
}
