//! The sites that connections stand for: the name of a connection is its identity, so that its base URL never changes.

use anyhow::bail;

use crate::clock::Timestamp;
use crate::config::Connection;
use crate::setting::{BaseUrl, ConnectionName};
use crate::store::Store;

/// Remembers the base URL of every connection, and refuses another one than that from which events came.
pub(super) async fn remember(connections: &[Connection], store: &Store, now: Timestamp) -> anyhow::Result<()> {
    for connection in connections {
        remember_one(&connection.name, &connection.url, store, now).await?;
    }
    Ok(())
}

async fn remember_one(name: &ConnectionName, url: &BaseUrl, store: &Store, now: Timestamp) -> anyhow::Result<()> {
    let control = format!("connection/{name}/url");
    match store.control(&control).await? {
        Some(known) if is_same(&known, url) => Ok(()),
        Some(known) if store.has_events_of(name).await? => bail!(
            "the connection `{name}` stands for `{known}`, from which events came, and its `url` is `{url}` now: a connection is one site for \
             ever, because what came from two would be taken for one another; set `url` back, or give the other site a connection of its own"
        ),
        _ => store.set_control(&control, Some(url.as_str()), now).await.map_err(anyhow::Error::from),
    }
}

/// A site that got TLS stays the same site.
fn is_same(known: &str, url: &BaseUrl) -> bool {
    let place = |url: &str| url.split_once("://").map(|(_, place)| place.to_owned());
    place(known) == place(url.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{LaneId, Position};
    use crate::shutdown::Tasks;
    use crate::sink::sample;
    use crate::store::{ArchiveRow, Settings, Write};

    #[tokio::test]
    async fn a_connection_keeps_its_site_once_events_came_from_it() {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let store = Store::open(&Settings::default(), dir.path(), &tasks).await.expect("it opens");
        let envelope = sample::enriched(1).envelope;
        let name = envelope.event.connection.clone();
        let starts = async |url: &str| {
            let url: BaseUrl = url.parse().expect("a base URL");
            remember_one(&name, &url, &store, Timestamp::from_ms(1)).await.map_err(|err| err.to_string())
        };
        assert_eq!(starts("https://acme.exmaple").await, Ok(()));
        assert_eq!(starts("https://acme.example").await, Ok(()), "nothing came from the mistyped one");
        let archive = vec![ArchiveRow { envelope, lane: LaneId(0), position: Position(1) }];
        store.write(Write { archive, ..Write::default() }).await.expect("it is written");
        assert_eq!(starts("https://acme.example").await, Ok(()));
        assert_eq!(starts("http://acme.example").await, Ok(()), "the scheme does not make the site");
        let refused = starts("https://moved.example").await.expect_err("another site");
        assert!(refused.contains("`https://acme.example`") && refused.contains("`https://moved.example`"), "{refused}");
        assert_eq!(starts("https://acme.example").await, Ok(()), "the first one is still known");
    }
}
