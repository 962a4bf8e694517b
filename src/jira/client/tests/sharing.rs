//! Many wants, few requests; and no answer that is older than what it is for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn many_wants_cost_few_requests() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let server = Server::start().await;
        let jira = client_of(&server, Some(flavour), limits());
        let start = Instant::now();
        let lanes = (0..16).map(|lane| {
            let wants: Vec<Want> = (0..16).map(|place| want((lane * 16 + place) % 100 + 1, Some(start))).collect();
            let jira = &jira;
            async move { (jira.issues(&wants).await, wants) }
        });
        for (answers, wants) in join_all(lanes).await {
            for (answer, want) in answers.into_iter().zip(wants) {
                let seen = seen(answer);
                assert_eq!(seen.issue.id, want.issue_id);
                assert!(seen.asked >= start);
            }
        }
        let calls = server.calls();
        assert!(calls.len() <= 4, "{flavour:?}: {} requests", calls.len());
    }
}

#[tokio::test]
async fn more_than_a_hundred_are_asked_for_in_full_requests() {
    let server = Server::start().await;
    let jira = cloud(&server);
    let wants: Vec<Want> = (1..=250).map(|id| want(id, None)).collect();
    assert!(jira.issues(&wants).await.iter().all(Result::is_ok));
    let mut sizes: Vec<usize> = server.calls().iter().map(|call| call.body["issueIdsOrKeys"].as_array().expect("ids").len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
}

#[tokio::test]
async fn an_answer_serves_only_what_happened_before_it_was_asked() {
    let server = Server::start().await;
    let jira = cloud(&server);
    let before = Instant::now();
    let first = seen(one(&jira, 7, None).await);
    assert_eq!(first.asked, seen(one(&jira, 7, None).await).asked);
    assert_eq!(first.asked, seen(one(&jira, 7, Some(before)).await).asked);
    assert_eq!(server.calls().len(), 1);

    let later = Instant::now();
    assert!(seen(one(&jira, 7, Some(later)).await).asked >= later);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_read_under_way_is_joined_by_earlier_wants_only() {
    let server = Server::start().await;
    let jira = cloud(&server);
    let before = Instant::now();
    server.hold(true);
    let early = one(&jira, 7, Some(before));
    let rest = async {
        until("the first read", || server.calls().len() == 1).await;
        let later = Instant::now();
        // Polled last: both wants have found their read by then.
        let release = async { server.hold(false) };
        let (same, new, ()) = tokio::join!(one(&jira, 7, Some(before)), one(&jira, 7, Some(later)), release);
        assert!(seen(new).asked >= later);
        seen(same).asked
    };
    let (first, same) = tokio::join!(early, rest);
    assert_eq!(seen(first).asked, same);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn while_one_read_is_under_way_the_rest_gather() {
    let server = Server::start().await;
    let jira = client_of(&server, Some(Flavour::Cloud), Limits { patience: Duration::from_secs(4), ..limits() });
    server.hold(true);
    let rest = async {
        until("the first read", || server.calls().len() == 1).await;
        let waiting = join_all((2..=20).map(|id| one(&jira, id, None)));
        let release = async { server.hold(false) };
        tokio::join!(waiting, release).0
    };
    let (first, rest) = tokio::join!(one(&jira, 1, None), rest);
    assert!(first.is_ok() && rest.iter().all(Result::is_ok));
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_read_that_takes_long_does_not_hold_up_the_next() {
    let server = Server::start().await;
    let jira = client_of(&server, Some(Flavour::Cloud), Limits { patience: Duration::from_millis(20), ..limits() });
    server.hold(true);
    let rest = async {
        until("the first read", || server.calls().len() == 1).await;
        let release = async {
            until("a second read beside it", || server.calls().len() == 2).await;
            server.hold(false);
        };
        tokio::join!(one(&jira, 2, None), release).0
    };
    let (first, second) = tokio::join!(one(&jira, 1, None), rest);
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn who_leaves_does_not_take_the_read_along() {
    let server = Server::start().await;
    let jira = Arc::new(cloud(&server));
    server.hold(true);
    let mut leaving = Box::pin(one(&jira, 7, None));
    let mut staying = Box::pin(one(&jira, 7, None));
    tokio::select! {
        biased;
        _ = &mut leaving => panic!("answered while held"),
        _ = &mut staying => panic!("answered while held"),
        () = until("the read", || server.calls().len() == 1) => {}
    }
    drop(leaving);
    server.hold(false);
    assert_eq!(seen(staying.await).issue.key.as_deref(), Some("OPS-7"));
    assert_eq!(server.calls().len(), 1);

    // When all leave, the next who comes starts afresh.
    server.hold(true);
    let mut alone = Box::pin(one(&jira, 8, None));
    tokio::select! {
        _ = &mut alone => panic!("answered while held"),
        () = until("the read", || server.calls().len() == 2) => {}
    }
    drop(alone);
    server.hold(false);
    assert!(one(&jira, 8, None).await.is_ok());
}
