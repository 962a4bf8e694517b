//! Where a request comes from, and whether requests may come from there.
//!
//! `X-Forwarded-For` is believed from trusted proxies only, and from its end: what stands before the first address that is no
//! proxy of ours was written by whoever sent it.

use std::net::IpAddr;

use axum::http::HeaderMap;

use super::settings::Settings;
use crate::setting::Network;

const FORWARDED: &str = "x-forwarded-for";

/// Which addresses may send.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    /// None: all.
    allow: Vec<Network>,
    proxies: Vec<Network>,
}

impl Origins {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { allow: settings.allow.clone(), proxies: settings.trusted_proxies.clone() }
    }

    /// `peer`: who is connected; unknown only where nobody is, in tests.
    pub(crate) fn may_send(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        if self.allow.is_empty() {
            return true;
        }
        let Some(sender) = peer.and_then(|peer| self.sender(peer, headers)) else { return false };
        self.allow.iter().any(|range| range.holds(sender))
    }

    /// None: a proxy of ours passed on something that is no address.
    fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut sender = peer;
        // Several headers are one list, in their order.
        let lists: Vec<&str> = headers.get_all(FORWARDED).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        let mut hops = lists.iter().flat_map(|list| list.split(',')).map(str::trim).collect::<Vec<_>>();
        while self.proxies.iter().any(|range| range.holds(sender)) {
            let Some(hop) = hops.pop() else { return Some(sender) };
            sender = address(hop)?;
        }
        Some(sender)
    }
}

/// Some proxies add a port.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    hop.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a range")).collect();
        let origins = Origins { allow: ranges(&["192.0.2.0/24", "2001:db8::/32"]), proxies: ranges(&["10.0.0.0/8", "127.0.0.1"]) };
        for (peer, forwarded, may) in [
            ("192.0.2.7", vec![], true),
            ("::ffff:192.0.2.7", vec![], true),
            ("203.0.113.9", vec![], false),
            // A stranger says what it likes.
            ("203.0.113.9", vec!["192.0.2.7"], false),
            ("192.0.2.7", vec!["203.0.113.9"], true),
            ("10.0.0.1", vec!["192.0.2.7"], true),
            ("10.0.0.1", vec!["192.0.2.7:4711"], true),
            ("10.0.0.1", vec!["[2001:db8::1]:4711"], true),
            ("10.0.0.1", vec!["192.0.2.7, 10.0.0.2"], true),
            ("10.0.0.1", vec!["192.0.2.7, 203.0.113.9"], false),
            ("10.0.0.1", vec!["192.0.2.7", "203.0.113.9, 127.0.0.1"], false),
            ("10.0.0.1", vec!["unknown"], false),
            ("10.0.0.1", vec![""], false),
            // The proxy itself.
            ("10.0.0.1", vec![], false),
        ] {
            let headers = forwarded.iter().map(|value| (FORWARDED.parse().expect("a name"), value.parse().expect("a value"))).collect();
            assert_eq!(origins.may_send(Some(peer.parse().expect("an address")), &headers), may, "{peer} {forwarded:?}");
        }
        assert!(!origins.may_send(None, &HeaderMap::new()));
        assert!(Origins::default().may_send(None, &HeaderMap::new()), "nothing is forbidden by default");
    }
}
